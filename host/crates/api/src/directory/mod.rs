//! Directories: where they are (`sources.rs`), what was read from them and how it stands to users (`entries.rs`), and imports at
//! once (`imports.rs`).

mod entries;
mod imports;
mod sources;

pub(crate) use entries::*;
pub(crate) use imports::*;
pub(crate) use sources::*;
