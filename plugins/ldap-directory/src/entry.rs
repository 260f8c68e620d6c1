//! From what the server sent of an entry to what is declared of it.

use syncline_plugin::{
    Entry, Failure, Result,
    directory::{EntryKind, Reference, Value},
};

use crate::{
    dn,
    fields::Fields,
    plan::{KindPlan, Plan},
    settings::{Condition, Rule, Transform},
};

/// Most values of an attribute, and their bytes, that the host takes.
const VALUES: usize = 1_024;
const BYTES: usize = 256 << 10;
/// Bit of `userAccountControl` for accounts that are switched off.
const ACCOUNT_DISABLED: i64 = 2;
/// How many names of one entry members can be listed by.
const LOGINS: usize = 8;

/// What never changes about an entry, and differs from all others.
pub(crate) fn identity(plan: &Plan, fields: &Fields) -> Result<String> {
    let name = &plan.identity;
    let id = if plan.active_directory && name.eq_ignore_ascii_case("objectGUID") {
        fields.guid(name)
    } else {
        let text = fields.texts(name).next().filter(|text| !text.is_empty());
        // UUIDs are the same in capital and small letters.
        text.map(|text| if is_uuid(text) { text.to_ascii_lowercase() } else { text.to_owned() })
    };
    let usable = |id: &String| id.len() <= 128 && !id.chars().any(char::is_control);
    id.filter(usable).ok_or_else(|| {
        let message = format!(
            "it has no usable {name:?}, and by nothing else is an entry known when it is renamed: let the account that binds read \
             it, or set `identity` to an attribute that all entries have"
        );
        Failure::invalid(message).with_code("no-identity")
    })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

/// The alias by which `memberUid` lists somebody. No distinguished name looks like it.
pub(crate) fn login_alias(login: &str) -> String {
    format!("uid:{}", login.trim().to_lowercase())
}

/// What is declared; `None` for a person without the e-mail address that people need.
pub(crate) fn entry_of(
    plan: &Plan,
    kind: &KindPlan,
    fields: &Fields,
    id: &str,
    normal: &str,
) -> Result<Option<Entry>> {
    let name = kind.names.iter().find_map(|name| fields.texts(name).find(|text| !text.trim().is_empty()));
    let mut entry = Entry::new(kind.kind, id, name.unwrap_or(&fields.dn).trim()).with_alias(normal);
    if kind.kind == EntryKind::Person {
        entry.aliases.extend(fields.texts("uid").take(LOGINS).map(login_alias));
    }
    if let Some(parent) = dn::parent(normal).filter(|parent| !plan.is_context(parent)) {
        entry = entry.in_unit(Reference::Alias(parent.to_owned()));
    }
    entry.enabled = is_enabled(plan, kind, fields);
    for (name, rule) in &kind.rules {
        if let Some((source, values)) = values(fields, rule)? {
            entry = entry.with(name, source, values);
        }
    }
    let email = entry.attributes.iter().any(|attribute| attribute.name == "email");
    let wanted = email || !plan.need_email || kind.kind != EntryKind::Person;
    Ok(wanted.then_some(entry))
}

fn is_enabled(plan: &Plan, kind: &KindPlan, fields: &Fields) -> bool {
    if !matches!(kind.kind, EntryKind::Person | EntryKind::Computer) {
        return true;
    }
    let switched_off = if plan.active_directory {
        fields.number("userAccountControl").is_some_and(|bits| bits & ACCOUNT_DISABLED != 0)
    } else {
        fields.has("nsAccountLock", "TRUE")
    };
    // Set back to 0 by the next logon that works, also after the lock has run out.
    let locked = if plan.active_directory {
        fields.number("lockoutTime").is_some_and(|time| time != 0)
    } else {
        !fields.values("pwdAccountLockedTime").is_empty()
    };
    let by_condition = plan.disabled_when.iter().any(|condition| holds(condition, fields));
    !(switched_off || (plan.locked_is_disabled && locked) || by_condition)
}

fn holds(condition: &Condition, fields: &Fields) -> bool {
    match &condition.equals {
        Some(value) => fields.has(&condition.attribute, value),
        None => !fields.values(&condition.attribute).is_empty(),
    }
}

/// The values by a rule, and the attribute that they are of. `None` if there are none.
fn values<'a>(fields: &Fields, rule: &'a Rule) -> Result<Option<(&'a str, Vec<Value>)>> {
    if rule.when.as_ref().is_some_and(|condition| !holds(condition, fields)) {
        return Ok(None);
    }
    let Some(source) = rule.from.iter().find(|name| !fields.values(name).is_empty()) else { return Ok(None) };
    let mut all = fields.values(source);
    if rule.transform.contains(&Transform::First) {
        all = &all[..1];
    }
    let bytes: usize = all.iter().map(Vec::len).sum();
    if all.len() > VALUES || bytes > BYTES {
        let count = all.len();
        let message = format!(
            "its {source:?} has {count} values with {bytes} bytes, and {VALUES} with {BYTES} are taken: leave it out in `attributes`, \
             or take the `first`"
        );
        return Err(Failure::invalid(message).with_code("too-large"));
    }
    let mut values = Vec::with_capacity(all.len());
    for value in all {
        if rule.bytes {
            values.push(Value::Bytes(value.clone()));
            continue;
        }
        let text = std::str::from_utf8(value).map_err(|_| {
            let message = format!(
                "its {source:?} has a value that is no text (UTF-8): correct it, or set `bytes` for it in `attributes`"
            );
            Failure::invalid(message).with_code("not-text")
        })?;
        let text = transformed(text, &rule.transform);
        if !text.is_empty() {
            values.push(Value::Text(text));
        }
    }
    Ok((!values.is_empty()).then_some((source.as_str(), values)))
}

fn transformed(text: &str, transforms: &[Transform]) -> String {
    transforms.iter().fold(text.to_owned(), |text, transform| match transform {
        Transform::Lower => text.to_lowercase(),
        Transform::Trim => text.trim().to_owned(),
        Transform::First => text,
    })
}
