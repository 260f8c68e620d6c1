//! Encodes the type of world `directory-sync` for components.
//!
//! The bindings of a world export macros that are named after the interfaces that it exports, and `sync` is exported by two
//! worlds: one crate cannot have both. So these two share what `file-sync` generates for it, and what alone is different, the
//! world's type, is made here.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result};
use wit_component::StringEncoding;
use wit_parser::Resolve;

const WORLD: &str = "directory-sync";

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=wit");
    println!("cargo::rerun-if-changed=build.rs");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path("wit").context("reading the contract in wit/")?;
    let world = resolve.select_world(&[package], Some(WORLD)).context("looking for the world")?;
    let encoded = wit_component::metadata::encode(&resolve, world, StringEncoding::UTF8, None)
        .context("encoding the world's type")?;
    let folder = PathBuf::from(env::var_os("OUT_DIR").context("cargo names no folder to write to")?);
    fs::write(folder.join(format!("{WORLD}.component-type")), encoded).context("writing the world's type")
}
