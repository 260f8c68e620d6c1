//! Compares what a component imports and exports with the contract of this host and with what its manifest claims, and
//! tells all differences at once. (Instantiating it would name the first one only.)

use std::{collections::BTreeSet, sync::OnceLock};

use semver::Version;
use syncline_domain::{
    Failure, FailureKind, Fault,
    plugin::{Capability, DEVICE_POLICY, DIRECTORY_SYNC, FILE_SYNC, Manifest},
    policy,
};
use wit_component::DecodedWasm;
use wit_parser::{Function, Interface, InterfaceId, Resolve, SourceMap, WorldId, WorldItem, WorldKey};

use super::{damaged, types};
use crate::capability::{desired_directory, desired_files, http, ldap, stores};

/// The contract that this host has: the version of the package in wit/.
pub(crate) const CONTRACT: Version = Version::new(0, 1, 0);
/// What its interfaces are called before their own name.
const PREFIX: &str = "syncline:plugin/";
/// Most reasons that are listed one by one.
const REASONS: usize = 40;

/// A world that plugins can be of, and which of its imports have to be granted.
pub(crate) struct WorldRule {
    pub(crate) name: &'static str,
    grantable: &'static [Grantable],
    /// The import without which a plugin of it could do nothing. Where two worlds export the same, it tells them apart.
    known_by: Option<&'static str>,
    /// Whether its plugins are asked about devices, and their manifests say what of a device they are given.
    of_devices: bool,
}

struct Grantable {
    interface: &'static str,
    /// Whether it has a power of this name.
    has_power: fn(&str) -> bool,
}

fn no_power(_: &str) -> bool {
    false
}

/// The worlds of this host.
pub(crate) const WORLDS: &[WorldRule] = &[
    WorldRule {
        name: FILE_SYNC,
        grantable: &[
            Grantable { interface: stores::INTERFACE, has_power: no_power },
            Grantable {
                interface: desired_files::INTERFACE,
                has_power: |power| power == desired_files::PRUNE,
            },
        ],
        known_by: None,
        of_devices: false,
    },
    WorldRule {
        name: DIRECTORY_SYNC,
        grantable: &[
            Grantable { interface: ldap::INTERFACE, has_power: no_power },
            Grantable { interface: http::INTERFACE, has_power: http::is_power },
            Grantable { interface: desired_directory::INTERFACE, has_power: no_power },
        ],
        known_by: Some(desired_directory::IMPORT),
        of_devices: false,
    },
    WorldRule { name: DEVICE_POLICY, grantable: &[], known_by: None, of_devices: true },
];

/// The world of this name.
pub(crate) fn world(name: &str) -> Option<&'static WorldRule> {
    WORLDS.iter().find(|world| world.name == name)
}

/// The contract as it stands in wit/, so that there is one text of it.
const WIT: &[(&str, &str)] = &[
    ("clock.wit", include_str!("../../../../../wit/clock.wit")),
    ("desired-directory.wit", include_str!("../../../../../wit/desired-directory.wit")),
    ("desired-files.wit", include_str!("../../../../../wit/desired-files.wit")),
    ("directory-types.wit", include_str!("../../../../../wit/directory-types.wit")),
    ("file-types.wit", include_str!("../../../../../wit/file-types.wit")),
    ("http.wit", include_str!("../../../../../wit/http.wit")),
    ("ldap.wit", include_str!("../../../../../wit/ldap.wit")),
    ("log.wit", include_str!("../../../../../wit/log.wit")),
    ("policy.wit", include_str!("../../../../../wit/policy.wit")),
    ("progress.wit", include_str!("../../../../../wit/progress.wit")),
    ("settings.wit", include_str!("../../../../../wit/settings.wit")),
    ("stores.wit", include_str!("../../../../../wit/stores.wit")),
    ("sync.wit", include_str!("../../../../../wit/sync.wit")),
    ("types.wit", include_str!("../../../../../wit/types.wit")),
    ("worlds.wit", include_str!("../../../../../wit/worlds.wit")),
];

struct Contract {
    resolve: Resolve,
    package: wit_parser::PackageId,
}

fn host() -> Result<&'static Contract, Failure> {
    static HOST: OnceLock<Result<Contract, String>> = OnceLock::new();
    HOST.get_or_init(parse_wit).as_ref().map_err(|error| {
        Failure::host(
            "contract",
            format!("the contract that this host was built with cannot be read: {error}"),
        )
    })
}

fn parse_wit() -> Result<Contract, String> {
    let mut sources = SourceMap::new();
    for (name, text) in WIT {
        sources.push_str(name, *text);
    }
    let group = sources.parse().map_err(|(sources, error)| error.render(&sources))?;
    let mut resolve = Resolve::default();
    let package = resolve.push_group(group).map_err(|error| error.to_string())?;
    Ok(Contract { resolve, package })
}

