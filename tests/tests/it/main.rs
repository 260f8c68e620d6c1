//! The end-to-end tests: one binary, a module a feature, real servers as processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails like the test itself"
)]

mod architecture;
mod copy;
mod device_commands;
mod devices;
mod directory;
mod directory_commands;
mod distribution;
mod guard;
mod history;
mod hostile;
mod kill;
mod nodes;
mod operations;
mod plugins;
mod publishing;
mod refresh;
mod reports;
mod schedules;
mod stores;
mod stranger;
