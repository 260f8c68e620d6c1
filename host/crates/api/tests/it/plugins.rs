//! Plugins: taken in, looked at, granted, enabled, taken back, removed.

use serde_json::{Value, json};

use crate::{
    harness::Server,
    setup::{nightly, package, upload, wants},
};

#[tokio::test]
async fn a_package_is_installed_once_and_not_enabled() {
    let server = Server::start().await;
    let bytes = package("mirror", "1.0.0", wants());
    let made = server.upload(bytes.clone()).await;
    let body = made.is(201);
    assert_eq!(body["name"], "mirror");
    assert_eq!(body["version"], "1.0.0");
    assert_eq!(body["world"], "file-sync");
    assert_eq!(body["state"], "installed");
    assert_eq!(body["wants"], wants());
    assert!(body["digest"].as_str().unwrap().starts_with("blake3:"));
    assert_eq!(server.get(made.header("location")).await.is(200)["digest"], body["digest"]);

    assert_eq!(server.upload(bytes).await.is(200)["digest"], body["digest"]);
    let other = package("mirror", "1.0.0", json!([]));
    let detail = server.upload(other).await.problem(409, "plugin-version");
    assert!(detail.contains("1.0.0"), "{detail}");
}

#[tokio::test]
async fn what_is_no_package_is_refused_with_the_reason_and_whose_fault_it_is() {
    let server = Server::start().await;
    for path in ["/api/v1/plugins", "/api/v1/plugins/check"] {
        for bad in [&b"PK\x03\x04"[..], b"", b"\0asm\x01\0\0\0"] {
            let answer = server.send(upload(&server.admin, path, bad.to_vec())).await;
            let body = answer.is(422);
            assert_eq!(body["failure"]["fault"], "plugin", "{body}");
            assert_eq!(body["failure"]["code"], body["code"]);
            assert_eq!(body["failure"]["message"], body["detail"]);
        }
    }
    assert_eq!(server.get("/api/v1/plugins").await.is(200)["items"], json!([]));
}

#[tokio::test]
async fn a_package_is_looked_at_without_being_installed() {
    let server = Server::start().await;
    let bytes = package("mirror", "1.0.0", wants());
    let report = server.send(upload(&server.viewer, "/api/v1/plugins/check", bytes.clone())).await.is(200);
    assert_eq!((&report["manifest"]["name"], &report["installed"]), (&json!("mirror"), &Value::Null));
    assert_eq!(report["manifest"]["wants"], wants());
    assert_eq!(report["size"], bytes.len());
    server.get("/api/v1/plugins/mirror").await.problem(404, "not-found");
    server.upload(bytes.clone()).await.is(201);
    let report = server.send(upload(&server.viewer, "/api/v1/plugins/check", bytes)).await.is(200);
    assert_eq!(report["installed"], "installed");
}

#[tokio::test]
async fn nothing_is_enabled_that_nobody_decided_on_and_nothing_granted_that_is_not_wanted() {
    let server = Server::start().await;
    server.upload(package("mirror", "1.0.0", wants())).await.is(201);
    let path = "/api/v1/plugins/mirror";
    let detail = server.post(&format!("{path}/enable"), Value::Null).await.problem(409, "plugin-not-granted");
    assert!(detail.contains("PUT /api/v1/plugins/mirror/grants"), "{detail}");

    let grants = format!("{path}/grants");
    let wider = json!({ "grants": [{ "capability": "http" }] });
    let detail = server.call("PUT", &grants, Some(wider)).await.problem(422, "grant");
    assert!(detail.contains("http"), "{detail}");
    let unknown = json!({ "grants": [{ "capability": "stores", "sudo": true }] });
    server.call("PUT", &grants, Some(unknown)).await.problem(422, "body");
    let narrower = json!([{ "capability": "stores", "names": ["patches"] }]);
    let granted = server.call("PUT", &grants, Some(json!({ "grants": narrower }))).await.is(200);
    assert_eq!(granted["grants"], narrower);
    assert_eq!(server.post(&format!("{path}/enable"), Value::Null).await.is(200)["state"], "enabled");
}

#[tokio::test]
async fn a_new_version_stands_beside_the_old_one_and_is_gone_to_and_back_from() {
    let server = Server::start().await.with_sync().await;
    server.upload(package("mirror", "1.1.0", wants())).await.is(201);
    let path = "/api/v1/plugins/mirror";
    let shown = server.get(path).await.is(200);
    assert_eq!(shown["version"], "1.0.0");
    let versions: Vec<_> =
        shown["versions"].as_array().unwrap().iter().map(|one| (&one["version"], &one["state"])).collect();
    assert_eq!(versions, [(&json!("1.1.0"), &json!("installed")), (&json!("1.0.0"), &json!("enabled"))]);

    // It wants nothing more, so that the grants go over.
    let enabled = server.post(&format!("{path}/enable?version=1.1.0"), Value::Null).await.is(200);
    assert_eq!((&enabled["version"], &enabled["grants"]), (&json!("1.1.0"), &wants()));
    assert_eq!(server.get(&format!("{path}?version=1.0.0")).await.is(200)["state"], "disabled");
    let back = server.post(&format!("{path}/rollback"), Value::Null).await.is(200);
    assert_eq!(back["version"], "1.0.0");
    assert_eq!(server.get("/api/v1/plugins").await.is(200)["items"][0]["version"], "1.0.0");

    let detail = server.call("DELETE", path, None).await.problem(409, "in-use");
    assert!(detail.contains("nightly"), "{detail}");
    server.call("DELETE", &format!("{path}?version=1.1.0"), None).await.is(204);
    server.get(&format!("{path}?version=1.1.0")).await.problem(404, "not-found");
    assert_eq!(server.post(&format!("{path}/disable"), Value::Null).await.is(200)["state"], "disabled");
    server.call("DELETE", "/api/v1/syncs/nightly", None).await.is(204);
    server.call("DELETE", path, None).await.is(204);
    server.get(path).await.problem(404, "not-found");
}

#[tokio::test]
async fn limits_are_set_within_reason() {
    let server = Server::start().await.with_plugin().await;
    let path = "/api/v1/plugins/mirror/limits";
    let set = server.call("PUT", path, Some(json!({ "cpu_ms": 500 }))).await.is(200);
    assert_eq!((&set["limits"]["cpu_ms"], &set["limits"]["handles"]), (&json!(500), &json!(1000)));
    let detail =
        server.call("PUT", path, Some(json!({ "memory_bytes": 1 }))).await.problem(422, "plugin-limits");
    assert!(detail.contains("memory_bytes"), "{detail}");
    server.call("PUT", path, Some(json!({ "cpu": 1 }))).await.problem(422, "body");
}

#[tokio::test]
async fn settings_that_do_not_fit_the_plugin_are_refused_with_the_place() {
    let server = Server::start().await.with_sync().await;
    let mut body = nightly();
    body["name"] = json!("other");
    body["settings"] = json!({ "depth": "deep" });
    let detail = server.post("/api/v1/syncs", body).await.problem(422, "sync-settings");
    assert!(detail.contains("/depth"), "{detail}");
}