/// Checks a valid component against its manifest and this host. Answers the interfaces that it imports functions of.
pub(crate) fn check(bytes: &[u8], manifest: &Manifest) -> Result<Vec<String>, Failure> {
    let host = host()?;
    let rule = world(&manifest.world).ok_or_else(|| Failure::host("contract", "a world without a rule"))?;
    let world = host.resolve.packages[host.package]
        .worlds
        .get(rule.name)
        .ok_or_else(|| Failure::host("contract", format!("world {} is not in the contract", rule.name)))?;
    let decoded = wit_component::decode(bytes)
        .map_err(|error| damaged(&format!("its imports and exports cannot be read: {error:#}")))?;
    let DecodedWasm::Component(resolve, component) = decoded else {
        return Err(Failure::plugin(
            "package-kind",
            "the file is a WIT package, not a component: build the plugin with `syncline-plugin build`",
        ));
    };
    let mut comparison = Comparison {
        guest: &resolve,
        component,
        host: &host.resolve,
        world: *world,
        rule,
        imports: BTreeSet::new(),
        reasons: Vec::new(),
        unknown: false,
    };
    comparison.imports();
    comparison.exports();
    comparison.known_by();
    comparison.wants(&manifest.wants);
    comparison.devices(manifest);
    comparison.conclude()
}

struct Comparison<'a> {
    guest: &'a Resolve,
    component: WorldId,
    host: &'a Resolve,
    world: WorldId,
    rule: &'static WorldRule,
    imports: BTreeSet<String>,
    reasons: Vec<String>,
    /// Something is asked for that a newer or other host could have.
    unknown: bool,
}

impl<'a> Comparison<'a> {
    fn imports(&mut self) {
        for (key, item) in &self.guest.worlds[self.component].imports {
            match item {
                WorldItem::Interface { id, .. } => self.import(key, *id),
                WorldItem::Function(function) => {
                    self.reasons.push(format!(
                        "it imports the function `{}`, which is in no interface",
                        function.name
                    ));
                }
                WorldItem::Type { .. } => {}
            }
        }
    }

    fn import(&mut self, key: &WorldKey, id: InterfaceId) {
        let interface = &self.guest.interfaces[id];
        if interface.functions.is_empty() {
            // Only types, which are compared where functions use them.
            return;
        }
        let name = self.guest.name_world_key(key);
        self.imports.insert(name.clone());
        if name.starts_with("wasi:") {
            self.reasons.push(format!(
                "it imports `{name}`, and this host gives plugins no WASI: build it for wasm32-unknown-unknown, as \
                 `syncline-plugin build` does"
            ));
            return;
        }
        let Some((theirs, is_in_world)) = self.find_import(&name) else {
            self.unknown = true;
            self.reasons.push(format!(
                "it imports {}, which this host does not have",
                with_functions(&name, interface)
            ));
            return;
        };
        if !is_in_world {
            self.reasons.push(format!(
                "it imports {}, which its world `{}` does not have",
                with_functions(&name, interface),
                self.rule.name
            ));
            return;
        }
        for function in interface.functions.values() {
            self.function("imports", &name, function, theirs.functions.get(&function.name));
        }
    }

    /// The host's interface of this name and version, and whether it is in the claimed world.
    fn find_import(&self, name: &str) -> Option<(&'a Interface, bool)> {
        let named = |(id, _): &(InterfaceId, _)| self.host.id_of(*id).as_deref() == Some(name);
        let (id, interface) = self.host.interfaces.iter().find(named)?;
        let in_world = self.host.worlds[self.world].imports.keys().any(|key| *key == WorldKey::Interface(id));
        Some((interface, in_world))
    }

    fn exports(&mut self) {
        for (key, item) in &self.host.worlds[self.world].exports {
            let WorldItem::Interface { id, .. } = item else { continue };
            let name = self.host.name_world_key(key);
            let theirs = &self.host.interfaces[*id];
            let exports = &self.guest.worlds[self.component].exports;
            let ours = exports.iter().find_map(|(key, item)| match item {
                WorldItem::Interface { id, .. } if self.guest.name_world_key(key) == name => Some(*id),
                _ => None,
            });
            let Some(ours) = ours else {
                self.reasons.push(format!(
                    "it does not export {}, as world `{}` does",
                    with_functions(&name, theirs),
                    self.rule.name
                ));
                continue;
            };
            for function in theirs.functions.values() {
                match self.guest.interfaces[ours].functions.get(&function.name) {
                    Some(own) => self.function("exports", &name, own, Some(function)),
                    None => self.reasons.push(format!("it does not export `{name}` `{}`", function.name)),
                }
            }
        }
    }

    fn known_by(&mut self) {
        if let Some(import) = self.rule.known_by
            && !self.imports.contains(import)
        {
            self.reasons.push(format!(
                "it does not import `{import}`, without which a plugin of world `{}` can do nothing",
                self.rule.name
            ));
        }
    }

