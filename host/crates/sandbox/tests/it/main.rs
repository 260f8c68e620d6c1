//! Tests of the sandbox with guests written as core WebAssembly text, so that each does exactly one thing. Those of worlds
//! `device-policy` and `directory-sync` are built by `make guests plugins`: what they are asked and answer is too rich for text.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails like the test itself")]

mod calls;
mod code;
mod directories;
mod directory;
mod guests;
mod inspection;
mod limits;
mod policies;
mod support;
mod web;
