//! `ETag`, `If-Match` and `If-None-Match`.

use serde_json::json;

use crate::{
    harness::{Server, WithHeader},
    setup::nightly,
};

#[tokio::test]
async fn a_change_of_what_was_changed_meanwhile_is_refused() {
    let server = Server::start().await.with_sync().await;
    let path = "/api/v1/syncs/nightly";
    let read = server.get(path).await;
    let tag = read.header("etag").to_owned();
    let mut spec = read.json();
    spec["description"] = json!("mine");
    // What GET gave can be sent back as it is.
    let put = |body: &serde_json::Value| server.request("PUT", path, Some(body.clone()));
    let changed = server.send(put(&spec).with("if-match", &tag)).await;
    assert_eq!(changed.is(200)["description"], "mine");
    assert_ne!(changed.header("etag"), tag);

    let detail = server.send(put(&spec).with("if-match", &tag)).await.problem(412, "stale");
    assert!(detail.contains("nightly") && detail.contains("read it again"), "{detail}");
    server.send(put(&spec).with("if-match", "W/\"2\"")).await.problem(412, "stale");
    server.send(put(&spec).with("if-match", "nonsense")).await.problem(412, "stale");
    let either = format!("\"77\", {}", changed.header("etag"));
    server.send(put(&spec).with("if-match", &either)).await.is(200);
    server.send(put(&spec).with("if-match", "*")).await.is(200);
    server.send(put(&spec)).await.is(200);
}

#[tokio::test]
async fn a_removal_of_what_was_changed_meanwhile_is_refused() {
    let server = Server::start().await.with_sync().await;
    for path in ["/api/v1/syncs/nightly", "/api/v1/collections/patches", "/api/v1/stores/library"] {
        let removal = || server.request("DELETE", path, None);
        server.send(removal().with("if-match", "\"99\"")).await.problem(412, "stale");
        let tag = server.get(path).await.header("etag").to_owned();
        server.send(removal().with("if-match", &tag)).await.is(204);
        server.get(path).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_store_is_changed_in_part() {
    let server = Server::start().await;
    server.store("site").await;
    let path = "/api/v1/stores/site";
    let tag = server.get(path).await.header("etag").to_owned();
    let patch = |body| server.request("PATCH", path, Some(body)).with("if-match", &tag);
    let change = json!({ "labels": { "region": "north" }, "bytes_per_second": 1000 });
    let store = server.send(patch(change)).await.is(200);
    assert_eq!((&store["labels"]["region"], &store["bytes_per_second"]), (&json!("north"), &json!(1000)));
    server.send(patch(json!({ "description": "late" }))).await.problem(412, "stale");
    let store = server.call("PATCH", path, Some(json!({ "bytes_per_second": 0 }))).await.is(200);
    assert_eq!((&store["bytes_per_second"], &store["labels"]["region"]), (&json!(null), &json!("north")));
}

#[tokio::test]
async fn what_the_caller_has_is_not_sent_again() {
    let server = Server::start().await.with_sync().await;
    for path in ["/api/v1/syncs/nightly", "/api/v1/collections/patches"] {
        let tag = server.get(path).await.header("etag").to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"9\", {tag}"), "*".to_owned()] {
            let answer = server.send(server.request("GET", path, None).with("if-none-match", &known)).await;
            assert_eq!((answer.is(304), answer.header("etag")), (serde_json::Value::Null, tag.as_str()));
        }
        server.send(server.request("GET", path, None).with("if-none-match", "\"9\"")).await.is(200);
    }
}

#[tokio::test]
async fn what_was_made_says_where_it_is() {
    let server = Server::start().await.with_sync().await;
    let mut body = nightly();
    body["name"] = json!("weekly");
    let made = server.post("/api/v1/syncs", body).await;
    assert_eq!(made.is(201)["name"], "weekly");
    assert_eq!(made.header("location"), "/api/v1/syncs/weekly");
    assert_eq!(server.get(made.header("location")).await.header("etag"), made.header("etag"));
    let mut other = server.get("/api/v1/syncs/weekly").await.json();
    other["name"] = json!("nightly");
    let detail = server.call("PUT", "/api/v1/syncs/weekly", Some(other)).await;
    // A name in a body renames nothing.
    assert_eq!(detail.is(200)["name"], "weekly");
}
