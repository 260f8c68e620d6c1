//! All that passes between the server and a device can be read, and nothing is written of what changes nothing.

use std::time::Duration;

use serde_json::{Value, json};
use syncline_protocol::{
    InstanceUid,
    items::{ApplicationState, Body, Id, Item, SyncRequest},
    opamp::RemoteConfigStatuses,
};

use super::agent::{FULL_STATE, enrolled, report};
use crate::harness::Server;

#[tokio::test]
async fn documents_and_what_becomes_of_them_are_told_and_idle_contacts_are_not() {
    let server = Server::with_browser().await;
    let policy = server.with_policy(json!({ "home": "a" })).await;
    let (mut agent, offer) = enrolled(&server, false).await;
    agent.report(&server, &offer, RemoteConfigStatuses::Applying).await;
    for _ in 0..3 {
        agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
        let message = agent.next();
        agent.send(&server, &message).await;
    }
    let told = [
        "-> offer: Documents sent: browser v1 (sent)",
        "<- report: Reported: browser: applying (received)",
        "<- report: Reported: browser: applied (received)",
    ];
    assert_eq!(server.told().await, told);
    server.call("DELETE", &policy, None).await.is(204);
    let message = agent.next();
    let offer = agent.send(&server, &message).await;
    agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    assert_eq!(server.told().await[3], "-> offer: Documents sent: browser withdrawn (sent)");

    let path = format!("/api/v1/devices/{}/messages", server.device_id().await);
    let list = server.get(&path).await.is(200);
    let first = list["items"].as_array().unwrap().last().unwrap();
    assert_eq!(first["details"]["documents"][0]["version"], 1);
    let one = format!("{path}/{}", first["id"].as_str().unwrap());
    assert_eq!(server.get(&one).await.is(200), *first);
    let none = format!("{path}/00000000-0000-7000-8000-000000000000");
    server.get(&none).await.problem(404, "not-found");
}

#[tokio::test]
async fn an_offer_that_is_repeated_after_its_deadline_is_told_again() {
    let server = Server::with_browser().await;
    server.with_policy(json!({ "home": "a" })).await;
    let (mut agent, _) = enrolled(&server, false).await;
    agent.sequence -= 1;
    let message = agent.next();
    agent.send(&server, &message).await;
    assert_eq!(server.told().await.len(), 1, "the same message again");
    server.clock.forward(Duration::from_secs(301));
    server.engine.pass_deadlines().await.unwrap();
    let message = agent.next();
    agent.send(&server, &message).await;
    assert_eq!(server.told().await.len(), 2);
}

#[tokio::test]
async fn synchronisations_are_told_from_either_side() {
    let server = Server::with_browser().await;
    let (mut agent, _) = enrolled(&server, true).await;
    let wish = SyncRequest { sync_id: vec![9; 16], reason: "asked by a user".to_owned() };
    let item = Item::new(Id::new([6; 16]), 1, Body::SyncRequest(wish));
    let answer = agent.say(&server, vec![item]).await;
    agent.acknowledge(&server, &answer).await;
    let id = server.device_id().await;
    server.post(&format!("/api/v1/devices/{id}/sync"), Value::Null).await.is(202);
    let asked =
        server.engine.speak_to_device(id.parse().unwrap(), InstanceUid::new(agent.uid), true).await.unwrap();
    assert_eq!(asked.unwrap().flags, FULL_STATE);
    let message = agent.whole();
    agent.send(&server, &message).await;
    assert_eq!(
        server.told().await,
        [
            "<- sync-request: asked by a user (acknowledged)",
            "-> sync-result: The synchronisation that the device asked for: synchronised (acknowledged)",
            "-> sync-request: The server asks the device to synchronise (sent)",
            "<- sync-result: The synchronisation that the server asked for: synchronised (received)",
        ]
    );
}

#[tokio::test]
async fn what_a_device_of_ours_reports_is_told_where_it_is_news() {
    let server = Server::with_browser().await;
    server.with_policy(json!({ "home": "a" })).await;
    let (mut agent, offer) = enrolled(&server, true).await;
    let body = offer.remote_config.unwrap().config.unwrap().config_map["browser"].body.clone();
    for number in 1..4 {
        agent.say(&server, vec![report(number, ApplicationState::Applied, &body, false)]).await;
    }
    assert_eq!(server.told().await[1..], ["<- report: Reported: browser: verified (received)"]);
}
