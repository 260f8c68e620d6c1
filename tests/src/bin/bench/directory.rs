//! Importing a directory: all of it, nothing new, and a hundred changes, from a real OpenLDAP; beside `ldapsearch` that writes the
//! same pages to nowhere.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use syncline_tests::{
    api::Api,
    directory::{
        ldif::{self, READER, SUFFIX},
        slapd::{Options, Slapd},
    },
    programs,
    server::Server,
};

use super::{bed::own_clock, figures::Figures};

const OURS: &str = "syncline";
const PEER: &str = "ldapsearch";
/// Changes of which the last row is.
const CHANGES: usize = 100;
/// KiB that the plugin may take.
const MEMORY: u64 = 64 * 1024;

/// First imports of `people`, and what later ones take at a hundredth, a tenth and all of them.
pub fn import(people: usize, repetitions: usize) {
    println!("\n## Directories ({repetitions} repetitions, in turns; medians)\n");
    let mut later = Vec::new();
    for people in [people / 100, people / 10, people] {
        later.push((people, of_size(people, repetitions)));
    }
    println!(
        "### Later imports\n\n| people | nothing changed, s | {CHANGES} changes, s |\n| --- | --- | --- |"
    );
    for (people, figures) in &later {
        println!("| {people} | {:.3} | {:.3} |", figures.median("nothing"), figures.median("changes"));
    }
    let times = |name: &str| later.last().unwrap().1.median(name) / later[0].1.median(name);
    println!(
        "\nBudget: independent of the directory's size; from the smallest to the largest {:.1} times where nothing changed, {:.1} \
         times with {CHANGES} changes.\n",
        times("nothing"),
        times("changes")
    );
}

fn of_size(people: usize, repetitions: usize) -> Figures {
    let groups = (people / 20).max(1);
    let members = |group: usize| (0..20).map(move |n| 1 + (group * 20 + n) % people);
    let mut ldif = ldif::base() + &ldif::people(1..=people);
    for group in 0..groups {
        ldif += &ldif::group(&format!("group{group:05}"), members(group));
    }
    let slapd = Slapd::start(&Options { ldif, ..Options::default() });
    let (mut first, mut later) = (Figures::default(), Figures::default());
    let mut memory = 0;
    for turn in 0..repetitions {
        first.note(PEER, searched(&slapd));
        let folder = tempfile::Builder::new().prefix("syncline-bench-").tempdir().unwrap();
        let server = Server::start(&folder.path().join("data"));
        let api = server.api();
        api.post("/secrets", &json!({ "name": "password", "value": READER.1 })).expect(201);
        let source = json!({
            "name": "corp", "servers": [slapd.plain()], "security": "plain", "bind_as": READER.0, "secret": "password",
        });
        api.post("/directory-sources", &source).expect(201);
        let plugin = api.install(&programs::plugin("ldap-directory"));
        let sync = json!({
            "name": "people", "plugin": plugin, "sources": ["corp"], "directory": { "mode": "automatic" },
        });
        api.post("/syncs", &sync).expect(201);
        let run = || {
            let run = api.run("people", "apply");
            assert_eq!(run["state"], "succeeded", "{run:#}");
            (own_clock(&run), run)
        };
        let (took, done) = run();
        assert_eq!(
            done["targets"][0]["counts"]["copied"].as_u64(),
            Some((people + groups + 2) as u64),
            "{done:#}"
        );
        first.note(OURS, took);
        memory = memory.max(plugin_memory(&api, &done));
        later.note("nothing", run().0);
        let mut changes = String::new();
        for number in 1..=CHANGES {
            changes += &format!(
                "dn: {}\nchangetype: modify\nreplace: title\ntitle: turn {turn}\n\n",
                ldif::person_dn(number)
            );
        }
        slapd.change(&changes);
        let (took, done) = run();
        assert_eq!(done["targets"][0]["counts"]["updated"].as_u64(), Some(CHANGES as u64), "{done:#}");
        later.note("changes", took);
    }
    first.print(
        &format!("First import of {people} people with {groups} groups (syncline: the run's own clock)"),
        OURS,
        PEER,
        1.5,
    );
    let verdict = if memory <= MEMORY { "kept" } else { "MISSED" };
    println!("Memory of the plugin: at most {memory} KiB; budget: {MEMORY} KiB, {verdict}.\n");
    later
}

/// KiB that the plugin took, by the log of its run.
fn plugin_memory(api: &Api, run: &Value) -> u64 {
    let log = api.all(&format!("/runs/{}/log", run["id"].as_str().unwrap()));
    let said = log.iter().find_map(|line| line["message"].as_str()?.strip_suffix(" KiB of memory"));
    said.and_then(|line| line.rsplit(' ').next()).unwrap().parse().unwrap()
}

/// What `ldapsearch` takes for the same pages.
fn searched(slapd: &Slapd) -> Duration {
    let begun = Instant::now();
    let status = Command::new("ldapsearch")
        .args(["-x", "-LLL", "-E", "pr=1000/noprompt", "-H", &format!("ldap://{}", slapd.plain())])
        .args(["-D", READER.0, "-w", READER.1, "-b", SUFFIX, "(objectClass=*)", "*", "+"])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    begun.elapsed()
}
