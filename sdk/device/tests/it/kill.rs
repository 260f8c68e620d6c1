//! The agent is killed while it applies, and ends right when it starts again.

use std::fs;

use syncline_protocol::items::ApplicationState::{Applied, Failed};

use crate::{device::Device, server::Server};

/// Kills the agent where `script` runs as check or reload, and gives the reloads that ran for the one change.
async fn killed_in(
    kind: &str,
    arguments: &str,
    script: impl Fn(&str) -> String,
    document: &str,
) -> (Server, Device) {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    let gate = device.gate("gate");
    let once = format!("if [ ! -e \"$(dirname \"$0\")/passed\" ]; then {}; fi", gate.script());
    let path = device.script(kind, &script(&once));
    device.append(&format!("{kind} = [{path:?}{arguments}]\n"));
    if kind != "reload" {
        let reload = device.script("reload", "echo reloaded >> \"$(dirname \"$0\")/reloads\"");
        device.append(&format!("reload = [{reload:?}]\n"));
    }
    device.enrol().await;
    server.publish(&[("till", document)]);
    let agent = device.run();
    gate.reached().await;
    agent.kill();
    fs::write(device.at("passed"), "").unwrap();
    gate.open().await;
    (server, device)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_a_check_it_checks_again_and_reloads_once() {
    for arguments in ["", ", \"{file}\""] {
        let (server, device) = killed_in("check", arguments, str::to_owned, "one").await;
        let _agent = device.run();
        device.reports(&server, Applied, "one").await;
        assert_eq!((device.file().as_deref(), device.reloads()), (Some("one"), 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_a_check_that_fails_it_goes_back() {
    let script = |gate: &str| format!("{gate}\nexit 1");
    let (server, device) = killed_in("check", "", script, "bad").await;
    let _agent = device.run();
    device.reports(&server, Failed, "bad").await;
    assert_eq!((device.file(), device.reloads()), (None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_a_reload_it_reloads_once_more() {
    let count = "echo reloaded >> \"$(dirname \"$0\")/reloads\"";
    for before in [true, false] {
        let script =
            |gate: &str| if before { format!("{gate}\n{count}") } else { format!("{count}\n{gate}") };
        let (server, device) = killed_in("reload", "", script, "one").await;
        let agent = device.run();
        device.reports(&server, Applied, "one").await;
        assert_eq!(device.file().as_deref(), Some("one"));
        // The reload of the killed agent is a process of its own, and ends too.
        assert!((1..=2).contains(&device.reloads()), "{}", device.reloads());
        let ran = device.reloads();
        agent.kill();
        let _agent = device.run();
        server.publish(&[("till", "two")]);
        device.reports(&server, Applied, "two").await;
        assert!(device.reloads() <= ran + 2);
    }
}
