//! Tokens and secrets: shown once, or never.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Server, request};

#[tokio::test]
async fn a_token_is_shown_once_and_ends_at_once() {
    let server = Server::start().await;
    let new = json!({ "name": "ci", "role": "operator" });
    let made = server.post("/api/v1/tokens", new).await;
    let body = made.is(201);
    let token = body["token"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/api/v1/tokens/{}", body["id"].as_str().unwrap()));
    assert_eq!(made.header("cache-control"), "no-store");

    let me = server.send(request("GET", "/api/v1/me", &token, None)).await.is(200);
    assert_eq!((&me["name"], &me["role"]), (&json!("ci"), &json!("operator")));
    for path in ["/api/v1/tokens", "/api/v1/events?limit=1000"] {
        assert!(!server.get(path).await.text().contains(&token), "{path}");
    }
    server.call("DELETE", made.header("location"), None).await.is(204);
    server.send(request("GET", "/api/v1/me", &token, None)).await.problem(401, "bad-token");
    server.call("DELETE", made.header("location"), None).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_token_expires() {
    let server = Server::start().await;
    let new = json!({ "name": "ci", "role": "viewer", "expires_at": "2026-11-01T13:00:00Z" });
    let token = server.post("/api/v1/tokens", new).await.is(201)["token"].as_str().unwrap().to_owned();
    server.send(request("GET", "/api/v1/me", &token, None)).await.is(200);
    server.clock.forward(Duration::from_secs(3_600));
    server.send(request("GET", "/api/v1/me", &token, None)).await.problem(401, "bad-token");

    let past = json!({ "name": "ci", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z" });
    server.post("/api/v1/tokens", past).await.problem(422, "token-expiry");
    let unnamed = json!({ "name": "", "role": "viewer" });
    server.post("/api/v1/tokens", unnamed).await.problem(422, "token-name");
    let role = json!({ "name": "ci", "role": "king" });
    let detail = server.post("/api/v1/tokens", role).await.problem(422, "body");
    assert!(detail.contains("king") && detail.contains("`operator`"), "{detail}");
}

#[tokio::test]
async fn a_secret_is_never_given_back() {
    const VALUE: &str = "correct-horse-battery";
    let server = Server::start().await;
    let new = json!({ "name": "ldap", "value": VALUE, "description": "For the directory" });
    let made = server.post("/api/v1/secrets", new.clone()).await;
    assert_eq!(made.is(201)["description"], "For the directory");
    assert_eq!(made.header("location"), "/api/v1/secrets/ldap");
    let again = server.post("/api/v1/secrets", new).await;
    again.problem(409, "exists");

    let change = json!({ "value": format!("{VALUE}-2") });
    let changed = server.call("PUT", "/api/v1/secrets/ldap", Some(change.clone())).await;
    let body = changed.is(200);
    assert_eq!((&body["revision"], &body["description"]), (&json!(2), &json!("For the directory")));
    server.call("PUT", "/api/v1/secrets/new", Some(change)).await.is(201);

    let list = server.get("/api/v1/secrets").await;
    let events = server.get("/api/v1/events?limit=1000").await;
    for answer in [&made, &again, &changed, &list, &events] {
        assert!(!answer.text().contains(VALUE), "{}", answer.text());
    }
    server.call("DELETE", "/api/v1/secrets/ldap", None).await.is(204);
    server.call("DELETE", "/api/v1/secrets/ldap", None).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_mistake_in_a_secret_is_told_without_repeating_it() {
    let server = Server::start().await;
    for bad in [json!(424_242), json!(["424242"]), json!({ "v": "424242" })] {
        let answer = server.post("/api/v1/secrets", json!({ "name": "a", "value": bad })).await;
        answer.problem(422, "body");
        assert!(!answer.text().contains("424242"), "{}", answer.text());
    }
    server.post("/api/v1/secrets", json!({ "name": "a", "value": "" })).await.problem(422, "secret-value");
    let large = json!({ "name": "a", "value": "x".repeat(65_537) });
    let answer = server.post("/api/v1/secrets", large).await;
    assert!(answer.problem(422, "secret-value").len() < 200);
}
