//! What an agent says of itself: facts and abilities.

use serde_json::Value as Json;
use syncline_domain::{
    device::{Abilities, Device, record::Facts},
    policy::check_fact_name,
};
use syncline_protocol::{
    InstanceUid,
    items::CAPABILITY,
    opamp::{AgentCapabilities, AgentDescription, AgentToServer, AnyValue, KeyValue, Value},
};

use crate::{Engine, Result};

/// Most facts of a device.
const MOST: usize = 256;
/// Most bytes of one fact, as JSON.
const MOST_BYTES: usize = 16 << 10;

impl Engine {
    /// Keeps what a message says of the agent. True if that is news.
    pub(super) async fn take_facts(&self, device: &mut Device, message: &AgentToServer) -> Result<bool> {
        let abilities = abilities(message, device.abilities);
        let facts = message.agent_description.as_ref().map(facts);
        if abilities == device.abilities && facts.as_ref().is_none_or(|facts| *facts == device.facts) {
            return Ok(false);
        }
        if let Some(facts) = facts {
            device.facts = facts;
        }
        device.abilities = abilities;
        Ok(self.db().set_facts(device.id, &device.facts, abilities).await?)
    }
}

/// What an agent can do by its message. Custom capabilities are left out of a message where they did not change.
pub(super) fn abilities(message: &AgentToServer, known: Abilities) -> Abilities {
    let can = message.can();
    let speaks = message.custom_capabilities.as_ref().map(|custom| custom.has(CAPABILITY));
    Abilities {
        takes_config: can.contains(AgentCapabilities::ACCEPTS_REMOTE_CONFIG),
        reports_config: can.contains(AgentCapabilities::REPORTS_REMOTE_CONFIG),
        reports_effective: can.contains(AgentCapabilities::REPORTS_EFFECTIVE_CONFIG),
        takes_credential: can.contains(AgentCapabilities::ACCEPTS_OPAMP_CONNECTION_SETTINGS),
        takes_interval: can.contains(AgentCapabilities::REPORTS_HEARTBEAT),
        speaks_items: speaks.unwrap_or(known.speaks_items),
    }
}

/// The attributes of an agent as facts: of two with one name, the one that identifies, or else the first. What is no
/// name of a fact, or beyond the limits, is left out.
pub(super) fn facts(description: &AgentDescription) -> Facts {
    let mut facts = Facts::new();
    let all = description.identifying_attributes.iter().chain(&description.non_identifying_attributes);
    for KeyValue { key, value } in all {
        let Some(value) = value.as_ref().map(json) else { continue };
        let fits = check_fact_name(key).is_ok() && value.to_string().len() <= MOST_BYTES;
        if fits && facts.len() < MOST && !facts.contains_key(key) {
            facts.insert(key.clone(), value);
        }
    }
    facts
}

/// What to call a device that nobody gave a name.
pub(super) fn name(facts: &Facts, uid: InstanceUid) -> String {
    let text = |name: &str| facts.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
    let found = ["host.name", "service.instance.id", "service.name"].into_iter().find_map(text);
    let name: String = found.unwrap_or_default().chars().filter(|c| !c.is_control()).take(100).collect();
    if name.is_empty() { uid.to_string() } else { name }
}

fn json(value: &AnyValue) -> Json {
    match &value.value {
        None => Json::Null,
        Some(Value::String(text)) => Json::from(text.as_str()),
        Some(Value::Bool(yes)) => Json::from(*yes),
        Some(Value::Int(number)) => Json::from(*number),
        Some(Value::Double(number)) => Json::from(*number),
        Some(Value::Bytes(bytes)) => Json::from(hex::encode(bytes)),
        Some(Value::Array(array)) => array.values.iter().map(json).collect(),
        Some(Value::KeyValues(list)) => list
            .values
            .iter()
            .map(|one| (one.key.clone(), one.value.as_ref().map_or(Json::Null, json)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attributes_become_facts_and_the_identifying_one_holds() {
        let description = AgentDescription {
            identifying_attributes: vec![KeyValue::new("service.name", "till")],
            non_identifying_attributes: vec![
                KeyValue::new("service.name", "other"),
                KeyValue::new("host.cpus", 4),
                KeyValue::new("no name", "x"),
                KeyValue::new("large", "x".repeat(MOST_BYTES)),
                KeyValue { key: "empty".to_owned(), value: None },
            ],
        };
        let facts = facts(&description);
        assert_eq!(json!(facts), json!({ "host.cpus": 4, "service.name": "till" }));
        assert_eq!(name(&facts, InstanceUid::new([0; 16])), "till");
        assert_eq!(name(&Facts::new(), InstanceUid::new([0; 16])).len(), 36);
    }

    #[test]
    fn an_ability_that_is_not_announced_any_more_is_gone() {
        let known = Abilities { takes_config: true, speaks_items: true, ..Abilities::default() };
        let now = abilities(&AgentToServer { capabilities: 0x3001, ..AgentToServer::default() }, known);
        assert!(!now.takes_config && now.reports_config && now.takes_interval);
        assert!(now.speaks_items, "left out where it did not change");
    }
}
