//! `desired-directory`: what a directory has. Checked here as far as one declaration can be checked by itself, then handed to
//! the host's [`DirectorySink`]; what it means together is decided when the plugin has ended.

mod entries;

use syncline_domain::{
    Failure,
    directory::{EntryId, Rejection},
    plugin::Capability,
};

use super::{Refusal, batch, not_granted};
use crate::{
    bindings::directory_sync::syncline::plugin::{
        desired_directory::{self as wit, Host},
        directory_types,
    },
    call::{Call, grants},
    host::DirectorySink,
    outcome::returned,
    text::visible,
};

/// The interface, as grants call it.
pub(crate) const INTERFACE: &str = "desired-directory";
/// The interface, as components import it.
pub(crate) const IMPORT: &str = "syncline:plugin/desired-directory@0.1.0";

/// Most bytes that the declarations of a run take, roughly. A million people take about half of it.
const MAX_DECLARED: usize = 1 << 30;
/// Bytes of what a rejected thing is called.
const REJECTED_NAME: usize = 1_024;

/// Where declarations of this call go, and how many there were.
#[derive(Default)]
pub(crate) struct DesiredDirectoryContext {
    granted: bool,
    sink: Option<Box<dyn DirectorySink>>,
    complete: bool,
    declared: usize,
}

impl DesiredDirectoryContext {
    pub(crate) fn new(sink: Box<dyn DirectorySink>, allowed: &[Capability]) -> Self {
        let granted = grants(allowed, INTERFACE).next().is_some();
        Self { granted, sink: Some(sink), ..Self::default() }
    }

    /// The sink, once there is nothing more to come.
    pub(crate) fn take(&mut self) -> Result<Box<dyn DirectorySink>, Failure> {
        self.sink.take().ok_or_else(without_sink)
    }

    /// Before each declaration of so many things.
    fn open(&mut self, what: &str, items: usize) -> Result<&mut Box<dyn DirectorySink>, Failure> {
        if !self.granted {
            return Err(not_granted(INTERFACE));
        }
        if self.complete {
            let message = format!(
                "{items} {what} were declared after `complete`: that is the last word of a run, so declare all before it"
            );
            return Err(Failure::plugin("complete", message));
        }
        batch(what, items)?;
        self.sink.as_mut().ok_or_else(without_sink)
    }

    /// Makes sure that the host has room for so many bytes.
    fn charge(&mut self, bytes: usize) -> Result<(), Failure> {
        let declared = self.declared.saturating_add(bytes);
        if declared > MAX_DECLARED {
            let message = format!(
                "the declarations of this run take more than {MAX_DECLARED} bytes: read fewer attributes, or split the \
                 directory into several sources"
            );
            return Err(Failure::plugin_limit("declared", message));
        }
        self.declared = declared;
        Ok(())
    }

    fn ids(&mut self, what: &str, ids: Vec<String>) -> Result<Vec<EntryId>, Failure> {
        self.open(what, ids.len())?;
        self.charge(ids.iter().map(|id| entries::ITEM + id.len()).sum())?;
        ids.into_iter().map(entries::id).collect()
    }
}

fn without_sink() -> Failure {
    Failure::host("sandbox", "what the plugin declares of a directory has nowhere to go")
}

impl Host for Call {
    fn put(&mut self, entries: Vec<directory_types::Entry>) -> Result<(), Refusal> {
        self.begin()?;
        let context = &mut self.desired_directory;
        context.open("entries", entries.len())?;
        let entries = entries.into_iter().map(entries::entry).collect::<Result<Vec<_>, _>>()?;
        context.charge(entries.iter().map(entries::size).sum())?;
        Ok(context.open("entries", entries.len())?.put(entries)?)
    }

    fn put_members(&mut self, memberships: Vec<wit::Membership>) -> Result<(), Refusal> {
        self.begin()?;
        let context = &mut self.desired_directory;
        context.open("memberships", memberships.len())?;
        let memberships = memberships.into_iter().map(entries::membership).collect::<Result<Vec<_>, _>>()?;
        context.charge(memberships.iter().map(entries::membership_size).sum())?;
        Ok(context.open("memberships", memberships.len())?.put_members(memberships)?)
    }

    fn present(&mut self, ids: Vec<String>) -> Result<(), Refusal> {
        self.begin()?;
        let context = &mut self.desired_directory;
        let ids = context.ids("ids", ids)?;
        Ok(context.open("ids", ids.len())?.present(ids)?)
    }

    fn gone(&mut self, ids: Vec<String>) -> Result<(), Refusal> {
        self.begin()?;
        let context = &mut self.desired_directory;
        let ids = context.ids("ids", ids)?;
        Ok(context.open("ids", ids.len())?.gone(ids)?)
    }

    fn reject(&mut self, rejections: Vec<wit::Rejection>) -> Result<(), Refusal> {
        self.begin()?;
        let context = &mut self.desired_directory;
        context.open("rejections", rejections.len())?;
        let given = &self.given;
        let rejection = |rejection: wit::Rejection| {
            let id = rejection.id.map(entries::id).transpose()?;
            let (name, reason) = (visible(&rejection.name, REJECTED_NAME), returned(rejection.reason, given));
            Ok(Rejection { id, name, reason })
        };
        let rejections = rejections.into_iter().map(rejection).collect::<Result<Vec<_>, Failure>>()?;
        let size = |one: &Rejection| entries::ITEM + one.name.len() + one.reason.message.len();
        context.charge(rejections.iter().map(size).sum())?;
        Ok(context.open("rejections", rejections.len())?.reject(rejections)?)
    }

    fn complete(&mut self) -> Result<(), Refusal> {
        self.begin()?;
        let context = &mut self.desired_directory;
        context.open("ends", 1)?.complete()?;
        context.complete = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
