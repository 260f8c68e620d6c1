//! JSON for policies: merging layers, and documents whose bytes are equal where they mean the same.

use serde_json::{Map, Value};

/// Merges a stronger object into a weaker one, as a JSON Merge Patch (RFC 7396) does: objects member by member, a `null`
/// removes the member, everything else (arrays too) replaces what was there.
///
/// ```
/// use serde_json::json;
/// use syncline_plugin::{json::merge, serde_json};
///
/// let mut merged = json!({ "a": { "b": 1, "c": 2 }, "d": [1] });
/// merge(&mut merged, json!({ "a": { "b": null, "e": 3 }, "d": [2] }));
/// assert_eq!(merged, json!({ "a": { "c": 2, "e": 3 }, "d": [2] }));
/// ```
pub fn merge(weaker: &mut Value, stronger: Value) {
    match stronger {
        Value::Object(stronger) => {
            if !weaker.is_object() {
                *weaker = Value::Object(Map::new());
            }
            if let Value::Object(weaker) = weaker {
                merge_objects(weaker, stronger);
            }
        }
        other => *weaker = other,
    }
}

/// [`merge`] for objects.
pub fn merge_objects(weaker: &mut Map<String, Value>, stronger: Map<String, Value>) {
    for (name, value) in stronger {
        match value {
            Value::Null => drop(weaker.remove(&name)),
            // Into an empty value as well, so that what it removes is not left in it.
            object @ Value::Object(_) => merge(weaker.entry(name).or_insert(Value::Null), object),
            other => drop(weaker.insert(name, other)),
        }
    }
}

/// Text of a value with members sorted by name and no space between tokens: equal values are equal bytes.
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(members) => write_object(members, out),
        Value::Array(items) => {
            out.push(b'[');
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::String(text) => write_text(text, out),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Null => out.extend_from_slice(b"null"),
    }
}

fn write_object(members: &Map<String, Value>, out: &mut Vec<u8>) {
    // Sorted already, unless somewhere in the build a crate asked serde_json to keep another order.
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    out.push(b'{');
    for (number, (name, value)) in sorted.into_iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_text(name, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    let quoted = Value::from(text).to_string();
    out.extend_from_slice(quoted.as_bytes());
}

/// The JSON pointer (RFC 6901) of the member `name` at `pointer`: `child("/a", "b/c")` is `/a/b~1c`.
pub fn child(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(values: &[Value]) -> Value {
        values.iter().fold(json!({}), |mut all, value| {
            merge(&mut all, value.clone());
            all
        })
    }

    #[test]
    fn objects_merge_null_removes_and_all_else_replaces() {
        assert_eq!(
            merged(&[json!({ "a": 1 }), json!({ "a": { "b": null, "c": 2 } })]),
            json!({ "a": { "c": 2 } })
        );
        assert_eq!(merged(&[json!({ "a": { "b": 1 } }), json!({ "a": [null] })]), json!({ "a": [null] }));
        assert_eq!(merged(&[json!({ "a": { "b": 1 } }), json!({ "a": null })]), json!({}));
        assert_eq!(merged(&[json!({ "a": { "b": null } })]), json!({ "a": {} }));
    }

    #[test]
    fn canonical_text_is_sorted_and_without_spaces() {
        let value: Value = serde_json::from_str(
            r#" { "b" : [ 1.50, -0.1, null, true ], "a\n\"" : "\u00e9\u0001/" , "" : {} } "#,
        )
        .unwrap();
        let expected = "{\"\":{},\"a\\n\\\"\":\"é\\u0001/\",\"b\":[1.5,-0.1,null,true]}";
        assert_eq!(String::from_utf8(canonical(&value)).unwrap(), expected);
        assert_eq!(canonical(&value), serde_json::to_vec(&value).unwrap());
    }

    #[test]
    fn numbers_come_out_as_they_went_in() {
        for number in ["18446744073709551615", "-9223372036854775808", "0.1", "5e-324", "1.0"] {
            let value: Value = serde_json::from_str(number).unwrap();
            assert_eq!(canonical(&value), number.as_bytes());
        }
        let mut bits = 1_u64;
        for _ in 0..10_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let text = Value::from(f64::from_bits(bits)).to_string();
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(canonical(&value), text.as_bytes());
        }
    }

    #[test]
    fn names_in_pointers_are_escaped() {
        assert_eq!(child("", "a~/"), "/a~0~1");
        assert_eq!(child("/a", ""), "/a/");
    }
}
