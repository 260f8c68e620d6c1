//! Two servers on one PostgreSQL.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use syncline_tests::{
    api::{Api, eventually},
    postgres::Postgres,
    programs,
    server::{Options, Server},
    tree::{assert_same, fill, leftovers},
};

use crate::copy::Stage;

fn options(postgres: &Postgres) -> Options {
    let arguments = ["--lease-seconds", "3"].map(str::to_owned).to_vec();
    Options { database: Some(postgres.url()), arguments, ..Options::default() }
}

#[test]
fn when_a_node_is_killed_in_mid_run_the_other_finishes() {
    let postgres = Postgres::start();
    let stage = Stage::new(2);
    fill(&stage.library, 3_000, 30_000, 1);
    let first = Server::start_with(&stage.folder.path().join("node1"), &options(&postgres));
    let second = Server::start_with(&stage.folder.path().join("node2"), &options(&postgres));
    let api = first.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), true);
    for target in ["server1", "server2"] {
        let slow = br#"{"bytes_per_second": 4000000}"#;
        api.send("PATCH", &format!("/stores/{target}"), &[("content-type", "application/json")], slow)
            .expect(200);
    }
    let run = api.start("all", "apply");
    let node_of = |server: &Server| json!(server.api().node());
    let running = api.until(&run, |state| state == "running");
    let (victim, survivor) =
        if running["node"] == node_of(&first) { (first, second) } else { (second, first) };
    std::thread::park_timeout(Duration::from_millis(700));
    victim.kill();
    let api = survivor.api();
    for target in ["server1", "server2"] {
        let fast = br#"{"bytes_per_second": 0}"#;
        api.send("PATCH", &format!("/stores/{target}"), &[("content-type", "application/json")], fast)
            .expect(200);
    }
    let ended = api.ended(&run);
    assert_eq!((&ended["state"], &ended["node"]), (&json!("succeeded"), &node_of(&survivor)), "{ended:#}");
    assert_eq!(ended["attempt"], 2);
    for target in &stage.targets {
        assert_same(&stage.library, target);
        assert!(leftovers(target).is_empty());
    }
}

/// Makes of the library its next version: each file other bytes, some gone, some new.
fn next_version(library: &Path, version: u64) {
    fill(&library.join("all"), 700, 20_000, version);
    fill(&library.join(format!("only-{version}")), 90, 2_000, version);
    if version > 0 {
        fs::remove_dir_all(library.join(format!("only-{}", version - 1))).unwrap();
    }
    for large in 0..2 {
        fs::write(library.join(format!("large-{large}")), vec![version as u8; 16_000_000 + version as usize])
            .unwrap();
    }
}

/// All that stands at the targets, and all that tells whether something was done to it: number, times, mode and size.
fn traces(targets: &[PathBuf]) -> Vec<(PathBuf, [u64; 4], [i64; 4])> {
    let mut found = Vec::new();
    let mut todo = targets.to_vec();
    while let Some(path) = todo.pop() {
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        // Scratch files come and go here, which nobody sees but in the folder's time.
        let times = match path.ends_with(".syncline/tmp") {
            true => [0; 4],
            false => [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()],
        };
        found.push((path, [meta.ino(), meta.size(), meta.mode().into(), meta.nlink()], times));
    }
    found.sort();
    found
}

/// All that the API tells of a run.
fn record(api: &Api, run: &str) -> (Value, Vec<Value>, Vec<Value>) {
    let path = format!("/runs/{run}");
    (
        api.get(&path),
        api.all(&format!("{path}/operations?limit=1000")),
        api.all(&format!("{path}/log?limit=1000")),
    )
}

#[track_caller]
fn assert_ready(server: &Server) {
    server.api().send("GET", "//readyz", &[], &[]).expect(200);
}

/// Waits until the node of this server has let go of a run that another has by now.
fn let_go(server: &Server, run: &str) {
    eventually("the node to let the run go", || {
        let log = server.log();
        let mut of_run = log.lines().filter(|line| line.contains(run));
        let ended = ["leaves it alone", "The ending of a run could not be written"];
        of_run.any(|line| ended.iter().any(|text| line.contains(text))).then_some(())
    });
}

