//! What is known of one application: what it has, and the step that is under way, written down before it is taken.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{digest::Digest, error::Result, state::StateFolder};

/// One application; the file in `applications/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name, as the server has it.
    pub name: String,
    /// What is in use.
    pub held: Option<Held>,
    /// What stood at the place of the file before the first document did, to go back to.
    pub original: Option<Digest>,
    /// What is under way.
    pub step: Option<Step>,
    /// What did not work.
    pub failure: Option<Failure>,
    /// The document was taken back, and the server does not know it yet.
    pub withdrawn: bool,
}

/// A document that is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The document.
    pub document: Digest,
    /// Its MIME type.
    pub content_type: String,
    /// The file that was made of it.
    pub file: Digest,
    /// Where that is.
    pub path: PathBuf,
    /// When it was applied, by the device's clock.
    pub applied_at: u64,
}

/// Something under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is to be; `None` when a document is being taken back.
    pub to: Option<Held>,
    /// How far it is.
    pub stage: Stage,
}

/// How far a step is. Written before what it names is begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The file is written and checked. No reload has run for it: after a crash all of it is done again.
    Writing,
    /// The file is good. The reload may have run: after a crash it runs once more, and no step before it.
    Reloading,
    /// What was before is put back.
    Restoring {
        /// Why.
        error: String,
        /// Whether the application may have taken up what is put away.
        reload: bool,
    },
}

/// A document that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The offer that it came with: another offer is another attempt.
    pub offer: String,
    /// The document; `None` if it could not be taken back.
    pub document: Option<Digest>,
    /// Why.
    pub error: String,
}

impl Record {
    /// The record of an application, or an empty one.
    pub fn load(state: &StateFolder, name: &str) -> Result<Self> {
        let found = state.read(&file(name))?;
        Ok(found.unwrap_or_else(|| Self {
            name: name.to_owned(),
            held: None,
            original: None,
            step: None,
            failure: None,
            withdrawn: false,
        }))
    }

    /// The records of all applications.
    pub fn all(state: &StateFolder) -> Result<Vec<Self>> {
        let names = state.list("applications")?;
        names.iter().filter_map(|name| state.read(&format!("applications/{name}")).transpose()).collect()
    }

    /// Stores it.
    pub fn save(&self, state: &StateFolder) -> Result<()> {
        state.write(&file(&self.name), self)
    }

    /// Removes it.
    pub fn forget(&self, state: &StateFolder) -> Result<()> {
        state.remove(&file(&self.name))
    }

    /// Everything in `documents/` that it needs.
    pub fn needs(&self) -> impl Iterator<Item = Digest> {
        let to = self.step.as_ref().and_then(|step| step.to.as_ref());
        let held = self.held.iter().chain(to).flat_map(|held| [held.document, held.file]);
        held.chain(self.original)
    }
}

/// A name is the server's, and any text: it becomes no path.
fn file(name: &str) -> String {
    format!("applications/{}.json", Digest::of(name.as_bytes()))
}
