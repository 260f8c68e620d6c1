//! Contacts: numbers, duplicates, presence, forced synchronisation, messages.

use std::time::Duration;

use serde_json::{Value, json};
use syncline_domain::clock::Clock;
use syncline_protocol::{
    items::{Body, Id, Item, Items, Notice, SyncRequest},
    opamp::{AgentToServer, RemoteConfigStatuses},
};

use super::agent::{Agent, FOREIGN, FULL_STATE, documents, enrolled, items, time};
use crate::harness::{Server, request};

#[tokio::test]
async fn a_gap_is_asked_about_until_a_full_message_settles_it() {
    let server = Server::with_browser().await;
    let (mut agent, _) = enrolled(&server, false).await;
    let message = agent.next();
    assert_eq!(agent.send(&server, &message).await.flags, 0);
    agent.sequence += 1;
    let message = agent.next();
    assert_eq!(agent.send(&server, &message).await.flags, FULL_STATE);
    agent.sequence += 1;
    let message = agent.whole();
    assert_eq!(agent.send(&server, &message).await.flags, 0);
    let message = AgentToServer { sequence_num: 0, ..agent.next() };
    assert_eq!(agent.send(&server, &message).await.flags, 0, "it says no number");
}

#[tokio::test]
async fn a_duplicate_is_answered_with_the_same_offer() {
    let server = Server::with_browser().await;
    server.with_policy(json!({ "home": "a" })).await;
    let (mut agent, first) = enrolled(&server, false).await;
    agent.sequence -= 1;
    let message = agent.next();
    let again = agent.send(&server, &message).await;
    assert_eq!((again.flags, documents(&again)), (0, documents(&first)));
    assert_eq!(server.device().await["applications"][0]["delivery"]["offers"], 1);
}

#[tokio::test]
async fn presence_moves_with_contacts_alone_and_silence_shows() {
    let server = Server::with_browser().await;
    let (mut agent, _) = enrolled(&server, false).await;
    let before = server.device().await;
    server.clock.forward(Duration::from_secs(600));
    server.with_policy(json!({ "home": "a" })).await;
    assert_eq!(server.device().await["last_contact"], before["last_contact"]);
    let message = agent.next();
    agent.send(&server, &message).await;
    let after = server.device().await;
    assert!(time(&after["last_contact"]) > time(&before["last_contact"]));
    assert!(time(&after["next_contact"]) > time(&after["last_contact"]));
    server.clock.forward(Duration::from_secs(3 * 3_600 + 60));
    let silent = server.device().await;
    assert_eq!((&silent["status"]["state"], &silent["status"]["mark"]), (&json!("silent"), &json!(true)));
}

#[tokio::test]
async fn a_polling_device_is_synchronised_at_its_next_contact() {
    let server = Server::with_browser().await;
    server.with_policy(json!({ "home": "a" })).await;
    let (mut agent, offer) = enrolled(&server, false).await;
    let id = server.device().await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/devices/{id}/sync");
    server.send(request("POST", &path, &server.viewer, None)).await.problem(403, "role");
    let begun = server.send(request("POST", &path, &server.operator, None)).await;
    assert_eq!(begun.is(202)["counts"]["deferred"], 1);
    let operation = begun.header("location").to_owned();
    let again = server.post("/api/v1/devices/sync", json!({ "devices": [id] })).await.is(202);
    assert_eq!(again["id"], begun.json()["id"], "one is under way");

    let message = agent.next();
    agent.send(&server, &message).await;
    assert_eq!(server.get(&operation).await.is(200)["finished_at"], Value::Null, "something is outstanding");
    agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    let ended = server.get(&operation).await.is(200);
    assert_eq!(ended["counts"]["synchronised"], 1);
    assert!(ended["finished_at"].is_string());
    assert!(server.device().await["last_forced_sync"].is_string());
    let devices = server.get(&format!("{operation}/devices")).await.is(200);
    assert_eq!(devices["items"][0]["outcome"], "synchronised");

    // Nothing is outstanding, and the next contact says nothing of what the device holds: it is asked for that first.
    let operation = server.post(&path, Value::Null).await.header("location").to_owned();
    let message = agent.next();
    let asked = agent.send(&server, &message).await;
    assert_eq!(asked.flags, FULL_STATE);
    assert_eq!(server.get(&operation).await.is(200)["counts"]["woken"], 1);
    agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    assert_eq!(server.get(&operation).await.is(200)["counts"]["synchronised"], 1);
}

#[tokio::test]
async fn the_server_synchronises_itself() {
    let server = Server::with_browser().await;
    let begun = server.post("/api/v1/server/sync", Value::Null).await;
    begun.is(202);
    let path = begun.header("location");
    while server.get(path).await.is(200)["finished_at"].is_null() {
        tokio::task::yield_now().await;
    }
    server.post("/api/v1/devices/sync", json!("server")).await.problem(422, "body");
    server.post("/api/v1/devices/sync", json!({ "group": "/nowhere" })).await.problem(404, "not-found");
}

