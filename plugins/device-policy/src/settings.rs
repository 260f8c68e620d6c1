//! What an administrator can set. The doc comments here are the descriptions in the settings' schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How documents are made. `{}` merges the layers and does nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Media type of the documents. Whatever it is, they are JSON.
    #[schemars(length(min = 3, max = 128))]
    pub(crate) content_type: String,
    /// Member of each document that holds the key sets of the device's users: an object of users, each an object of key
    /// sets, each a list of keys. It takes the place of what policies say there. "": no document holds keys.
    #[schemars(length(max = 256))]
    pub(crate) keys_member: String,
    /// Whether `${fact:NAME}` in texts stands for a fact of the device, such as `${fact:os.type}`. `$${fact:` is then written
    /// for the text `${fact:` itself.
    pub(crate) substitute_facts: bool,
    /// What is different for single applications, by their names.
    pub(crate) applications: BTreeMap<String, Exception>,
}

/// What is different for one application. What is not said is as for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Exception {
    /// Media type of its documents.
    #[schemars(length(min = 3, max = 128))]
    pub(crate) content_type: Option<String>,
    /// Member of its documents that holds the key sets of the device's users; "" for none.
    #[schemars(length(max = 256))]
    pub(crate) keys_member: Option<String>,
    /// Whether `${fact:NAME}` in its texts stands for a fact of the device.
    pub(crate) substitute_facts: Option<bool>,
}

/// What holds for one application.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule<'a> {
    pub(crate) content_type: &'a str,
    pub(crate) keys_member: Option<&'a str>,
    pub(crate) substitute_facts: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            content_type: "application/json".to_owned(),
            keys_member: String::new(),
            substitute_facts: false,
            applications: BTreeMap::new(),
        }
    }
}

impl Settings {
    pub(crate) fn rule(&self, application: &str) -> Rule<'_> {
        let own = self.applications.get(application);
        let content_type = own.and_then(|own| own.content_type.as_deref()).unwrap_or(&self.content_type);
        let keys_member = own.and_then(|own| own.keys_member.as_deref()).unwrap_or(&self.keys_member);
        let substitute_facts = own.and_then(|own| own.substitute_facts).unwrap_or(self.substitute_facts);
        Rule {
            content_type,
            keys_member: Some(keys_member).filter(|name| !name.is_empty()),
            substitute_facts,
        }
    }
}

#[cfg(test)]
mod tests {
    use syncline_plugin::settings::{parse, schema};

    use super::*;

    #[test]
    fn nothing_set_is_plain_json_without_keys_and_facts() {
        let settings: Settings = parse("{}").unwrap();
        let expected = Rule { content_type: "application/json", keys_member: None, substitute_facts: false };
        assert_eq!(settings.rule("any"), expected);
    }

    #[test]
    fn an_application_differs_only_in_what_is_said_of_it() {
        let json = r#"{"keys_member":"keys","substitute_facts":true,"applications":{
            "a":{"content_type":"application/x+json","keys_member":""},"b":{"substitute_facts":false}}}"#;
        let settings: Settings = parse(json).unwrap();
        let expected = Rule { content_type: "application/x+json", keys_member: None, substitute_facts: true };
        assert_eq!(settings.rule("a"), expected);
        let expected =
            Rule { content_type: "application/json", keys_member: Some("keys"), substitute_facts: false };
        assert_eq!(settings.rule("b"), expected);
        assert!(settings.rule("c").substitute_facts);
    }

    #[test]
    fn a_misspelt_setting_is_refused_and_every_setting_is_described() {
        for json in [r#"{"key_member":"x"}"#, r#"{"applications":{"a":{"content-type":"x"}}}"#] {
            assert_eq!(parse::<Settings>(json).unwrap_err().code(), "settings");
        }
        let schema = schema::<Settings>();
        for properties in [&schema["properties"], &schema["$defs"]["Exception"]["properties"]] {
            for (name, property) in properties.as_object().unwrap() {
                assert!(property["description"].is_string(), "{name} has no description");
                assert!(property.get("default").is_some(), "{name} has no default");
            }
        }
    }

    /// The host fills defaults in: what it makes of an exception must mean the same.
    #[test]
    fn a_default_that_is_filled_in_changes_nothing() {
        let json = r#"{"keys_member":"k","applications":{"a":{"content_type":null,"keys_member":null,"substitute_facts":null}}}"#;
        let settings: Settings = parse(json).unwrap();
        assert_eq!(settings.rule("a"), settings.rule("b"));
    }
}