/// Two nodes that share a sync which prunes.
struct Pair {
    servers: [Server; 2],
    _postgres: Postgres,
    stage: Stage,
    random: StdRng,
    version: u64,
    /// What a run takes that nobody disturbs.
    length: Duration,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let postgres = Postgres::start();
        let stage = Stage::new(2);
        let start = |name: &str| {
            let arguments = ["--lease-seconds", "2"].map(str::to_owned).to_vec();
            let options = Options { arguments, ..options(&postgres) };
            Server::start_with(&stage.folder.path().join(name), &options)
        };
        let servers = ["node1", "node2"].map(start);
        let api = servers[0].api();
        let plugin = api.install(&programs::plugin("distribution-files"));
        stage.set_up(&api, &plugin, json!({ "prune": [""] }), true);
        next_version(&stage.library, 0);
        let begun = Instant::now();
        let undisturbed = api.run("all", "apply");
        assert_eq!(undisturbed["state"], "succeeded", "{undisturbed:#}");
        let (length, random) = (begun.elapsed(), StdRng::seed_from_u64(seed));
        Self { servers, _postgres: postgres, stage, random, version: 0, length }
    }

    fn next_version(&mut self) {
        self.version += 1;
        next_version(&self.stage.library, self.version);
    }

    /// Starts a run for the next version, and stops the node that has it at a random moment. Gives the run, and the places of
    /// that node and of the other one.
    fn freeze_in_mid_run(&mut self) -> (String, usize, usize) {
        self.next_version();
        let moment = self.length.mul_f64(self.random.random::<f64>() * 0.8);
        let api = self.servers[0].api();
        let run = api.start("all", "apply");
        let running = api.until(&run, |state| !matches!(state, "queued" | "claimed"));
        let frozen = usize::from(running["node"] != api.node());
        std::thread::park_timeout(moment);
        self.servers[frozen].freeze();
        (run, frozen, 1 - frozen)
    }

    /// The run as it ended, and whether it was this node that ended it.
    fn ended_by(&self, node: usize, run: &str) -> (Value, bool) {
        let api = self.servers[node].api();
        let ended = api.ended(run);
        assert_eq!(ended["state"], "succeeded", "{ended:#}");
        let here = ended["node"] == api.node();
        assert_eq!(ended["attempt"], 1 + u32::from(here), "{ended:#}");
        (ended, here)
    }

    /// Waits until a node has let go of a run that another has had since.
    fn let_go(&self, node: usize, run: &str) {
        let_go(&self.servers[node], run);
    }

    /// Has runs done until this node does one.
    fn does_runs_again(&self, node: usize) {
        let api = self.servers[node].api();
        eventually("a node to do a run again", || {
            let run = api.run("all", "apply");
            assert_eq!(run["state"], "succeeded", "{run:#}");
            (run["node"] == api.node()).then_some(())
        });
    }

    #[track_caller]
    fn assert_in_step(&self) {
        for target in &self.stage.targets {
            assert_same(&self.stage.library, target);
            assert_eq!(leftovers(target), Vec::<PathBuf>::new());
        }
    }
}

#[test]
fn a_node_that_stood_still_until_its_run_was_done_by_another_changes_nothing_any_more() {
    let mut pair = Pair::new(11);
    let mut taken_over = 0;
    for round in 0..5 {
        let (run, frozen, other) = pair.freeze_in_mid_run();
        let (_, was_taken_over) = pair.ended_by(other, &run);
        pair.next_version();
        let api = pair.servers[other].api();
        let newer = api.run("all", "apply");
        assert_eq!((&newer["state"], &newer["node"]), (&json!("succeeded"), &json!(api.node())), "{newer:#}");

        let before = (traces(&pair.stage.targets), record(&api, &run));
        pair.servers[frozen].thaw();
        if was_taken_over {
            taken_over += 1;
            pair.let_go(frozen, &run);
        }
        assert_eq!(before, (traces(&pair.stage.targets), record(&api, &run)), "round {round}");
        pair.assert_in_step();
        assert_ready(&pair.servers[frozen]);
        pair.does_runs_again(frozen);
    }
    assert!(taken_over >= 3, "only {taken_over} of 5 runs were under way when their node stood still");
}

