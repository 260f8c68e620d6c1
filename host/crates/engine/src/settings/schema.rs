//! What a JSON Schema must not do, because validating by it would not end: refer to itself without going deeper into the
//! value. The value's own depth ends everything else.

use std::collections::HashSet;

use serde_json::Value;

/// Keywords whose schemas are about the same value as the schema that they stand in (JSON Schema 2020-12, section 10.2).
const SAME_VALUE: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];
/// The same, with a schema for each name.
const SAME_VALUE_BY_NAME: &str = "dependentSchemas";
/// Ways to refer to a schema by something else than its place; nobody needs them here, and each is one more way round.
const REFUSED: [&str; 5] = ["$dynamicRef", "$recursiveRef", "$id", "$anchor", "$dynamicAnchor"];

/// Refuses a schema that refers to itself for the same value, or to anything outside.
pub(super) fn check(root: &Value) -> Result<(), String> {
    let mut places = vec![(String::new(), root)];
    let mut references = Vec::new();
    while let Some((place, value)) = places.pop() {
        match value {
            Value::Object(members) => {
                if let Some(word) = REFUSED.into_iter().find(|word| members.get(*word).is_some_and(Value::is_string)) {
                    return Err(format!("{word} at #{place} is not supported, refer by place (#/$defs/NAME)"));
                }
                if let Some(Value::String(to)) = members.get("$ref") {
                    references.push((place.clone(), to.clone()));
                }
                for (name, member) in members {
                    places.push((format!("{place}/{}", escaped(name)), member));
                }
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                places.extend(items.map(|(number, item)| (format!("{place}/{number}"), item)));
            }
            _ => {}
        }
    }
    for (place, to) in references {
        let target = to.strip_prefix('#').filter(|pointer| root.pointer(pointer).is_some());
        if target.is_none() {
            return Err(format!("$ref {to:?} at #{place} leads nowhere in the schema itself"));
        }
    }
    let mut done = HashSet::new();
    same_value(root, "", &mut Vec::new(), &mut done)
}

/// Goes along all that is about the same value; `above` are the places on the way here.
fn same_value(
    root: &Value,
    place: &str,
    above: &mut Vec<String>,
    done: &mut HashSet<String>,
) -> Result<(), String> {
    if above.iter().any(|one| one == place) {
        return Err(format!("#{place} refers to itself for one and the same value"));
    }
    if !done.insert(place.to_owned()) {
        return Ok(());
    }
    let Some(schema) = root.pointer(place) else { return Ok(()) };
    above.push(place.to_owned());
    for next in next_places(schema, place) {
        same_value(root, &next, above, done)?;
    }
    above.pop();
    // Schemas below are about other values: each begins a way of its own.
    for next in members(schema, place) {
        same_value(root, &next, &mut Vec::new(), done)?;
    }
    Ok(())
}

fn next_places(schema: &Value, place: &str) -> Vec<String> {
    let mut next = Vec::new();
    if let Some(pointer) = schema.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#')) {
        next.push(pointer.to_owned());
    }
    for word in SAME_VALUE {
        match schema.get(word) {
            Some(Value::Array(all)) => next.extend((0..all.len()).map(|number| format!("{place}/{word}/{number}"))),
            Some(_) => next.push(format!("{place}/{word}")),
            None => {}
        }
    }
    if let Some(Value::Object(by_name)) = schema.get(SAME_VALUE_BY_NAME) {
        next.extend(by_name.keys().map(|name| format!("{place}/{SAME_VALUE_BY_NAME}/{}", escaped(name))));
    }
    next
}

fn members(schema: &Value, place: &str) -> Vec<String> {
    match schema {
        Value::Object(members) => members.keys().map(|name| format!("{place}/{}", escaped(name))).collect(),
        Value::Array(items) => (0..items.len()).map(|number| format!("{place}/{number}")).collect(),
        _ => Vec::new(),
    }
}

/// As a name stands in a JSON Pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_may_refer_to_itself_for_what_is_deeper() {
        let tree = json!({
            "$ref": "#/$defs/node",
            "$defs": { "node": { "properties": { "left": { "$ref": "#/$defs/node" }, "right": { "$ref": "#" } } } },
        });
        assert_eq!(check(&tree), Ok(()));
    }

    #[test]
    fn and_not_for_the_same_value() {
        for schema in [
            json!({ "allOf": [{ "$ref": "#" }] }),
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "not": { "$ref": "#/$defs/b" } }, "b": { "$ref": "#/$defs/a" } } }),
            json!({ "properties": { "x": { "if": { "$ref": "#/properties/x" } } } }),
            json!({ "items": { "dependentSchemas": { "a/b": { "$ref": "#/items" } } } }),
        ] {
            assert!(check(&schema).unwrap_err().contains("itself"), "{schema}");
        }
    }

    #[test]
    fn references_stay_within_the_schema() {
        for to in ["https://example.org/schema", "#/$defs/missing", "other.json", "#name"] {
            let error = check(&json!({ "properties": { "x": { "$ref": to } } })).unwrap_err();
            assert!(error.contains(to) && error.contains("/properties/x"), "{error}");
        }
        assert!(check(&json!({ "$dynamicRef": "#x" })).unwrap_err().contains("$dynamicRef"));
    }
}
