//! Tests of the sandbox with guests written as core WebAssembly text, so that each does exactly one thing.

mod calls;
mod code;
mod guests;
mod inspection;
mod limits;
mod support;
