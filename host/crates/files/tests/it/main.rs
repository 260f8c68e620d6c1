//! What the crate promises, on real folders and through its public face alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails like the test itself"
)]

mod copies_of_others;
mod copying;
mod damage;
mod declarations;
mod harness;
mod hostile;
mod intake;
mod lease;
mod marks;
mod nested;
mod reading;
mod resume;
mod stages;
mod trouble;
