//! Directories. One part a file:
//!
//! * [`sources`]: where they are
//! * [`entries`]: what was read from them, for looking at; what people decide about one: [`links`]
//! * [`write`]: all that one run writes, as one transaction; what it reads in it: [`look`]; its users: [`people`]
//!
//! References are looked for by their key ([`reference_key`]). Where rows of a list change entries, the sync is compared with
//! `COALESCE($2, …the row…)`: SQLite would go through all entries of the sync, and through the list for each, if it could find
//! them without the list.

use syncline_domain::directory::Reference;

pub(crate) mod entries;
pub(crate) mod links;
pub(crate) mod look;
pub(crate) mod people;
pub(crate) mod sources;
pub(crate) mod write;

/// Rows in one statement.
const BATCH: usize = 2_000;

/// What a reference is looked for by: 32 hexadecimal digits of a BLAKE3.
pub fn reference_key(reference: &Reference) -> String {
    match reference {
        Reference::Id(id) => key_of("i:", id.as_str()),
        Reference::Alias(alias) => key_of("a:", alias),
    }
}

fn key_of(kind: &str, text: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(kind.as_bytes()).update(text.as_bytes());
    hex::encode(&hasher.finalize().as_bytes()[..16])
}
