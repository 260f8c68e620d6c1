//! State of a Syncline node or cluster, in SQLite (one node) or PostgreSQL (several).
//!
//! All of it is behind [`Db`], whose methods are named for what they mean; SQL stands nowhere else. Where to look:
//!
//! * opening, migrating, transactions: `db.rs`; what went wrong: [`Error`]; long lists: [`Page`] and [`Listed`]
//! * what an administrator registers: `plugins.rs`, `places.rs` (stores and collections), `servers.rs`, `syncs.rs`,
//!   `schedules/`, `secrets.rs` with [`SecretKey`], `tokens.rs`
//! * runs: `runs/mod.rs` (queue, look up), `runs/claim.rs` (claim, heartbeat, locks), `runs/attempt.rs` (begin, progress,
//!   end), `runs/lease.rs` (leases that are over), `runs/decide.rs` (approve, reject, cancel), `runs/history.rs`
//!   (operations, log, attempts)
//! * devices, policies, deliveries: `devices/mod.rs`
//! * directories and what was read from them: `directory/mod.rs`
//! * what happened: `events.rs`
//! * for the machinery: `nodes.rs`, `digests.rs`, `requests.rs`, `admin.rs`, `offline.rs`
//! * how one SQL text runs on both engines, and where they differ: `dialect.rs`; rows as domain types: `row.rs`
//!
//! What always holds:
//!
//! * A change and its events are one transaction; so are a change and the work that it starts.
//! * Events have no gaps in their numbers, and follow the order of commits.
//! * Every write of a node that has a run names run, node and fencing token: after a lost lease it is [`Error::Fenced`].
//! * A state changes only as [`syncline_domain::run::RunState::can_become`] says, and from the state that was looked at.
//! * Times are microseconds in UTC: what is finer is cut off. Leases are compared with the database's clock alone.
//! * Transactions that touch several runs, or names that refer to each other, take a turn (`dialect::Turn`) first and event
//!   numbers last, so that no two wait for each other for ever.
//!
//! # To add an aggregate
//!
//! 1. Put its types into `syncline-domain`.
//! 2. Add a migration `migrations/NNNN_what.sql`, one text for both engines (see the head of the first). Never change
//!    one that was released.
//! 3. Add a module: a `columns!` list, an `impl Db` with methods that take a `NewEvent` where they change something, and
//!    one `parse` from row to domain type through `row::Columns`, which names table, column and row in its errors.
//! 4. Use `Db::read` for reading, `Db::begin` … `Tx::event` … `Tx::commit` for changes, `Db::write_once` for a single
//!    statement without an event. If an engine needs other words, they go into `dialect.rs`.
//! 5. Add a file in `tests/it/` whose tests run on both engines.

mod admin;
mod db;
mod devices;
mod dialect;
mod digests;
mod directory;
mod error;
mod events;
mod key;
mod nodes;
mod offline;
mod page;
mod places;
mod plugins;
mod readers;
mod refresh;
mod requests;
mod row;
mod runs;
mod schedules;
mod secrets;
mod servers;
mod syncs;
pub mod together;
mod tokens;

pub use db::Db;
pub use devices::{
    activation::{Activated, NewActivation},
    credentials::Accepted,
    deliveries::{DeliveryKey, Seen},
    documents::{Document, document_digest},
    enrolment::{Enrolling, NewEnrolment, NewEnrolmentToken},
    groups::GroupRecord,
    list::DeviceFilter,
    messages::NewMessage,
    news::{DeviceNews, Nodes},
    operations::ConcludedSyncs,
    outstanding::Outstanding,
    policies::PolicyChange,
    presence::{Contact, LastSequence},
    tasks::{NewTask, TaskAnswer},
    users::{NewUser, UserFilter},
};
pub use directory::{
    entries::EntryFilter,
    links::UserWrite,
    look::{DirectorySize, KnownEntry, KnownMember, Standing},
    people::{DirectoryUser, Holder, KnownPerson, Taken},
    reference_key,
    write::{DirectoryWriting, PutEntry, PutMember},
};
pub use error::{Error, Result};
pub use events::EventFilter;
pub use key::SecretKey;
pub use nodes::NodeRecord;
pub use offline::{known_schema, snapshot, stored_schema};
pub use page::{Listed, Page};
pub use refresh::Refresh;
pub use requests::{REMEMBERED_FOR, Remembered};
pub use runs::{
    Lock, NewRun, RunFilter,
    claim::{Claim, Heartbeat},
    history::{Attempt, OperationFilter},
    lease::MAX_LOSSES,
};
pub use schedules::fire::Fired;
pub use servers::{Backlog, ServerRemoval};
