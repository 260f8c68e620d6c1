//! A plugin's project: what its Cargo.toml says, and whether it can become a package at all.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package, TargetKind};
use serde::Deserialize;

use crate::manifest::Want;

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
}

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
    fn names_are_those_that_hosts_take() {
        for good in ["a", "0x", "distribution-files", "a.b_c", &"x".repeat(64)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
