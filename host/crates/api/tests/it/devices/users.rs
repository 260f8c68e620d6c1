//! Users: subscriptions, activation, keys, and the colours that come of them.

use std::time::Duration;

use serde_json::{Value, json};
use syncline_protocol::{
    items::{Activation, ActivationResult, ApplicationState, Body, Id, Item},
    opamp::ServerToAgent,
};

use super::agent::{Agent, bodies, documents, enrolled, items, report};
use crate::harness::{Server, WithHeader, request};

/// The path of a user of this name with a subscription.
async fn subscribed(server: &Server, name: &str) -> String {
    let made = server.post("/api/v1/users", json!({ "name": name })).await;
    made.is(201);
    let path = made.header("location").to_owned();
    server.post(&format!("{path}/subscription"), Value::Null).await.is(201);
    path
}

async fn code(server: &Server, user: &str) -> String {
    let made = server.post(&format!("{user}/activation-codes"), json!({})).await.is(201);
    made["code"].as_str().unwrap().to_owned()
}

fn attempt(number: u8, code: &str) -> Item {
    let activation = Activation { activation_id: vec![number; 16], code: code.to_owned() };
    Item::new(Id::new([number; 16]), 1, Body::Activation(activation))
}

/// What became of the only code that was sent.
#[track_caller]
fn result(answer: &ServerToAgent) -> ActivationResult {
    let found = bodies(answer).into_iter().find_map(|body| match body {
        Body::ActivationResult(result) => Some(result),
        _ => None,
    });
    found.expect("what became of a code")
}

/// A user that was activated on the only device, which has been there since.
async fn activated(server: &Server, agent: &mut Agent, name: &str) -> String {
    let user = subscribed(server, name).await;
    let code = code(server, &user).await;
    let answer = agent.say(server, vec![attempt(1, &code)]).await;
    assert!(result(&answer).activated);
    agent.acknowledge(server, &answer).await;
    user
}

async fn colour(server: &Server, user: &str) -> String {
    let status = server.get(user).await.is(200)["status"].clone();
    assert!(status["since"].is_string() && !status["reason"].as_str().unwrap().is_empty(), "{status}");
    format!("{} {}", status["colour"].as_str().unwrap(), status["state"].as_str().unwrap())
}

fn keys(id: &str) -> Value {
    json!({ "vpn": [{ "id": id, "name": "Office", "parameters": { "port": 1 } }] })
}

