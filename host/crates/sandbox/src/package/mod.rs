//! Packages: what an uploaded file is, and whether this host can run it, found out without running any of it.
//!
//! In the order in which a file is looked at: its size and first bytes, the manifest ([`section`], [`manifest`]), whether
//! it is a valid component, and whether what it imports and exports is what this host and its manifest say
//! ([`contract`], which compares by [`types`]).

mod contract;
mod manifest;
mod section;
mod types;

use serde::Serialize;
use syncline_domain::{Failure, FailureKind, Fault, plugin::Manifest};
use wasmparser::{Validator, WasmFeatures};

/// Most bytes of a package.
pub const MAX_PACKAGE: usize = 32 << 20;

/// A package that this host accepts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Package {
    /// What it says of itself.
    pub manifest: Manifest,
    /// `blake3:` and 64 hexadecimal digits: BLAKE3 of the whole file.
    pub digest: String,
    /// The interfaces that it imports functions of, such as `syncline:plugin/log@0.1.0`, sorted.
    pub imports: Vec<String>,
    /// In bytes.
    pub size: u64,
}

/// The digest of a package.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("blake3:{}", blake3::hash(bytes).to_hex())
}

/// Looks a package through.
pub(crate) fn inspect(bytes: &[u8]) -> Result<Package, Failure> {
    check_kind(bytes)?;
    let manifest = manifest::parse(section::find(bytes, Manifest::SECTION)?)?;
    Validator::new_with_features(features())
        .validate_all(bytes)
        .map_err(|error| damaged(&format!("it is no valid component: {error}")))?;
    let imports = contract::check(bytes, &manifest)?;
    Ok(Package { manifest, digest: digest(bytes), imports, size: bytes.len() as u64 })
}

/// What the engine runs: see [`crate::engine`].
fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::COMPONENT_MODEL
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::RELAXED_SIMD
}

const BUILD: &str = "build it with `syncline-plugin build`";

/// Tells the many things that are no component apart, for each has another remedy.
fn check_kind(bytes: &[u8]) -> Result<(), Failure> {
    const MAGIC: &[u8] = b"\0asm";
    const CORE: &[u8] = &[1, 0, 0, 0];
    const COMPONENT: &[u8] = &[0x0d, 0, 1, 0];
    if bytes.is_empty() {
        return Err(Failure::plugin(
            "package-empty",
            "the file is empty: upload the `.wasm` file of a plugin",
        ));
    }
    if bytes.len() > MAX_PACKAGE {
        let message = format!(
            "the file is {} bytes, and {MAX_PACKAGE} is the most: leave debug information out of it ({BUILD} does)",
            bytes.len()
        );
        return Err(Failure::plugin("package-size", message));
    }
    let no_component = |why: &str| Failure::plugin("package-kind", format!("{why}: {BUILD}"));
    match (bytes.get(..4), bytes.get(4..8)) {
        (Some(MAGIC), Some(COMPONENT)) => Ok(()),
        (Some(MAGIC), Some(CORE)) => {
            Err(no_component("the file is a core WebAssembly module, not a component"))
        }
        (Some(MAGIC), Some(version)) => {
            let message =
                format!("the file is WebAssembly of a version that this host does not know ({version:02x?})");
            Err(Failure::new(
                FailureKind::Unsupported,
                Fault::Plugin,
                "package-kind",
                format!("{message}: {BUILD}"),
            ))
        }
        _ if MAGIC.starts_with(&bytes[..bytes.len().min(4)]) => {
            Err(damaged("it ends within its first 8 bytes"))
        }
        _ if is_text(bytes) => Err(no_component("the file is WebAssembly as text, not as binary")),
        _ => Err(no_component("the file is no WebAssembly")),
    }
}

fn is_text(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    [b"(module".as_slice(), b"(component", b"(;", b";;"].iter().any(|start| text.starts_with(start))
}

/// A file that began as a component and is none.
fn damaged(why: &str) -> Failure {
    let message = format!("the package is cut or damaged: {why}; upload it again, or {BUILD}");
    Failure::plugin("package-damaged", message)
}
