//! A policy on its way: offered, applied, verified; failed; taken back.

use std::time::Duration;

use serde_json::{Value, json};
use syncline_protocol::{
    items::ApplicationState,
    opamp::{AgentCapabilities, AgentToServer, RemoteConfigStatuses},
};

use super::agent::{Agent, FOREIGN, FULL_STATE, documents, effective, report, status_of, time};
use crate::harness::Server;

#[tokio::test]
async fn what_was_published_is_offered_applied_and_verified() {
    let server = Server::with_browser().await;
    server.with_policy(json!({ "home": "a" })).await;
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut agent, offer) = Agent::enrol(&server, &token, false).await;
    assert_eq!(documents(&offer), json!({ "browser": { "home": "a" } }));
    assert_eq!(server.delivery().await, ("offered".to_owned(), Value::Null));
    assert_eq!(server.device().await["status"]["colour"], "orange");

    agent.report(&server, &offer, RemoteConfigStatuses::Applying).await;
    assert_eq!(server.delivery().await.0, "applying");
    let answer = agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    let (state, delivered) = server.delivery().await;
    assert!(state == "applied" && delivered.is_string());
    assert_eq!(answer.flags, FULL_STATE, "what is in force is asked for");

    let message = AgentToServer {
        effective_config: Some(effective("browser", r#"{ "home": "a" }"#)),
        remote_config_status: Some(status_of(&offer, RemoteConfigStatuses::Applied)),
        ..agent.whole()
    };
    let answer = agent.send(&server, &message).await;
    assert!(answer.remote_config.is_none() && answer.flags == 0);
    assert_eq!(server.delivery().await, ("verified".to_owned(), delivered.clone()));
    let device = server.device().await;
    let application = &device["applications"][0];
    assert_eq!((&application["wanted_version"], &application["held_version"]), (&json!(1), &json!(1)));
    assert_eq!(device["status"]["colour"], "green");

    server.clock.forward(Duration::from_secs(60));
    let message = agent.next();
    agent.send(&server, &message).await;
    assert_eq!(server.delivery().await, ("verified".to_owned(), delivered), "nothing changed");
}

#[tokio::test]
async fn a_device_is_red_while_a_change_for_it_is_held() {
    let server = Server::with_browser().await;
    let policy = server.with_policy(json!({ "home": "a" })).await;
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut agent, offer) = Agent::enrol(&server, &token, false).await;
    agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    assert_eq!(server.device().await["status"]["state"], "up-to-date");
    let limits = json!({ "plugin": "device-policy", "limits": { "max_changes": 0 } });
    server.call("PUT", "/api/v1/syncs/device-policy", Some(limits)).await.is(200);
    let other = json!({ "application": "browser", "place": { "group": "/" }, "settings": { "home": "b" } });
    server.call("PUT", &policy, Some(other)).await.is(200);
    let run = server.get("/api/v1/syncs/device-policy/runs").await.is(200)["items"][0].clone();
    assert_eq!(run["state"], "held", "{run}");
    let device = server.device().await;
    assert_eq!(device["status"]["state"], "changed", "{device}");
    assert_eq!(device["applications"][0]["delivery"]["state"], "applied", "nothing is on its way");
}

#[tokio::test]
async fn an_agent_of_others_ends_applied_and_green() {
    let server = Server::with_browser().await;
    let (_, token) = server.registered().await;
    server.with_policy(json!({ "home": "a" })).await;
    let mut agent = Agent::new(&token, FOREIGN);
    let message = agent.whole();
    let offer = agent.send(&server, &message).await;
    let answer = agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    assert!(answer.remote_config.is_none() && answer.flags == 0 && answer.custom_message.is_none());
    assert_eq!(server.delivery().await.0, "applied");
    assert_eq!(server.device().await["status"]["colour"], "green");
}

#[tokio::test]
async fn one_that_takes_no_configuration_is_offered_none_until_it_does() {
    let server = Server::with_browser().await;
    let (_, token) = server.registered().await;
    server.with_policy(json!({ "home": "a" })).await;
    let mut agent = Agent::new(&token, AgentCapabilities::REPORTS_STATUS);
    let message = agent.whole();
    assert!(agent.send(&server, &message).await.remote_config.is_none());
    assert_eq!(server.delivery().await.0, "unsupported");
    agent.can = FOREIGN;
    let message = agent.next();
    documents(&agent.send(&server, &message).await);
    assert_eq!(server.delivery().await.0, "offered");
}

#[tokio::test]
async fn what_fails_is_told_and_can_be_tried_again() {
    let server = Server::with_browser().await;
    server.with_policy(json!({ "home": "a" })).await;
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut agent, offer) = Agent::enrol(&server, &token, false).await;
    let answer = agent.report(&server, &offer, RemoteConfigStatuses::Failed).await;
    assert!(answer.remote_config.is_none());
    let device = server.device().await;
    let delivery = &device["applications"][0]["delivery"];
    assert_eq!((&delivery["state"], &delivery["error"]), (&json!("failed"), &json!("no room")));
    assert_eq!((&device["status"]["colour"], &device["status"]["mark"]), (&json!("red"), &json!(true)));

    let retried = server.post("/api/v1/devices/retry", json!({ "delivery": "failed" })).await.is(200);
    assert_eq!(retried["deliveries"], 1);
    let message = agent.next();
    let again = agent.send(&server, &message).await;
    assert_eq!(documents(&again), documents(&offer));
    assert_ne!(again.remote_config.unwrap().config_hash, offer.remote_config.unwrap().config_hash);
}

