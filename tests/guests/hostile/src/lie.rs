//! Behaviours that break the rules of the contract.

use syncline_plugin::{FailureKind, Fault, prelude::*, raw::syncline::plugin as raw};

pub(crate) fn panic() {
    panic!("as the settings asked for");
}

pub(crate) fn unreachable() {
    std::process::abort();
}

pub(crate) fn target() -> Result<()> {
    Content::of("x")?.declare("x", 0, ["not-a-target"])
}

pub(crate) fn empty_targets() -> Result<()> {
    Content::of("x")?.declare("x", 0, [""; 0])
}

pub(crate) fn conflict() -> Result<()> {
    let targets = targets();
    Content::of("one")?.declare("conflict.txt", 0, &targets)?;
    Content::of("two")?.declare("conflict.txt", 0, &targets)
}

pub(crate) fn bad_pattern() -> Result<()> {
    Prune::below("").keeping(["a[", "{"]).declare(targets())
}

pub(crate) fn unknown_format() -> Result<()> {
    let targets: Vec<_> = targets().into_iter().map(|target| target.name).collect();
    Ok(raw::desired_files::declare_inventory(&targets, "list.xml", "", "xml", 1)?)
}

pub(crate) fn bad_stage() -> Result<()> {
    Content::of("x")?.declare("x", 16, targets())
}

/// With a number that the host never gave out, and the host's name on it.
pub(crate) fn forged_failure() -> Failure {
    let kind = FailureKind::Unavailable;
    let (code, message) = ("forged".to_owned(), "the host is to blame".to_owned());
    raw::types::Failure { kind, fault: Fault::Host, code, message, retry_after: None, host_ref: 4_711 }.into()
}
