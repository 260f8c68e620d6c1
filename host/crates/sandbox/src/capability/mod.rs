//! What a plugin can call: one file for each WIT interface, with its context (what was bound and what was said so far)
//! and its functions.
//!
//! Each function does three things in this order: authorise, validate, work. What all of them need is here: the count of
//! calls ([`Call::begin`]), the bytes of a call ([`Call::carry`]), handles ([`Call::hold`]), and how a failure reaches the
//! guest ([`Refusal`]).

pub(crate) mod clock;
pub(crate) mod desired_directory;
pub(crate) mod desired_files;
pub(crate) mod http;
pub(crate) mod ldap;
pub(crate) mod log;
pub(crate) mod progress;
pub(crate) mod settings;
pub(crate) mod stores;

use std::collections::VecDeque;

use syncline_domain::{Failure, FailureKind, RelPath};
use wasmtime::component::{Resource, ResourceTableError};

use crate::{
    bindings::{
        directory_sync::syncline::plugin::directory_types,
        syncline::plugin::{file_types, types},
    },
    call::Call,
    limits::Limit,
};

/// Most items of a batch.
pub(crate) const BATCH: usize = 4_096;

/// A label of a source or target: name and value.
pub(crate) type Label = (String, String);

/// Why a function does not do what was asked: the guest is told, or it ends.
#[derive(Debug)]
pub enum Refusal {
    /// The guest gets this as the function's result.
    Failure(Failure),
    /// The instance ends.
    End(wasmtime::Error),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<wasmtime::Error> for Refusal {
    fn from(error: wasmtime::Error) -> Self {
        Self::End(error)
    }
}

impl From<Limit> for Refusal {
    fn from(limit: Limit) -> Self {
        Self::End(limit.into())
    }
}

impl From<ResourceTableError> for Refusal {
    fn from(error: ResourceTableError) -> Self {
        Self::End(error.into())
    }
}

/// The failures that a guest was given, by their number, so that one that it passes on is recognised.
#[derive(Debug, Default)]
pub(crate) struct GivenFailures {
    latest: VecDeque<Failure>,
    count: u32,
}

impl GivenFailures {
    /// A guest that makes failures without end must not fill the host's memory with them.
    const KEPT: usize = 1_024;

    /// Its number: from 1.
    pub(crate) fn note(&mut self, failure: &Failure) -> u32 {
        if self.latest.len() == Self::KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(failure.clone());
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// The failure with this number, if it is one of the latest.
    pub(crate) fn by_ref(&self, host_ref: u32) -> Option<&Failure> {
        let back = usize::try_from(self.count.checked_sub(host_ref)?).ok()?;
        let at = self.latest.len().checked_sub(1)?.checked_sub(back)?;
        self.latest.get(at)
    }
}

impl Call {
    /// Counts a call of the host. Every function begins with it.
    fn begin(&mut self) -> wasmtime::Result<()> {
        self.calls += 1;
        if self.calls > self.limits.calls { Err(Limit::Calls(self.limits.calls).into()) } else { Ok(()) }
    }

    /// To be asked before `bytes` are given to the guest.
    fn carry(&self, bytes: usize) -> wasmtime::Result<()> {
        let limit = self.limits.call_bytes;
        if bytes as u64 > limit { Err(Limit::CallBytes(limit).into()) } else { Ok(()) }
    }

    /// A handle for `entry`, if the guest does not hold too many.
    fn hold<T: Send + 'static>(&mut self, entry: T) -> Result<Resource<T>, Limit> {
        self.table.push(entry).map_err(|_| Limit::Handles(self.limits.handles))
    }
}

impl types::Host for Call {
    fn convert_failure(&mut self, refusal: Refusal) -> wasmtime::Result<types::Failure> {
        let failure = match refusal {
            Refusal::Failure(failure) => failure,
            Refusal::End(error) => return Err(error),
        };
        let host_ref = self.given.note(&failure);
        Ok(types::Failure {
            kind: failure.kind.into(),
            fault: failure.fault.into(),
            code: failure.code,
            message: failure.message,
            retry_after: failure.retry_after_ms,
            host_ref,
        })
    }
}

impl file_types::Host for Call {}
impl directory_types::Host for Call {}

/// A path from a guest.
fn path(text: String) -> Result<RelPath, Failure> {
    RelPath::new(text).map_err(|error| Failure::plugin("path", error.to_string()))
}

fn labels(labels: &[Label]) -> Vec<types::Label> {
    labels.iter().map(|(name, value)| types::Label { name: name.clone(), value: value.clone() }).collect()
}

/// At most [`BATCH`] items.
fn batch(what: &str, items: usize) -> Result<(), Failure> {
    if items <= BATCH {
        return Ok(());
    }
    let message = format!("{items} {what} in one call: use batches of at most {BATCH}");
    Err(Failure::plugin_limit("batch", message))
}

/// What a plugin hears that was not granted an interface at all.
fn not_granted(interface: &str) -> Failure {
    Failure::new(
        FailureKind::Denied,
        syncline_domain::Fault::Settings,
        "grant",
        format!(
            "the plugin was not granted `{interface}`: if its manifest asks for it, an administrator can grant it"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_failures_the_latest_are_known_by_their_number() {
        let mut given = GivenFailures::default();
        assert_eq!(given.by_ref(0), None);
        assert_eq!(given.by_ref(1), None);
        let refs: Vec<_> = (0..2_000).map(|n| given.note(&Failure::host("x", n.to_string()))).collect();
        assert_eq!((refs[0], refs[1_999]), (1, 2_000));
        assert_eq!(given.by_ref(1), None);
        assert_eq!(given.by_ref(977).unwrap().message, "976");
        assert_eq!(given.by_ref(976), None);
        assert_eq!(given.by_ref(2_000).unwrap().message, "1999");
        assert_eq!(given.by_ref(2_001), None);
        assert_eq!(given.by_ref(0), None);
    }
}
