//! Stores of files: list, compare, copy, verify.
//!
//! The road of a run through this crate:
//!
//! 1. [`expand`]: declarations and [`Source`]s become an [`Intent`], which is what should stand on each target. Sources
//!    are walked to their end; conflicts show here, before anything is changed.
//! 2. [`diff()`]: each [`Target`] is compared with the intent; the [`TargetDiff`] is what the guard and a preview see.
//! 3. [`apply`]: differences are carried out in stages, from one read of each source file for all targets, looked at
//!    again, with removals last.
//!
//! Beside it: [`Source::list`], [`Source::info`] and [`Source::reader`] are what plugins see of a source. An [`Observer`]
//! watches and can stop the work; [`Digests`] is the memory of digests, which the caller keeps.
//!
//! All calls block, on plain threads. Failures name store and path, and say what to do.
//!
//! Where to look: `store` (what a store can do), `folder` (the one kind there is), `intent`, `diff`, `apply` (one module
//! each for the steps above), `intake` (files that a list names, from elsewhere), `inventory` (files that the host writes), `read`
//! (for plugins), `digests`, `globs`, `access` (rights), `pool`
//! (threads), `rate` (bytes a second), `errors` (system calls that fail).
//!
//! # What holds everywhere
//!
//! * Nothing outside a store's root is read or written, and no link is followed, whoever puts one where and when.
//! * A file appears under its name whole, or not at all: it is written in `.syncline/tmp` of its target and renamed.
//! * A store that is not there, or does not carry its mark, is unavailable and never empty. Nothing is made at its path.
//! * What cannot be read to its end is a failure and never a smaller result.
//! * A folder below a store's root that has a `.syncline` is another store. It is neither read nor changed by way of the
//!   outer one: what a walk comes upon is passed over, what a declaration names is refused.
//! * Nothing at a target is touched after the lease on the run was lost.
//!
//! # To add a kind of store
//!
//! 1. Add a module beside `folder` with types for [`Store`], [`Dir`], [`Reader`] and [`Writer`]. They block; a kind that
//!    talks to a network keeps its own runtime inside.
//! 2. Keep the promises written at each method of these traits. What matters most: `check` tells a store that is gone or
//!    another one; names come sorted; [`Writer::commit`] replaces a file in one step; `.syncline` at the root is its own.
//! 3. Give it an adoption with a mark, as `folder/mark.rs` has it.
//! 4. Run the tests in `tests/it` on it: they know stores through these traits alone, but for the damage they do.
//! 5. Add the kind to `syncline_domain::place::StoreKind`, and open it where the engine opens stores.

mod access;
mod apply;
mod context;
mod diff;
pub mod digests;
mod errors;
mod folder;
mod globs;
pub mod intake;
mod intent;
mod inventory;
mod pool;
mod rate;
mod read;
mod store;

pub use access::{Right, Tried, account, probe};
pub use apply::{ApplyOptions, apply};
pub use context::{Context, LEASE_LOST, Observer, Unobserved};
pub use diff::{DiffOptions, TargetDiff, diff};
pub use digests::{Digests, NoDigests};
pub use folder::{FolderOptions, FolderStore};
pub use intent::{Intent, expand::expand};
pub use read::{Listing, SourceFile, SourceReader};
pub use store::{
    Dir, EntryKind, Meta, Names, RESERVED, Reader, Source, Stamp, Store, Target, TempName, Writer,
};
