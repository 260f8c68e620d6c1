//! What tests need to be there: a plugin, stores, a sync.

use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};
use wasm_encoder::ComponentSection as _;
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{ManglingAndAbi, Resolve};

use crate::harness::{Answer, Server};

/// A package that is accepted; its code traps at once.
pub fn package(name: &str, version: &str, wants: Value) -> Vec<u8> {
    package_of("file-sync", name, version, wants)
}

/// The same, of another world.
pub fn package_of(world: &str, name: &str, version: &str, wants: Value) -> Vec<u8> {
    let of = world;
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../wit");
    let (contract, _) = resolve.push_dir(wit).unwrap();
    let world = resolve.select_world(&[contract], Some(of)).unwrap();
    let mut module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut component = ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
    let manifest = json!({
        "name": name, "version": version, "world": of, "contract": "0.1.0", "wants": wants,
        "settings_schema": {
            "type": "object", "properties": { "depth": { "type": "integer" } }, "additionalProperties": false,
        },
    });
    let data = manifest.to_string().into_bytes();
    wasm_encoder::CustomSection { name: "syncline-manifest".into(), data: data.into() }
        .append_to_component(&mut component);
    component
}

/// What the plugin of these tests asks for.
pub fn wants() -> Value {
    json!([{ "capability": "stores" }, { "capability": "desired-files", "allow": ["prune"] }])
}

pub fn upload(token: &str, path: &str, package: Vec<u8>) -> Request<Body> {
    Request::builder()
        .method("POST")
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/wasm")
        .body(Body::from(package))
        .unwrap()
}

impl Server {
    pub async fn upload(&self, package: Vec<u8>) -> Answer {
        self.send(upload(&self.admin, "/api/v1/plugins", package)).await
    }

    /// Plugin `mirror`, enabled.
    pub async fn with_plugin(self) -> Self {
        self.upload(package("mirror", "1.0.0", wants())).await.is(201);
        let grants = json!({ "grants": wants() });
        self.call("PUT", "/api/v1/plugins/mirror/grants", Some(grants)).await.is(200);
        self.post("/api/v1/plugins/mirror/enable", Value::Null).await.is(200);
        self
    }

    /// A store of this name, in a folder of its own.
    pub async fn store(&self, name: &str) {
        let path = self.folder(name);
        self.post("/api/v1/stores", json!({ "name": name, "kind": "folder", "path": path })).await.is(201);
    }

    /// Sync `nightly` of collection `patches` in store `library` to store `site-1`.
    pub async fn with_sync(self) -> Self {
        let server = self.with_plugin().await;
        server.store("library").await;
        server.store("site-1").await;
        let collection = json!({ "name": "patches", "store": "library", "prefix": "patches" });
        server.post("/api/v1/collections", collection).await.is(201);
        server.post("/api/v1/syncs", nightly()).await.is(201);
        server
    }
}

/// The body that makes the sync of these tests.
pub fn nightly() -> Value {
    json!({ "name": "nightly", "plugin": "mirror", "sources": ["patches"], "targets": ["site-1"] })
}
