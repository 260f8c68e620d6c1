//! The ways of finding what changed. Each reads a source in full at first and leaves the [`Place`] where it goes on.
//!
//! | method | changes are | what is gone is |
//! | --- | --- | --- |
//! | [`syncrepl`] | told by the server | told by the server, or what it does not name as still there |
//! | [`dirsync`] | told by the server, then read | told as deleted, or found by its ids |
//! | [`usn`] | what has a higher number | among the deleted objects, or found by its ids |
//! | [`timestamp`] | what has a later time | found by the ids of all |
//! | [`full`] | everything | what is not there |
//!
//! To add one: a module with `all` and `changes`, a case of [`Place`] and of the setting `method`, and its place in
//! `run::candidates`.

pub(crate) mod dirsync;
pub(crate) mod full;
pub(crate) mod present;
pub(crate) mod syncrepl;
pub(crate) mod timestamp;
pub(crate) mod usn;

use crate::{
    connection::{Client, Search},
    cursor::Place,
    plan::Plan,
    root::Root,
    taker::Taker,
};

/// A source that is being read.
pub(crate) struct Reader<'a> {
    pub(crate) client: &'a mut Client,
    pub(crate) root: &'a Root,
    pub(crate) plan: &'a Plan,
    pub(crate) taker: Taker<'a>,
}

/// What a read of changes came to.
#[derive(Debug)]
pub(crate) enum Changes {
    /// All that changed is declared, and the rest stays.
    Listed(Place),
    /// All that is there was put or named as present: the rest is gone.
    Whole(Place),
    /// The server cannot go on from there, or something says that more changed than it tells: why.
    Refused(String),
}

/// With the controls that go with each search of a source.
pub(crate) fn of_source(plan: &Plan, mut search: Search) -> Search {
    search.controls.extend(plan.controls.iter().cloned());
    search
}