#[test]
fn a_node_that_wakes_while_another_does_its_run_is_in_nobodys_way() {
    let mut pair = Pair::new(12);
    let mut taken_over = 0;
    for _ in 0..5 {
        let (run, frozen, other) = pair.freeze_in_mid_run();
        let api = pair.servers[other].api();
        eventually("the other node to have the run", || {
            let now = api.get(&format!("/runs/{run}"));
            (now["node"] == api.node() || now["state"] == "succeeded").then_some(())
        });
        pair.servers[frozen].thaw();
        let (ended, was_taken_over) = pair.ended_by(other, &run);
        if was_taken_over {
            taken_over += 1;
            pair.let_go(frozen, &run);
        }
        assert_eq!(api.get(&format!("/runs/{run}")), ended);
        pair.assert_in_step();
        assert_ready(&pair.servers[frozen]);
        pair.does_runs_again(frozen);
    }
    assert!(taken_over >= 3, "only {taken_over} of 5 runs were under way when their node stood still");
}

#[test]
fn a_node_that_stands_still_for_longer_than_its_lease_takes_its_own_run_up_again() {
    let stage = Stage::new(2);
    let options = Options {
        arguments: ["--lease-seconds", "1"].map(str::to_owned).to_vec(),
        database: None,
        ..Options::default()
    };
    let server = Server::start_with(&stage.data(), &options);
    let api = server.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({ "prune": [""] }), false);
    let mut again = 0;
    for version in 0..6 {
        next_version(&stage.library, version);
        let run = api.start("all", "apply");
        api.until(&run, |state| !matches!(state, "queued" | "claimed"));
        server.freeze();
        std::thread::park_timeout(Duration::from_millis(850 + 100 * version));
        server.thaw();
        let ended = api.ended(&run);
        assert_eq!(ended["state"], "succeeded", "{ended:#}");
        again += u32::from(ended["attempt"] != 1);
        for target in &stage.targets {
            assert_same(&stage.library, target);
            assert_eq!(leftovers(target), Vec::<PathBuf>::new());
        }
    }
    assert!(again >= 3, "only {again} of 6 runs lost their node");
}

#[test]
fn a_node_that_stands_still_in_the_middle_of_a_transaction_holds_nobody_up() {
    let postgres = Postgres::start();
    let stage = Stage::new(1);
    fill(&stage.library, 100, 1_000, 1);
    let first = Server::start_with(&stage.folder.path().join("node1"), &options(&postgres));
    let plugin = first.api().install(&programs::plugin("distribution-files"));
    stage.set_up(&first.api(), &plugin, json!({}), true);
    // The transaction of the run that comes to this table waits, with the run's row locked, until the node stands still.
    let lock = postgres.lock("run_operations");
    let run = first.api().start("all", "apply");
    let is_open = |which: &str| !postgres.ask(&format!("SELECT 1 FROM {which}")).is_empty();
    eventually("a transaction to wait", || is_open("pg_locks WHERE NOT granted").then_some(()));
    first.freeze();
    drop(lock);
    let idle = "pg_stat_activity WHERE state = 'idle in transaction'";
    eventually("a transaction that nobody goes on with", || is_open(idle).then_some(()));

    let second = Server::start_with(&stage.folder.path().join("node2"), &options(&postgres));
    let ended = second.api().ended(&run);
    let by_second = json!(second.api().node());
    assert_eq!((&ended["state"], &ended["node"]), (&json!("succeeded"), &by_second), "{ended:#}");
    first.thaw();
    let_go(&first, &run);
    assert_ready(&first);
    assert_eq!(second.api().get(&format!("/runs/{run}")), ended);
    assert_same(&stage.library, &stage.targets[0]);
}

