//! Directories: where they are, what a run makes of what it read, and what people decide about it.
//!
//! * [`sources`]: directory sources, and the test of one; [`connect`]: the way to their servers; [`web`]: to those
//!   that speak SCIM
//! * [`sink`]: takes what a plugin declares, and drops at once what is known already
//! * [`import`]: one run's difference, written as one transaction or not at all; [`difference`]: of entries and memberships;
//!   [`people`]: what becomes of users; [`placement`]: which group they are put into
//! * [`entries`]: what people decide about entries

pub(crate) mod connect;
pub(crate) mod difference;
pub mod entries;
pub(crate) mod import;
pub(crate) mod people;
pub(crate) mod placement;
pub(crate) mod sink;
pub mod sources;
#[cfg(test)]
mod tests;
pub(crate) mod web;
