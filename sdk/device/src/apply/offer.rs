//! What the server offered, checked and kept before anything is done with it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use syncline_protocol::opamp::AgentRemoteConfig;

use super::record::Record;
use crate::{
    digest::Digest,
    error::{Error, Result},
    state::StateFolder,
};

/// The last offer; the file `offer.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The `config_hash`, hexadecimal.
    pub hash: String,
    /// The document of each application.
    pub documents: BTreeMap<String, Entry>,
}

/// The document of one application; its bytes are in `documents/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is known by.
    pub digest: Digest,
    /// Its MIME type.
    pub content_type: String,
}

const FILE: &str = "offer.json";

/// Bytes of one document.
pub const DOCUMENT_LIMIT: usize = 1024 * 1024;

/// Bytes of all documents.
pub const OFFER_LIMIT: usize = 8 * 1024 * 1024;

/// Applications in one offer.
pub const MOST_DOCUMENTS: usize = 1_000;

/// Bytes of the name of an application.
const NAME_LIMIT: usize = 255;

impl Offer {
    /// The stored one; `None` before the first.
    pub fn load(state: &StateFolder) -> Result<Option<Self>> {
        state.read(FILE)
    }

    /// The hash as the protocol has it.
    pub fn hash_bytes(&self) -> Vec<u8> {
        hex::decode(&self.hash).unwrap_or_default()
    }

    /// Checks an offer and stores it with its documents.
    pub fn accept(state: &StateFolder, offered: &AgentRemoteConfig) -> Result<Self> {
        check(offered)?;
        let mut documents = BTreeMap::new();
        for (name, file) in offered.config.iter().flat_map(|config| &config.config_map) {
            let digest = state.keep(&file.body)?;
            documents.insert(name.clone(), Entry { digest, content_type: file.content_type.clone() });
        }
        let offer = Self { hash: hex::encode(&offered.config_hash), documents };
        state.write(FILE, &offer)?;
        Ok(offer)
    }

    /// Removes kept bytes that neither the offer nor any application needs.
    pub fn tidy(&self, state: &StateFolder) -> Result<()> {
        let records = Record::all(state)?;
        let offered = self.documents.values().map(|entry| entry.digest);
        let needed: BTreeSet<String> =
            records.iter().flat_map(Record::needs).chain(offered).map(|digest| digest.to_string()).collect();
        for name in state.list("documents")? {
            if !needed.contains(&name) {
                state.remove(&format!("documents/{name}"))?;
            }
        }
        Ok(())
    }
}

/// An offer without a map says nothing about documents: only a map that is there and empty takes all of them back.
fn check(offered: &AgentRemoteConfig) -> Result<()> {
    let refuse = |why: String| Err(Error::Offer(why));
    let Some(config) = &offered.config else { return refuse("it has no map of documents".to_owned()) };
    if offered.config_hash.is_empty() {
        return refuse("it has no hash".to_owned());
    }
    if config.config_map.len() > MOST_DOCUMENTS {
        return refuse(format!("it has {} documents, more than {MOST_DOCUMENTS}", config.config_map.len()));
    }
    let mut all = 0;
    for (name, file) in &config.config_map {
        let size = file.body.len();
        all += size;
        if name.len() > NAME_LIMIT || name.chars().any(char::is_control) {
            return refuse(format!(
                "the name of an application has {} bytes or control characters",
                name.len()
            ));
        }
        if size > DOCUMENT_LIMIT {
            return refuse(format!("the document of {name:?} has {size} bytes, more than {DOCUMENT_LIMIT}"));
        }
    }
    if all > OFFER_LIMIT {
        return refuse(format!("its documents have {all} bytes together, more than {OFFER_LIMIT}"));
    }
    Ok(())
}
