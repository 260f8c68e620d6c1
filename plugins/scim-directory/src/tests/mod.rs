//! The whole way on services in memory: those that do as they should, and those that do not.

mod memory;
mod misbehaving;
mod reading;

use memory::{Memory, Recorder};
