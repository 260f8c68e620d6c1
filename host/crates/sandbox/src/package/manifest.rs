//! The manifest: read so that a newer one is recognised as such, rather than as a bad one.

use semver::Version;
use serde_json::Value;
use syncline_domain::{Failure, FailureKind, Fault, plugin::Manifest};

use super::contract::{CONTRACT, WORLDS, world};

/// Parses and checks what can be checked by itself.
pub(crate) fn parse(json: &[u8]) -> Result<Manifest, Failure> {
    if json.len() > Manifest::MAX {
        let message =
            format!("the manifest is {} bytes, and {} is the most: shorten it", json.len(), Manifest::MAX);
        return Err(Failure::plugin("manifest-invalid", message));
    }
    let value: Value =
        serde_json::from_slice(json).map_err(|error| invalid(&format!("it is no JSON: {error}")))?;
    check_contract(&value)?;
    check_world(&value)?;
    let manifest: Manifest = serde_json::from_value(value).map_err(|error| invalid(&error.to_string()))?;
    if !manifest.settings_schema.is_object() {
        return Err(invalid(
            "`settings_schema` is no JSON object; write a JSON Schema such as {\"type\":\"object\"}",
        ));
    }
    Ok(manifest)
}

fn invalid(why: &str) -> Failure {
    let message =
        format!("the manifest in the package is not valid: {why}; mend it and build the plugin again");
    Failure::plugin("manifest-invalid", message)
}

fn unsupported(code: &str, message: String) -> Failure {
    Failure::new(FailureKind::Unsupported, Fault::Plugin, code, message)
}

/// A contract that this host does not speak is told before anything else: all the rest could be its consequence.
fn check_contract(value: &Value) -> Result<(), Failure> {
    let Some(text) = value.get("contract").and_then(Value::as_str) else {
        return Err(invalid("`contract`, the version of the contract that it was built for, is missing"));
    };
    let version: Version =
        text.parse().map_err(|error| invalid(&format!("`contract` is {text:?}: {error}")))?;
    if version > CONTRACT {
        let message = format!(
            "the plugin was built for contract {version}, and this host has {CONTRACT}: install a newer host, or a version of \
             the plugin for {}.{}",
            CONTRACT.major, CONTRACT.minor
        );
        return Err(unsupported("contract-newer", message));
    }
    if (version.major, version.minor) != (CONTRACT.major, CONTRACT.minor) {
        let message = format!(
            "the plugin was built for contract {version}, which this host no longer serves (it has {CONTRACT}): build it \
             again with the current SDK"
        );
        return Err(unsupported("contract-older", message));
    }
    Ok(())
}

fn check_world(value: &Value) -> Result<(), Failure> {
    let Some(name) = value.get("world").and_then(Value::as_str) else {
        return Err(invalid("`world` is missing"));
    };
    if world(name).is_some() {
        return Ok(());
    }
    let name: String = name.chars().take(64).collect();
    let known: Vec<_> = WORLDS.iter().map(|world| format!("`{}`", world.name)).collect();
    let message = format!(
        "the plugin is of world {name:?}, and this host knows {}: install a newer host, or build the plugin for one of these",
        known.join(", ")
    );
    Err(unsupported("world-unknown", message))
}
