//! Plugins: what a package says of itself, what an administrator grants, and in which state it is.

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{Failure, Name};

/// Name of the world that keeps files.
pub const FILE_SYNC: &str = "file-sync";
/// Name of the world that reads directories.
pub const DIRECTORY_SYNC: &str = "directory-sync";
/// Name of the world that decides what devices should hold.
pub const DEVICE_POLICY: &str = "device-policy";
/// What the guard calls all devices together, beside the applications. No application has this name.
pub const DEVICES: &str = "devices";

/// What a package says of itself: JSON in the component's custom section [`Manifest::SECTION`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the plugin.
    pub name: Name,
    /// Its version (Semantic Versioning 2.0).
    #[schema(value_type = String, example = "0.1.0")]
    pub version: Version,
    /// The world that it implements, such as `file-sync`.
    pub world: String,
    /// Version of the contract (the WIT package) that it was built for.
    #[schema(value_type = String, example = "0.1.0")]
    pub contract: Version,
    /// What it does, in a sentence or two.
    #[serde(default)]
    pub description: String,
    /// SPDX expression.
    #[serde(default)]
    pub licence: String,
    /// JSON Schema (2020-12) of its settings; an object that allows everything if it has none.
    #[serde(default = "any_object")]
    #[schema(value_type = Object)]
    pub settings_schema: serde_json::Value,
    /// The capabilities that it asks for. A subset of what it imports.
    #[serde(default)]
    pub wants: Vec<Capability>,
    /// World `device-policy`: names of the facts that it is given of a device, such as `os.type`. Each one makes more
    /// inputs distinct.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<String>,
    /// World `device-policy`: whether it is given the users of a device with their key sets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub users: bool,
    /// World `device-policy`: whether it decides for all applications of a device in one call, rather than for each in a
    /// call of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_device: bool,
}

impl Manifest {
    /// Name of the custom section that holds it.
    pub const SECTION: &'static str = "syncline-manifest";
    /// Most bytes of it.
    pub const MAX: usize = 256 * 1024;
}

fn any_object() -> serde_json::Value {
    serde_json::json!({ "type": "object" })
}

/// A capability with its scope: as a *want* in a manifest, as a *grant* from an administrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// The interface, such as `stores` or `desired-files`.
    pub capability: String,
    /// Limits it to these sources (`stores`, `ldap`) or targets (`desired-files`). Without it: all that a sync binds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<Name>>,
    /// Powers beyond the ordinary use of the interface, each of which must be asked for and granted by name:
    /// `prune` for `desired-files` (remove files that it does not declare).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Why the plugin asks, in a sentence for the administrator. Ignored in grants.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Capability {
    /// Whether all that `other` asks for is within this.
    pub fn covers(&self, other: &Self) -> bool {
        let names = match (&self.names, &other.names) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(have), Some(want)) => want.iter().all(|name| have.contains(name)),
        };
        self.capability == other.capability && names && other.allow.iter().all(|one| self.allow.contains(one))
    }

    /// What both allow; `None` if they are about different interfaces.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        if self.capability != other.capability {
            return None;
        }
        let names = match (&self.names, &other.names) {
            (None, names) | (names, None) => names.clone(),
            (Some(a), Some(b)) => Some(a.iter().filter(|name| b.contains(name)).cloned().collect()),
        };
        let allow = self.allow.iter().filter(|one| other.allow.contains(one)).cloned().collect();
        Some(Self { capability: self.capability.clone(), names, allow, reason: String::new() })
    }
}

/// Those of `wants` that no entry of `grants` covers.
pub fn not_granted<'a>(wants: &'a [Capability], grants: &[Capability]) -> Vec<&'a Capability> {
    wants.iter().filter(|want| !grants.iter().any(|grant| grant.covers(want))).collect()
}

/// What a plugin may do in a run, before the sync's own bindings narrow it further: wants and grants both.
pub fn allowed(wants: &[Capability], grants: &[Capability]) -> Vec<Capability> {
    wants.iter().flat_map(|want| grants.iter().filter_map(|grant| want.intersect(grant))).collect()
}

/// Where a version of a plugin stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// Uploaded, never enabled.
    Installed,
    /// In use: runs of its syncs go to this version.
    Enabled,
    /// Was enabled; its syncs do not run.
    Disabled,
    /// Failed too often by its own fault; its syncs do not run until an administrator enables it again.
    Suspended,
}

