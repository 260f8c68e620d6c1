//! The keys of a device's users, in one member of the document.

use syncline_plugin::{
    policy::{Key, KeySet, User},
    serde_json::{Map, Value, json},
};

/// What was added, for [`explain`](crate::explain).
#[derive(Debug)]
pub(crate) struct Added<'a> {
    /// The member of the document.
    pub(crate) member: &'a str,
    pub(crate) users: &'a [User],
}

/// Puts the users' key sets in place of this member.
pub(crate) fn add<'a>(members: &mut Map<String, Value>, member: &'a str, users: &'a [User]) -> Added<'a> {
    let of_all: Map<_, _> = users.iter().map(|user| (user.name.clone(), of_user(user))).collect();
    members.insert(member.to_owned(), Value::Object(of_all));
    Added { member, users }
}

fn of_user(user: &User) -> Value {
    let sets = user.key_sets.iter().map(|set: &KeySet| {
        let keys = set
            .keys
            .iter()
            .map(|Key { id, name, parameters }| json!({ "id": id, "name": name, "parameters": parameters }));
        (set.name.clone(), Value::Array(keys.collect()))
    });
    Value::Object(sets.collect())
}
