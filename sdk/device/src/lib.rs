//! The agent of a device: keeps its applications at the documents that the server decides.
//!
//! # Where to look
//!
//! * [`config`]: the agent's configuration file; every path and command stands there.
//! * [`apply`]: from an offer to files that are checked, in use and reported, through any crash.
//! * [`client`]: OpAMP without input or output: what to say, and what the answers ask for.
//! * [`net`]: WebSocket and plain HTTP, TLS, proxy.
//! * [`agent`]: all of it together.
//! * [`local`]: what any user of the device can ask for.
//! * [`state`]: what the agent remembers.

pub mod agent;
pub mod apply;
pub mod backoff;
pub mod client;
pub mod clock;
pub mod config;
pub mod digest;
pub mod disk;
pub mod error;
pub mod facts;
pub mod local;
pub mod net;
mod owner;
pub mod state;
pub mod tasks;

pub use error::{Error, Result};
