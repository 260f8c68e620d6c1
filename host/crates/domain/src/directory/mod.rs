//! Directories: what is read from them, and what becomes of it here.
//!
//! * [`entry`]: people, groups, computers and units as a plugin declares them
//! * [`source`]: a directory server as an administrator registers it
//! * [`message`]: what is said to and by such a server, as far as the host looks into it
//! * [`report`]: what a connection test of one found
//! * [`import`]: what an administrator sets of an import
//! * [`link`]: how an entry stands to a user, and the only way from one state to the next
//! * [`person`]: what a user takes over of an entry; [`nesting`]: groups in groups
//! * [`record`]: sources and entries as they are kept

pub mod entry;
pub mod import;
pub mod link;
pub mod message;
pub mod nesting;
pub mod person;
pub mod record;
pub mod report;
pub mod source;

pub use entry::{
    Attribute, BadEntryId, Entry, EntryId, EntryKind, Membership, MembershipChange, Reference, Rejection,
    Value,
};
pub use import::{ImportMode, ImportSpec, Placement};
pub use link::{Becomes, Happening, LinkState, UserBecomes};
pub use person::{Given, Origin, Person};
pub use record::{DirectorySource, EntryRecord, RejectionRecord};
pub use report::{ServerFacts, TestReport, TestStep, TestedStep};
pub use source::{DirectoryKind, Security, SourceSpec};
