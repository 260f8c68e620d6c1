//! Facts of the device in texts: `${fact:os.type}`.
//!
//! A text that is nothing but one such place becomes the fact as it is, whatever JSON that is. Inside a longer text, texts,
//! numbers and truth values can stand. `$${fact:` is the text `${fact:`. What was put in is not looked at again, and names
//! of members are left alone.

use syncline_plugin::{
    Failure, Result, json,
    policy::Facts,
    serde_json::{Map, Value},
};

const BEGIN: &str = "${fact:";
const ESCAPED: &str = "$${fact:";

/// Puts facts into all texts.
///
/// # Errors
///
/// The policies' fault: a fact that is not known, one that cannot stand in a text, a place without an end.
pub(crate) fn substitute(members: &mut Map<String, Value>, facts: &Facts) -> Result<()> {
    below(members, "", facts)
}

/// The fact that a text is about as a whole.
pub(crate) fn whole(text: &str) -> Option<&str> {
    text.strip_prefix(BEGIN)?.strip_suffix('}').filter(|name| !name.contains('}'))
}

fn below(members: &mut Map<String, Value>, at: &str, facts: &Facts) -> Result<()> {
    members.iter_mut().try_for_each(|(name, value)| any(value, &json::child(at, name), facts))
}

fn any(value: &mut Value, at: &str, facts: &Facts) -> Result<()> {
    match value {
        Value::Object(members) => below(members, at, facts),
        Value::Array(items) => items.iter_mut().try_for_each(|item| any(item, at, facts)),
        Value::String(text) if text.contains(BEGIN) => {
            *value = filled(text, at, facts)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn filled(text: &str, at: &str, facts: &Facts) -> Result<Value> {
    if let Some(name) = whole(text) {
        return known(name, at, facts).cloned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        if rest[..begin].ends_with('$') {
            out.push_str(&rest[..begin - 1]);
            out.push_str(BEGIN);
            rest = &rest[begin + BEGIN.len()..];
            continue;
        }
        out.push_str(&rest[..begin]);
        let inner = &rest[begin + BEGIN.len()..];
        let Some((name, after)) = inner.split_once('}') else {
            return Err(wrong(
                at,
                &format!("has \"{BEGIN}\" without \"}}\" after it: write {ESCAPED} for that text"),
            ));
        };
        match known(name, at, facts)? {
            Value::String(value) => out.push_str(value),
            value @ (Value::Number(_) | Value::Bool(_)) => out.push_str(&value.to_string()),
            value => {
                return Err(wrong(
                    at,
                    &format!(
                        "names the fact `{name}` inside a text, and that is {value}: let the text be nothing else"
                    ),
                ));
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(Value::String(out))
}

fn known<'a>(name: &str, at: &str, facts: &'a Facts) -> Result<&'a Value> {
    facts.get(name).ok_or_else(|| {
        let known: Vec<_> = facts.iter().map(|(name, _)| name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        wrong(at, &format!("names the fact `{name}`, which is not known of this device here (known: {known}): name another"))
    })
}

fn wrong(at: &str, why: &str) -> Failure {
    Failure::settings(format!("the value at \"{at}\" {why}")).with_code("fact")
}

#[cfg(test)]
mod tests {
    use syncline_plugin::serde_json::json;

    use super::*;

    /// What becomes of a value, or the message.
    fn check(value: Value) -> Result<Value, String> {
        let facts = [
            ("os.type", json!("linux")),
            ("cpus", json!(8)),
            ("tags", json!(["a"])),
            ("odd", json!("${fact:cpus}")),
        ];
        let mut members = Map::from_iter([("x".to_owned(), value)]);
        substitute(&mut members, &facts.into_iter().collect())
            .map_err(|failure| failure.message().to_owned())?;
        Ok(members.remove("x").unwrap())
    }

    #[test]
    fn a_text_that_is_one_fact_becomes_it_and_others_hold_its_text() {
        for (text, expected) in [
            ("${fact:os.type}", json!("linux")),
            ("${fact:cpus}", json!(8)),
            ("${fact:tags}", json!(["a"])),
            ("on ${fact:os.type} with ${fact:cpus}", json!("on linux with 8")),
            ("${fact:cpus}${fact:cpus}", json!("88")),
            ("${fact:odd}", json!("${fact:cpus}")),
            ("$${fact:cpus}", json!("${fact:cpus}")),
            ("$$${fact:cpus} $ ${", json!("$${fact:cpus} $ ${")),
            ("${os.type}", json!("${os.type}")),
        ] {
            assert_eq!(check(json!(text)).unwrap(), expected, "{text}");
        }
        let nested = check(json!({ "${fact:cpus}": [{ "y": "${fact:cpus}" }, 1] })).unwrap();
        assert_eq!(nested, json!({ "${fact:cpus}": [{ "y": 8 }, 1] }));
    }

    #[test]
    fn what_cannot_be_put_in_is_told_with_its_place() {
        for (value, words) in [
            (json!({ "y": "${fact:host.name}" }), "\"/x/y\" names the fact `host.name`, which is not known"),
            (json!("a ${fact:tags}"), "[\"a\"]"),
            (json!("a ${fact:cpus"), "without \"}\""),
        ] {
            let message = check(value).unwrap_err();
            assert!(message.contains(words), "{words:?} is not in: {message}");
        }
    }
}
