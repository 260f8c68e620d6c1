//! What is asked.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    Failure, FailureKind, Fault, failure::Result,
    raw::device_policy::exports::syncline::plugin::policy as raw,
};

/// What the plugin is given of a device, beside its applications: what its manifest asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Device {
    /// What is known of it.
    pub facts: Facts,
    /// Its users, sorted by name. Empty unless the manifest asks for users.
    pub users: Vec<User>,
    /// Whether to say where values come from ([`Document::explained`](super::Document::explained)). The documents must be
    /// the same either way.
    pub explain: bool,
}

/// What is known of a device, by names such as `os.type`: those that the manifest asks for and that are known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts(Vec<(String, Value)>);

impl Facts {
    /// A fact, if it is known.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.iter().find(|(have, _)| *have == name).map(|(_, value)| value)
    }

    /// A fact that is a text, if it is known and is one.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// A fact as a type of your own, if it is known.
    ///
    /// # Errors
    ///
    /// It is known and does not fit `T`.
    pub fn parse<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        T::deserialize(value).map(Some).map_err(|error| {
            Failure::invalid(format!("the fact `{name}` of the device is {value}: {error}")).with_code("fact")
        })
    }

    /// A fact as a type of your own.
    ///
    /// # Errors
    ///
    /// It is not known, or does not fit `T`.
    pub fn require<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.parse(name)?.ok_or_else(|| {
            let message = format!(
                "the fact `{name}` is not known of the device: it has to report it, and the plugin has to be given it"
            );
            Failure::invalid(message).with_code("fact")
        })
    }

    /// All, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// For tests.
impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Facts {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self(pairs)
    }
}

/// A user of the device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct User {
    /// The account's name on the device.
    pub name: String,
    /// Sorted by name.
    pub key_sets: Vec<KeySet>,
}

/// The keys that hold for a user.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeySet {
    /// What it is called.
    pub name: String,
    /// In their own order.
    pub keys: Vec<Key>,
    /// Whether it is the group's, because the user has none of this name.
    pub inherited: bool,
}

/// Something assigned to a user: a key, a profile, a licence. No secret material.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Key {
    /// What tells it from all others.
    pub id: String,
    /// For people.
    pub name: String,
    /// Any JSON.
    pub parameters: Value,
}

/// An application that is asked about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// From the weakest to the strongest. Empty if no policy concerns the device.
    pub layers: Vec<Layer>,
}

/// One policy's settings at one place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layer {
    /// The settings. What an earlier layer locks is not among them any more.
    pub settings: Map<String, Value>,
    /// JSON pointers of what no later layer can change. The host has seen to that.
    pub locks: Vec<String>,
}

impl Application {
    /// For tests: layers without locks, from the weakest to the strongest. What is no object counts as an empty one.
    pub fn new(name: impl Into<String>, layers: impl IntoIterator<Item = Value>) -> Self {
        let layer = |settings| match settings {
            Value::Object(settings) => Layer { settings, locks: Vec::new() },
            _ => Layer::default(),
        };
        Self { name: name.into(), layers: layers.into_iter().map(layer).collect() }
    }
}

/// From what the host gives.
pub(super) fn lift(request: raw::Request) -> Result<(Device, Vec<Application>)> {
    let raw::Request { facts, users, applications, explain } = request;
    let facts = facts.into_iter().map(|fact| Ok((fact.name, parse(&fact.value)?)));
    let device = Device {
        facts: Facts(facts.collect::<Result<_>>()?),
        users: users.into_iter().map(user).collect::<Result<_>>()?,
        explain,
    };
    Ok((device, applications.into_iter().map(application).collect::<Result<_>>()?))
}

fn user(raw::User { name, key_sets }: raw::User) -> Result<User> {
    Ok(User { name, key_sets: key_sets.into_iter().map(key_set).collect::<Result<_>>()? })
}

fn key_set(raw::KeySet { name, keys, inherited }: raw::KeySet) -> Result<KeySet> {
    let key = |raw::Key { id, name, parameters }| Ok(Key { id, name, parameters: parse(&parameters)? });
    Ok(KeySet { name, keys: keys.into_iter().map(key).collect::<Result<_>>()?, inherited })
}

fn application(raw::Application { name, layers }: raw::Application) -> Result<Application> {
    let layer = |raw::Layer { settings, locks }| Ok(Layer { settings: parse(&settings)?, locks });
    Ok(Application { name, layers: layers.into_iter().map(layer).collect::<Result<_>>()? })
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| {
        let message = format!("the host gave the plugin JSON that is not what the contract says: {error}");
        Failure::new(FailureKind::Other, Fault::Host, message)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_have_types() {
        let facts: Facts = [("os.type", json!("linux")), ("host.cpus", json!(8))].into_iter().collect();
        assert_eq!(facts.text("os.type"), Some("linux"));
        assert_eq!(facts.text("host.cpus"), None);
        assert_eq!(facts.parse::<u32>("host.cpus").unwrap(), Some(8));
        assert_eq!(facts.parse::<u32>("host.ram").unwrap(), None);
        assert!(
            facts
                .parse::<u32>("os.type")
                .unwrap_err()
                .message()
                .contains("`os.type` of the device is \"linux\"")
        );
        assert_eq!(facts.require::<u32>("host.ram").unwrap_err().code(), "fact");
    }

    #[test]
    fn what_the_host_gives_is_parsed() {
        let request = raw::Request {
            facts: vec![raw::Fact { name: "os.type".to_owned(), value: "\"linux\"".to_owned() }],
            users: vec![raw::User {
                name: "ada".to_owned(),
                key_sets: vec![raw::KeySet {
                    name: "vpn".to_owned(),
                    keys: vec![raw::Key {
                        id: "1".to_owned(),
                        name: "k".to_owned(),
                        parameters: "{\"a\":1}".to_owned(),
                    }],
                    inherited: true,
                }],
            }],
            applications: vec![raw::Application {
                name: "a".to_owned(),
                layers: vec![raw::Layer { settings: "{\"x\":1}".to_owned(), locks: vec!["/x".to_owned()] }],
            }],
            explain: true,
        };
        let (device, applications) = lift(request.clone()).unwrap();
        assert!(device.explain && device.users[0].key_sets[0].inherited);
        assert_eq!(device.users[0].key_sets[0].keys[0].parameters, json!({ "a": 1 }));
        assert_eq!(applications[0].layers[0].settings["x"], 1);
        let mut broken = request;
        broken.applications[0].layers[0].settings = "[]".to_owned();
        assert_eq!(lift(broken).unwrap_err().fault(), Fault::Host);
    }
}
