//! The real agent against a small server, with faults on both sides and between them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails and tells like the test itself"
)]

mod apply;
mod connect;
mod device;
mod kill;
mod server;
mod talk;