#[tokio::test]
async fn users_are_made_listed_changed_and_removed() {
    let server = Server::start().await;
    server.post("/api/v1/groups", json!({ "path": "/sales", "keys": keys("g") })).await.is(201);
    let ann = json!({ "name": "ann", "display_name": "Ann A.", "group": "/sales" });
    let made = server.post("/api/v1/users", ann.clone()).await;
    let shown = made.is(201);
    assert_eq!(shown["status"]["colour"], "grey");
    assert_eq!(shown["keys_in_force"]["vpn"]["inherited"], true);
    server.post("/api/v1/users", ann).await.problem(409, "exists");
    server.post("/api/v1/users", json!({ "name": "" })).await.problem(422, "user-name");
    server.post("/api/v1/users", json!({ "name": "x", "group": "/no" })).await.problem(404, "not-found");
    let twice = json!({ "vpn": [{ "id": "a", "name": "A" }, { "id": "a", "name": "B" }] });
    server.post("/api/v1/users", json!({ "name": "x", "keys": twice.clone() })).await.problem(422, "keys");
    server.call("PATCH", "/api/v1/groups/sales", Some(json!({ "keys": twice }))).await.problem(422, "keys");
    for name in ["bob", "cid"] {
        server.post("/api/v1/users", json!({ "name": name })).await.is(201);
    }

    let names = async |query: &str| {
        let list = server.get(&format!("/api/v1/users{query}")).await.is(200);
        let names = list["items"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap());
        (names.collect::<Vec<_>>().join(" "), list["next"].as_str().unwrap_or_default().to_owned())
    };
    let (first, next) = names("?limit=2").await;
    assert_eq!(
        (first.as_str(), names(&format!("?limit=2&after={next}")).await.0.as_str()),
        ("ann bob", "cid")
    );
    assert_eq!(names("?group=%2Fsales").await.0, "ann");
    assert_eq!(names("?colour=grey&name=bob").await.0, "bob");
    assert_eq!(names("?status=issued").await.0, "");
    let (first, next) = names("?colour=grey&limit=2").await;
    assert_eq!(
        (first.as_str(), names(&format!("?colour=grey&after={next}")).await.0.as_str()),
        ("ann bob", "cid")
    );
    server.get("/api/v1/users?status=blue").await.problem(400, "query");
    server.get("/api/v1/users?after=x").await.problem(400, "cursor");

    let path = made.header("location");
    let etag = server.get(path).await.header("etag").to_owned();
    let change =
        || server.request("PATCH", path, Some(json!({ "keys": keys("own") }))).with("if-match", &etag);
    let changed = server.send(change()).await.is(200);
    assert_eq!(changed["keys_in_force"]["vpn"]["inherited"], false);
    assert_eq!(changed["display_name"], "Ann A.");
    server.send(change()).await.problem(412, "stale");
    server.send(request("DELETE", path, &server.viewer, None)).await.problem(403, "role");
    server.call("DELETE", path, None).await.is(204);
    server.get(path).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_user_goes_through_the_colours() {
    let server = Server::with_browser().await;
    let (mut agent, _) = enrolled(&server, true).await;
    let made = server.post("/api/v1/users", json!({ "name": "ann" })).await;
    let user = made.header("location").to_owned();
    assert_eq!(colour(&server, &user).await, "grey no-subscription");
    let detail = server.post(&format!("{user}/activation-codes"), json!({})).await.problem(409, "conflict");
    assert!(detail.contains("issue one first"), "{detail}");
    let issued = server.post(&format!("{user}/subscription"), json!({})).await.is(201);
    assert_eq!(issued["status"]["state"], "issued");
    assert_eq!(colour(&server, &user).await, "blue issued");

    let code = code(&server, &user).await;
    let answer = agent.say(&server, vec![attempt(1, &code)]).await;
    assert!(result(&answer).activated, "{answer:?}");
    assert_eq!(colour(&server, &user).await, "orange sent");
    agent.acknowledge(&server, &answer).await;
    assert_eq!(colour(&server, &user).await, "green in-sync");
    assert_eq!(server.get(&user).await.is(200)["device"], server.device().await["id"]);

    // Keys of its group, then of its own: each is published at once, and received at the next contact.
    server.call("PATCH", "/api/v1/groups/%2F", Some(json!({ "keys": keys("g") }))).await.is(200);
    assert_eq!(colour(&server, &user).await, "orange sent");
    let message = agent.next();
    agent.send(&server, &message).await;
    assert_eq!(colour(&server, &user).await, "green in-sync");
    let changed = server.call("PATCH", &user, Some(json!({ "keys": keys("own") }))).await.is(200);
    assert_eq!(changed["status"]["colour"], "orange");
    let message = agent.next();
    agent.send(&server, &message).await;
    assert_eq!(colour(&server, &user).await, "purple own-keys");

    // What fails on its device shows at the user.
    server.with_policy(json!({ "home": "b" })).await;
    let message = agent.next();
    agent.send(&server, &message).await;
    let failed = report(7, ApplicationState::Failed, br#"{"home":"b"}"#, false);
    agent.say(&server, vec![failed]).await;
    assert_eq!(colour(&server, &user).await, "red failed");
    assert_eq!(server.get(&user).await.is(200)["status"]["reason"], "browser: no room");
    let red = server.get("/api/v1/users?colour=red").await.is(200);
    assert_eq!(red["items"].as_array().unwrap().len(), 1);

    server.call("DELETE", &format!("{user}/subscription"), None).await.is(204);
    assert_eq!(colour(&server, &user).await, "grey no-subscription");
    assert_eq!(server.get(&user).await.is(200)["device"], Value::Null);
    server.call("DELETE", &format!("{user}/subscription"), None).await.problem(409, "conflict");
}

#[tokio::test]
async fn keys_are_in_the_documents_of_the_device_until_the_subscription_ends() {
    let server = Server::with_browser().await;
    server.with_policy(json!({ "home": "a" })).await;
    let sync = json!({ "plugin": "device-policy", "settings": { "keys_member": "keys" } });
    server.call("PUT", "/api/v1/syncs/device-policy", Some(sync)).await.is(200);
    server.post("/api/v1/groups", json!({ "path": "/sales", "keys": keys("g") })).await.is(201);
    let (mut agent, _) = enrolled(&server, true).await;
    let user = subscribed(&server, "ann").await;
    // The user's group is not the device's.
    server.call("PATCH", &user, Some(json!({ "group": "/sales" }))).await.is(200);
    let code = code(&server, &user).await;
    let offer = agent.say(&server, vec![attempt(1, &code)]).await;
    let key = |offer: &ServerToAgent| documents(offer)["browser"]["keys"]["ann"]["vpn"][0]["id"].clone();
    assert_eq!(key(&offer), "g");

    server.call("PATCH", "/api/v1/groups/sales", Some(json!({ "keys": keys("h") }))).await.is(200);
    let message = agent.next();
    let offer = agent.send(&server, &message).await;
    assert_eq!(key(&offer), "h");
    assert_eq!(colour(&server, &user).await, "orange sent");
    let body = offer.remote_config.unwrap().config.unwrap().config_map["browser"].body.clone();
    agent.say(&server, vec![report(2, ApplicationState::Applied, &body, false)]).await;
    assert_eq!(colour(&server, &user).await, "green in-sync");

    server.call("DELETE", &format!("{user}/subscription"), None).await.is(204);
    let message = agent.next();
    assert_eq!(documents(&agent.send(&server, &message).await)["browser"]["keys"], json!({}));
}

#[tokio::test]
async fn what_cannot_be_worked_out_shows_at_the_users_of_the_device() {
    let server = Server::with_browser().await;
    let (mut agent, _) = enrolled(&server, true).await;
    let user = activated(&server, &mut agent, "ann").await;
    assert_eq!(colour(&server, &user).await, "green in-sync");
    server.post("/api/v1/plugins/device-policy/disable", Value::Null).await.is(200);
    let policy = server.with_policy(json!({ "home": "a" })).await;
    assert_eq!(colour(&server, &user).await, "red failed");
    let message = agent.next();
    agent.send(&server, &message).await;
    assert_eq!(colour(&server, &user).await, "red failed", "it is still so");
    server.post("/api/v1/plugins/device-policy/enable", Value::Null).await.is(200);
    server.call("DELETE", &policy, None).await.is(204);
    let message = agent.next();
    agent.send(&server, &message).await;
    assert_eq!(colour(&server, &user).await, "green in-sync");
}

#[tokio::test]
async fn a_subscription_ends_by_itself() {
    let server = Server::start().await;
    let made = server.post("/api/v1/users", json!({ "name": "ann" })).await;
    let path = format!("{}/subscription", made.header("location"));
    server
        .post(&path, json!({ "expires_at": "2026-10-01T00:00:00Z" }))
        .await
        .problem(422, "subscription-expiry");
    server.post(&path, json!({ "expires_at": "2026-11-01T13:00:00Z" })).await.is(201);
    assert_eq!(colour(&server, made.header("location")).await, "blue issued");
    server.clock.forward(Duration::from_secs(3_600));
    assert_eq!(colour(&server, made.header("location")).await, "grey no-subscription");
}

#[tokio::test]
async fn a_code_is_shown_once_and_has_one_use_however_often_it_comes() {
    let server = Server::with_browser().await;
    let (mut agent, _) = enrolled(&server, true).await;
    let user = subscribed(&server, "ann").await;
    let refused =
        server.request("POST", &format!("{user}/activation-codes"), None).with("idempotency-key", "x");
    server.send(refused).await.problem(422, "idempotency-secret");
    let code = code(&server, &user).await;
    let listed = server.get(&format!("{user}/activation-codes")).await;
    assert!(listed.is(200)["items"][0]["used_at"].is_null() && !listed.text().contains(&code));

    let answer = agent.say(&server, vec![attempt(1, &code.to_lowercase())]).await;
    let first = result(&answer);
    assert_eq!((first.activated, first.text.as_str()), (true, "ann is activated on this device."));
    assert_eq!(first.activation_id, [1; 16]);
    assert_eq!(items(&answer).received, [vec![1; 16]]);
    // The answer was lost, then it was not, then the agent lost its records.
    let answer = agent.say(&server, vec![attempt(1, &code)]).await;
    assert_eq!(result(&answer), first);
    let answer = agent.acknowledge(&server, &answer).await;
    assert_eq!(bodies(&answer), []);
    assert_eq!(result(&agent.say(&server, vec![attempt(1, &code)]).await), first);

    let answer = agent.say(&server, vec![attempt(2, &code)]).await;
    let again = bodies(&answer).into_iter().find_map(|body| match body {
        Body::ActivationResult(result) if result.activation_id == [2; 16] => Some(result),
        _ => None,
    });
    let again = again.unwrap();
    assert!(!again.activated && again.text.contains("ask your administrator for a new one"), "{again:?}");
    assert!(server.get(&format!("{user}/activation-codes")).await.is(200)["items"][0]["used_at"].is_string());
    let messages = format!("/api/v1/devices/{}/messages", server.device_id().await);
    assert!(!server.get(&messages).await.text().contains(&code));
}

#[tokio::test]
async fn codes_that_are_no_good_say_what_to_do_and_guessing_ends() {
    let server = Server::with_browser().await;
    let (mut agent, _) = enrolled(&server, true).await;
    let user = subscribed(&server, "ann").await;
    let late = code(&server, &user).await;
    server.clock.forward(Duration::from_secs(7 * 24 * 3_600));
    let answer = agent.say(&server, vec![attempt(1, &late)]).await;
    assert!(result(&answer).text.contains("was good until"), "{answer:?}");
    agent.acknowledge(&server, &answer).await;
    let good = code(&server, &user).await;
    for number in 2..=10 {
        let answer = agent.say(&server, vec![attempt(number, "AAAAA-AAAAA-AAAAA-AAAAA")]).await;
        assert!(result(&answer).text.contains("not known here"), "{number}: {answer:?}");
        agent.acknowledge(&server, &answer).await;
    }
    let answer = agent.say(&server, vec![attempt(11, &good)]).await;
    assert!(result(&answer).text.contains("wait for 60 minutes"), "{answer:?}");
    agent.acknowledge(&server, &answer).await;
    server.clock.forward(Duration::from_secs(3_600));
    assert!(result(&agent.say(&server, vec![attempt(12, &good)]).await).activated);
}

#[tokio::test]
async fn an_activated_user_can_move_to_another_device() {
    let server = Server::with_browser().await;
    let (mut old, _) = enrolled(&server, true).await;
    let user = activated(&server, &mut old, "ann").await;
    let before = server.get(&user).await.is(200)["device"].clone();
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let mut new = Agent { uid: [9; 16], speaks_items: true, ..Agent::new(&token, super::agent::OURS) };
    let message = new.whole();
    new.token = super::agent::credential(&new.send(&server, &message).await);
    let message = new.whole();
    new.send(&server, &message).await;
    let code = code(&server, &user).await;
    assert!(result(&new.say(&server, vec![attempt(3, &code)]).await).activated);
    let after = server.get(&user).await.is(200)["device"].clone();
    assert!(after.is_string() && after != before);
    let of_old = server.get(&format!("/api/v1/users?device={}", before.as_str().unwrap())).await.is(200);
    assert_eq!(of_old["items"], json!([]));
}

#[tokio::test]
async fn a_connected_device_is_woken_when_its_user_changes() {
    let server = Server::with_browser().await;
    let (mut agent, _) = enrolled(&server, true).await;
    let user = activated(&server, &mut agent, "ann").await;
    let device = server.device_id().await.parse().unwrap();
    let connection = server.engine.device_connected(device);
    server.call("PATCH", &user, Some(json!({ "keys": keys("own") }))).await.is(200);
    let wake = connection.wake();
    let full = tokio::time::timeout(Duration::from_secs(30), wake.woken()).await.unwrap();
    assert!(full, "no document changed by it, so the device is asked for a sign");
}
