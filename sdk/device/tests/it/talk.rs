//! What is said beside documents: items, syncs, tasks, activation, messages.

use std::fs;

use syncline_protocol::{
    items::{
        ActivationResult, ApplicationState::Applied, Body, Id, NextContact, Notice, SyncOutcome, SyncRequest,
        Task, TaskOutcome,
    },
    opamp::RemoteConfigStatuses,
};

use crate::{
    device::Device,
    server::{Brain, Server},
};

fn found<T>(brain: &Brain, which: impl FnMut(&Body) -> Option<T>) -> Option<T> {
    brain.items.iter().filter_map(|item| item.body.as_ref()).find_map(which)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_forces_a_sync_and_gets_its_result() {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    device.enrol().await;
    server.publish(&[("till", "one")]);
    let _agent = device.run();
    device.reports(&server, Applied, "one").await;
    server.send(7, Body::SyncRequest(SyncRequest { sync_id: vec![8; 16], reason: "test".to_owned() }));
    let outcome = server
        .until("the result", |brain| {
            found(brain, |body| match body {
                Body::SyncResult(result) if result.sync_id == [8; 16] => Some(result.outcome()),
                _ => None,
            })
        })
        .await;
    assert_eq!(outcome, SyncOutcome::Synchronised);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_user_forces_a_sync_and_hears_how_it_ended() {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    device.enrol().await;
    let _agent = device.starts(&server).await;
    let said = device.succeeds(&["sync"]).await;
    assert!(said.contains("up to date"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_once_though_it_comes_twice_and_the_agent_is_killed() {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    let script = device.script("act", "cat >> \"$(dirname \"$0\")/acted\"");
    device.append(&format!("[actions.act]\ncommand = [{script:?}]\n"));
    device.enrol().await;
    server.with(|brain| brain.deaf = true);
    let task = Task {
        task_id: vec![5; 16],
        action: "act".to_owned(),
        parameters: "{}\n".to_owned(),
        expires_in_ms: 0,
    };
    let result = |brain: &Brain| {
        found(brain, |body| match body {
            Body::TaskResult(result) if result.task_id == [5; 16] => Some(result.outcome()),
            _ => None,
        })
    };
    let agent = device.run();
    server.send(1, Body::Task(task.clone()));
    assert_eq!(server.until("the result", result).await, TaskOutcome::Succeeded);
    agent.kill();
    server.with(|brain| {
        brain.items.clear();
        brain.deaf = false;
    });
    let _agent = device.run();
    server.send(2, Body::Task(task));
    assert_eq!(server.until("the result again", result).await, TaskOutcome::Succeeded);
    server.until("the acknowledgement", |brain| brain.to_send.is_empty().then_some(())).await;
    assert_eq!(fs::read_to_string(device.at("acted")).unwrap(), "{}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_kept_for_people() {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    device.enrol().await;
    let _agent = device.run();
    let notice = Notice {
        title: "Closing\u{1b}[2J early".to_owned(),
        text: "At noon.".to_owned(),
        ..Notice::default()
    };
    server.send(3, Body::Notice(notice));
    server.until("the acknowledgement", |brain| (!brain.acknowledged.is_empty()).then_some(())).await;
    let short = device.succeeds(&["messages"]).await;
    assert!(short.contains("Closing\\u{1b}[2J early") && !short.contains("At noon."), "{short}");
    assert!(device.succeeds(&["messages", "--more"]).await.contains("At noon."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_activates_and_is_kept_until_the_server_has_it() {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    device.enrol().await;
    let early = device.call(&["activate", "ABCD-1234"]).await;
    assert_eq!(early.status.code(), Some(6), "nobody is there yet");
    let _agent = device.starts(&server).await;
    let call = device.call(&["sync"]);
    let code = async {
        let (activation_id, code) = server
            .until("the code", |brain| {
                found(brain, |body| match body {
                    Body::Activation(it) => Some((it.activation_id.clone(), it.code.clone())),
                    _ => None,
                })
            })
            .await;
        let result =
            ActivationResult { activation_id, activated: true, text: "Ada is activated.".to_owned() };
        server.send(4, Body::ActivationResult(result));
        code
    };
    let (_, code) = tokio::join!(call, code);
    assert_eq!(code, "ABCD-1234");
    let stored = |brain: &Brain| brain.acknowledged.contains(&Id::new([4; 16])).then_some(());
    server.until("the acknowledgement", stored).await;
    assert!(device.succeeds(&["messages"]).await.contains("Ada is activated."));
    assert_eq!(fs::read_dir(device.at("state/inbox")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_contact_is_the_one_that_the_server_names() {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    device.enrol().await;
    let _agent = device.run();
    server.until("a contact", |brain| (!brain.hellos.is_empty()).then_some(())).await;
    let before = server.with(|brain| brain.messages.len());
    server.send(6, Body::NextContact(NextContact { delay_ms: 50, period_ms: 1_000 }));
    // Contacts that nobody asked for.
    server.until("contacts", |brain| (brain.messages.len() >= before + 4).then_some(())).await;
}

/// The server's time is what counts: a device whose clock is wrong by a day works all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_by_a_day_changes_nothing() {
    use syncline_device::{agent::Agent, clock::Clock, config::Config, state::StateFolder};
    for day in [-86_400_000_i64, 86_400_000] {
        let server = Server::start().await;
        let device = Device::new(&server, "", "");
        device.enrol().await;
        server.publish(&[("till", "one")]);
        let config = Config::read(&device.at("agent.toml")).unwrap();
        let state = StateFolder::open(&config.state).unwrap();
        let clock = Clock::new(move || Clock::system().now().saturating_add_signed(day));
        let (agent, _handle) = Agent::new(config, state, clock).unwrap();
        let agent = tokio::spawn(agent.run());
        device.reports(&server, Applied, "one").await;
        let status = server.with(|brain| {
            brain.messages.iter().rev().find_map(|message| message.remote_config_status.clone())
        });
        assert_eq!(status.unwrap().status(), RemoteConfigStatuses::Applied);
        agent.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_devices_are_simulated_over_both_transports() {
    for http in [&[][..], &["--http"]] {
        let server = Server::start().await;
        server.publish(&[("till", "one")]);
        let device = Device::new(&server, "", "");
        let (url, token) = (server.url(), device.at("token").display().to_string());
        let mut arguments = vec![
            "simulate",
            "--devices",
            "5",
            "--seconds",
            "3",
            "--server",
            &url,
            "--token-file",
            &token,
            "--json",
        ];
        arguments.extend(http);
        let printed = device.succeeds(&arguments).await;
        let figures: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(figures["enrolled"], 5, "{printed}");
        assert!(figures["contacts"].as_u64().unwrap() >= 10, "{printed}");
    }
}
