//! What is asked, as the contract's types have it.

use syncline_domain::{
    Failure,
    policy::{Application, Fact, KeySet, Layer, Pointer, ResolveRequest, User},
};

use crate::bindings::device_policy::exports::syncline::plugin::policy as wit;

/// Members of JSON are sorted by name: serde_json's maps are.
pub(super) fn lower(request: &ResolveRequest) -> Result<wit::Request, Failure> {
    let ResolveRequest { applications, explain, facts, users } = request;
    Ok(wit::Request {
        facts: facts.iter().map(fact).collect(),
        users: users.iter().map(user).collect(),
        applications: applications.iter().map(application).collect::<Result<_, _>>()?,
        explain: *explain,
    })
}

fn fact(Fact { name, value }: &Fact) -> wit::Fact {
    wit::Fact { name: name.clone(), value: value.to_string() }
}

fn user(User { key_sets, name }: &User) -> wit::User {
    wit::User { name: name.clone(), key_sets: key_sets.iter().map(key_set).collect() }
}

fn key_set(KeySet { inherited, keys, name }: &KeySet) -> wit::KeySet {
    let keys = keys.iter().map(|key| wit::Key {
        id: key.id.clone(),
        name: key.name.clone(),
        parameters: key.parameters.to_string(),
    });
    wit::KeySet { name: name.clone(), keys: keys.collect(), inherited: *inherited }
}

fn application(Application { layers, name }: &Application) -> Result<wit::Application, Failure> {
    let layers = layers.iter().map(layer).collect::<Result<_, _>>()?;
    Ok(wit::Application { name: name.as_str().to_owned(), layers })
}

fn layer(Layer { locks, settings }: &Layer) -> Result<wit::Layer, Failure> {
    let settings = serde_json::to_string(settings).map_err(|error| {
        Failure::host("policy-input", format!("settings of a layer cannot be written as JSON: {error}"))
    })?;
    Ok(wit::Layer { settings, locks: locks.iter().map(Pointer::as_str).map(str::to_owned).collect() })
}
