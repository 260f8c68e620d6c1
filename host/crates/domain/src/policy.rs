//! Policies: what a plugin is asked when it decides what a device should hold, and what it answers.
//!
//! * what goes in: [`ResolveRequest`], with [`Fact`]s, [`User`]s and [`Application`]s in [`Layer`]s
//! * what comes out: an [`Answer`] for each application
//! * what the host does to the layers before: [`lock_out`]
//! * places in settings and documents: [`Pointer`]
//!
//! The members of what goes in stand in the order of their names: written as JSON they are canonical, and equal inputs
//! are equal texts.

mod locks;
mod pointer;

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::{Map, Value};

use crate::{Failure, Name, plugin::Manifest};

pub use locks::{LockedOut, lock_out};
pub use pointer::{BadPointer, Found, NotThroughObjects, Pointer};

/// Most bytes of a document.
pub const DOCUMENT_BYTES: usize = 1 << 20;
/// Most bytes of all documents of a device.
pub const DEVICE_BYTES: usize = 8 << 20;
/// Most facts that a plugin can ask for: each one makes more inputs distinct.
pub const FACTS: usize = 64;
/// Most bytes of a fact's name.
pub const FACT_NAME: usize = 128;

/// Something known about a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// As OpenTelemetry names it where it does, such as `os.type`.
    pub name: String,
    /// Any JSON.
    pub value: Value,
}

/// One policy's settings for an application at one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// What no later layer can change: these values and all below them.
    #[serde(default)]
    pub locks: Vec<Pointer>,
    /// The settings.
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
}

/// An application with the layers that are in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// From the weakest to the strongest. Empty if no policy concerns the device.
    #[serde(default)]
    pub layers: Vec<Layer>,
    /// Its name.
    pub name: Name,
}

/// Something assigned to a user: a key, a profile, a licence. No secret material.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What tells it from all others.
    pub id: String,
    /// For people.
    pub name: String,
    /// Any JSON.
    #[serde(default)]
    pub parameters: Value,
}

/// The keys that hold for a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySet {
    /// Whether it is the group's, because the user has none of this name.
    #[serde(default)]
    pub inherited: bool,
    /// In their own order.
    #[serde(default)]
    pub keys: Vec<Key>,
    /// What it is called.
    pub name: String,
}

/// A user of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Sorted by name.
    #[serde(default)]
    pub key_sets: Vec<KeySet>,
    /// The account's name on the device.
    pub name: String,
}

/// All that an answer may depend on, beside the plugin and its settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// One, or all of the device if the plugin asks for that. Sorted by name.
    pub applications: Vec<Application>,
    /// Whether to say where values come from. The documents are the same either way.
    #[serde(default)]
    pub explain: bool,
    /// Those that the plugin asks for and that are known of the device. Sorted by name.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// Empty unless the plugin asks for users. Sorted by name.
    #[serde(default)]
    pub users: Vec<User>,
}

/// What a plugin is given of a device: what its manifest asks for, which can be narrowed further.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asks {
    /// Names of facts.
    pub facts: Vec<String>,
    /// Users with their key sets.
    pub users: bool,
    /// All applications of a device in one call.
    pub whole_device: bool,
}

impl From<&Manifest> for Asks {
    fn from(manifest: &Manifest) -> Self {
        let Manifest { facts, users, whole_device, .. } = manifest;
        Self { facts: facts.clone(), users: *users, whole_device: *whole_device }
    }
}

/// The same name twice in what is told apart by name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} is there twice: leave one of them out")]
pub struct Twice {
    /// What it is a name of.
    pub what: &'static str,
    /// The name.
    pub name: String,
}

impl ResolveRequest {
    /// Sorts what has a name by it, as the contract promises.
    ///
    /// # Errors
    ///
    /// A name is there twice.
    pub fn sort(&mut self) -> Result<(), Twice> {
        sort(&mut self.applications, "application", |one| one.name.as_str())?;
        sort(&mut self.facts, "fact", |one| &one.name)?;
        sort(&mut self.users, "user", |one| &one.name)?;
        self.users.iter_mut().try_for_each(|user| sort(&mut user.key_sets, "key set", |one| &one.name))
    }

