//! Declaring, well and against the rules of the contract.

use syncline_plugin::{
    FailureKind, Fault,
    prelude::*,
    raw::{
        directory_sync::syncline::plugin::{
            desired_directory::{self as raw, Membership, MembershipChange, Rejection},
            directory_types::{Attribute, EntryKind, Reference, Value},
        },
        syncline::plugin::types,
    },
};

fn person(id: &str) -> Entry {
    Entry {
        id: id.to_owned(),
        kind: EntryKind::Person,
        name: id.to_owned(),
        aliases: Vec::new(),
        parent: None,
        enabled: true,
        attributes: Vec::new(),
    }
}

/// These are people. The host is told what each call says, and nothing is collected.
pub(crate) fn some(names: &[String]) -> Result<()> {
    for names in names.chunks(1_000) {
        raw::put(&names.iter().map(|name| person(name)).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// These are all people that there are.
pub(crate) fn all(names: &[String]) -> Result<()> {
    some(names)?;
    Ok(raw::complete()?)
}

pub(crate) fn declare_after_complete() -> Result<()> {
    all(&["first".to_owned()])?;
    some(&["second".to_owned()])
}

pub(crate) fn complete_twice() -> Result<()> {
    all(&["first".to_owned()])?;
    Ok(raw::complete()?)
}

pub(crate) fn huge_batch() -> Result<()> {
    Ok(raw::put(&vec![person("again"); 4_097])?)
}

pub(crate) fn long_id() -> Result<()> {
    some(&["i".repeat(129)])
}

pub(crate) fn unsorted_attributes() -> Result<()> {
    let attribute = |name: &str| Attribute {
        name: name.to_owned(),
        source: name.to_owned(),
        values: vec![Value::Text("x".to_owned())],
    };
    let attributes = vec![attribute("phone"), attribute("email")];
    Ok(raw::put(&[Entry { attributes, ..person("unsorted") }])?)
}

pub(crate) fn many_aliases() -> Result<()> {
    Ok(raw::put(&[Entry { aliases: vec!["cn=a".to_owned(); 17], ..person("many") }])?)
}

pub(crate) fn nameless_member() -> Result<()> {
    let members = vec![Reference::Alias(String::new())];
    let membership = Membership { group: "staff".to_owned(), change: MembershipChange::LastPart, members };
    Ok(raw::put_members(&[membership])?)
}

/// With a number that the host never gave out, the host's name on it, and a line of its own.
pub(crate) fn forged_rejection() -> Result<()> {
    let failure = Failure::new(FailureKind::Invalid, Fault::Host, "the host\nis to blame").with_code("forged");
    let reason = types::Failure { host_ref: 4_711, ..failure.into() };
    raw::reject(&[Rejection { id: None, name: "a\nb".to_owned(), reason }])?;
    some(&["first".to_owned()])
}
