//! What a package says of itself, and the section of the component that holds it.
//!
//! The shape is the contract with the host, which reads it without running anything of the package.

use std::borrow::Cow;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use wasm_encoder::Section;
use wasmparser::{Parser, Payload};

/// Name of the custom section.
pub(crate) const SECTION: &str = "syncline-manifest";
/// Most bytes of it that a host takes.
const MAX: usize = 256 * 1024;

/// What a package says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) version: semver::Version,
    /// The world that it implements.
    pub(crate) world: String,
    /// Version of the WIT package that it was built for.
    pub(crate) contract: semver::Version,
    #[serde(default)]
    pub(crate) description: String,
    /// SPDX expression.
    #[serde(default)]
    pub(crate) licence: String,
    /// JSON Schema (2020-12).
    #[serde(default)]
    pub(crate) settings_schema: serde_json::Value,
    #[serde(default)]
    pub(crate) wants: Vec<Want>,
    /// What it is given of a device.
    #[serde(flatten)]
    pub(crate) asks: Asks,
}

/// What a plugin of world `device-policy` is given of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asks {
    /// Names of facts, such as `os.type`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) facts: Vec<String>,
    /// Users with their key sets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) users: bool,
    /// All applications of a device in one call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) whole_device: bool,
}

impl std::fmt::Display for Asks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let users = self.users.then_some("the users with their key sets");
        let whole = self.whole_device.then_some("all applications in one call");
        let facts = self.facts.iter().map(String::as_str);
        let all: Vec<_> = facts.chain(users).chain(whole).collect();
        f.write_str(if all.is_empty() { "its applications, one a call" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

/// A capability that a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Want {
    /// The interface, such as `stores`.
    pub(crate) capability: String,
    /// Only these sources or targets; all that a sync binds if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) names: Option<Vec<String>>,
    /// Powers beyond the ordinary use, such as `prune`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allow: Vec<String>,
    /// A sentence for the administrator.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
}

impl std::fmt::Display for Want {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.capability)?;
        if !self.allow.is_empty() {
            write!(f, " with {}", self.allow.join(", "))?;
        }
        if let Some(names) = &self.names {
            write!(f, ", only {}", names.join(", "))?;
        }
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        Ok(())
    }
}

impl Manifest {
    /// The component with this as its last section.
    pub(crate) fn put_into(&self, mut component: Vec<u8>) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self).context("writing the manifest as JSON")?;
        if json.len() > MAX {
            bail!(
                "the manifest has {} bytes, hosts take at most {MAX}: shorten descriptions in the settings' schema",
                json.len()
            );
        }
        wasm_encoder::CustomSection { name: SECTION.into(), data: Cow::Owned(json) }
            .append_to(&mut component);
        Ok(component)
    }

    /// From the outermost component of a package. Modules and components inside are passed over: what they say is not about
    /// the package.
    pub(crate) fn read_from(package: &[u8]) -> Result<Self> {
        if !Parser::is_component(package) {
            bail!("this is no WebAssembly component: give the file that `syncline-plugin build` wrote");
        }
        let mut depth = 0_u32;
        let mut found = Vec::new();
        for payload in Parser::new(0).parse_all(package) {
            match payload.context("this component is damaged or cut off: build it again")? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) if depth > 0 => depth -= 1,
                Payload::CustomSection(section) if depth == 0 && section.name() == SECTION => {
                    found.push(section.data())
                }
                _ => {}
            }
        }
        let json = match found[..] {
            [json] => json,
            [] => {
                bail!("this component has no section `{SECTION}`: it was not made by `syncline-plugin build`")
            }
            _ => bail!("this component has several manifests: build it again"),
        };
        serde_json::from_slice(json).with_context(|| format!("the section `{SECTION}` holds no manifest"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str) -> Manifest {
        Manifest {
            name: name.to_owned(),
            version: semver::Version::new(1, 2, 3),
            world: "file-sync".to_owned(),
            contract: semver::Version::new(0, 1, 0),
            description: String::new(),
            licence: String::new(),
            settings_schema: serde_json::json!({ "type": "object" }),
            wants: vec![Want {
                capability: "desired-files".to_owned(),
                names: None,
                allow: vec!["prune".to_owned()],
                reason: "tidies up".to_owned(),
            }],
            asks: Asks::default(),
        }
    }

    #[test]
    fn what_is_put_in_comes_out_and_inner_components_do_not_count() {
        let inner = manifest("inner").put_into(wasm_encoder::Component::new().finish()).unwrap();
        let mut outer = wasm_encoder::Component::new();
        outer.section(&wasm_encoder::RawSection { id: 4, data: &inner });
        let outer = outer.finish();
        assert!(Manifest::read_from(&outer).unwrap_err().to_string().contains("no section"));
        let package = manifest("outer").put_into(outer).unwrap();
        assert_eq!(Manifest::read_from(&package).unwrap(), manifest("outer"));
        let twice = manifest("outer").put_into(package).unwrap();
        assert!(Manifest::read_from(&twice).unwrap_err().to_string().contains("several manifests"));
    }

    #[test]
    fn what_is_no_component_is_refused_with_what_to_do() {
        for bytes in [&b"hello"[..], &wasm_encoder::Module::new().finish()] {
            let error = Manifest::read_from(bytes).unwrap_err().to_string();
            assert!(error.contains("syncline-plugin build"), "{error}");
        }
    }

    #[test]
    fn what_is_asked_of_a_device_is_in_the_manifest_only_where_it_is_asked() {
        let plain = serde_json::to_value(manifest("a")).unwrap();
        assert!(plain.get("facts").is_none() && plain.get("users").is_none());
        assert_eq!(Asks::default().to_string(), "its applications, one a call");
        let asks = Asks { facts: vec!["os.type".to_owned()], users: true, whole_device: false };
        assert_eq!(asks.to_string(), "os.type, the users with their key sets");
        let json = serde_json::to_value(Manifest { asks: asks.clone(), ..manifest("a") }).unwrap();
        assert_eq!(json["facts"], serde_json::json!(["os.type"]));
        assert_eq!(serde_json::from_value::<Manifest>(json).unwrap().asks, asks);
    }

    #[test]
    fn a_want_reads_as_a_sentence() {
        assert_eq!(manifest("a").wants[0].to_string(), "desired-files with prune: tidies up");
    }
}
