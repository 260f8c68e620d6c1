//! Upload, grants, versions, going back, and what is refused with what to do.

use serde_json::json;
use syncline_tests::{programs, server::Server};

fn server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    (folder, server)
}

#[test]
fn an_uploaded_plugin_does_nothing_before_it_is_granted_and_enabled() {
    let (_folder, server) = server();
    let api = server.api();
    let package = programs::plugin("distribution-files");
    let plugin = api.upload(&package).expect(201);
    assert_eq!((&plugin["state"], &plugin["world"]), (&json!("installed"), &json!("file-sync")));
    assert!(plugin["digest"].as_str().unwrap().starts_with("blake3:"));
    let wants: Vec<_> =
        plugin["wants"].as_array().unwrap().iter().map(|want| want["capability"].clone()).collect();
    assert_eq!(wants, [json!("stores"), json!("desired-files")]);

    let refused = api.post("/plugins/distribution-files/enable", &json!({}));
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("plugin-not-granted")), "{refused:?}");
    let too_much = json!({ "grants": [{ "capability": "http" }] });
    assert_eq!(api.put("/plugins/distribution-files/grants", &too_much).status, 422);
    api.put("/plugins/distribution-files/grants", &json!({ "grants": plugin["wants"] })).expect(200);
    assert_eq!(api.post("/plugins/distribution-files/enable", &json!({})).expect(200)["state"], "enabled");
    assert_eq!(api.upload(&package).status, 200, "the same package again changes nothing");
    assert_eq!(api.get("/plugins/distribution-files")["state"], "enabled");
}

#[test]
fn what_is_no_package_is_refused_with_what_is_wrong() {
    let (_folder, server) = server();
    let api = server.api();
    let good = programs::plugin("distribution-files");
    let mut garbled = good.clone();
    garbled[20..2_000].fill(0x5a);
    let cases: [(&str, Vec<u8>); 6] = [
        ("empty", Vec::new()),
        ("text", b"not wasm at all".to_vec()),
        ("a core module", b"\0asm\x01\0\0\0".to_vec()),
        ("a component without manifest", b"\0asm\x0d\0\x01\0".to_vec()),
        ("truncated", good[..good.len() / 2].to_vec()),
        ("garbled", garbled),
    ];
    for (what, package) in cases {
        let answer = api.upload(&package);
        assert!(matches!(answer.status, 400 | 422), "{what}: {answer:?}");
        assert!(answer.body["detail"].as_str().is_some_and(|detail| detail.len() > 20), "{what}: {answer:?}");
    }
    let mut large = good;
    large.resize(33 << 20, 0);
    assert_eq!(api.upload(&large).status, 413);
    assert_eq!(api.get("/plugins")["items"], json!([]));
}

#[test]
fn a_restart_compiles_nothing_again() {
    let (folder, server) = server();
    server.api().install(&programs::plugin("distribution-files"));
    let compilations = |server: &Server| {
        let metrics = server.api().send("GET", "//metrics", &[], &[]).expect(200);
        let line =
            metrics.as_str().unwrap().lines().find(|line| line.starts_with("syncline_plugin_compilations"));
        line.unwrap().rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(compilations(&server), 1);
    assert_eq!(server.stop(), Some(0));
    let stage = crate::copy::Stage::new(1);
    syncline_tests::tree::fill(&stage.library, 3, 10, 1);
    let server = Server::start(&folder.path().join("data"));
    let api = server.api();
    stage.set_up(&api, "distribution-files", json!({}), false);
    assert_eq!(api.run("all", "apply")["state"], "succeeded");
    assert_eq!(compilations(&server), 0);
}

#[test]
fn a_plugin_in_use_is_not_removed_without_saying_so() {
    let (_folder, server) = server();
    let api = server.api();
    api.install(&programs::plugin("distribution-files"));
    let stage = crate::copy::Stage::new(1);
    stage.set_up(&api, "distribution-files", json!({}), false);
    let answer = api.delete("/plugins/distribution-files");
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.body["detail"].as_str().unwrap().contains("all"), "{answer:?}");
    api.delete("/syncs/all").expect(204);
    api.delete("/plugins/distribution-files").expect(204);
}
