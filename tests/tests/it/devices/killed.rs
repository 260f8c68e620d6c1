//! Agents and servers that are killed: every device ends at its documents all the same.

use std::{fs, time::{Duration, Instant}};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use syncline_tests::{
    agent::Device,
    api::eventually,
    server::{Options, Server},
};

use super::agent::Site;

/// A script that takes some time, so that moments at random fall into it.
const WORK: &str = "n=0; while [ $n -lt 30000 ]; do n=$((n+1)); done";

#[test]
fn an_agent_that_is_killed_while_it_applies_ends_verified() {
    const ROUNDS: u64 = 8;
    let mut random = StdRng::seed_from_u64(8);
    let device = Device::new("reload = []");
    let check = device.script("check", WORK);
    let reload = device.script("reload", &format!("{WORK}\necho reloaded >> \"$(dirname \"$0\")/reloads\""));
    device.replace("reload = []", &format!("check = [{check:?}]\nreload = [{reload:?}]"));
    let mut site = Site::start(device);
    let policy = site.api.add_policy("till", &json!({ "round": 0 }));
    site.verified(1);
    let begun = Instant::now();
    site.api.change_policy(&policy, "till", &json!({ "round": 1 }));
    site.verified(2);
    let length = begun.elapsed();

    let mut interrupted = 0;
    for round in 2..2 + ROUNDS {
        let wanted = json!({ "round": round });
        site.api.change_policy(&policy, "till", &wanted);
        std::thread::park_timeout(Duration::from_micros(random.random_range(0..length.as_micros() as u64)));
        let killed = std::mem::replace(&mut site.agent, site.device.run_once_free());
        let _ = killed;
        interrupted += 0;
        site.verified(round + 1);
        assert_eq!(site.device.till(), Some(wanted));
    }
    let changes = usize::try_from(ROUNDS + 2).unwrap();
    let kills = usize::try_from(ROUNDS).unwrap();
    let reloads = site.device.reloads();
    assert!((changes..=changes + kills).contains(&reloads), "{reloads} reloads for {changes} changes");
    assert!(interrupted > 0, "no kill came while a document was being applied");
}
