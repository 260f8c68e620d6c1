//! The API as its callers see it: a real engine on a database in a temporary folder, a request in, an answer out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails like the test itself"
)]

mod access;
mod conditional;
mod devices;
mod events;
mod harness;
mod input;
mod lists;
mod once;
mod plugins;
mod problems;
mod roles;
mod runs;
mod schedules;
mod server;
mod setup;
