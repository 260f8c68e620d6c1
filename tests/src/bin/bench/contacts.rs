//! What a contact of a device costs that has no news: over HTTP, with its presence durable before the answer, beside a bare
//! handler of axum and beside goosebit.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;
use syncline_protocol::{
    frame::encode_body,
    opamp::{AgentCapabilities, AgentDescription, AgentToServer, KeyValue},
};
use syncline_tests::{
    api::{Api, eventually},
    programs,
    server::Server,
};

use super::{
    figures::median,
    load::{Requests, drive, post},
};

const CONNECTIONS: usize = 256;
const LENGTH: Duration = Duration::from_secs(5);
/// What an agent of others says that it can do.
const CAN: AgentCapabilities = AgentCapabilities::REPORTS_STATUS
    .with(AgentCapabilities::ACCEPTS_REMOTE_CONFIG)
    .with(AgentCapabilities::REPORTS_REMOTE_CONFIG)
    .with(AgentCapabilities::REPORTS_HEARTBEAT);
/// More messages than a device says in a turn.
const MANY: u64 = 1 << 40;

/// Killed when it is not needed any more.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All three, in turns.
pub fn no_change(repetitions: usize) {
    let folder = tempfile::Builder::new().prefix("syncline-bench-").tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let ours: SocketAddr = server.url.trim_start_matches("http://").parse().unwrap();
    let tokens = tokens(&server.api());
    let bare = bare(folder.path());
    let goosebit = Goosebit::start(folder.path());
    let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..repetitions as u64 {
        a.push(drive(bare.1, devices(&tokens, turn * MANY), LENGTH));
        b.push(drive(ours, devices(&tokens, turn * MANY), LENGTH));
        c.push(drive(goosebit.address, polls(), LENGTH));
    }
    let (bare, ours, goosebit) = (median(&mut a), median(&mut b), median(&mut c));
    println!("\n## Contacts of devices ({repetitions} repetitions, in turns; medians)\n");
    println!("No-change contacts over HTTP, {CONNECTIONS} connections, the log of presence on disk.\n");
    println!("| server | contacts/s | of bare axum |\n| --- | --- | --- |");
    for (name, rate) in [("bare axum handler", bare), ("goosebit", goosebit), ("syncline", ours)] {
        println!("| {name} | {rate:.0} | {:.3} |", rate / bare);
    }
    let verdict = |kept| if kept { "kept" } else { "MISSED" };
    println!(
        "\nBudgets: at least 0.6 of bare axum: {:.2}, {}; at least 50 times goosebit: {:.0}, {}.\n",
        ours / bare,
        verdict(ours >= 0.6 * bare),
        ours / goosebit,
        verdict(ours >= 50.0 * goosebit)
    );
}

/// A token for each of so many devices.
fn tokens(api: &Api) -> Vec<String> {
    let token = |number: usize| {
        let device = api.post("/devices", &json!({ "name": format!("device {number}") })).expect(201);
        let body = json!({
            "name": "bench", "admits": { "device": device["id"] }, "expires_at": "2099-01-01T00:00:00Z",
        });
        api.post("/enrolment-tokens", &body).expect(201)["token"].as_str().unwrap().to_owned()
    };
    (0..CONNECTIONS).map(token).collect()
}

/// Messages of devices, numbered from `first`; the first tells all that is known of them, the others nothing.
fn devices(tokens: &[String], first: u64) -> Vec<Requests> {
    let device = |(number, token): (usize, &String)| {
        let token = token.clone();
        let mut next = first;
        let mut uid = [7; 16];
        uid[..8].copy_from_slice(&(number as u64).to_be_bytes());
        Box::new(move |out: &mut Vec<u8>| {
            let message = AgentToServer {
                instance_uid: uid.to_vec(),
                sequence_num: next + 1,
                capabilities: CAN.0,
                agent_description: (next == first).then(describe),
                ..AgentToServer::default()
            };
            next += 1;
            post(out, &token, &encode_body(&message, usize::MAX).unwrap());
        }) as Requests
    };
    tokens.iter().enumerate().map(device).collect()
}

fn describe() -> AgentDescription {
    AgentDescription {
        identifying_attributes: vec![KeyValue::new("service.name", "bench")],
        non_identifying_attributes: Vec::new(),
    }
}

fn polls() -> Vec<Requests> {
    let poll = |number: usize| {
        Box::new(move |out: &mut Vec<u8>| {
            let request = format!(
                "GET /DEFAULT/controller/v1/device-{number} HTTP/1.1\r\nhost: localhost\r\n\
                 accept: application/json\r\n\r\n"
            );
            out.extend_from_slice(request.as_bytes());
        }) as Requests
    };
    (0..CONNECTIONS).map(poll).collect()
}

/// A bare handler that answers as long as an answer of ours is.
fn bare(folder: &Path) -> (Killed, SocketAddr) {
    let file = folder.join("answer");
    std::fs::write(&file, [0; 24]).unwrap();
    let program = programs::root().join("target/release/examples/bare");
    let mut child = Command::new(program).arg(&file).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Killed(child), line.trim().parse().unwrap())
}

/// A goosebit of its own, as `scripts/setup.sh bench` installs it.
struct Goosebit {
    _process: Killed,
    address: SocketAddr,
}

impl Goosebit {
    fn start(folder: &Path) -> Self {
        let venv: PathBuf = programs::root().join("target/peers/goosebit");
        let run = folder.join("goosebit");
        std::fs::create_dir_all(&run).unwrap();
        let found = "import importlib.util; print(importlib.util.find_spec('goosebit').submodule_search_locations[0])";
        let package = Command::new(venv.join("bin/python")).args(["-c", found]).output().unwrap();
        let package = String::from_utf8(package.stdout).unwrap();
        let project = format!(
            "[tool.aerich]\ntortoise_orm = \"goosebit.db.config.TORTOISE_CONF\"\n\
             location = \"{}/db/migrations\"\nsrc_folder = \".\"\n",
            package.trim()
        );
        std::fs::write(run.join("pyproject.toml"), project).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let command = |program: &str| {
            let mut command = Command::new(venv.join("bin").join(program));
            command
                .current_dir(&run)
                .env("GOOSEBIT_PORT", port.to_string())
                .env("GOOSEBIT_DB_URI", format!("sqlite:///{}", run.join("db.sqlite3").display()))
                .env("GOOSEBIT_ARTIFACTS_DIR", run.join("artifacts"))
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command
        };
        assert!(command("aerich").arg("upgrade").status().unwrap().success());
        let process = Killed(command("python").args(["-m", "goosebit"]).spawn().unwrap());
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        eventually("goosebit to listen", || std::net::TcpStream::connect(address).ok());
        Self { _process: process, address }
    }
}
