//! What Syncline and its devices say to each other.
//!
//! The protocol is [OpAMP](https://github.com/open-telemetry/opamp-spec), version 0.18. Both ends use this crate; it does no
//! input or output and knows no transport. Docs that name a section name one of the specification.
//!
//! # Where to look
//!
//! * [`opamp`]: the messages of the specification, one file a topic, and the bits of capabilities and flags.
//! * [`frame`]: from a WebSocket message or an HTTP body to a message and back, within a limit.
//! * [`items`]: what the specification has no words for: our capability, carried in OpAMP's custom messages.
//! * [`hash`]: what tells one set of documents from another.
//! * [`InstanceUid`]: names one process of an agent.
//!
//! # Adding a field or message
//!
//! Of OpAMP: take name, number and type from the specification, and run `tests/it/golden` with bytes of an encoder that was
//! made from it. Of ours: in [`items`] take the next number that is free, never one that was used; what is not known is passed
//! over by an older peer, so a new item must make sense to be ignored.

pub mod frame;
pub mod hash;
pub mod items;
pub mod opamp;
mod uid;

pub use uid::{BadInstanceUid, InstanceUid};
