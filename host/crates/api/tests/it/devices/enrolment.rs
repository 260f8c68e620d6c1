//! How devices get in, and who does not.

use serde_json::{Value, json};

use super::agent::{Agent, FOREIGN, FULL_STATE, OURS, credential, said};
use crate::harness::Server;

#[tokio::test]
async fn a_token_is_used_up_when_the_credential_of_its_device_is_first_accepted() {
    let server = Server::with_browser().await;
    let body = json!({
        "name": "one", "admits": { "group": "/" }, "single_use": true, "expires_at": "2027-01-01T00:00:00Z",
    });
    let token = server.post("/api/v1/enrolment-tokens", body).await.is(201)["token"].clone();
    let mut agent = Agent::new(token.as_str().unwrap(), OURS);
    let message = agent.whole();
    let answer = agent.send(&server, &message).await;
    assert_eq!(answer.instance_uid, agent.uid);
    assert_eq!(server.device().await["status"]["state"], "registered");
    // The answer was lost: the same process comes again, and is the same device.
    let message = agent.whole();
    agent.token = credential(&agent.send(&server, &message).await);
    let message = agent.whole();
    let answer = agent.send(&server, &message).await;
    assert!(answer.connection_settings.is_none());
    let device = server.device().await;
    assert_eq!((&device["state"], &device["name"]), (&json!("enrolled"), &json!("till-1")));
    assert_eq!(device["facts"]["os.type"], "linux");
    assert_eq!(device["status"]["colour"], "green", "{device}");

    let late = Agent { uid: [8; 16], ..Agent::new(token.as_str().unwrap(), OURS) };
    let answer = late.post(&server, &agent.whole()).await;
    assert_eq!(answer.status, 401);
    let tokens = server.get("/api/v1/enrolment-tokens").await.is(200);
    assert_eq!((&tokens["items"][0]["uses"], tokens["items"][0].get("token")), (&json!(1), None));
}

#[tokio::test]
async fn an_agent_that_takes_no_credential_keeps_the_token_for_its_device() {
    let server = Server::with_browser().await;
    let (path, token) = server.registered().await;
    let mut agent = Agent::new(&token, FOREIGN);
    for _ in 0..2 {
        let message = agent.whole();
        let answer = agent.send(&server, &message).await;
        assert!(answer.connection_settings.is_none() && answer.error_response.is_none());
    }
    let device = server.get(&path).await.is(200);
    assert_eq!((&device["state"], &device["name"]), (&json!("enrolled"), &json!("till")));

    let group = server.enrolment_token(json!({ "group": "/" })).await;
    let mut other = Agent { uid: [9; 16], ..Agent::new(&group, FOREIGN) };
    let message = other.next();
    let refused = said(&other.post(&server, &message).await, 400).error_response.unwrap();
    assert!(refused.error_message.contains("a token for it alone"), "{}", refused.error_message);
}

#[tokio::test]
async fn unknown_revoked_and_decommissioned_are_401() {
    let server = Server::with_browser().await;
    for token in ["sye_nothing", "syd_nothing", "nothing", server.admin.as_str()] {
        let mut agent = Agent::new(token, OURS);
        let message = agent.next();
        let answer = agent.post(&server, &message).await;
        assert_eq!(answer.status, 401);
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut agent, _) = Agent::enrol(&server, &token, false).await;
    let id = server.device().await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/devices/{id}/decommission");
    let gone = server.post(&path, json!({ "reason": "sold" })).await.is(200);
    assert_eq!((&gone["status"]["colour"], &gone["reason"]), (&json!("grey"), &json!("sold")));
    let message = agent.next();
    assert_eq!(agent.post(&server, &message).await.status, 401);

    let tokens = server.get("/api/v1/enrolment-tokens").await.is(200);
    let path = format!("/api/v1/enrolment-tokens/{}", tokens["items"][0]["id"].as_str().unwrap());
    server.call("DELETE", &path, None).await.is(204);
    let mut late = Agent::new(&token, OURS);
    let message = late.next();
    assert_eq!(late.post(&server, &message).await.status, 401);
}

#[tokio::test]
async fn a_device_that_speaks_with_two_voices_is_quarantined_until_enrolled_anew() {
    let server = Server::with_browser().await;
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut one, _) = Agent::enrol(&server, &token, false).await;
    let mut other = Agent { uid: [8; 16], ..Agent::new(&one.token, OURS) };
    let message = other.whole();
    other.send(&server, &message).await;
    let message = one.whole();
    let refused = said(&one.post(&server, &message).await, 400).error_response.unwrap();
    assert!(refused.error_message.contains("two places"), "{}", refused.error_message);
    let device = server.device().await;
    assert_eq!(
        (&device["status"]["state"], &device["status"]["mark"]),
        (&json!("quarantined"), &json!(true))
    );

    let anew = server.enrolment_token(json!({ "device": device["id"] })).await;
    Agent::enrol(&server, &anew, false).await;
    assert_eq!(server.device().await["state"], "enrolled");
}

#[tokio::test]
async fn a_device_that_was_never_here_cannot_be_set_alone() {
    let server = Server::with_browser().await;
    let (path, token) = server.registered().await;
    let id = server.get(&path).await.is(200)["id"].clone();
    let policy = json!({ "application": "browser", "place": { "device": id }, "settings": { "x": 1 } });
    let detail = server.post("/api/v1/policies", policy.clone()).await.problem(409, "never-in-contact");
    assert!(detail.contains(&format!("{path}/sync")), "{detail}");
    let mut agent = Agent::new(&token, FOREIGN);
    let message = agent.next();
    let answer = agent.send(&server, &message).await;
    assert_eq!(answer.flags, FULL_STATE, "nothing is known of it");
    server.post("/api/v1/policies", policy).await.is(201);
    assert_eq!(server.get("/api/v1/devices?colour=blue").await.is(200)["items"], Value::Array(Vec::new()));
}
