//! What a layer locks, no later layer can change: the host takes it out before a plugin sees it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Layer, Pointer, Setting};

/// A setting that a lock took out of its layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LockedOut {
    /// What was taken out, with all below it.
    pub setting: Setting,
    /// The layer that locks it, and its lock: the weakest layer, if several do.
    pub by: Setting,
}

/// Takes out of later layers what earlier ones lock. `layers` are from the weakest to the strongest; none is removed, so
/// that positions stay. Answers what was taken out, by layer.
///
/// What goes is the value at a locked place, with all below it. A value above a locked place that is no object goes as
/// well: it would replace the locked one with everything around it. An object that has become empty by this goes too, for
/// it no longer says anything. All else stays as it is.
pub fn lock_out(layers: &mut [Layer]) -> Vec<LockedOut> {
    let mut taken = Vec::new();
    let mut locks: Vec<Setting> = Vec::new();
    for (number, layer) in (0u32..).zip(layers) {
        for lock in &locks {
            if let Some(pointer) = take(&mut layer.settings, &lock.pointer) {
                taken.push(LockedOut { setting: Setting { layer: number, pointer }, by: lock.clone() });
            }
        }
        let new = layer.locks.iter().filter(|new| !locks.iter().any(|lock| lock.pointer.covers(new)));
        let new: Vec<_> = new.map(|pointer| Setting { layer: number, pointer: pointer.clone() }).collect();
        locks.extend(new);
    }
    taken
}

/// Takes out what stands at a place, or stands in the way to it. Answers where that was.
fn take(settings: &mut Map<String, Value>, lock: &Pointer) -> Option<Pointer> {
    if lock.is_root() {
        let had = !settings.is_empty();
        settings.clear();
        return had.then(Pointer::root);
    }
    let names: Vec<_> = lock.names().collect();
    take_below(settings, &names, &Pointer::root())
}