    /// The calls that answer it: without what the plugin does not ask for, and one for each application unless it asks
    /// for the whole device. So devices that differ in nothing that the plugin sees are one input.
    pub fn calls(mut self, asks: &Asks) -> Vec<Self> {
        self.facts.retain(|fact| asks.facts.contains(&fact.name));
        if !asks.users {
            self.users.clear();
        }
        if asks.whole_device {
            return vec![self];
        }
        let Self { applications, explain, facts, users } = self;
        let call =
            |one| Self { applications: vec![one], explain, facts: facts.clone(), users: users.clone() };
        applications.into_iter().map(call).collect()
    }
}

fn sort<T>(items: &mut [T], what: &'static str, name: impl Fn(&T) -> &str) -> Result<(), Twice> {
    items.sort_by(|a, b| name(a).cmp(name(b)));
    let twice = items.windows(2).find(|pair| name(&pair[0]) == name(&pair[1]));
    twice.map_or(Ok(()), |pair| Err(Twice { what, name: name(&pair[0]).to_owned() }))
}

/// A value in a layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Position of the layer, from 0.
    pub layer: u32,
    /// In its settings.
    pub pointer: Pointer,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
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

/// A value of a document and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Provenance {
    /// In the document. Holds for all below that has no entry of its own.
    pub pointer: Pointer,
    /// Where it comes from.
    pub origin: Origin,
    /// Settings that wanted something else here and lost, weakest first. Those that a lock took out are told by
    /// [`lock_out`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overruled: Vec<Setting>,
}

/// The effective settings of an application on a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Document {
    /// Such as `application/json`.
    pub content_type: String,
    /// At most [`DOCUMENT_BYTES`]. As JSON: `{"text": …}` where it is UTF-8, otherwise `{"base64": …}`.
    #[serde(serialize_with = "write_body", deserialize_with = "read_body")]
    #[schema(value_type = Object)]
    pub body: Vec<u8>,
    /// Sorted by pointer; empty unless it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provenance: Vec<Provenance>,
}

/// What becomes of an application on a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It gets this document.
    Document(Document),
    /// No policy concerns it: the device takes back what it was given.
    Withdrawn,
    /// It keeps what it has, and the failure is shown.
    Failed(Failure),
}

/// The verdict on one application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Answer {
    /// The application.
    pub application: Name,
    /// What becomes of it.
    pub verdict: Verdict,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Body {
    Text(String),
    Base64(String),
}

fn write_body<S: Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(body) {
        Ok(text) => Body::Text(text.to_owned()),
        Err(_) => Body::Base64(STANDARD.encode(body)),
    }
    .serialize(serializer)
}

fn read_body<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    match Body::deserialize(deserializer)? {
        Body::Text(text) => Ok(text.into_bytes()),
        Body::Base64(text) => STANDARD.decode(text).map_err(D::Error::custom),
    }
}

/// A name that is none for a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFactName(String);

impl std::error::Error for BadFactName {}

impl fmt::Display for BadFactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no name of a fact: use 1 to {FACT_NAME} letters, digits, '.', '_', '-' and '/'",
            self.0
        )
    }
}

/// Checks the name of a fact: letters and digits of ASCII, `.`, `_`, `-` and `/`.
///
/// # Errors
///
/// It is none.
pub fn check_fact_name(name: &str) -> Result<(), BadFactName> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    if (1..=FACT_NAME).contains(&name.len()) && name.bytes().all(inner) {
        return Ok(());
    }
    Err(BadFactName(name.chars().take(FACT_NAME).collect()))
}

