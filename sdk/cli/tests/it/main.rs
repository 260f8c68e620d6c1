//! The tool as an author uses it: from `new` to a package, its refusals, and what it hands to the host's program.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod building;
mod host;
mod support;
