//! Tests of the sandbox with guests written as core WebAssembly text, so that each does exactly one thing. Those of world
//! `device-policy` are built by `make guests plugins`: what they are asked and answer is too rich for text.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails like the test itself")]

mod calls;
mod code;
mod guests;
mod inspection;
mod limits;
mod policies;
mod support;