    /// Compares a function of the component with that of the host.
    fn function(&mut self, does: &str, interface: &str, own: &Function, theirs: Option<&Function>) {
        let Some(theirs) = theirs else {
            self.unknown = true;
            self.reasons
                .push(format!("it {does} `{interface}` `{}`, which this host does not have", own.name));
            return;
        };
        let (own_type, their_type) = (types::signature(self.guest, own), types::signature(self.host, theirs));
        if own_type != their_type {
            self.reasons.push(format!(
                "it {does} `{interface}` `{}` as {}, and this host has {}",
                own.name,
                types::shown(&own_type),
                types::shown(&their_type)
            ));
        }
    }

    fn wants(&mut self, wants: &[Capability]) {
        let mut seen = BTreeSet::new();
        for want in wants {
            let name = want.capability.as_str();
            let shown: String = name.chars().take(64).collect();
            let Some(grantable) = self.rule.grantable.iter().find(|grantable| grantable.interface == name)
            else {
                let known: Vec<_> = self.rule.grantable.iter().map(|grantable| grantable.interface).collect();
                let known = if known.is_empty() {
                    "nothing is".to_owned()
                } else {
                    format!("only these are: {}", known.join(", "))
                };
                self.reasons.push(format!(
                    "its manifest wants {shown:?} granted, and in world `{}` {known}",
                    self.rule.name
                ));
                continue;
            };
            if !seen.insert(name) {
                self.reasons.push(format!("its manifest wants `{name}` more than once"));
            }
            let full = format!("{PREFIX}{name}@{CONTRACT}");
            if !self.imports.contains(&full) {
                self.reasons.push(format!("its manifest wants `{name}`, and it does not import `{full}`"));
            }
            for power in want.allow.iter().filter(|power| !(grantable.has_power)(power)) {
                let power: String = power.chars().take(64).collect();
                self.reasons.push(format!(
                    "its manifest wants to be allowed {power:?} of `{name}`, which has no such power"
                ));
            }
        }
    }

    /// What the manifest says of devices, where its world has to do with them.
    fn devices(&mut self, manifest: &Manifest) {
        let Manifest { facts, users, whole_device, .. } = manifest;
        if !self.rule.of_devices {
            let asked = [("facts", !facts.is_empty()), ("users", *users), ("whole_device", *whole_device)];
            for (member, _) in asked.iter().filter(|(_, asked)| *asked) {
                self.reasons.push(format!(
                    "its manifest has `{member}`, and only plugins of world `{DEVICE_POLICY}` are given anything of devices: \
                     take it out"
                ));
            }
            return;
        }
        if facts.len() > policy::FACTS {
            self.reasons.push(format!(
                "its manifest asks for {} facts, and {} is the most: ask for those that decide something",
                facts.len(),
                policy::FACTS
            ));
        }
        let mut seen = BTreeSet::new();
        for name in facts.iter().take(policy::FACTS) {
            match policy::check_fact_name(name) {
                Err(error) => self.reasons.push(format!("its manifest asks for a fact, and {error}")),
                Ok(()) if !seen.insert(name) => {
                    self.reasons.push(format!("its manifest asks for the fact `{name}` more than once"));
                }
                Ok(()) => {}
            }
        }
    }

    fn conclude(self) -> Result<Vec<String>, Failure> {
        if self.reasons.is_empty() {
            return Ok(self.imports.into_iter().collect());
        }
        let count = self.reasons.len();
        let mut reasons: Vec<_> = self.reasons.into_iter().take(REASONS).collect();
        if count > REASONS {
            reasons.push(format!("and {} more", count - REASONS));
        }
        let remedy = if self.unknown {
            "install a newer host, or build the plugin with the SDK of this one"
        } else {
            "mend its manifest or its code, and build it again"
        };
        let message = format!("the plugin does not fit this host: {}; {remedy}", reasons.join("; "));
        let kind = if self.unknown { FailureKind::Unsupported } else { FailureKind::Invalid };
        Err(Failure::new(kind, Fault::Plugin, "contract", message))
    }
}

/// An interface with its functions, all by name.
fn with_functions(name: &str, interface: &Interface) -> String {
    let functions: Vec<_> = interface.functions.keys().map(|function| format!("`{function}`")).collect();
    format!("`{name}` ({})", functions.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_contract_is_all_of_wit() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../wit");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".wit"))
            .collect();
        files.sort();
        let embedded: Vec<_> = WIT.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files, embedded);
    }

    #[test]
    fn the_rules_are_about_the_contract() {
        let host = host().unwrap();
        let package = &host.resolve.packages[host.package];
        assert_eq!(package.name.version, Some(CONTRACT));
        for rule in WORLDS {
            let world = &host.resolve.worlds[package.worlds[rule.name]];
            for grantable in rule.grantable {
                let id = package.interfaces[grantable.interface];
                assert!(world.imports.contains_key(&WorldKey::Interface(id)), "{}", grantable.interface);
            }
            assert!(!world.exports.is_empty(), "{}", rule.name);
        }
    }
}
