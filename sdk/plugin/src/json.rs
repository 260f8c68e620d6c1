//! JSON for policies: merging layers, and documents whose bytes are equal where they mean the same.

use serde::Serialize;
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

/// [`merge_objects`] with a stronger object that is needed afterwards: copies only what was not overruled by it before.
pub fn merge_copied(weaker: &mut Map<String, Value>, stronger: &Map<String, Value>) {
    if weaker.is_empty() {
        // The same as below, without looking for the place of each member.
        *weaker = without_nulls(stronger);
        return;
    }
    for (name, value) in stronger {
        match (weaker.get_mut(name), value) {
            (None, Value::Null) => {}
            (Some(_), Value::Null) => drop(weaker.remove(name)),
            (None, value) => drop(weaker.insert(name.clone(), patched(value))),
            (Some(Value::Object(weaker)), Value::Object(stronger)) => merge_copied(weaker, stronger),
            (Some(weaker), value) => *weaker = patched(value),
        }
    }
}

/// What a value becomes where there was none.
fn patched(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(without_nulls(members)),
        other => other.clone(),
    }
}

fn without_nulls(members: &Map<String, Value>) -> Map<String, Value> {
    let kept = members.iter().filter(|(_, value)| !value.is_null());
    kept.map(|(name, value)| (name.clone(), patched(value))).collect()
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
        plain => write_plain(plain, out),
    }
}

fn write_object(members: &Map<String, Value>, out: &mut Vec<u8>) {
    // Sorted already, unless somewhere in the build a crate asked serde_json to keep another order.
    if members.keys().is_sorted() {
        return write_members(members.iter(), out);
    }
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    write_members(sorted.into_iter(), out);
}

fn write_members<'a>(members: impl Iterator<Item = (&'a String, &'a Value)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (number, (name, value)) in members.enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_plain(name, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

/// What holds no object.
fn write_plain(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "neither a Vec nor a text or number gives a reason to fail");
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
    fn copying_what_is_merged_makes_no_difference() {
        let objects = [
            json!({}),
            json!({ "a": 1, "b": null, "c": { "x": null, "y": { "z": null } }, "d": [null] }),
            json!({ "a": { "x": 1, "y": null }, "b": { "x": [1] }, "c": { "y": { "z": 1 }, "x": 2 } }),
            json!({ "a": null, "c": { "y": null }, "d": {} }),
        ];
        for weakest in &objects {
            for middle in &objects {
                for strongest in &objects {
                    let mut all = Map::new();
                    for layer in [weakest, middle, strongest] {
                        merge_copied(&mut all, layer.as_object().unwrap());
                    }
                    assert_eq!(
                        Value::Object(all),
                        merged(&[weakest.clone(), middle.clone(), strongest.clone()])
                    );
                }
            }
        }
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
