//! What tells one set of documents from another.
//!
//! [`document_digest`] is of one document and what anyone gets who hashes the file on a device's disk. [`config_hash`] is of
//! all documents of a device and is what OpAMP compares (section "AgentRemoteConfig Message").

use crate::opamp::AgentConfigMap;

/// Bytes of every digest and hash of this module: BLAKE3.
pub const LENGTH: usize = 32;

/// Sets the hash apart from every other use of BLAKE3.
const CONTEXT: &str = "syncline 2026-11-24 OpAMP config_hash of a device's documents, v1";

/// One document as it is offered: the entry of one application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Document<'a> {
    /// The key of the entry: the application.
    pub name: &'a str,
    /// The MIME type; can be empty.
    pub content_type: &'a str,
    /// The bytes of it.
    pub body: &'a [u8],
}

/// The digest of a document's body: plain BLAKE3, so that it is also that of a file with these bytes.
pub fn document_digest(body: &[u8]) -> [u8; LENGTH] {
    blake3::hash(body).into()
}

/// The hash of a device's documents, in whatever order they come.
///
/// `retry` makes it differ for documents that were offered before: a client may pass over a hash that it has already. No
/// document at all has a hash too, which withdraws all there were.
pub fn config_hash<'a>(documents: impl IntoIterator<Item = Document<'a>>, retry: u64) -> [u8; LENGTH] {
    let mut documents: Vec<_> = documents.into_iter().collect();
    documents.sort_unstable();
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&retry.to_le_bytes());
    for document in documents {
        for part in [document.name.as_bytes(), document.content_type.as_bytes(), document.body] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hasher.finalize().into()
}

impl AgentConfigMap {
    /// Its entries as documents, sorted by name: what [`config_hash`] takes.
    pub fn documents(&self) -> impl Iterator<Item = Document<'_>> {
        self.config_map.iter().map(|(name, file)| Document {
            name,
            content_type: &file.content_type,
            body: &file.body,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const A: Document<'_> = Document { name: "a", content_type: "text/yaml", body: b"x: 1" };
    const B: Document<'_> = Document { name: "b", content_type: "", body: b"" };

    #[test]
    fn every_part_counts_and_no_boundary_shifts() {
        let variants = [
            config_hash([], 0),
            config_hash([], 1),
            config_hash([A], 0),
            config_hash([A], 1),
            config_hash([B], 0),
            config_hash([A, B], 0),
            config_hash([Document { name: "ab", ..A }], 0),
            config_hash([Document { name: "at", content_type: "ext/yaml", ..A }], 0),
            config_hash([Document { content_type: "text/yamlx", body: b": 1", ..A }], 0),
            config_hash([Document { body: b"x: 2", ..A }], 0),
        ];
        for (at, hash) in variants.iter().enumerate() {
            assert!(!variants[..at].contains(hash), "variant {at} has the hash of an earlier one");
        }
    }

    /// Stored hashes outlive a version of the program: a change of this one makes every device apply again.
    #[test]
    fn the_hash_stays_what_it_is() {
        assert_eq!(
            hex::encode(config_hash([A, B], 3)),
            "3bdd168097b08a8067f7987d0629b32c9edf5155f9f71226833461d915ebdf59"
        );
    }

    /// The first of BLAKE3's published test vectors: the input is empty.
    #[test]
    fn a_document_has_the_digest_of_its_file() {
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(hex::encode(document_digest(b"")), empty);
    }

    fn documents() -> impl Strategy<Value = Vec<(String, String, Vec<u8>)>> {
        vec(("[a-c]{0,3}", "[a-b]{0,2}", vec(any::<u8>(), 0..8)), 0..6)
    }

    proptest! {
        #[test]
        fn order_does_not_matter(documents in documents(), turn in 0usize..6, retry: u64) {
            let all = documents.iter().map(|(name, content_type, body)| Document { name, content_type, body });
            let mut turned: Vec<_> = all.clone().collect();
            turned.reverse();
            let turn = turn % turned.len().max(1);
            turned.rotate_left(turn);
            prop_assert_eq!(config_hash(all, retry), config_hash(turned, retry));
        }
    }
}