fn take_below<S: AsRef<str>>(
    members: &mut Map<String, Value>,
    names: &[S],
    above: &Pointer,
) -> Option<Pointer> {
    let (name, rest) = names.split_first()?;
    let name = name.as_ref();
    let at = above.child(name);
    let taken = match members.get_mut(name)? {
        Value::Object(inner) if !rest.is_empty() => {
            let taken = take_below(inner, rest, &at)?;
            if !inner.is_empty() {
                return Some(taken);
            }
            taken
        }
        _ => at,
    };
    members.remove(name);
    Some(taken)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::policy::Found;

    fn layer(settings: Value, locks: &[&str]) -> Layer {
        let locks = locks.iter().map(|lock| lock.parse().unwrap()).collect();
        let Value::Object(settings) = settings else { panic!("not an object") };
        Layer { locks, settings }
    }

    /// What is left of the last layer, and what was taken out of it: place, layer of the lock, the lock.
    fn check(layers: &[Layer]) -> (Value, Vec<(String, u32, String)>) {
        let mut layers = layers.to_vec();
        let taken = lock_out(&mut layers);
        let last = u32::try_from(layers.len() - 1).unwrap();
        let of_last = taken.into_iter().filter(|one| one.setting.layer == last);
        let taken =
            of_last.map(|one| (one.setting.pointer.to_string(), one.by.layer, one.by.pointer.to_string()));
        (Value::Object(layers.pop().unwrap().settings), taken.collect())
    }

    fn taken(pointer: &str, layer: u32, lock: &str) -> (String, u32, String) {
        (pointer.to_owned(), layer, lock.to_owned())
    }

    #[test]
    fn a_locked_value_and_all_below_it_go() {
        let first = layer(json!({ "a": { "b": 1 } }), &["/a/b", "/x"]);
        let second = layer(json!({ "a": { "b": 2, "c": 3 }, "x": { "y": 4 }, "z": null }), &[]);
        let expected = vec![taken("/a/b", 0, "/a/b"), taken("/x", 0, "/x")];
        assert_eq!(check(&[first, second]), (json!({ "a": { "c": 3 }, "z": null }), expected));
    }

    #[test]
    fn what_would_replace_everything_around_a_locked_value_goes() {
        for value in [json!(null), json!(5), json!([{ "b": 1 }])] {
            let layers = [layer(json!({}), &["/a/b/c"]), layer(json!({ "a": value }), &[])];
            assert_eq!(check(&layers), (json!({}), vec![taken("/a", 0, "/a/b/c")]));
        }
    }

    #[test]
    fn an_object_that_only_held_what_is_locked_goes_and_an_empty_one_stays() {
        let locking = layer(json!({}), &["/a/b", "/e/f"]);
        let layers = [locking, layer(json!({ "a": { "b": 1 }, "e": {} }), &[])];
        assert_eq!(check(&layers), (json!({ "e": {} }), vec![taken("/a/b", 0, "/a/b")]));
    }

    #[test]
    fn a_lock_holds_for_later_layers_alone_and_the_weakest_is_named() {
        let layers = [
            layer(json!({ "a": 1 }), &[]),
            layer(json!({ "a": 2 }), &["/a"]),
            layer(json!({ "a": 3, "b": 3 }), &["/a", "/a/x", ""]),
            layer(json!({ "a": 4, "b": 4 }), &[]),
        ];
        let mut locked = layers.to_vec();
        assert_eq!(lock_out(&mut locked).len(), 3);
        assert_eq!(locked[..2], layers[..2]);
        assert_eq!(Value::Object(locked[2].settings.clone()), json!({ "b": 3 }));
        assert_eq!(check(&layers), (json!({}), vec![taken("/a", 1, "/a"), taken("", 2, "")]));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), (0..3).prop_map(Value::from), Just(json!([{ "a": 1 }]))];
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop::collection::btree_map("[ab~/]", inner, 0..4).prop_map(|map| json!(map))
        })
    }

    fn layers() -> impl Strategy<Value = Vec<Layer>> {
        let settings = prop::collection::btree_map("[ab~/]", values(), 0..4);
        let lock = prop::collection::vec("[ab~/]", 0..3)
            .prop_map(|names| names.iter().fold(Pointer::root(), |at, name| at.child(name)));
        let layer = (settings, prop::collection::vec(lock, 0..3))
            .prop_map(|(settings, locks)| Layer { locks, settings: settings.into_iter().collect() });
        prop::collection::vec(layer, 0..5)
    }

    /// Every value that is no object with members, by its place.
    fn leaves(settings: &Map<String, Value>, at: &Pointer, into: &mut BTreeMap<Pointer, Value>) {
        for (name, value) in settings {
            let at = at.child(name);
            match value {
                Value::Object(inner) if !inner.is_empty() => leaves(inner, &at, into),
                value => drop(into.insert(at, value.clone())),
            }
        }
    }

    fn leaves_of(layer: &Layer) -> BTreeMap<Pointer, Value> {
        let mut found = BTreeMap::new();
        leaves(&layer.settings, &Pointer::root(), &mut found);
        found
    }

    proptest! {
        #[test]
        fn no_later_layer_reaches_a_locked_place(layers in layers()) {
            let mut locked = layers;
            lock_out(&mut locked);
            for (number, earlier) in locked.iter().enumerate() {
                for (lock, later) in
                    earlier.locks.iter().flat_map(|lock| locked[number + 1..].iter().map(move |l| (lock, l)))
                {
                    prop_assert_eq!(lock.find(&later.settings), Found::Nothing);
                    prop_assert!(!lock.is_root() || later.settings.is_empty());
                }
            }
        }

        #[test]
        fn a_second_time_takes_nothing(layers in layers()) {
            let mut once = layers;
            lock_out(&mut once);
            let mut twice = once.clone();
            prop_assert_eq!(lock_out(&mut twice), vec![]);
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn what_is_not_locked_is_as_it_was_and_what_went_is_told(layers in layers()) {
            let mut locked = layers.clone();
            let taken = lock_out(&mut locked);
            for (number, (before, after)) in (0u32..).zip(layers.iter().zip(&locked)) {
                let (was, is) = (leaves_of(before), leaves_of(after));
                prop_assert!(is.iter().all(|(at, value)| was.get(at) == Some(value)));
                for gone in was.keys().filter(|at| !is.contains_key(at)) {
                    let told = taken.iter().find(|one| {
                        one.setting.layer == number && one.setting.pointer.covers(gone)
                    });
                    let by = &told.unwrap().by;
                    prop_assert!(by.layer < number);
                    prop_assert!(by.pointer.covers(gone) || gone.covers(&by.pointer));
                }
                prop_assert_eq!(&before.locks, &after.locks);
            }
        }
    }
}
