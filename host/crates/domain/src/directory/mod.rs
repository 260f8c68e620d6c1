//! Directories: what is read from them, and the servers that it is read from.
//!
//! * [`entry`]: people, groups, computers and units as a plugin declares them
//! * [`source`]: a directory server as an administrator registers it

pub mod entry;
pub mod source;

pub use entry::{
    Attribute, BadEntryId, Entry, EntryId, EntryKind, Membership, MembershipChange, Reference, Rejection,
    Value,
};
pub use source::{DirectoryKind, Security, SourceSpec};
