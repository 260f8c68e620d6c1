//! The store on both engines: a module for each of its own, every test run on SQLite and on PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a helper of a test fails and tells like the test itself"
)]

mod claims;
mod crash;
mod decisions;
mod deliveries;
mod devices;
mod directories;
mod events;
mod fleet;
mod history;
mod lab;
mod leases;
mod machinery;
mod open;
mod places;
mod plugins;
mod postgres;
mod presence;
mod refreshes;
mod runs;
mod schedules;
mod secrets;
mod servers;
mod syncs;
mod tokens;
