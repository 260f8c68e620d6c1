//! Decides what devices should hold: each application's layers, merged from the weakest to the strongest into one JSON
//! document.
//!
//! * Objects merge member by member. Everything else, arrays too, replaces what a weaker layer said.
//! * An explicit `null` in a stronger layer removes the member, and is not left in the document.
//! * An application without layers is withdrawn from the device.
//! * The document is canonical: members sorted, no spaces. Equal inputs are equal bytes.
//!
//! [`settings`] is what an administrator says beside it, [`facts`] puts facts of the device into texts, [`keys`] adds the
//! keys of its users, and [`explain`] says where each value comes from.

mod explain;
mod facts;
mod keys;
mod settings;

use syncline_plugin::{json, prelude::*, serde_json::Map, serde_json::Value};

use settings::Settings;

/// The plugin. Public for what measures it natively.
#[derive(Debug)]
pub struct Merge;

impl DevicePolicy for Merge {
    type Settings = Settings;

    fn decide(settings: &Settings, device: &Device, application: &Application) -> Result<Verdict> {
        if application.layers.is_empty() {
            return Ok(Verdict::Withdrawn);
        }
        let rule = settings.rule(&application.name);
        let mut members = merge(application);
        let merged = device.explain.then(|| members.clone());
        if rule.substitute_facts {
            facts::substitute(&mut members, &device.facts)?;
        }
        let keys = rule.keys_member.map(|member| keys::add(&mut members, member, &device.users));
        let document = Document::new(rule.content_type, json::canonical(&Value::Object(members)));
        let Some(merged) = merged else { return Ok(document.into()) };
        let facts = rule.substitute_facts;
        let provenance = explain::document(application, &merged, facts, keys.as_ref());
        Ok(document.explained(provenance).into())
    }
}

/// The layers of an application as one object.
fn merge(application: &Application) -> Map<String, Value> {
    application.layers.iter().fold(Map::new(), |mut merged, layer| {
        json::merge_copied(&mut merged, &layer.settings);
        merged
    })
}

syncline_plugin::export!(device-policy: Merge);

#[cfg(test)]
mod tests;
