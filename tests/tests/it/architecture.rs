//! Who may know whom, as ARCHITECTURE.md says it, read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crate, and what it may know of the workspace and must not know of the world.
const RULES: [(&str, &[&str], &[&str]); 14] = [
    ("syncline-domain", &[], &["tokio", "sqlx", "axum", "wasmtime"]),
    ("syncline-store", &["syncline-domain"], &["axum", "wasmtime"]),
    ("syncline-files", &["syncline-domain"], &["sqlx", "axum", "wasmtime", "tokio"]),
    ("syncline-ldap", &["syncline-domain"], &["sqlx", "axum", "wasmtime"]),
    ("syncline-web", &["syncline-domain"], &["sqlx", "axum", "wasmtime"]),
    ("syncline-sandbox", &["syncline-domain"], &["sqlx", "axum"]),
    (
        "syncline-engine",
        &[
            "syncline-domain",
            "syncline-store",
            "syncline-files",
            "syncline-ldap",
            "syncline-web",
            "syncline-sandbox",
            "syncline-protocol",
        ],
        &["sqlx", "axum", "wasmtime"],
    ),
    (
        "syncline-api",
        &["syncline-domain", "syncline-store", "syncline-engine", "syncline-protocol"],
        &["sqlx", "wasmtime"],
    ),
    ("syncline", &["syncline-domain", "syncline-engine", "syncline-api"], &["sqlx", "wasmtime"]),
    ("syncline-plugin", &[], &["tokio", "wasmtime"]),
    ("syncline-plugin-cli", &[], &["wasmtime"]),
    ("syncline-protocol", &[], &["tokio", "axum", "sqlx", "wasmtime"]),
    ("syncline-device", &["syncline-protocol"], &["axum", "sqlx", "wasmtime"]),
    ("syncline-tests", &["syncline-protocol"], &["sqlx", "axum", "wasmtime"]),
];

#[test]
fn nobody_knows_whom_it_must_not_know() {
    let metadata = MetadataCommand::new()
        .manifest_path(syncline_tests::programs::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let known: BTreeMap<&str, Vec<&str>> = metadata
        .packages
        .iter()
        .map(|package| {
            let normal =
                package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
            (package.name.as_str(), normal.map(|dependency| dependency.name.as_str()).collect())
        })
        .collect();
    assert_eq!(ours, RULES.iter().map(|rule| rule.0).collect(), "each crate has a rule here");
    let mut broken = Vec::new();
    for (name, may, must_not) in RULES {
        for dependency in &known[name] {
            let inside = ours.contains(dependency) && !may.contains(dependency);
            if inside || must_not.contains(dependency) {
                broken.push(format!("{name} knows {dependency}"));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}
