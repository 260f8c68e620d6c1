//! From a core module to a component, and what a component imports.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{PackageName, Resolve, WorldKey};

use crate::manifest::Want;

/// Namespace and name of the contract's WIT package.
const CONTRACT: (&str, &str) = ("syncline", "plugin");
/// Interfaces that every plugin has without asking.
const FREE: [&str; 7] = ["types", "file-types", "directory-types", "log", "settings", "clock", "progress"];

/// The world that a module was made for: its name, and the version of the contract.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) contract: semver::Version,
}

/// What the bindings in this module say that it implements. `None` if it exports nothing of the contract.
pub(crate) fn world(module: &[u8]) -> Result<Option<World>> {
    for payload in Parser::new(0).parse_all(module) {
        let Payload::CustomSection(section) = payload.context("the compiler's output is no module")? else {
            continue;
        };
        if !section.name().starts_with("component-type") {
            continue;
        }
        let (resolve, world) = wit_parser::decoding::decode_world(section.data()).context(
            "the bindings in the module cannot be read: build tool and SDK differ too much in version",
        )?;
        let world = &resolve.worlds[world];
        // Bindings describe the imports once more by themselves, for modules of which something exports nothing.
        if world.exports.is_empty() {
            continue;
        }
        let package = world.package.map(|id| &resolve.packages[id].name);
        let contract = package.filter(|name| is_contract(name)).and_then(|name| name.version.clone());
        if let Some(contract) = contract {
            return Ok(Some(World { name: world.name.clone(), contract }));
        }
    }
    Ok(None)
}

fn is_contract(package: &PackageName) -> bool {
    (package.namespace.as_str(), package.name.as_str()) == CONTRACT
}

/// Makes a component of a module, and validates it.
pub(crate) fn encode(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .context("the module cannot become a component")
}

/// What a component imports.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Imports {
    /// Interfaces of the contract, by their short names.
    pub(crate) contract: BTreeSet<String>,
    /// All others, such as those of WASI, in full.
    pub(crate) foreign: BTreeSet<String>,
}

impl Imports {
    /// Of a component.
    pub(crate) fn of(component: &[u8]) -> Result<Self> {
        let decoded = wit_component::decode(component).context("the component's type cannot be read")?;
        let DecodedWasm::Component(resolve, world) = &decoded else {
            bail!("this is a WIT package, not a component")
        };
        let mut imports = Self::default();
        for key in resolve.worlds[*world].imports.keys() {
            match contract_interface(resolve, key) {
                Some(name) => imports.contract.insert(name),
                None => imports.foreign.insert(resolve.name_world_key(key)),
            };
        }
        Ok(imports)
    }

    /// Those of the contract that an administrator must grant.
    pub(crate) fn to_be_granted(&self) -> impl Iterator<Item = &str> {
        self.contract.iter().map(String::as_str).filter(|name| !FREE.contains(name))
    }

    /// Checks that each want is about something imported, and none is said twice.
    pub(crate) fn check(&self, wants: &[Want]) -> Result<()> {
        for (index, Want { capability, .. }) in wants.iter().enumerate() {
            if FREE.contains(&capability.as_str()) {
                bail!("the plugin wants `{capability}`, which every plugin has: take it out of `wants`");
            }
            if !self.contract.contains(capability) {
                let used: Vec<_> = self.to_be_granted().collect();
                bail!(
                    "the plugin wants `{capability}` but never calls it: take it out of `wants`, or use it (it calls: {})",
                    if used.is_empty() { "nothing that is granted".to_owned() } else { used.join(", ") }
                );
            }
            if wants[..index].iter().any(|other| other.capability == *capability) {
                bail!("the plugin wants `{capability}` twice: make one entry of both");
            }
        }
        Ok(())
    }

    /// What it calls and does not want: each such call answers `denied`.
    pub(crate) fn unwanted<'a>(&'a self, wants: &'a [Want]) -> impl Iterator<Item = &'a str> {
        self.to_be_granted().filter(|name| !wants.iter().any(|want| want.capability == *name))
    }
}

fn contract_interface(resolve: &Resolve, key: &WorldKey) -> Option<String> {
    let WorldKey::Interface(id) = key else { return None };
    let interface = &resolve.interfaces[*id];
    let package = &resolve.packages[interface.package?].name;
    is_contract(package).then(|| interface.name.clone()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(capability: &str) -> Want {
        Want { capability: capability.to_owned(), names: None, allow: Vec::new(), reason: "x".to_owned() }
    }

    fn imports(names: &[&str]) -> Imports {
        Imports { contract: names.iter().map(|name| (*name).to_owned()).collect(), foreign: BTreeSet::new() }
    }

    #[test]
    fn wants_are_a_subset_of_the_imports() {
        let imports = imports(&["desired-files", "log", "stores", "types"]);
        assert!(imports.check(&[want("stores")]).is_ok());
        assert_eq!(imports.unwanted(&[want("stores")]).collect::<Vec<_>>(), ["desired-files"]);
        for (wants, text) in [
            (vec![want("http")], "never calls it"),
            (vec![want("log")], "every plugin has"),
            (vec![want("stores"), want("stores")], "twice"),
        ] {
            let error = imports.check(&wants).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_module_without_bindings_has_no_world() {
        assert_eq!(world(&wasm_encoder::Module::new().finish()).unwrap(), None);
    }
}
