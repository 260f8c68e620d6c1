//! Device management. One aggregate a file:
//!
//! * where devices sit and how they get in: [`groups`], [`enrolment`] (tokens), [`credentials`], [`registry`] (the devices),
//!   [`list`] (filters, pages, counts)
//! * what they should hold: [`applications`], [`policies`], [`selections`], [`documents`]
//! * what became of it: [`deliveries`], [`resolves`] (why there is no document), `publications` (what a run publishes),
//!   `unpublished` (what is not published yet), [`presence`] (contacts, in group commits), `status` (the colours, as stored)
//! * what people start: [`operations`], [`messages`], [`tasks`]; what nodes tell each other of devices: [`news`]; who uses devices: [`users`], [`activation`]
//!
//! Whatever sits in a group names its path without a reference that the database knows: it holds the group's row for
//! sharing while it writes the path, and a move or removal of a group changes that row.

pub(crate) mod activation;
pub(crate) mod applications;
mod contact;
pub(crate) mod credentials;
pub(crate) mod deliveries;
pub(crate) mod documents;
pub(crate) mod enrolment;
pub(crate) mod groups;
pub(crate) mod list;
pub(crate) mod messages;
pub(crate) mod news;
pub(crate) mod operations;
pub(crate) mod outstanding;
pub(crate) mod policies;
pub(crate) mod presence;
mod publications;
pub(crate) mod registry;
mod resolves;
pub(crate) mod selections;
mod status;
pub(crate) mod tasks;
mod unpublished;
pub(crate) mod users;

use syncline_domain::device::message::Message;

use crate::together::Queue;

/// What contacts of many devices write together.
#[derive(Default)]
pub(crate) struct Queues {
    messages: Queue<Message>,
    deliveries: Queue<deliveries::Few>,
    syncs: Queue<operations::Ended>,
}
