//! Devices: what they are, what they should hold, and what became of that.
//!
//! Where to look:
//!
//! * the machine and where it sits: [`record`], [`group`]; how it gets in: [`enrolment`]
//! * what it should hold: [`policy`] (applications, policies, the order of their layers), [`selection`]
//! * one document on its way: [`delivery`] (of a [`document`]), whose `step` is the only way from one state to the next
//! * the colours: [`status`], one table for devices and one for users
//! * when it comes: [`spread`]; what a person starts or sends: [`operation`], [`task`], [`message`]; who uses it: [`user`],
//!   [`activation`]

pub mod activation;
pub mod agent;
pub mod comparison;
pub mod delivery;
pub mod document;
pub mod enrolment;
pub mod group;
pub mod message;
pub mod operation;
pub mod policy;
pub mod publication;
pub mod record;
pub mod selection;

pub mod spread;
pub mod status;
pub mod task;
pub mod user;

pub use delivery::{Deadlines, Delivery, DeliveryState, Observation, ReportStatus, Wanted, step};
pub use document::DocumentDigest;
pub use group::GroupPath;
pub use publication::{Publication, Scope};
pub use record::{Abilities, Device, DeviceState, SyncKind};
pub use status::{Colour, Status};
