//! Agents and servers that are killed: every device ends at its documents all the same.

use std::{
    fs,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use syncline_tests::{
    agent::Device,
    server::{Options, Server},
};

use super::agent::Site;

/// A script that takes some time, so that moments at random fall into it.
const WORK: &str = "n=0; while [ $n -lt 30000 ]; do n=$((n+1)); done";

#[test]
fn an_agent_that_is_killed_while_it_applies_ends_verified() {
    const ROUNDS: u64 = 8;
    let mut random = StdRng::seed_from_u64(8);
    let device = Device::without_applications();
    let check = device.script("check", WORK);
    let reload = device.script("reload", &format!("{WORK}\necho reloaded >> \"$(dirname \"$0\")/reloads\""));
    let file = device.at("till.json");
    device.configure(&format!(
        "[applications.till]\nfile = {file:?}\nform = \"json\"\ncheck = [{check:?}]\nreload = [{reload:?}]\n"
    ));
    let mut site = Site::start(device);
    let policy = site.api.add_policy("till", &json!({ "round": 0 }));
    site.verified(1);
    let begun = Instant::now();
    site.api.change_policy(&policy, "till", &json!({ "round": 1 }));
    site.verified(2);
    let length = begun.elapsed();

    for round in 2..2 + ROUNDS {
        let wanted = json!({ "round": round });
        site.api.change_policy(&policy, "till", &wanted);
        std::thread::park_timeout(Duration::from_micros(random.random_range(0..length.as_micros() as u64)));
        site.agent.kill();
        site.agent = site.device.run();
        site.verified(round + 1);
        assert_eq!(site.device.till(), Some(wanted));
    }
    let (changes, kills) = (usize::try_from(ROUNDS + 2).unwrap(), usize::try_from(ROUNDS).unwrap());
    let reloads = site.device.reloads();
    assert!((changes..=changes + kills).contains(&reloads), "{reloads} reloads for {changes} changes");
    let left: Vec<_> =
        fs::read_dir(site.device.at(".")).unwrap().map(|one| one.unwrap().file_name()).collect();
    let temporary =
        |name: &&std::ffi::OsString| name.to_string_lossy().contains("till.json") && *name != "till.json";
    assert_eq!(left.iter().find(temporary), None, "a temporary file is left");
}

#[test]
fn a_server_that_is_killed_between_offer_and_report_hears_of_it_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let arguments = vec!["--listen-opamp".to_owned(), format!("127.0.0.1:{port}")];
    let options = Options { arguments, ..Options::default() };
    let server = Server::start_with(&data, &options);
    let api = server.api();
    api.add_application("till");
    let device = Device::without_applications();
    let gate = device.gate("check");
    let check = device.script("check", &gate.script());
    let file = device.at("till.json");
    device
        .configure(&format!("[applications.till]\nfile = {file:?}\nform = \"json\"\ncheck = [{check:?}]\n"));
    let id = device.enrol_at(&format!("http://127.0.0.1:{port}/v1/opamp"), &api);
    let _agent = device.run();
    api.device_when(&id, "connection", |device| device["connected"] == true);
    api.add_policy("till", &json!({ "home": "a" }));
    gate.reached();
    server.kill();
    gate.open();
    device.holds(&json!({ "home": "a" }));
    let server = Server::start_with(&data, &options);
    let shown = server.api().delivered(&id, "till", 1);
    assert_eq!(shown["applications"][0]["delivery"]["state"], "verified");
}
