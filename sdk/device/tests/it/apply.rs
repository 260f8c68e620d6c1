//! Documents, from the server to the file and back as a report.

use std::fs;

use syncline_protocol::{
    items::ApplicationState::{Applied, Failed, Unsupported, Withdrawn},
    opamp::RemoteConfigStatuses,
};

use crate::{device::Device, server::Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_applied_reported_changed_and_withdrawn() {
    for general in ["", "transport = \"http\""] {
        let server = Server::start().await;
        let device = Device::counting(&server, general);
        device.enrol().await;
        server.publish(&[("till", "one")]);
        let agent = device.run();
        device.reports(&server, Applied, "one").await;
        assert_eq!((device.file().as_deref(), device.reloads()), (Some("one"), 1));
        server.publish(&[("till", "two")]);
        device.succeeds(&["sync"]).await;
        device.reports(&server, Applied, "two").await;
        assert_eq!((device.file().as_deref(), device.reloads()), (Some("two"), 2));
        let effective = |brain: &crate::server::Brain| {
            let config = brain.messages.iter().rev().find_map(|message| message.effective_config.clone())?;
            (config.config_map?.config_map.get("till")?.body == "two").then_some(())
        };
        server.until("the effective configuration", effective).await;
        server.publish(&[]);
        device.succeeds(&["sync"]).await;
        server
            .until("withdrawn", |brain| {
                brain.applications.iter().any(|one| one.state() == Withdrawn).then_some(())
            })
            .await;
        assert_eq!((device.file(), device.reloads()), (None, 3));
        agent.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_check_is_reported_and_the_last_good_file_stays() {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    let check = device.script("check", "! grep -q bad \"$1\"");
    device.append(&format!("check = [{check:?}, {:?}]\n", device.at("till.conf")));
    device.enrol().await;
    server.publish(&[("till", "good")]);
    let _agent = device.run();
    device.reports(&server, Applied, "good").await;
    server.publish(&[("till", "bad")]);
    device.reports(&server, Failed, "bad").await;
    assert_eq!(device.file().as_deref(), Some("good"));
    server
        .until("the status FAILED", |brain| {
            let status =
                brain.messages.iter().rev().find_map(|message| message.remote_config_status.clone())?;
            (status.status() == RemoteConfigStatuses::Failed).then_some(())
        })
        .await;
    server.publish(&[("till", "better")]);
    device.reports(&server, Applied, "better").await;
    assert_eq!(device.file().as_deref(), Some("better"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_someone_changed_is_reported_and_repaired() {
    let server = Server::start().await;
    let device = Device::counting(&server, "");
    device.enrol().await;
    server.publish(&[("till", "one")]);
    let _agent = device.run();
    device.reports(&server, Applied, "one").await;
    fs::write(device.at("till.conf"), "edited").unwrap();
    device.succeeds(&["sync"]).await;
    server.until("drift", |brain| brain.drift.then_some(())).await;
    device.reports(&server, Applied, "one").await;
    assert_eq!((device.file().as_deref(), device.reloads()), (Some("one"), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_documents_are_refused_and_the_agent_goes_on() {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    device.enrol().await;
    let _agent = device.run();
    let huge = "x".repeat(2 * 1024 * 1024);
    for documents in [&[("till", huge.as_str())][..], &[("a\0b", "x")]] {
        server.publish(documents);
        server
            .until("a refusal", |brain| {
                let status =
                    brain.messages.iter().rev().find_map(|message| message.remote_config_status.clone())?;
                let this = status.last_remote_config_hash == brain.offer()?.config_hash;
                (this && status.status() == RemoteConfigStatuses::Failed).then_some(())
            })
            .await;
    }
    server.publish(&[("../../../etc/cron.d/x", "* * * * * root id"), ("till", "nul \0 byte")]);
    device.reports(&server, Applied, "nul \0 byte").await;
    let unsupported = server.with(|brain| brain.applications.iter().any(|one| one.state() == Unsupported));
    assert!(unsupported);
    assert_eq!(device.file().as_deref(), Some("nul \0 byte"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_fails_with_its_name() {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    device.append("[applications.proc]\nfile = \"/proc/till.conf\"\n");
    device.enrol().await;
    server.publish(&[("proc", "one"), ("till", "one")]);
    let _agent = device.run();
    device.reports(&server, Failed, "one").await;
    let error =
        server.with(|brain| brain.applications.iter().find(|one| one.name == "proc").unwrap().error.clone());
    assert!(error.contains("/proc/till.conf"), "{error}");
    device.reports(&server, Applied, "one").await;
}
