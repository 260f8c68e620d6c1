//! Entries and memberships from a plugin, held to what wit/directory-types.wit says of them. Each refusal names the entry.

use jiff::Timestamp;
use syncline_domain::{
    Failure,
    directory::{Attribute, Entry, EntryId, EntryKind, Membership, MembershipChange, Reference, Value},
};

use crate::bindings::directory_sync::syncline::plugin::{desired_directory as wit, directory_types as types};

/// What a thing takes in memory beside its texts, roughly.
pub(super) const ITEM: usize = 64;

const NAME: usize = 256;
const ALIASES: usize = 16;
const ALIAS: usize = 4_096;
const ATTRIBUTES: usize = 128;
const ATTRIBUTE_NAME: usize = 256;
const VALUES: usize = 1_024;
const VALUE_BYTES: usize = 256 << 10;

/// An id, or why it is none.
pub(super) fn id(text: String) -> Result<EntryId, Failure> {
    let shown = shown(&text);
    EntryId::try_from(text).map_err(|error| Failure::plugin("entry", format!("{shown}: {error}")))
}

/// The beginning of a text that may be of any length and hold anything.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(EntryId::MAX).collect::<String>())
}

/// What an entry breaks, with its id.
fn broken(id: &EntryId, what: impl std::fmt::Display) -> Failure {
    Failure::plugin("entry", format!("the entry {id}: {what}"))
}

/// Checks a whole entry.
pub(super) fn entry(entry: types::Entry) -> Result<Entry, Failure> {
    let id = id(entry.id)?;
    let broken = |what: String| broken(&id, what);
    if entry.name.len() > NAME {
        return Err(broken(format!("its name has {} bytes, and {NAME} is the most", entry.name.len())));
    }
    if entry.aliases.len() > ALIASES {
        return Err(broken(format!("it has {} aliases, and {ALIASES} is the most", entry.aliases.len())));
    }
    entry.aliases.iter().try_for_each(|alias| check_alias(alias)).map_err(broken)?;
    if entry.attributes.len() > ATTRIBUTES {
        return Err(broken(format!(
            "it has {} attributes, and {ATTRIBUTES} is the most",
            entry.attributes.len()
        )));
    }
    if let Some([a, b]) = entry.attributes.array_windows().find(|[a, b]| a.name >= b.name) {
        let (a, b) = (shown(&a.name), shown(&b.name));
        return Err(broken(format!("its attribute {b} stands after {a}: sort them by name, each name once")));
    }
    let parent = entry.parent.map(reference).transpose().map_err(broken)?;
    let attributes = entry.attributes.into_iter().map(attribute).collect::<Result<_, _>>().map_err(broken)?;
    // A directory can hold anything in a name, and a database or a terminal cannot take it.
    let name = entry.name.chars().filter(|c| !c.is_control()).collect();
    let (kind, aliases, enabled) = (entry.kind.into(), entry.aliases, entry.enabled);
    Ok(Entry { id, kind, name, aliases, parent, enabled, attributes })
}

/// Checks members of a group.
pub(super) fn membership(membership: wit::Membership) -> Result<Membership, Failure> {
    let group = id(membership.group)?;
    let members = membership.members.into_iter().map(reference).collect::<Result<_, _>>();
    let members = members.map_err(|what| broken(&group, format!("one of its members: {what}")))?;
    Ok(Membership { group, change: membership.change.into(), members })
}

fn attribute(attribute: types::Attribute) -> Result<Attribute, String> {
    let types::Attribute { name, source, values } = attribute;
    for (what, text) in [("name", &name), ("source", &source)] {
        if text.len() > ATTRIBUTE_NAME || text.chars().any(char::is_control) {
            let text = shown(text);
            return Err(format!(
                "the {what} of its attribute {text} has more than {ATTRIBUTE_NAME} bytes or a control character"
            ));
        }
    }
    if name.is_empty() {
        return Err("one of its attributes has no name".to_owned());
    }
    if values.len() > VALUES {
        return Err(format!("its attribute {name} has {} values, and {VALUES} is the most", values.len()));
    }
    let values: Vec<_> = values
        .into_iter()
        .map(value)
        .collect::<Result<_, _>>()
        .map_err(|what| format!("its attribute {name}: {what}"))?;
    let bytes: usize = values.iter().map(value_bytes).sum();
    if bytes > VALUE_BYTES {
        return Err(format!(
            "its attribute {name} has {bytes} bytes of values, and {VALUE_BYTES} is the most"
        ));
    }
    Ok(Attribute { name, source, values })
}

fn value(value: types::Value) -> Result<Value, String> {
    Ok(match value {
        types::Value::Text(text) => Value::Text(text),
        types::Value::Bytes(bytes) => Value::Bytes(bytes),
        types::Value::Number(number) => Value::Number(number),
        types::Value::Flag(flag) => Value::Flag(flag),
        types::Value::Time(millis) => Value::Time(
            Timestamp::from_millisecond(millis)
                .map_err(|error| format!("{millis} ms since 1970 is no time that is known here: {error}"))?,
        ),
        types::Value::Reference(to) => Value::Reference(reference(to)?),
    })
}

fn reference(reference: types::Reference) -> Result<Reference, String> {
    match reference {
        types::Reference::Id(text) => {
            let shown = shown(&text);
            EntryId::try_from(text).map(Reference::Id).map_err(|error| format!("{shown}: {error}"))
        }
        types::Reference::Alias(alias) => check_alias(&alias).map(|()| Reference::Alias(alias)),
    }
}

fn check_alias(alias: &str) -> Result<(), String> {
    if alias.is_empty() || alias.len() > ALIAS {
        return Err(format!(
            "the alias {} has {} bytes, and may have 1 to {ALIAS}",
            shown(alias),
            alias.len()
        ));
    }
    Ok(())
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Number(_) | Value::Time(_) => 8,
        Value::Flag(_) => 1,
        Value::Reference(to) => reference_bytes(to),
    }
}

fn reference_bytes(reference: &Reference) -> usize {
    match reference {
        Reference::Id(id) => id.as_str().len(),
        Reference::Alias(alias) => alias.len(),
    }
}

/// What an entry takes, roughly.
pub(super) fn size(entry: &Entry) -> usize {
    let attribute = |one: &Attribute| {
        let values: usize = one.values.iter().map(|value| ITEM / 2 + value_bytes(value)).sum();
        ITEM + one.name.len() + one.source.len() + values
    };
    let aliases: usize = entry.aliases.iter().map(|alias| ITEM / 2 + alias.len()).sum();
    ITEM + entry.id.as_str().len()
        + entry.name.len()
        + aliases
        + entry.attributes.iter().map(attribute).sum::<usize>()
}

/// What a membership takes, roughly.
pub(super) fn membership_size(membership: &Membership) -> usize {
    ITEM + membership.members.iter().map(|to| ITEM / 2 + reference_bytes(to)).sum::<usize>()
}

impl From<types::EntryKind> for EntryKind {
    fn from(kind: types::EntryKind) -> Self {
        match kind {
            types::EntryKind::Person => Self::Person,
            types::EntryKind::Group => Self::Group,
            types::EntryKind::Computer => Self::Computer,
            types::EntryKind::Unit => Self::Unit,
        }
    }
}

impl From<wit::MembershipChange> for MembershipChange {
    fn from(change: wit::MembershipChange) -> Self {
        match change {
            wit::MembershipChange::Part => Self::Part,
            wit::MembershipChange::LastPart => Self::LastPart,
            wit::MembershipChange::Added => Self::Added,
            wit::MembershipChange::Removed => Self::Removed,
        }
    }
}
