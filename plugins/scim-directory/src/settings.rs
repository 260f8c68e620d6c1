//! What an administrator can set. The doc comments here are the descriptions in the settings' schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is read of the bound service, and how. `{}` reads people and groups with what is usual.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// What is read.
    pub(crate) kinds: Vec<Kind>,
    /// Which entries are read. Who does not match any more is gone here.
    pub(crate) filters: Filters,
    /// Resources that are asked for at a time. Services may give fewer.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) page_size: u32,
    /// Which attributes become what, beside or instead of what is usual.
    pub(crate) attributes: Attributes,
    /// How changes are found.
    pub(crate) method: Method,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kinds: vec![Kind::People, Kind::Groups],
            filters: Filters::default(),
            page_size: 100,
            attributes: Attributes::default(),
            method: Method::Auto,
        }
    }
}

/// What can be read or left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    People,
    Groups,
}

/// SCIM filters (RFC 7644, section 3.4.2.2), such as `userType eq "Employee"`. Empty: all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filters {
    /// Which users are read.
    #[schemars(length(max = 2000))]
    pub(crate) people: String,
    /// Which groups are read.
    #[schemars(length(max = 2000))]
    pub(crate) groups: String,
}

/// For each kind: the platform's name of an attribute, such as `email`, and the path of the service's, such as
/// `emails[type eq "work"].value` or `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department`. An empty path: it
/// is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Attributes {
    /// Of people.
    #[schemars(length(max = 100))]
    pub(crate) people: BTreeMap<String, String>,
    /// Of groups.
    #[schemars(length(max = 100))]
    pub(crate) groups: BTreeMap<String, String>,
}

/// How changes are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Method {
    /// By time of modification where the service says that it filters; otherwise everything is read in each run.
    Auto,
    /// By `meta.lastModified`, whether or not the service says that it filters. What is gone is found by listing all ids.
    LastModified,
    /// Everything is read in each run.
    Full,
}

#[cfg(test)]
mod tests {
    use syncline_plugin::settings::{parse, schema};

    use super::*;

    #[test]
    fn nothing_set_is_the_default_and_all_is_described() {
        assert_eq!(parse::<Settings>("{}").unwrap(), Settings::default());
        let schema = schema::<Settings>();
        for (name, property) in schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{name} has no description");
            assert!(property.get("default").is_some(), "{name} has no default");
        }
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(parse::<Settings>(r#"{"method":"best"}"#).unwrap_err().code(), "settings");
    }
}
