//! What an administrator can set. The doc comments here are the descriptions in the settings' schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is read of the bound directories, and how. `{}` reads people, groups, computers and units with what is usual for the
/// kind of directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// What is read. Units are always read, since everything else sits in them.
    pub(crate) kinds: Vec<Kind>,
    /// Which entries these are, as LDAP filters. What is not set is as usual for the kind of directory.
    pub(crate) filters: Filters,
    /// Distinguished names below which is read. Empty: those that the source names, or else what the server names as its own.
    #[schemars(length(max = 100))]
    pub(crate) bases: Vec<String>,
    /// Distinguished names of units that are left out with all below them.
    #[schemars(length(max = 1000))]
    pub(crate) exclude: Vec<String>,
    /// Entries of one answer. Servers have limits of their own, Active Directory 1,000.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) page_size: u32,
    /// Most seconds that a search, or one page of it, may take. 0: as long as the server lets it.
    #[schemars(range(max = 3600))]
    pub(crate) search_time_limit_s: u32,
    /// Attribute that never changes while an entry exists and differs from all others. Empty: `entryUUID`, in Active Directory
    /// `objectGUID`.
    pub(crate) identity: String,
    /// Which attributes become what, beside or instead of what is usual for the kind of directory.
    pub(crate) attributes: Attributes,
    /// Whether only people are read that have an e-mail address.
    pub(crate) people_need_email: bool,
    /// Conditions of which one is enough for an account to count as switched off, beside what is usual for the kind of
    /// directory.
    #[schemars(length(max = 100))]
    pub(crate) disabled_when: Vec<Condition>,
    /// Whether an account that is locked after wrong passwords counts as switched off.
    pub(crate) locked_is_disabled: bool,
    /// How changes are found.
    pub(crate) method: Method,
    /// What is done where a part of the directory lies on another server.
    pub(crate) referrals: Referrals,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kinds: vec![Kind::People, Kind::Groups, Kind::Computers],
            filters: Filters::default(),
            bases: Vec::new(),
            exclude: Vec::new(),
            page_size: 1_000,
            search_time_limit_s: 300,
            identity: String::new(),
            attributes: Attributes::default(),
            people_need_email: false,
            disabled_when: Vec::new(),
            locked_is_disabled: true,
            method: Method::Auto,
            referrals: Referrals::Refuse,
        }
    }
}

/// What can be read or left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    People,
    Groups,
    Computers,
}

/// LDAP filters, such as `(&(objectClass=person)(employeeType=staff))`. Empty: as usual for the kind of directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filters {
    /// Which entries are people.
    pub(crate) people: String,
    /// Which entries are groups.
    pub(crate) groups: String,
    /// Which entries are computers.
    pub(crate) computers: String,
    /// Which entries are units.
    pub(crate) units: String,
}

/// For each kind: the platform's name of an attribute, such as `email`, and what it is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Attributes {
    /// Of people.
    #[schemars(length(max = 100))]
    pub(crate) people: BTreeMap<String, Mapping>,
    /// Of groups.
    #[schemars(length(max = 100))]
    pub(crate) groups: BTreeMap<String, Mapping>,
    /// Of computers.
    #[schemars(length(max = 100))]
    pub(crate) computers: BTreeMap<String, Mapping>,
    /// Of units.
    #[schemars(length(max = 100))]
    pub(crate) units: BTreeMap<String, Mapping>,
}

/// What an attribute is made from: the directory's name of it, or a rule. An empty name: it is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Mapping {
    /// As it is.
    From(String),
    /// By a rule.
    Rule(Rule),
}

/// How an attribute is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rule {
    /// The directory's names: the first that has values is taken.
    #[schemars(length(min = 1, max = 16))]
    pub(crate) from: Vec<String>,
    /// What is done to the values, one after the other.
    #[schemars(length(max = 8))]
    pub(crate) transform: Vec<Transform>,
    /// The attribute is there only where this holds.
    pub(crate) when: Option<Condition>,
    /// Whether the values are bytes, such as those of a photo. Otherwise they are text.
    pub(crate) bytes: bool,
}

/// Something that is done to values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Transform {
    /// Letters in lower case.
    Lower,
    /// No spaces around.
    Trim,
    /// Only the first value.
    First,
}

/// Something that holds for an entry or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    /// The directory's name of an attribute.
    #[schemars(length(min = 1))]
    pub(crate) attribute: String,
    /// A value that it must have, upper and lower case being the same. Absent: it must have any.
    #[serde(default)]
    pub(crate) equals: Option<String>,
}

/// How changes are found. All but `auto` fail where the server cannot do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Method {
    /// The first of the others that the server can do, `full` excepted.
    Auto,
    /// Content synchronisation (RFC 4533), as OpenLDAP with the overlay `syncprov` has it.
    Syncrepl,
    /// The DirSync control of Active Directory.
    Dirsync,
    /// By update sequence numbers, in Active Directory.
    Usn,
    /// By times of modification. What is gone is found by reading the ids of all entries in each run.
    ModifyTimestamp,
    /// Everything is read in each run.
    Full,
}

/// What is done with referrals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Referrals {
    /// The run fails: what lies elsewhere would be taken for gone.
    Refuse,
    /// What lies elsewhere is none of this source's.
    Ignore,
}

#[cfg(test)]
mod tests {
    use syncline_plugin::settings::{parse, schema};

    use super::*;

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(parse::<Settings>("{}").unwrap(), Settings::default());
    }

    #[test]
    fn an_attribute_is_a_name_or_a_rule() {
        let settings: Settings = parse(
            r#"{"attributes":{"people":{"phone":"","email":{"from":["mail"],"transform":["lower"],
                "when":{"attribute":"employeeType","equals":"staff"}}}},"method":"modify-timestamp"}"#,
        )
        .unwrap();
        assert_eq!(settings.attributes.people["phone"], Mapping::From(String::new()));
        let Mapping::Rule(rule) = &settings.attributes.people["email"] else { panic!("{settings:?}") };
        assert_eq!(rule.transform, [Transform::Lower]);
        for bad in
            [r#"{"method":"best"}"#, r#"{"base":[]}"#, r#"{"attributes":{"people":{"a":{"form":["b"]}}}}"#]
        {
            assert_eq!(parse::<Settings>(bad).unwrap_err().code(), "settings", "{bad}");
        }
    }

    #[test]
    fn the_schema_describes_every_setting_and_fills_in_defaults() {
        let schema = schema::<Settings>();
        for (name, property) in schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{name} has no description");
            assert!(property.get("default").is_some(), "{name} has no default");
        }
        assert_eq!(schema["properties"]["page_size"]["maximum"], 10_000);
        assert_eq!(schema["additionalProperties"], false);
    }
}
