//! Who may do what, over every route of the document.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::{
    harness::{Server, request},
    setup::{nightly, package_of},
};

/// Every (method, path, word for the least role) that the document has.
fn documented() -> Vec<(String, String, String)> {
    let document = serde_json::to_value(syncline_api::document()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let role = operation["security"][0]["token"][0].as_str().unwrap_or("none");
            all.push((method.to_uppercase(), path.clone(), role.to_owned()));
        }
    }
    all.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    all
}

/// The path with something in place of its parameters that is well-formed and not there.
fn filled(path: &str) -> String {
    let id = "00000000-0000-7000-8000-000000000000";
    path.replace("{name}", "nowhere").replace("{id}", id).replace("{message}", id)
}

fn is_refused(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// The least role that gets through, found by trying; each refusal is looked at.
async fn least_role(server: &Server, method: &str, path: &str) -> &'static str {
    let path = filled(path);
    let anonymous = Request::builder().method(method).uri(&path).body(Body::empty()).unwrap();
    let answer = server.status_of(anonymous).await;
    if !is_refused(answer) {
        return "none";
    }
    assert_eq!(answer, StatusCode::UNAUTHORIZED, "{method} {path}");
    let mut least = None;
    for (role, token) in
        [("viewer", &server.viewer), ("operator", &server.operator), ("admin", &server.admin)]
    {
        let status = server.status_of(request(method, &path, token, None)).await;
        match (is_refused(status), least) {
            (true, None) => assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path} as {role}"),
            (true, Some(lower)) => panic!("{method} {path} lets {lower} through and refuses {role}"),
            (false, None) => least = Some(role),
            (false, Some(_)) => {}
        }
    }
    least.unwrap_or("nobody")
}

#[tokio::test]
async fn every_route_lets_through_whom_its_documentation_says_and_nobody_else() {
    let server = Server::start().await;
    let mut table = String::new();
    for (method, path, documented) in documented() {
        let found = least_role(&server, &method, &path).await;
        assert_eq!(found, documented, "{method} {path}");
        table.push_str(&format!("{method:6} {path:42} {found}\n"));
    }
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn a_role_that_is_too_low_is_told_which_one_is_needed() {
    let server = Server::start().await;
    let answer = server.send(request("POST", "/api/v1/plugins", &server.operator, None)).await;
    let detail = answer.problem(403, "role");
    assert_eq!(detail, r#"this needs the role admin, and the token "ops" has the role operator"#);
}

#[tokio::test]
async fn who_cannot_approve_held_runs_cannot_loosen_limits_instead() {
    let server = Server::start().await.with_sync().await;
    let as_operator =
        async |method, path, body| server.send(request(method, path, &server.operator, Some(body))).await;
    let with = |limits: Value| {
        let mut sync = nightly();
        sync.as_object_mut().unwrap().remove("name");
        sync["limits"] = limits;
        sync
    };
    let path = "/api/v1/syncs/nightly";
    for (limits, named) in [
        (json!({ "max_deletes": 501 }), "max_deletes"),
        (json!({ "max_delete_percent": 100 }), "max_delete_percent"),
    ] {
        let mut new = with(limits.clone());
        new["name"] = json!("loose");
        let detail = as_operator("POST", "/api/v1/syncs", new).await.problem(403, "role");
        assert!(detail.contains(named), "{detail}");
        let detail = as_operator("PUT", path, with(limits)).await.problem(403, "role");
        assert!(detail.contains(named), "{detail}");
    }
    // An administrator can; and what one allowed, an operator can leave as it is, tighten, and not loosen again.
    server.call("PUT", path, Some(with(json!({ "max_deletes": 9_000, "max_changes": 10 })))).await.is(200);
    let shown = server.get(path).await.is(200);
    as_operator("PUT", path, shown).await.is(200);
    as_operator("PUT", path, with(json!({ "max_deletes": 9_000 }))).await.problem(403, "role");
    as_operator("PUT", path, with(json!({ "max_deletes": 3, "max_changes": 10 }))).await.is(200);
    as_operator("PUT", path, with(json!({ "max_deletes": 4, "max_changes": 10 }))).await.problem(403, "role");
}

#[tokio::test]
async fn a_directory_has_a_default_of_its_own_that_operators_cannot_loosen() {
    let server = Server::start().await.with_sync().await;
    server.upload(package_of("directory-sync", "people", "1.0.0", json!([]))).await.is(201);
    let source = json!({ "name": "corp", "servers": ["ldap.example.com:636"] });
    server.post("/api/v1/directory-sources", source).await.is(201);
    let as_operator =
        async |method, path, body| server.send(request(method, path, &server.operator, Some(body))).await;
    let with = |percent: u8| json!({ "plugin": "people", "sources": ["corp"], "limits": { "max_delete_percent": percent } });
    let named = |percent: u8| {
        let mut sync = with(percent);
        sync["name"] = json!("staff");
        sync
    };
    // For files it is 25. That this one reads a directory is told by its plugin alone.
    let detail = as_operator("POST", "/api/v1/syncs", named(21)).await.problem(403, "role");
    assert!(detail.contains("max_delete_percent would let pass more than the default"), "{detail}");
    as_operator("POST", "/api/v1/syncs", named(20)).await.is(201);
    as_operator("PUT", "/api/v1/syncs/staff", with(21)).await.problem(403, "role");

    // Nor by way of a sync of files.
    let mut files = nightly();
    files.as_object_mut().unwrap().remove("name");
    files["limits"] = json!({ "max_delete_percent": 25 });
    as_operator("PUT", "/api/v1/syncs/nightly", files).await.is(200);
    let detail = as_operator("PUT", "/api/v1/syncs/nightly", with(25)).await.problem(403, "role");
    assert!(detail.contains("more than the default"), "{detail}");
}

#[tokio::test]
async fn a_missing_or_wrong_token_is_refused_before_anything_else_is_looked_at() {
    let server = Server::start().await;
    let without = Request::builder().uri("/api/v1/runs/not-an-id?nonsense=1").body(Body::empty()).unwrap();
    let answer = server.send(without).await;
    assert!(answer.problem(401, "no-token").contains("Authorization: Bearer"));
    assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="syncline""#);

    let answer = server.send(request("GET", "/api/v1/me", "syn_wrong", None)).await;
    let detail = answer.problem(401, "bad-token");
    assert!(!detail.contains("syn_wrong"), "{detail}");
    assert!(answer.header("www-authenticate").contains("invalid_token"));

    let basic = Request::builder().uri("/api/v1/me").header("authorization", "Basic cm9vdDpyb290");
    let answer = server.send(basic.body(Body::empty()).unwrap()).await;
    let detail = answer.problem(401, "bad-authorization");
    assert!(!detail.contains("cm9v"), "{detail}");
}

#[tokio::test]
async fn every_operation_of_the_document_can_be_told_apart_and_says_what_can_go_wrong() {
    let document = serde_json::to_value(syncline_api::document()).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} comes twice");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
            let problem = &operation["responses"]["default"]["content"]["application/problem+json"]["schema"];
            assert_eq!(problem["$ref"], "#/components/schemas/Problem", "{method} {path}");
        }
    }
    for reference in references(&document) {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(text) if key == "$ref" => vec![text.clone()],
                other => references(other),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