#[tokio::test]
async fn an_offer_without_answer_is_repeated_after_its_deadline_and_failed_after_five() {
    let server = Server::with_browser().await;
    server.with_policy(json!({ "home": "a" })).await;
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut agent, _) = Agent::enrol(&server, &token, false).await;
    for _ in 0..4 {
        server.clock.forward(Duration::from_secs(301));
        server.engine.pass_deadlines().await.unwrap();
        assert_eq!(server.delivery().await.0, "pending");
        let message = agent.next();
        documents(&agent.send(&server, &message).await);
    }
    server.clock.forward(Duration::from_secs(301));
    server.engine.pass_deadlines().await.unwrap();
    assert_eq!(server.delivery().await.0, "failed");
}

#[tokio::test]
async fn a_policy_that_is_withdrawn_is_taken_back() {
    let server = Server::with_browser().await;
    let policy = server.with_policy(json!({ "home": "a" })).await;
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut agent, offer) = Agent::enrol(&server, &token, false).await;
    agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    server.call("DELETE", &policy, None).await.is(204);
    assert_eq!(server.delivery().await.0, "withdrawing");
    let message = agent.next();
    let offer = agent.send(&server, &message).await;
    assert_eq!(documents(&offer), json!({}), "the map is there, and empty");
    agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    let device = server.device().await;
    assert_eq!(device["status"]["colour"], "green", "{device}");
    assert_eq!(device["applications"][0]["held"], Value::Null);
}

#[tokio::test]
async fn a_new_version_of_the_same_document_is_delivered_with_the_same_hash() {
    let server = Server::with_browser().await;
    let policy = server.with_policy(json!({ "home": "a" })).await;
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut agent, offer) = Agent::enrol(&server, &token, false).await;
    agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    let (_, before) = server.delivery().await;
    let same = json!({
        "application": "browser", "place": { "group": "/" }, "settings": { "home": "a" }, "note": "again",
    });
    server.call("PUT", &policy, Some(same)).await.is(200);
    assert_eq!(server.delivery().await, ("pending".to_owned(), before.clone()));
    let message = agent.next();
    let again = agent.send(&server, &message).await;
    assert_eq!(again.flags, FULL_STATE, "it can pass over a hash that it has");
    assert_eq!(
        status_of(&again, RemoteConfigStatuses::Applied),
        status_of(&offer, RemoteConfigStatuses::Applied)
    );
    agent.report(&server, &again, RemoteConfigStatuses::Applied).await;
    let (state, after) = server.delivery().await;
    assert!(state == "applied" && time(&after) > time(&before), "{before} {after}");
    assert_eq!(server.device().await["applications"][0]["held_version"], 2);
}

#[tokio::test]
async fn a_device_of_ours_reports_each_application_and_its_drift() {
    let server = Server::with_browser().await;
    server.with_policy(json!({ "home": "a" })).await;
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut agent, offer) = Agent::enrol(&server, &token, true).await;
    let body =
        offer.remote_config.as_ref().unwrap().config.as_ref().unwrap().config_map["browser"].body.clone();
    agent.say(&server, vec![report(1, ApplicationState::Applied, &body, false)]).await;
    assert_eq!(server.delivery().await.0, "verified");
    let answer = agent.say(&server, vec![report(2, ApplicationState::Applied, &body, true)]).await;
    assert_eq!(documents(&answer), documents(&offer), "drift is repaired in the same answer");
    agent.say(&server, vec![report(3, ApplicationState::Applied, &body, false)]).await;
    assert_eq!(server.delivery().await.0, "verified");
}

#[tokio::test]
async fn what_cannot_be_worked_out_leaves_the_last_document_and_is_shown() {
    let server = Server::with_browser().await;
    server.with_policy(json!({ "home": "a" })).await;
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut agent, offer) = Agent::enrol(&server, &token, false).await;
    agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    server.post("/api/v1/plugins/device-policy/disable", Value::Null).await.is(200);
    server.with_policy(json!({ "home": "b" })).await;
    let device = server.device().await;
    assert_eq!(device["status"]["state"], "failed");
    assert_eq!(device["applications"][0]["failure"]["code"], "plugin-not-enabled");
    let message = agent.next();
    assert!(agent.send(&server, &message).await.remote_config.is_none());

    server.post("/api/v1/plugins/device-policy/enable", Value::Null).await.is(200);
    server.with_policy(json!({ "other": true })).await;
    assert_eq!(server.device().await["status"]["state"], "changed");
    let message = agent.next();
    let answer = agent.send(&server, &message).await;
    assert_eq!(documents(&answer)["browser"], json!({ "home": "b", "other": true }));
}
