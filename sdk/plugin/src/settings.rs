//! Settings: from the administrator's JSON to the plugin's own type, and from that type to its JSON Schema.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{Failure, failure::Result, raw::syncline::plugin::settings};

/// For plugins that have nothing to set. Any setting given to it is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// The settings of this sync.
///
/// # Errors
///
/// [`Failure::settings`] if they do not fit `T`: the host checks them by the schema before, so what is left are rules that
/// the schema does not know.
pub(crate) fn load<T: DeserializeOwned>() -> Result<T> {
    parse(&settings::get())
}

/// Settings from JSON text, as [`FileSync::declare`](crate::FileSync::declare) would get them. For tests.
///
/// # Errors
///
/// [`Failure::settings`] if they do not fit `T`.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| Failure::settings(format!("the settings do not fit: {error}")))
}

/// JSON Schema (2020-12) of a settings type, as `syncline-plugin build` puts it into the manifest.
pub fn schema<T: JsonSchema>() -> serde_json::Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// [`schema`] as text, for the build tool: address in the upper, length in the lower half.
#[doc(hidden)]
pub fn leak_schema<T: JsonSchema>() -> u64 {
    let text: &'static str = schema::<T>().to_string().leak();
    ((text.as_ptr() as u64) << 32) | text.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Example {
        /// Where to.
        #[serde(default)]
        folder: String,
    }

    #[test]
    fn the_schema_carries_descriptions_defaults_and_what_is_refused() {
        let schema = schema::<Example>();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["folder"]["description"], "Where to.");
        assert_eq!(schema["properties"]["folder"]["default"], "");
    }

    #[test]
    fn settings_that_do_not_fit_are_the_fault_of_who_wrote_them() {
        assert_eq!(parse::<Example>("{}").unwrap(), Example { folder: String::new() });
        let failure = parse::<NoSettings>(r#"{"folder":1}"#).unwrap_err();
        assert_eq!(failure.code(), "settings");
        assert!(failure.message().contains("folder"), "{failure}");
    }
}
