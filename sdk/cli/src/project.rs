//! A plugin's project: what its Cargo.toml says, and whether it can become a package at all.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package, TargetKind};
use serde::Deserialize;

use crate::manifest::{Asks, Want};

/// A project, read and checked.
#[derive(Debug)]
pub(crate) struct Project {
    /// Folder of its Cargo.toml.
    pub(crate) folder: PathBuf,
    /// Name of the plugin.
    pub(crate) name: String,
    pub(crate) version: semver::Version,
    pub(crate) description: String,
    pub(crate) licence: String,
    pub(crate) world: String,
    pub(crate) wants: Vec<Want>,
    pub(crate) asks: Asks,
    /// Name of the library that becomes the plugin.
    pub(crate) library: String,
    /// Folders of all packages of the build that are not from a registry, with their names.
    pub(crate) local: Vec<(PathBuf, String)>,
}

/// `[package.metadata.syncline]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    world: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    wants: Vec<Want>,
    #[serde(default)]
    facts: Vec<String>,
    #[serde(default)]
    users: bool,
    #[serde(default)]
    whole_device: bool,
}

/// The world whose plugins are given something of devices.
pub(crate) const DEVICE_POLICY: &str = "device-policy";

/// The world whose plugins cannot be tried yet.
pub(crate) const DIRECTORY_SYNC: &str = "directory-sync";

const EXAMPLE: &str = "[package.metadata.syncline]\nworld = \"file-sync\"";

impl Project {
    /// Asks cargo about the project in `folder`.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize().with_context(|| format!("{} is not there", folder.display()))?;
        let manifest = folder.join("Cargo.toml");
        if !manifest.is_file() {
            bail!(
                "{} holds no Cargo.toml: name the folder of a plugin, or make one with `syncline-plugin new`",
                folder.display()
            );
        }
        let metadata = MetadataCommand::new()
            .cargo_path(crate::compiler::cargo())
            .current_dir(&folder)
            .manifest_path(&manifest)
            .exec()
            .map_err(|error| match error {
                cargo_metadata::Error::CargoMetadata { stderr } => anyhow::anyhow!("{}", stderr.trim()),
                other => other.into(),
            })
            .with_context(|| format!("cargo cannot read {}", manifest.display()))?;
        let package = metadata.packages.iter().find(|one| one.manifest_path.as_std_path() == manifest);
        let package = package.with_context(|| {
            format!(
                "{} is a workspace without a package of its own: name the folder of one plugin",
                folder.display()
            )
        })?;
        Self::from_package(&folder, package, &metadata)
            .with_context(|| format!("{} describes no plugin", manifest.display()))
    }

    fn from_package(folder: &Path, package: &Package, metadata: &Metadata) -> Result<Self> {
        let section = package.metadata.get("syncline").with_context(|| {
            format!("the table [package.metadata.syncline] is missing: add at least\n\n{EXAMPLE}\n")
        })?;
        let section: Section =
            serde_json::from_value(section.clone()).context("in the table [package.metadata.syncline]")?;
        let library = package.targets.iter().find(|target| target.kind.contains(&TargetKind::CDyLib));
        let library = library.context(
            "it has no library of type cdylib: add\n\n[lib]\ncrate-type = [\"cdylib\"]\n\nand put the plugin into src/lib.rs",
        )?;
        let name = section.name.unwrap_or_else(|| package.name.to_string());
        check_name(&name)?;
        section.wants.iter().try_for_each(check_want)?;
        let Section { facts, users, whole_device, .. } = section;
        let asks = Asks { facts, users, whole_device };
        check_asks(&section.world, &asks).context("in the table [package.metadata.syncline]")?;
        let local = metadata.packages.iter().filter(|one| one.source.is_none());
        let local = local.filter_map(|one| {
            Some((one.manifest_path.parent()?.as_std_path().to_owned(), one.name.to_string()))
        });
        Ok(Self {
            folder: folder.to_owned(),
            name,
            version: package.version.clone(),
            description: package.description.clone().unwrap_or_default(),
            licence: package.license.clone().unwrap_or_default(),
            world: section.world,
            wants: section.wants,
            asks,
            library: library.name.clone(),
            local: local.collect(),
        })
    }
}

/// Hosts take 1 to 64 of `a-z 0-9 - _ .`, beginning with a letter or digit.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if first && name.len() <= 64 && name.bytes().all(inner) {
        return Ok(());
    }
    bail!(
        "{name:?} is no name for a plugin: use 1 to 64 of a-z, 0-9, '-', '_' and '.', beginning with a letter or digit \
         (`name` in [package.metadata.syncline] goes before the package's name)"
    )
}

/// Facts are named with 1 to 128 letters, digits and `._-/`, and only one world is given anything of devices.
fn check_asks(world: &str, asks: &Asks) -> Result<()> {
    if world != DEVICE_POLICY && *asks != Asks::default() {
        bail!(
            "`facts`, `users` and `whole_device` are for world {DEVICE_POLICY:?}, and this is one of {world:?}: take them out"
        );
    }
    for (number, name) in asks.facts.iter().enumerate() {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        if !(1..=128).contains(&name.len()) || !name.bytes().all(inner) {
            bail!("{name:?} is no name of a fact: use 1 to 128 letters, digits, '.', '_', '-' and '/'");
        }
        if asks.facts[..number].contains(name) {
            bail!("`facts` names {name:?} twice: leave one out");
        }
    }
    Ok(())
}

fn check_want(want: &Want) -> Result<()> {
    if want.reason.trim().is_empty() {
        bail!(
            "the want `{}` gives no reason: add `reason = \"…\"`, a sentence from which an administrator can decide",
            want.capability
        );
    }
    want.names.iter().flatten().try_for_each(|name| check_name(name)).context("in `names` of a want")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_policies_ask_for_facts_and_by_their_names() {
        let asks = |facts: &[&str]| Asks {
            facts: facts.iter().map(|fact| (*fact).to_owned()).collect(),
            ..Asks::default()
        };
        assert!(check_asks(DEVICE_POLICY, &asks(&["os.type", "host.name"])).is_ok());
        assert!(check_asks("file-sync", &asks(&[])).is_ok());
        for (world, facts, words) in [
            ("file-sync", &["os.type"][..], "take them out"),
            (DEVICE_POLICY, &["os type"], "is no name of a fact"),
            (DEVICE_POLICY, &["a", "a"], "twice"),
        ] {
            let error = check_asks(world, &asks(facts)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn names_are_those_that_hosts_take() {
        for good in ["a", "0x", "distribution-files", "a.b_c", &"x".repeat(64)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