#[test]
fn a_run_whose_stores_are_not_shared_waits_for_its_own_node() {
    let postgres = Postgres::start();
    let stage = Stage::new(1);
    fill(&stage.library, 20, 1_000, 1);
    let first = Server::start_with(&stage.folder.path().join("node1"), &options(&postgres));
    let second = Server::start_with(&stage.folder.path().join("node2"), &options(&postgres));
    let api = first.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), false);
    let node = json!(api.node());
    for _ in 0..5 {
        let run = second.api().run("all", "apply");
        assert_eq!((&run["state"], &run["node"]), (&json!("succeeded"), &node), "{run:#}");
    }
    first.kill();
    let waiting = second.api().start("all", "apply");
    let schedule = json!({ "sync": "all", "when": { "kind": "interval", "seconds": 3600 } });
    second.api().post("/schedules", &schedule).expect(201);
    assert_eq!(second.api().get(&format!("/runs/{waiting}"))["state"], "queued");
    let first = Server::start_with(&stage.folder.path().join("node1"), &options(&postgres));
    assert_eq!(first.api().ended(&waiting)["state"], "succeeded");
}

#[test]
fn two_nodes_run_each_tick_of_the_cluster_once_and_no_run_twice_at_a_time() {
    let postgres = Postgres::start();
    let stage = Stage::new(1);
    fill(&stage.library, 20, 1_000, 1);
    let first = Server::start_with(&stage.folder.path().join("node1"), &options(&postgres));
    let second = Server::start_with(&stage.folder.path().join("node2"), &options(&postgres));
    let api = first.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), true);
    let when = json!({
        "sync": "all", "when": { "kind": "interval", "seconds": 1 }, "owner": "cluster", "overlap": "queue-one",
    });
    let schedule = api.post("/schedules", &when).expect(201);
    let runs = format!("/runs?schedule={}", schedule["id"].as_str().unwrap());
    let ended = eventually("five runs", || {
        let ended: Vec<_> = api.all(&runs).into_iter().filter(|run| run["state"] == "succeeded").collect();
        (ended.len() >= 5).then_some(ended)
    });
    let mut ticks: Vec<_> = ended.iter().map(|run| run["nominal_time"].to_string()).collect();
    ticks.sort();
    let count = ticks.len();
    ticks.dedup();
    assert_eq!(ticks.len(), count, "no tick fired twice");
    let time = |run: &Value, name: &str| run[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let mut spans: Vec<_> =
        ended.iter().map(|run| (time(run, "started_at"), time(run, "finished_at"))).collect();
    spans.sort();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "no two at a time: {spans:?}");
    let seen: std::collections::BTreeSet<_> = [&first, &second].iter().map(|one| one.api().node()).collect();
    assert_eq!(seen.len(), 2);
}

#[test]
fn another_nodes_schedule_is_shown_and_can_be_deleted_but_not_edited() {
    let postgres = Postgres::start();
    let stage = Stage::new(1);
    fill(&stage.library, 5, 100, 1);
    let first = Server::start_with(&stage.folder.path().join("node1"), &options(&postgres));
    let second = Server::start_with(&stage.folder.path().join("node2"), &options(&postgres));
    let api = first.api();
    let plugin = api.install(&programs::plugin("distribution-files"));
    stage.set_up(&api, &plugin, json!({}), true);
    let hourly = json!({ "sync": "all", "when": { "kind": "interval", "seconds": 3600 } });
    let schedule = api.post("/schedules", &hourly).expect(201);
    let path = format!("/schedules/{}", schedule["id"].as_str().unwrap());
    let other = second.api();
    assert_eq!(other.get(&path)["owner"]["node"], api.node());
    let edit = other.put(&path, &hourly);
    assert_eq!(edit.status, 403, "{edit:?}");
    other.delete(&path).expect(204);
}
