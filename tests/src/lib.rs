//! What the end-to-end tests and the benchmarks share: real servers as processes, on free ports, in temporary folders.
//!
//! * [`server`]: a `syncline serve` of one's own, killed or stopped as the test likes
//! * [`api`]: its HTTP API
//! * [`commands`]: the command line as its client
//! * [`devices`]: what it is asked about devices
//! * [`directory`]: directory servers: OpenLDAP, Samba, and one that misbehaves
//! * [`agent`]: our agent on devices of a test
//! * [`foreign`]: agents of others as processes; [`process`] is any process
//! * [`mirror`]: a web server that collections are refreshed from
//! * [`postgres`]: a PostgreSQL of one's own
//! * [`tree`]: folders with real files, and the question whether two of them are the same
//! * [`programs`]: where the binaries and plugins under test are
//!
//! Everything here panics with a message where something does not work: a test has nothing better to do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed helper is a failed test"
)]

pub mod agent;
pub mod api;
pub mod commands;
pub mod devices;
pub mod directory;
pub mod foreign;
pub mod mirror;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod server;
pub mod tree;
