//! What an administrator can set. The doc comments here are the descriptions in the settings' schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which files of which collections stand on which servers. `{}` puts all bound collections on all servers of the sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// What stands where. Several rules can concern one server; it gets what all of them say.
    #[schemars(length(min = 1, max = 1000))]
    pub(crate) rules: Vec<Rule>,
    /// Folders on the servers, such as `packages`, below which files that no rule declares are removed. "" is the whole
    /// server. Only servers that a rule concerns are pruned. Empty: files placed by others are left alone.
    #[schemars(length(max = 1000))]
    pub(crate) prune: Vec<String>,
    /// Patterns of files that are never removed, such as `*.local`, matched below each folder of `prune`.
    #[schemars(length(max = 1000))]
    pub(crate) keep: Vec<String>,
    /// Whether each server gets a list of its files with size and BLAKE3 digest, published after the files that it names:
    /// `false`, `true` for `manifest.json`, or a path on the server.
    pub(crate) manifest: Manifest,
    /// Folder on the servers that the list is about, with paths relative to it. "" is the whole server.
    pub(crate) manifest_folder: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rules: vec![Rule::default()],
            prune: Vec::new(),
            keep: Vec::new(),
            manifest: Manifest::Default(false),
            manifest_folder: String::new(),
        }
    }
}

/// Some files of some collections, for some servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rule {
    /// Names of collections. Each must be bound to the sync as a source. Empty: all that are bound.
    #[schemars(length(max = 1000))]
    pub(crate) collections: Vec<String>,
    /// Names of servers, or patterns with `*` and `?`, such as `site-*`. Each must match a server of the sync. Empty: all.
    #[schemars(length(max = 1000))]
    pub(crate) servers: Vec<String>,
    /// Labels that a server must have, such as `region` = `eu`; all of them.
    pub(crate) labels: BTreeMap<String, String>,
    /// Folder on the server. "" is its root.
    pub(crate) folder: String,
    /// Patterns of the files to take, by their paths in the collection: `*` and `?` stay within a name, `**` crosses
    /// folders. Empty: all.
    #[schemars(length(max = 1000))]
    pub(crate) include: Vec<String>,
    /// Patterns of the files to leave out of these.
    #[schemars(length(max = 1000))]
    pub(crate) exclude: Vec<String>,
    /// Order on each server: files of a stage are written when all files of earlier stages stand there.
    #[schemars(range(max = 14))]
    pub(crate) stage: u8,
    /// Whether files below `folder` that no rule declares are removed, on the servers of this rule alone.
    pub(crate) prune: bool,
}

/// Where the list of files stands, if anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Manifest {
    /// `false`: none. `true`: `manifest.json`.
    Default(bool),
    /// A path on the server.
    At(#[schemars(length(min = 1))] String),
}

impl Manifest {
    /// Path on the server.
    pub(crate) fn path(&self) -> Option<&str> {
        match self {
            Self::Default(false) => None,
            Self::Default(true) => Some("manifest.json"),
            Self::At(path) => Some(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use syncline_plugin::settings::{parse, schema};

    use super::*;

    #[test]
    fn nothing_set_is_one_rule_for_everything() {
        let settings: Settings = parse("{}").unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.rules, [Rule::default()]);
        assert_eq!(settings.manifest.path(), None);
    }

    #[test]
    fn a_manifest_is_a_flag_or_a_path() {
        let path = |json: &str| parse::<Settings>(json).map(|s| s.manifest.path().map(str::to_owned));
        assert_eq!(path(r#"{"manifest":true}"#).unwrap().as_deref(), Some("manifest.json"));
        assert_eq!(path(r#"{"manifest":"a/list.json"}"#).unwrap().as_deref(), Some("a/list.json"));
        assert!(path(r#"{"manifest":7}"#).is_err());
    }

    #[test]
    fn a_misspelt_setting_is_refused() {
        for json in [r#"{"rule":[]}"#, r#"{"rules":[{"colections":["a"]}]}"#] {
            assert_eq!(parse::<Settings>(json).unwrap_err().code(), "settings");
        }
    }

    #[test]
    fn the_schema_describes_every_setting_and_fills_in_defaults() {
        let schema = schema::<Settings>();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), 5);
        for (name, property) in
            properties.iter().chain(schema["$defs"]["Rule"]["properties"].as_object().unwrap())
        {
            assert!(property["description"].is_string(), "{name} has no description");
            assert!(property.get("default").is_some(), "{name} has no default");
        }
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["$defs"]["Rule"]["properties"]["stage"]["maximum"], 14);
    }
}
