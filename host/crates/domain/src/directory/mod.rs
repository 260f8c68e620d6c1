//! Directories: what is read from them, and the servers that it is read from.
//!
//! * [`entry`]: people, groups, computers and units as a plugin declares them
//! * [`source`]: a directory server as an administrator registers it
//! * [`message`]: what is said to and by such a server, as far as the host looks into it
//! * [`report`]: what a connection test of one found

pub mod entry;
pub mod message;
pub mod report;
pub mod source;

pub use entry::{
    Attribute, BadEntryId, Entry, EntryId, EntryKind, Membership, MembershipChange, Reference, Rejection,
    Value,
};
pub use report::{ServerFacts, TestReport, TestStep, TestedStep};
pub use source::{DirectoryKind, Security, SourceSpec};
