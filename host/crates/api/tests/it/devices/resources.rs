//! Groups, policies, selections, explanations.

use serde_json::{Value, json};
use syncline_protocol::opamp::RemoteConfigStatuses;

use super::agent::{Agent, documents};
use crate::harness::{Server, WithHeader};

#[tokio::test]
async fn groups_are_made_moved_and_removed() {
    let server = Server::with_browser().await;
    server.post("/api/v1/groups", json!({ "path": "/sales/berlin" })).await.problem(404, "not-found");
    server.post("/api/v1/groups", json!({ "path": "/sales" })).await.is(201);
    let made = server.post("/api/v1/groups", json!({ "path": "/sales/berlin" })).await;
    let path = made.header("location");
    assert_eq!(server.get(path).await.is(200)["path"], "/sales/berlin");
    server.call("DELETE", "/api/v1/groups/sales", None).await.problem(409, "in-use");
    let moved = server.call("PATCH", path, Some(json!({ "path": "/berlin" }))).await.is(200);
    assert_eq!(moved["path"], "/berlin");
    server.get(path).await.problem(404, "not-found");
    server.call("DELETE", "/api/v1/groups/sales", None).await.is(204);
}

#[tokio::test]
async fn locks_hold_and_the_origin_of_a_value_is_told() {
    let server = Server::with_browser().await;
    server.post("/api/v1/groups", json!({ "path": "/sales" })).await.is(201);
    let policy = json!({
        "application": "browser", "place": { "group": "/" }, "settings": { "home": "a", "x": 1 }, "locks": ["/home"],
    });
    server.post("/api/v1/policies", policy).await.is(201);
    let policy = json!({ "application": "browser", "place": { "group": "/sales" }, "settings": { "home": "b", "x": 2 } });
    server.post("/api/v1/policies", policy).await.is(201);
    let token = server.enrolment_token(json!({ "group": "/sales" })).await;
    let (_, offer) = Agent::enrol(&server, &token, false).await;
    assert_eq!(documents(&offer)["browser"], json!({ "home": "a", "x": 2 }));

    let id = server.device().await["id"].as_str().unwrap().to_owned();
    let told = server.get(&format!("/api/v1/devices/{id}/documents/browser")).await.is(200);
    assert_eq!(told["layers"].as_array().unwrap().len(), 3);
    assert_eq!(told["locked_out"][0]["setting"], json!({ "layer": 2, "pointer": "/home" }));
    let provenance = told["document"]["provenance"].as_array().unwrap();
    let x = provenance.iter().find(|one| one["pointer"] == "/x").unwrap();
    assert_eq!(x["origin"]["setting"]["layer"], 2);
    server.get(&format!("/api/v1/devices/{id}/documents/mail")).await.problem(404, "not-found");
}

#[tokio::test]
async fn policies_have_versions_and_go_back() {
    let server = Server::with_browser().await;
    let path = server.with_policy(json!({ "home": "a" })).await;
    let changed = |home: &str| json!({ "application": "browser", "place": { "group": "/" }, "settings": { "home": home }, "note": "why" });
    let etag = server.get(&path).await.header("etag").to_owned();
    let put = || server.request("PUT", &path, Some(changed("b"))).with("if-match", &etag);
    assert_eq!(server.send(put()).await.is(200)["version"], 2);
    server.send(put()).await.problem(412, "stale");
    let back = server.post(&format!("{path}/rollback"), json!({ "version": 1 })).await.is(200);
    assert_eq!((&back["version"], &back["settings"]), (&json!(3), &json!({ "home": "a" })));
    let versions = server.get(&format!("{path}/versions")).await.is(200);
    assert_eq!(versions["items"][0]["restored_from"], 1);
    assert_eq!(
        (&versions["items"][1]["note"], &versions["items"][1]["actor"]),
        (&json!("why"), &json!("root"))
    );
    let compared = server.get(&format!("{path}/compare?from=1&to=2")).await.is(200);
    assert_eq!(compared["settings"], json!([{ "pointer": "/home", "before": "a", "after": "b" }]));
    assert_eq!(server.get(&format!("{path}/compare?from=1")).await.is(200)["settings"], json!([]));
    server.get(&format!("{path}/compare?from=9")).await.problem(404, "not-found");
    server.post(&format!("{path}/rollback"), json!({ "version": 9 })).await.problem(404, "not-found");
    let bad = json!({ "application": "mail", "place": { "group": "/" } });
    assert!(server.post("/api/v1/policies", bad).await.problem(422, "policy").contains("mail"));
}

#[tokio::test]
async fn settings_must_fit_the_schema_of_the_application() {
    let server = Server::with_browser().await;
    let schema = json!({ "properties": { "port": { "type": "integer" } }, "required": ["port"] });
    let mail = json!({ "name": "mail", "plugin": "device-policy", "schema": schema });
    server.post("/api/v1/applications", mail).await.is(201);
    let policy =
        |settings: Value| json!({ "application": "mail", "place": { "group": "/" }, "settings": settings });
    let detail =
        server.post("/api/v1/policies", policy(json!({ "port": "x" }))).await.problem(422, "policy-settings");
    assert!(detail.contains("/port"), "{detail}");
    server.post("/api/v1/policies", policy(json!({ "host": "h" }))).await.is(201);
    let other = json!({ "name": "x", "plugin": "nowhere" });
    server.post("/api/v1/applications", other).await.problem(422, "application-plugin");
}

#[tokio::test]
async fn a_selection_is_run_and_policies_hold_on_it() {
    let server = Server::with_browser().await;
    let linux = json!({
        "name": "linux", "condition": { "fact": { "name": "os.type", "equals": "linux" } },
    });
    server.post("/api/v1/selections", linux).await.is(201);
    let policy = json!({
        "application": "browser", "place": { "selection": { "name": "linux", "priority": 1 } }, "settings": { "x": 1 },
    });
    server.post("/api/v1/policies", policy).await.is(201);
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut agent, offer) = Agent::enrol(&server, &token, false).await;
    assert_eq!(documents(&offer)["browser"], json!({ "x": 1 }));
    agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    let run = server.post("/api/v1/selections/linux/run", Value::Null).await.is(200);
    assert_eq!(run["devices"], json!([server.device().await["id"]]));
    let begun = server.post("/api/v1/devices/sync", json!({ "selection": "linux" })).await.is(202);
    assert_eq!(begun["counts"]["deferred"], 1);
    server.call("DELETE", "/api/v1/selections/linux", None).await.problem(409, "in-use");
}
