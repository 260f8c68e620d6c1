//! What is answered.

use serde::Serialize;

use crate::{Failure, failure::Result, json, raw::device_policy::exports::syncline::plugin::policy as raw};

/// The verdict on one application.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its name, as it was asked.
    pub application: String,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of an application on the device.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It gets this document.
    Document(Document),
    /// No policy concerns it: the device takes back what it was given.
    Withdrawn,
    /// It keeps what it has, and the failure is shown.
    Failed(Failure),
}

impl From<Document> for Verdict {
    fn from(document: Document) -> Self {
        Self::Document(document)
    }
}

/// The effective settings of an application on a device, at most 1 MiB. Equal input must give equal bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    content_type: String,
    body: Vec<u8>,
    provenance: Vec<Provenance>,
}

impl Document {
    /// `application/json` with members sorted and no spaces.
    ///
    /// # Errors
    ///
    /// The value cannot be written as JSON, such as a map whose keys are no texts.
    pub fn of(value: &impl Serialize) -> Result<Self> {
        let value = serde_json::to_value(value)
            .map_err(|error| Failure::bug(format!("the document cannot be written as JSON: {error}")))?;
        Ok(Self::new("application/json", json::canonical(&value)))
    }

    /// Any bytes, with their media type.
    pub fn new(content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { content_type: content_type.into(), body: body.into(), provenance: Vec::new() }
    }

    /// With another media type, such as `application/vnd.example+json`.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// With where its values come from. Only for use if [`Device::explain`](super::Device::explain) is set: the host
    /// refuses it otherwise.
    #[must_use]
    pub fn explained(mut self, provenance: impl IntoIterator<Item = Provenance>) -> Self {
        self.provenance = provenance.into_iter().collect();
        self.provenance.sort_by(|a, b| a.pointer.cmp(&b.pointer));
        self
    }

    /// The bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The media type.
    pub fn media_type(&self) -> &str {
        &self.content_type
    }

    /// Where its values come from, sorted by pointer.
    pub fn provenance(&self) -> &[Provenance] {
        &self.provenance
    }
}

/// A value of a document and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// JSON pointer in the document. Holds for all below that has no entry of its own.
    pub pointer: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Settings that wanted something else here and lost, weakest first.
    pub overruled: Vec<Setting>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A layer.
    Setting(Setting),
    /// A key set of a user.
    Assignment {
        /// The account's name on the device.
        user: String,
        /// The key set's name.
        key_set: String,
    },
    /// The fact of this name.
    Fact(String),
    /// The plugin itself; why, in words.
    Plugin(String),
}

/// A value in a layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    /// Position of the layer, from 0.
    pub layer: u32,
    /// JSON pointer in its settings.
    pub pointer: String,
}

impl From<Answer> for raw::Answer {
    fn from(Answer { application, verdict }: Answer) -> Self {
        let verdict = match verdict {
            Verdict::Document(document) => raw::Verdict::Document(document.into()),
            Verdict::Withdrawn => raw::Verdict::Withdrawn,
            Verdict::Failed(failure) => raw::Verdict::Failed(failure.into()),
        };
        Self { application, verdict }
    }
}

impl From<Document> for raw::Document {
    fn from(Document { content_type, body, provenance }: Document) -> Self {
        Self { content_type, body, provenance: provenance.into_iter().map(Into::into).collect() }
    }
}

impl From<Provenance> for raw::Provenance {
    fn from(Provenance { pointer, origin, overruled }: Provenance) -> Self {
        let origin = match origin {
            Origin::Setting(setting) => raw::Origin::Setting(setting.into()),
            Origin::Assignment { user, key_set } => {
                raw::Origin::Assignment(raw::Assignment { user, key_set })
            }
            Origin::Fact(name) => raw::Origin::Fact(name),
            Origin::Plugin(why) => raw::Origin::Plugin(why),
        };
        Self { pointer, origin, overruled: overruled.into_iter().map(Into::into).collect() }
    }
}

impl From<Setting> for raw::Setting {
    fn from(Setting { layer, pointer }: Setting) -> Self {
        Self { layer, pointer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provenance_is_sorted_by_pointer() {
        let entry = |pointer: &str| Provenance {
            pointer: pointer.to_owned(),
            origin: Origin::Plugin("test".to_owned()),
            overruled: Vec::new(),
        };
        let document = Document::new("text/plain", *b"x").explained([entry("/b"), entry(""), entry("/a")]);
        let pointers: Vec<_> = document.provenance().iter().map(|one| one.pointer.as_str()).collect();
        assert_eq!(pointers, ["", "/a", "/b"]);
        let raw = raw::Document::from(document);
        assert_eq!((raw.body.as_slice(), raw.content_type.as_str()), (&b"x"[..], "text/plain"));
    }

    #[test]
    fn what_is_no_json_is_the_plugins_fault() {
        let odd = std::collections::BTreeMap::from([([1_u8], 2)]);
        assert_eq!(Document::of(&odd).unwrap_err().code(), "bug");
    }
}
