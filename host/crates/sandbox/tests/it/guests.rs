//! Guests as text, made into packages.
//!
//! `declare` of world `file-sync` is a core function of five parameters (run: pointer and length; cursor: is there one,
//! pointer, length) that answers a pointer to its result. 36 bytes of zeros are `ok` without a cursor. The result of a host
//! function that fails has the same shape, so that a guest passes a failure on by answering the pointer it was given.

use serde_json::{Value, json};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{Resolve, SourceMap};

/// A place of 36 zeros: the answer `ok` without a cursor.
pub const OK: &str = "(i32.const 1024)";

/// A guest whose `declare` does `body`, which leaves a pointer to the result. `items` are imports and functions. Memory
/// begins with 2 pages; what is below 4096 is free for static data, save for [`OK`].
pub fn module(items: &str, body: &str) -> String {
    format!(
        r#"(module
            {items}
            (memory (export "memory") 2)
            (global $next (mut i32) (i32.const 8192))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
              (local $at i32)
              (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
              (global.set $next (i32.add (local.get $at) (local.get 3)))
              (local.get $at))
            (func $declare (export "syncline:plugin/sync@0.1.0#declare")
              (param i32 i32 i32 i32 i32) (result i32)
              {body}))"#
    )
}

/// The contract in wit/, each file changed by `edit`.
pub fn contract(edit: impl Fn(&str, String) -> String) -> Resolve {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../wit");
    let mut sources = SourceMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".wit") {
            sources.push_str(&name, edit(&name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    let group = sources.parse().map_err(|(sources, error)| error.render(&sources)).unwrap();
    let mut resolve = Resolve::default();
    resolve.push_group(group).unwrap();
    resolve
}

/// A component of `world` out of a core module.
pub fn component_of(resolve: &Resolve, world: &str, module: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap();
    let package = resolve.packages.iter().next().unwrap().0;
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    wit_component::embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// A component of the real contract.
pub fn component(module: &str) -> Vec<u8> {
    component_of(&contract(|_, text| text), "file-sync", module)
}

/// A manifest that wants nothing.
pub fn manifest() -> Value {
    json!({ "name": "guest", "version": "1.0.0", "world": "file-sync", "contract": "0.1.0" })
}

/// `bytes` with one more custom section at the end.
pub fn with_section(mut bytes: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    let mut content = leb(name.len());
    content.extend_from_slice(name.as_bytes());
    content.extend_from_slice(data);
    bytes.push(0);
    bytes.extend(leb(content.len()));
    bytes.extend(content);
    bytes
}

/// A component with a manifest.
pub fn with_manifest(component: Vec<u8>, manifest: &Value) -> Vec<u8> {
    with_section(component, "syncline-manifest", manifest.to_string().as_bytes())
}

/// A package whose `declare` does `body`.
pub fn package(items: &str, body: &str) -> Vec<u8> {
    with_manifest(component(&module(items, body)), &manifest())
}

/// A package that declares nothing, and does it well.
pub fn idle() -> Vec<u8> {
    package("", OK)
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        bytes.push(if value == 0 { byte } else { byte | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

/// Imports of functions that the guests here call.
pub mod imports {
    /// `$log`: level, message, fields.
    pub const LOG: &str =
        r#"(import "syncline:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))"#;
    /// `$now`.
    pub const NOW: &str = r#"(import "syncline:plugin/clock@0.1.0" "now" (func $now (result i64)))"#;
    /// `$settings`: result.
    pub const SETTINGS: &str =
        r#"(import "syncline:plugin/settings@0.1.0" "get" (func $settings (param i32)))"#;
    /// `$sources`: result.
    pub const SOURCES: &str =
        r#"(import "syncline:plugin/stores@0.1.0" "sources" (func $sources (param i32)))"#;
    /// `$open`: name, result.
    pub const OPEN: &str =
        r#"(import "syncline:plugin/stores@0.1.0" "open" (func $open (param i32 i32 i32)))"#;
    /// `$read`: store, path, offset, length, result.
    pub const READ: &str = r#"(import "syncline:plugin/stores@0.1.0" "[method]store.read"
        (func $read (param i32 i32 i32 i64 i32 i32)))"#;
    /// `$targets`: result.
    pub const TARGETS: &str =
        r#"(import "syncline:plugin/desired-files@0.1.0" "targets" (func $targets (param i32)))"#;
    /// `$tree`: targets, at, source, folder, including, excluding, stage, result.
    pub const TREE: &str = r#"(import "syncline:plugin/desired-files@0.1.0" "declare-tree"
        (func $tree (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;
    /// `$prune`: targets, folder, keep, result.
    pub const PRUNE: &str = r#"(import "syncline:plugin/desired-files@0.1.0" "prune"
        (func $prune (param i32 i32 i32 i32 i32 i32 i32)))"#;
    /// `$content`.
    pub const CONTENT: &str = r#"(import "syncline:plugin/desired-files@0.1.0" "[constructor]content"
        (func $content (result i32)))"#;
}
