//! What differs between two versions of a policy.

use serde::Serialize;
use serde_json::{Map, Value};

use super::policy::{Place, PolicySpec};
use crate::policy::Pointer;

/// Two versions beside each other.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Comparison {
    /// Settings that differ, by their place: objects are looked into, anything else is compared as a whole.
    pub settings: Vec<Difference>,
    /// Locks that only the first has.
    pub unlocked: Vec<String>,
    /// Locks that only the second has.
    pub locked: Vec<String>,
    /// Both places, where they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub places: Option<[Place; 2]>,
    /// Whether each holds, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<[bool; 2]>,
}

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Difference {
    /// Where: a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// What the first says; absent if it says nothing there. `null` takes a setting out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What the second says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Compares what two versions say.
pub fn compare(before: &PolicySpec, after: &PolicySpec) -> Comparison {
    let mut settings = Vec::new();
    values(&Pointer::root(), Some(&before.settings), Some(&after.settings), &mut settings);
    let only = |one: &PolicySpec, other: &PolicySpec| {
        one.locks.iter().filter(|lock| !other.locks.contains(lock)).cloned().collect()
    };
    let places = (before.place != after.place).then(|| [before.place.clone(), after.place.clone()]);
    let enabled = (before.enabled != after.enabled).then_some([before.enabled, after.enabled]);
    Comparison { settings, unlocked: only(before, after), locked: only(after, before), places, enabled }
}

fn values(at: &Pointer, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    let none = Map::new();
    let members = |value: Option<&Value>| match value {
        Some(Value::Object(members)) => Some(members.clone()),
        _ => None,
    };
    // An object beside nothing is told member by member as well.
    let both = match (members(before), members(after)) {
        (Some(one), Some(other)) => Some((one, other)),
        (Some(one), None) if after.is_none() && !one.is_empty() => Some((one, none)),
        (None, Some(other)) if before.is_none() && !other.is_empty() => Some((none, other)),
        _ => None,
    };
    let Some((one, other)) = both else {
        if before != after {
            let (before, after) = (before.cloned(), after.cloned());
            found.push(Difference { pointer: at.to_string(), before, after });
        }
        return;
    };
    let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        values(&at.child(name), one.get(name), other.get(name), found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(settings: Value, locks: &[&str]) -> PolicySpec {
        serde_json::from_value(
            json!({ "application": "a", "place": { "group": "/" }, "settings": settings, "locks": locks }),
        )
        .unwrap()
    }

    #[test]
    fn settings_are_told_by_their_places_and_the_rest_as_it_is() {
        let before =
            spec(json!({ "same": 1, "a/b": { "x": 1, "y": [1] }, "gone": { "deep": true } }), &["/same"]);
        let after = spec(json!({ "same": 1, "a/b": { "x": 2, "y": [1] }, "new": null, "e": {} }), &["/new"]);
        let found = compare(&before, &after);
        assert_eq!(
            json!(found.settings),
            json!([
                { "pointer": "/a~1b/x", "before": 1, "after": 2 },
                { "pointer": "/e", "after": {} },
                { "pointer": "/gone/deep", "before": true },
                { "pointer": "/new", "after": null },
            ])
        );
        assert_eq!((found.unlocked, found.locked), (vec!["/same".to_owned()], vec!["/new".to_owned()]));
        assert_eq!((found.places, found.enabled), (None, None));
        assert_eq!(compare(&after, &after).settings, []);
    }
}
