//! Settings of a sync, by the JSON Schema in the plugin's manifest: checked when they are set, defaults filled in when they
//! are used.

use serde_json::Value;
use syncline_domain::{
    Failure,
    plugin::{Manifest, PluginVersion},
};

use crate::{Error, Result};

mod schema;

/// Places that an answer names.
const PLACES: usize = 10;
/// How deep defaults are filled in: schemas can refer to themselves.
const DEPTH: usize = 16;
/// Defaults that are filled in, at most: a schema that refers to itself in several places grows without end.
const DEFAULTS: usize = 10_000;

/// Checks settings by the schema in the plugin's manifest and its limit.
pub(crate) fn check(plugin: &PluginVersion, settings: &Value) -> Result<()> {
    check_by(&plugin.manifest, plugin.limits.settings_bytes, settings)
}

/// Checks settings by a schema and a limit in bytes. The message names each place that does not fit.
pub(crate) fn check_by(manifest: &Manifest, most: u64, settings: &Value) -> Result<()> {
    let name = &manifest.name;
    if !settings.is_object() {
        return Err(Error::invalid("sync-settings", "settings are a JSON object, such as {}"));
    }
    let size = settings.to_string().len() as u64;
    if size > most {
        let message = format!(
            "the settings have {size} bytes: plugin {name} takes at most {most} (limit settings_bytes of its sandbox)"
        );
        return Err(Error::invalid("settings-size", message));
    }
    let validator = jsonschema::validator_for(&manifest.settings_schema).map_err(|error| {
        let message = format!("the settings schema of plugin {name} is no JSON Schema: {error}");
        Error::invalid("plugin-schema", message)
    })?;
    let places: Vec<String> = validator
        .iter_errors(settings)
        .take(PLACES)
        .map(|error| match error.instance_path().to_string() {
            all if all.is_empty() => error.to_string(),
            place => format!("{place}: {error}"),
        })
        .collect();
    if places.is_empty() {
        return Ok(());
    }
    let message = format!("settings do not fit plugin {name}: {}", places.join("; "));
    Err(Error::invalid("sync-settings", message))
}

/// Checks the settings schema of a package before it is taken in: whatever it says, using it must come to an end.
pub(crate) fn check_schema(manifest: &Manifest) -> Result<()> {
    let refuse = |why: String| {
        let message =
            format!("the settings schema of plugin {}: {why}; its author has to mend it", manifest.name);
        Error::Failed(Failure::plugin("settings-schema", message))
    };
    schema::check(&manifest.settings_schema).map_err(refuse)?;
    jsonschema::validator_for(&manifest.settings_schema).map_err(|error| refuse(error.to_string()))?;
    text(manifest, &Value::Object(serde_json::Map::new())).map(drop)
}

/// Checks a schema of someone who is no author of a plugin: using it must come to an end.
pub(crate) fn check_any_schema(schema: &Value) -> Result<(), String> {
    schema::check(schema)?;
    jsonschema::validator_for(schema).map(drop).map_err(|error| error.to_string())
}

/// What the plugin is given: defaults of the schema filled in, members sorted, no space between tokens.
pub(crate) fn text(manifest: &Manifest, settings: &Value) -> Result<String> {
    let mut filled = settings.clone();
    let schema = &manifest.settings_schema;
    let mut left = DEFAULTS;
    fill(schema, schema, &mut filled, DEPTH, &mut left).map_err(|TooMany| {
        let message = format!(
            "the settings schema of plugin {} has more than {DEFAULTS} defaults for these settings: its author has to \
             make it smaller",
            manifest.name
        );
        Error::Failed(Failure::plugin("settings-schema", message))
    })?;
    // serde_json's maps are sorted by name.
    serde_json::to_string(&filled).map_err(Error::internal)
}

/// More defaults than anybody needs.
struct TooMany;

fn fill(
    root: &Value,
    schema: &Value,
    value: &mut Value,
    depth: usize,
    left: &mut usize,
) -> Result<(), TooMany> {
    if depth == 0 {
        return Ok(());
    }
    let schema = resolve(root, schema);
    match value {
        Value::Object(members) => {
            let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
                return Ok(());
            };
            for (name, property) in properties {
                if !members.contains_key(name)
                    && let Some(default) = property.get("default")
                {
                    *left = left.checked_sub(1).ok_or(TooMany)?;
                    members.insert(name.clone(), default.clone());
                }
                if let Some(member) = members.get_mut(name) {
                    fill(root, property, member, depth - 1, left)?;
                }
            }
        }
        Value::Array(items) => {
            let Some(of) = schema.get("items") else { return Ok(()) };
            for item in items {
                fill(root, of, item, depth - 1, left)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Follows a reference into the same schema; others stay as they are.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
    reference.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(schema: Value) -> Manifest {
        let json = json!({
            "name": "p", "version": "0.1.0", "world": "file-sync", "contract": "0.1.0", "settings_schema": schema,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn defaults_are_filled_in_at_every_depth_and_nothing_else_is_changed() {
        let manifest = manifest(json!({
            "properties": {
                "rules": { "items": { "$ref": "#/$defs/rule" }, "default": [] },
                "z": { "default": false },
            },
            "$defs": { "rule": { "properties": { "stage": { "default": 0 }, "more": { "$ref": "#/$defs/rule" } } } },
        }));
        let given = json!({ "z": true, "rules": [{ "more": { "stage": 3 } }, {}] });
        let wanted = r#"{"rules":[{"more":{"stage":3},"stage":0},{"stage":0}],"z":true}"#;
        assert_eq!(text(&manifest, &given).unwrap(), wanted);
        assert_eq!(text(&manifest, &json!({})).unwrap(), r#"{"rules":[],"z":false}"#);
    }

    #[test]
    fn a_schema_that_grows_without_end_is_refused_at_upload() {
        let name = |number: u8| (format!("p{number}"), json!({ "$ref": "#", "default": {} }));
        let properties: serde_json::Map<_, _> = (0..10).map(name).collect();
        let error = check_schema(&manifest(json!({ "properties": properties }))).unwrap_err().to_string();
        assert!(error.contains("defaults"), "{error}");
        let error = check_schema(&manifest(json!({ "allOf": [{ "$ref": "#" }] }))).unwrap_err().to_string();
        assert!(error.contains("itself"), "{error}");
        let error = check_schema(&manifest(json!({ "type": 7 }))).unwrap_err().to_string();
        assert!(error.contains("schema"), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_named_by_its_place() {
        let manifest =
            manifest(json!({ "properties": { "a": { "type": "integer" } }, "additionalProperties": false }));
        let error = check_by(&manifest, 100, &json!({ "a": "x", "b": 1 })).unwrap_err().to_string();
        assert!(error.contains("/a") && error.contains("'b'"), "{error}");
        assert!(check_by(&manifest, 100, &json!([])).is_err());
        let large = check_by(&manifest, 5, &json!({ "a": 1 })).unwrap_err().to_string();
        assert!(large.contains("settings_bytes"), "{large}");
    }
}