/// Whether this is a media type as HTTP writes it (RFC 9110), such as `application/json` or `text/plain;charset=utf-8`,
/// of at most 128 bytes. Parameters are looked at for characters that do not belong into a line, no further.
pub fn is_content_type(text: &str) -> bool {
    let token = |text: &str| {
        let is_tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !text.is_empty() && text.bytes().all(is_tchar)
    };
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_type = essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    text.len() <= 128 && is_type && text.bytes().all(|b| (b' '..=b'~').contains(&b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(json: Value) -> ResolveRequest {
        serde_json::from_value(json).unwrap()
    }

    fn example() -> ResolveRequest {
        request(json!({
            "applications": [
                { "name": "b", "layers": [{ "settings": { "z": 1, "a": 2 }, "locks": ["/a"] }] },
                { "name": "a" },
            ],
            "facts": [{ "name": "os.type", "value": "linux" }, { "name": "host.name", "value": "x" }],
            "users": [{ "name": "ada", "key_sets": [{ "name": "vpn", "keys": [{ "id": "1", "name": "k" }] }] }],
        }))
    }

    #[test]
    fn a_request_is_canonical_as_it_is_written() {
        // `to_value` sorts members by name.
        let sorted = serde_json::to_value(example()).unwrap().to_string();
        assert_eq!(serde_json::to_string(&example()).unwrap(), sorted);
        assert_eq!(json!({ "b": 1, "a": 2 }).to_string(), r#"{"a":2,"b":1}"#);
    }

    #[test]
    fn names_are_sorted_and_stand_once() {
        let mut request = example();
        request.sort().unwrap();
        assert_eq!(request.applications[0].name.as_str(), "a");
        assert_eq!(request.facts[0].name, "host.name");
        request.facts.push(request.facts[0].clone());
        assert_eq!(
            request.sort().unwrap_err().to_string(),
            "fact \"host.name\" is there twice: leave one of them out"
        );
    }

    #[test]
    fn a_call_has_only_what_the_plugin_asks_for() {
        let asks = Asks { facts: vec!["os.type".to_owned()], ..Asks::default() };
        let calls = example().calls(&asks);
        assert_eq!(calls.len(), 2);
        for call in &calls {
            assert_eq!((call.applications.len(), call.users.len()), (1, 0));
            assert_eq!(call.facts[0].name, "os.type");
        }
        let whole = Asks { users: true, whole_device: true, ..Asks::default() };
        let calls = example().calls(&whole);
        assert_eq!((calls.len(), calls[0].applications.len(), calls[0].users.len()), (1, 2, 1));
        assert!(calls[0].facts.is_empty());
    }

    #[test]
    fn any_body_survives_being_written() {
        for (body, json) in
            [(b"{}".to_vec(), json!({ "text": "{}" })), (vec![0xff], json!({ "base64": "/w==" }))]
        {
            let document = Document { content_type: "a/b".to_owned(), body, provenance: Vec::new() };
            let answer = Answer { application: "a".parse().unwrap(), verdict: Verdict::Document(document) };
            let written = serde_json::to_value(&answer).unwrap();
            assert_eq!(written["verdict"]["document"]["body"], json);
            assert_eq!(serde_json::from_value::<Answer>(written).unwrap(), answer);
        }
    }

    #[test]
    fn content_types_and_names_of_facts() {
        for good in ["application/json", "application/vnd.a+json", "text/plain; charset=utf-8"] {
            assert!(is_content_type(good), "{good}");
        }
        for bad in [
            "",
            "json",
            "a/",
            "/b",
            "a/b/c",
            "a b/c",
            "a/b\r\nx: y",
            "a/ä",
            &format!("a/{}", "b".repeat(127)),
        ] {
            assert!(!is_content_type(bad), "{bad}");
        }
        assert!(check_fact_name("os.type").is_ok());
        for bad in ["", "a b", "a\n", &"x".repeat(129)] {
            assert!(check_fact_name(bad).is_err(), "{bad}");
        }
    }
}