#[tokio::test]
async fn messages_go_both_ways_and_are_acknowledged() {
    let server = Server::with_browser().await;
    let (mut agent, first) = enrolled(&server, true).await;
    assert!(matches!(items(&first).items.last().unwrap().body, Some(Body::NextContact(_))));
    let id = server.device().await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/devices/{id}/messages");
    let notice = json!({ "title": "Down at noon", "severity": "warning" });
    assert_eq!(server.post(&path, notice).await.is(200)["devices"], 1);

    let said = Notice { title: "Disk is full".to_owned(), ..Notice::default() };
    let item = Item::new(Id::new([5; 16]), 1, Body::Notice(said));
    let answer = items(&agent.say(&server, vec![item.clone(), item]).await);
    assert_eq!(answer.received, [vec![5; 16], vec![5; 16]]);
    let Some(Body::Notice(heard)) = &answer.items[0].body else { panic!("{answer:?}") };
    assert_eq!(heard.title, "Down at noon");

    let received = Items { items: Vec::new(), received: vec![answer.items[0].id.clone()] };
    let message = AgentToServer { custom_message: Some(received.to_custom()), ..agent.next() };
    assert_eq!(agent.send(&server, &message).await.custom_message, None, "it is not said again");
    let list = server.get(&path).await.is(200);
    let mut told: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["summary"].as_str().unwrap(), one["outcome"].as_str().unwrap()))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [("Disk is full", "received"), ("Down at noon", "acknowledged")]);
}

#[tokio::test]
async fn a_device_that_asks_for_a_synchronisation_is_told_what_became_of_it() {
    let server = Server::with_browser().await;
    let (mut agent, _) = enrolled(&server, true).await;
    let request = SyncRequest { sync_id: vec![9; 16], reason: "asked by a user".to_owned() };
    let item = Item::new(Id::new([6; 16]), 1, Body::SyncRequest(request));
    let answer = items(&agent.say(&server, vec![item]).await);
    let result = answer.items.iter().find_map(|item| match &item.body {
        Some(Body::SyncResult(result)) => Some(result.clone()),
        _ => None,
    });
    assert_eq!(result.unwrap().sync_id, [9; 16]);
    assert!(server.device().await["last_forced_sync"].is_string());
}

#[tokio::test]
async fn a_device_comes_as_often_as_its_own_policy_says() {
    let server = Server::with_browser().await;
    let application = json!({ "name": "syncline-agent", "plugin": "device-policy" });
    server.post("/api/v1/applications", application).await.is(201);
    let (_, token) = server.registered().await;
    let mut agent = Agent::new(&token, FOREIGN);
    let message = agent.whole();
    agent.send(&server, &message).await;
    let until_next = |device: Value| {
        let seconds = (time(&device["next_contact"]) - time(&device["last_contact"])).get_seconds();
        seconds as f64 / 60.0
    };
    let minutes = until_next(server.device().await);
    assert!((54.0..=66.0).contains(&minutes), "{minutes}");
    let policy = json!({
        "application": "syncline-agent", "place": { "group": "/" }, "settings": { "background_update_check_period": 10 },
    });
    server.post("/api/v1/policies", policy).await.is(201);
    let message = agent.next();
    agent.send(&server, &message).await;
    let minutes = until_next(server.device().await);
    assert!((9.0..=11.0).contains(&minutes), "{minutes}");
}

#[tokio::test]
async fn contacts_without_news_are_answered_from_memory_until_there_is_something() {
    let server = Server::with_browser().await;
    let policy = server.with_policy(json!({ "home": "a" })).await;
    let (_, token) = server.registered().await;
    let mut agent = Agent::new(&token, FOREIGN);
    let message = agent.whole();
    let offer = agent.send(&server, &message).await;
    agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    for _ in 0..3 {
        server.clock.forward(Duration::from_secs(60));
        let message = agent.next();
        let answer = agent.send(&server, &message).await;
        assert!(answer.remote_config.is_none() && answer.flags == 0);
        // The clock moves a little with each look at it.
        let ago = server.clock.now().duration_since(time(&server.device().await["last_contact"]));
        assert!(ago.as_secs() < 1, "{ago}");
    }
    // Whatever there is to be told ends that: a policy, a gap, the end of its credential.
    let changed = json!({ "application": "browser", "place": { "group": "/" }, "settings": { "home": "b" } });
    server.call("PUT", &policy, Some(changed)).await.is(200);
    let message = agent.next();
    let offer = agent.send(&server, &message).await;
    assert_eq!(documents(&offer)["browser"], json!({ "home": "b" }));
    agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    let message = agent.next();
    agent.send(&server, &message).await;
    agent.sequence += 5;
    let message = agent.next();
    assert_eq!(agent.send(&server, &message).await.flags, FULL_STATE);
    let message = agent.whole();
    agent.send(&server, &message).await;
    let message = agent.next();
    agent.send(&server, &message).await;
    let id = server.device().await["id"].as_str().unwrap().to_owned();
    let gone = json!({ "reason": "sold" });
    server.post(&format!("/api/v1/devices/{id}/decommission"), gone).await.is(200);
    let message = agent.next();
    assert_eq!(agent.post(&server, &message).await.status, 401);
}

#[tokio::test]
async fn what_was_received_is_acknowledged_once_and_not_for_ever() {
    let server = Server::with_browser().await;
    let (mut agent, first) = enrolled(&server, true).await;
    let received = items(&first).items.into_iter().map(|item| item.id).collect();
    let acknowledged = Items { items: Vec::new(), received };
    let message = AgentToServer { custom_message: Some(acknowledged.to_custom()), ..agent.next() };
    assert_eq!(agent.send(&server, &message).await.custom_message, None);
}
