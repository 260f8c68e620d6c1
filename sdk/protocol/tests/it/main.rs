//! The crate as its two sides see it.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod golden_agent;
mod golden_items;
mod golden_server;
mod properties;

use std::fmt::Debug;

use prost::Message;

/// Whether `message` has the bytes that another encoder gave to it, both ways.
#[track_caller]
fn golden<M: Message + Default + PartialEq + Debug>(message: &M, bytes: &str) {
    let bytes = hex::decode(bytes).unwrap();
    assert_eq!(&M::decode(bytes.as_slice()).unwrap(), message);
    assert_eq!(hex::encode(message.encode_to_vec()), hex::encode(bytes));
}
