//! What the work needs from whoever started it.

use syncline_domain::{Failure, Name, RelPath, operation::Operation};

/// Code of the `Stopped` failure by which [`Observer::keep_going`] says that somebody else may own the run by now. From
/// then on nothing at a target is touched any more, not even to put it in order: the folders and temporary files there
/// may be those of the new owner. Only scratch files of this very attempt, whose names nobody else has, still go. After
/// any other failure, what was begun is left in order.
pub const LEASE_LOST: &str = "lease";

/// Watches the work and can stop it. Called from several threads.
pub trait Observer: Sync {
    /// Asked before each change of a target and each MiB. A failure stops the work at the next safe point: no half file
    /// stands anywhere, and what was not done is reported as skipped with this failure. See also [`LEASE_LOST`].
    fn keep_going(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// So many more entries were looked at.
    fn scanned(&self, _entries: u64) {}

    /// So many more bytes were written to targets.
    fn bytes(&self, _written: u64) {}

    /// Operations ended: each planned one exactly once, in batches, in no order.
    fn finished(&self, _operations: Vec<Operation>) {}

    /// A link or special file (`what`) was passed over.
    fn passed_over(&self, _store: &Name, _path: &RelPath, _what: &str) {}
}

/// An observer that lets everything pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// What all steps take.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Who watches.
    pub observer: &'a dyn Observer,
    /// Threads that walk and compare; 0 for as many as the machine runs at once, and at least 2.
    pub threads: usize,
}

impl<'a> Context<'a> {
    /// As many threads as suit the machine.
    pub fn new(observer: &'a dyn Observer) -> Self {
        Self { observer, threads: 0 }
    }
}

/// `asked`, or as many threads as the machine runs at once and at least 2.
pub(crate) fn threads(asked: usize) -> usize {
    if asked > 0 { asked } else { std::thread::available_parallelism().map_or(2, |n| n.get().max(2)) }
}
