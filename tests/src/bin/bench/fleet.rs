//! Many devices at once, connected by WebSocket: how long they take to enrol, to have a new policy, to be synchronised by
//! force, to come back after the server was killed; and what a connection costs while it is idle.

use std::{
    fs,
    io::Read,
    process::{Child, Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};
use syncline_tests::{
    api::eventually_within,
    programs,
    server::{Options, Server},
};

use super::contacts::Killed;

/// Most seconds of each step.
const PATIENCE: u64 = 600;

/// A server that is there, and the devices of a simulation.
struct Fleet {
    server: Server,
    options: Options,
    folder: tempfile::TempDir,
    devices: usize,
}

/// All steps, once: each takes the whole machine, and is long enough to be told from noise.
pub fn fleet(devices: usize) {
    let mut fleet = Fleet::new(devices);
    println!("\n## A fleet of {devices} simulated devices, connected by WebSocket (one turn)\n");
    println!("The devices share the machine with the server.\n\n| step | seconds |\n| --- | --- |");
    let before = fleet.memory();
    let begun = Instant::now();
    let simulation = fleet.simulate();
    fleet.until_connected();
    println!(
        "| all enrolled, each with a credential of its own, and connected | {:.1} |",
        begun.elapsed().as_secs_f64()
    );
    fleet.until_verified(1);
    println!("| all at their first document, verified | {:.1} |", begun.elapsed().as_secs_f64());
    let idle = fleet.memory().saturating_sub(before) / devices as u64;

    let begun = Instant::now();
    let calls = fleet.change_policy();
    println!("| a policy of their group is changed: published | {:.1} |", begun.elapsed().as_secs_f64());
    fleet.until_verified(2);
    println!("| … and verified on all | {:.1} |", begun.elapsed().as_secs_f64());

    let begun = Instant::now();
    let operation = fleet.server.api().post("/devices/sync", &json!({ "group": "/" })).expect(202);
    let path = format!("/sync-operations/{}", operation["id"].as_str().unwrap());
    let ended = eventually_within(PATIENCE, "the devices to be synchronised", || {
        let operation = fleet.server.api().get(&path);
        (!operation["finished_at"].is_null()).then_some(operation)
    });
    println!("| all synchronised by force | {:.1} |", begun.elapsed().as_secs_f64());
    assert_eq!(ended["counts"]["synchronised"], devices as u64, "{ended:#}");

    let begun = Instant::now();
    fleet.restart();
    fleet.until_connected();
    println!("| all back after the server was killed and started | {:.1} |", begun.elapsed().as_secs_f64());

    let told = ended_simulation(simulation);
    let offer = told["offers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["hash"] == fleet.newest_hash(&told))
        .unwrap();
    println!(
        "\nFrom the first to see the changed policy: 50 % verified after {:.2} s, 99 % after {:.2} s, 100 % after {:.2} s.",
        number(&offer["seconds_to_50"]),
        number(&offer["seconds_to_99"]),
        number(&offer["seconds_to_100"])
    );
    println!(
        "Answers: 50 % within {:.1} ms, 99 % within {:.1} ms. Calls into the plugin for the change: {calls}.",
        number(&told["answer_ms"]["p50"]),
        number(&told["answer_ms"]["p99"])
    );
    let verdict = if idle <= 16 << 10 { "kept" } else { "MISSED" };
    println!(
        "Memory of the server for each connected idle device: {idle} bytes; budget: at most 16384, {verdict}.\n"
    );
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

impl Fleet {
    fn new(devices: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("syncline-bench-").tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = vec!["--listen-opamp".to_owned(), format!("127.0.0.1:{port}")];
        let options = Options { arguments, ..Options::default() };
        let server = Server::start_with(&folder.path().join("data"), &options);
        let api = server.api();
        let plugin = api.install(&programs::plugin("device-policy"));
        api.post("/applications", &json!({ "name": "browser", "plugin": plugin })).expect(201);
        api.post("/policies", &policy("a")).expect(201);
        let body =
            json!({ "name": "bench", "admits": { "group": "/" }, "expires_at": "2099-01-01T00:00:00Z" });
        let token = api.post("/enrolment-tokens", &body).expect(201)["token"].clone();
        fs::write(folder.path().join("token"), token.as_str().unwrap()).unwrap();
        Self { server, options, folder, devices }
    }

    fn endpoint(&self) -> String {
        format!("http://{}/v1/opamp", self.options.arguments[1])
    }

    fn simulate(&self) -> Killed {
        let mut command = Command::new(programs::binary("syncline-agent"));
        command.arg("--json").arg("simulate").args([
            "--devices",
            &self.devices.to_string(),
            "--server",
            &self.endpoint(),
        ]);
        command.arg("--token-file").arg(self.folder.path().join("token"));
        Killed(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Resident bytes of the server.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
    }

    fn until_connected(&self) {
        let wanted = format!("syncline_devices_connected {}", self.devices);
        eventually_within(PATIENCE, "all devices to connect", || {
            let numbers = self.server.api().get("//metrics");
            numbers.as_str().unwrap().lines().any(|line| line == wanted).then_some(())
        });
    }

    /// Waits until all devices verifiably hold this version of the document.
    fn until_verified(&self, version: u64) {
        eventually_within(PATIENCE, "all devices to be verified", || {
            let devices = self.server.api().all("/devices?limit=1000");
            let there = devices.iter().filter(|device| {
                let one = &device["applications"][0];
                one["held_version"] == version && one["delivery"]["state"] == "verified"
            });
            (there.count() == self.devices).then_some(())
        });
    }

    /// How often the plugin was called for it.
    fn change_policy(&self) -> String {
        let api = self.server.api();
        let id = api.get("/policies")["items"][0]["id"].as_str().unwrap().to_owned();
        api.put(&format!("/policies/{id}"), &policy("b")).expect(200);
        let run = api.get("/runs")["items"][0]["id"].as_str().unwrap().to_owned();
        let log = api.get(&format!("/runs/{run}/log"));
        let calls = log["items"].as_array().unwrap().iter().filter_map(|line| {
            let words = line["message"].as_str().unwrap().rsplit_once(", ")?.1;
            words.strip_suffix(" calls into the plugin")?.parse::<u64>().ok()
        });
        calls.sum::<u64>().to_string()
    }

    fn restart(&mut self) {
        let data = self.folder.path().join("data");
        // Its place is taken by the new one.
        let old = std::mem::replace(
            &mut self.server,
            Server::start_with(&self.folder.path().join("none"), &Options::default()),
        );
        old.kill();
        self.server = Server::start_with(&data, &self.options);
    }

    /// The offer that came last: of the two, the one that is not the first document's.
    fn newest_hash(&self, told: &Value) -> Value {
        let offers = told["offers"].as_array().unwrap();
        let first = offers.iter().map(|one| number(&one["first_seconds"])).fold(f64::MIN, f64::max);
        offers.iter().find(|one| number(&one["first_seconds"]) == first).unwrap()["hash"].clone()
    }
}

/// What a simulation tells when it is asked to end.
fn ended_simulation(mut simulation: Killed) -> Value {
    let child: &mut Child = &mut simulation.0;
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn policy(home: &str) -> Value {
    json!({ "application": "browser", "place": { "group": "/" }, "settings": { "home": home } })
}
