//! Words, states and rules of Syncline, without any input or output.
//!
//! Where to look:
//!
//! * who and what: [`ids`], [`name`], [`path`], [`access`]
//! * what went wrong and who has to act: [`failure`]
//! * what an administrator registers: [`plugin`], [`place`], [`server`], [`sync`], [`schedule`],
//!   [`secret`]
//! * what a plugin declares: [`declaration`]
//! * directories and what is read from them: [`directory`]
//! * what may be connected to: [`address`], [`origin`]
//! * devices, their policies and what becomes of them: [`device`]
//! * what a plugin decides for devices: [`policy`]
//! * what happens: [`run`], [`operation`], [`guard`], [`event`], [`log`]
//!
//! Time is never read here: whatever needs it takes a [`jiff::Timestamp`] or a [`clock::Clock`].

pub mod access;
pub mod address;
pub mod clock;
pub mod declaration;
pub mod device;
pub mod directory;
pub mod event;
pub mod failure;
pub mod guard;
pub mod ids;
pub mod log;
pub mod name;
pub mod operation;
pub mod origin;
pub mod path;
pub mod place;
pub mod plugin;
pub mod policy;
pub mod refresh;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod server;
pub mod sync;
mod word;

pub use failure::{Failure, FailureKind, Fault};
pub use name::Name;
pub use path::RelPath;
