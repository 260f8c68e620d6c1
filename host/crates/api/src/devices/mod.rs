//! Devices and all that goes with them: one file a resource.

mod applications;
mod documents;
mod enrolment;
mod groups;
mod messages;
mod policies;
mod read;
mod selections;
mod subscriptions;
mod sync;
mod tasks;
mod user_import;
mod users;
mod write;

pub(crate) use applications::*;
pub(crate) use documents::*;
pub(crate) use enrolment::*;
pub(crate) use groups::*;
pub(crate) use messages::*;
pub(crate) use policies::*;
pub(crate) use read::*;
pub(crate) use selections::*;
pub(crate) use subscriptions::*;
pub(crate) use sync::*;
pub(crate) use tasks::*;
pub(crate) use user_import::*;
pub(crate) use users::*;
pub(crate) use write::*;
