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
    fn a_want_reads_as_a_sentence() {
        assert_eq!(manifest("a").wants[0].to_string(), "desired-files with prune: tidies up");
    }
}