/// Limits of the sandbox, each of which an administrator can set for a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxLimits {
    /// Linear memories and tables of one instance together, in bytes.
    pub memory_bytes: u64,
    /// Time on a processor, in milliseconds. Measured in steps of 10.
    pub cpu_ms: u64,
    /// Time on the wall, in milliseconds.
    pub wall_ms: u64,
    /// Text in the log of one run, in bytes.
    pub log_bytes: u64,
    /// Log lines per second.
    pub log_lines_per_second: u32,
    /// Bytes that one call to the host carries, each way.
    pub call_bytes: u64,
    /// Host calls in one run.
    pub calls: u64,
    /// Handles that an instance holds at a time.
    pub handles: u32,
    /// Bytes of a sync's settings.
    pub settings_bytes: u64,
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            cpu_ms: 10_000,
            wall_ms: 600_000,
            log_bytes: 64 << 10,
            log_lines_per_second: 200,
            call_bytes: 8 << 20,
            calls: 10_000_000,
            handles: 1_000,
            settings_bytes: 1 << 20,
        }
    }
}

impl SandboxLimits {
    /// The limits that a plugin of this world begins with. Of one that decides what devices hold, a call is short, waits
    /// for nothing and is made for very many devices. One that reads a directory waits for a server that may be slow, and
    /// takes every entry apart.
    pub fn for_world(world: &str) -> Self {
        match world {
            DEVICE_POLICY => {
                Self { cpu_ms: 100, wall_ms: 5_000, call_bytes: 16 << 20, calls: 10_000, ..Self::default() }
            }
            DIRECTORY_SYNC => Self { cpu_ms: 120_000, wall_ms: 3_600_000, ..Self::default() },
            _ => Self::default(),
        }
    }
}

/// One version of a plugin, as installed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PluginVersion {
    /// Name of the plugin.
    pub name: Name,
    /// Its version.
    #[schema(value_type = String)]
    pub version: Version,
    /// `blake3:` and 64 hexadecimal digits: BLAKE3 of the package.
    pub digest: String,
    /// World that it implements.
    pub world: String,
    /// What the package says of itself.
    pub manifest: Manifest,
    /// What it asks for.
    pub wants: Vec<Capability>,
    /// What it imports of the contract and of WASI, wanted or not.
    pub imports: Vec<String>,
    /// What an administrator granted this digest; `None` if nobody decided yet.
    pub grants: Option<Vec<Capability>>,
    /// Where it stands.
    pub state: PluginState,
    /// Why it is suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Failure>,
    /// Runs in a row that ended by its own fault.
    pub strikes: u32,
    /// Limits of its sandbox.
    pub limits: SandboxLimits,
    /// Size of the package, in bytes.
    pub size: u64,
    /// When it was uploaded.
    pub installed_at: Timestamp,
    /// Who uploaded it.
    pub installed_by: String,
}

/// Runs in a row that may end by the plugin's fault before it is suspended.
pub const STRIKES: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(name: &str, names: Option<&[&str]>, allow: &[&str]) -> Capability {
        Capability {
            capability: name.to_owned(),
            names: names.map(|names| names.iter().map(|name| name.parse().unwrap()).collect()),
            allow: allow.iter().map(|one| (*one).to_owned()).collect(),
            reason: String::new(),
        }
    }

    #[test]
    fn a_narrower_grant_does_not_cover_and_narrows() {
        let want = capability("desired-files", None, &["prune"]);
        let grant = capability("desired-files", Some(&["a"]), &[]);
        assert!(want.covers(&grant));
        assert!(!grant.covers(&want));
        assert_eq!(not_granted(std::slice::from_ref(&want), std::slice::from_ref(&grant)), [&want]);
        assert_eq!(allowed(&[want], std::slice::from_ref(&grant)), [grant]);
    }

    #[test]
    fn a_manifest_without_what_other_worlds_say_stays_as_it_is() {
        let json = serde_json::json!({
            "name": "p", "version": "1.0.0", "world": "file-sync", "contract": "0.1.0", "description": "", "licence": "",
            "settings_schema": {}, "wants": [],
        });
        let manifest: Manifest = serde_json::from_value(json.clone()).unwrap();
        assert!(manifest.facts.is_empty() && !manifest.users && !manifest.whole_device);
        assert_eq!(serde_json::to_value(manifest).unwrap(), json);
    }

    #[test]
    fn a_grant_of_what_is_not_wanted_gives_nothing() {
        let want = capability("stores", None, &[]);
        let grant = capability("http", None, &[]);
        assert_eq!(allowed(&[want], &[grant]), []);
    }
}
