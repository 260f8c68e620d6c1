//! From bytes to a message and back, within a limit.
//!
//! * Over WebSocket, a message has a header in front: [`encode`], [`decode`] (section "WebSocket Message Format").
//! * Over plain HTTP, the body is the message: [`encode_body`], [`decode_body`] (section "Plain HTTP Transport").
//!
//! Limits are of the whole WebSocket message or body, after decompression and before compression (sections "WebSocket Message
//! Size Limits", "Plain HTTP Message Size Limits"). Whoever decompresses must stop at the limit: here is too late for that.
//!
//! A limit on bytes is a looser one on memory: an empty element of a list is two bytes in a message, and up to
//! [`AMPLIFICATION`] times as much decoded. Whoever takes messages from many sets the limit with that in mind. Nesting is limited to 100 levels.

use prost::{DecodeError, Message};

/// What the specification recommends as each limit: 64 MiB. A server with many devices does well to take less.
pub const RECOMMENDED_LIMIT: usize = 64 * 1024 * 1024;

/// How many times its size a hostile message can take in memory once decoded; while a list grows, for a moment, three times
/// that.
pub const AMPLIFICATION: usize = 64;

/// The content type of requests and answers over plain HTTP, letter by letter: clients compare it.
pub const CONTENT_TYPE: &str = "application/x-protobuf";

/// The status code that a WebSocket is closed with after [`FrameError::TooLarge`]: "Message Too Big".
pub const CLOSE_TOO_LARGE: u16 = 1009;

/// The one header that is defined.
const HEADER: u8 = 0;

/// Most bytes that a header can have.
const LONGEST_HEADER: usize = 10;

/// Why bytes are no message, or a message must not be sent. To the protocol all are malformed; see `TooLarge` for how it is
/// answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// Over the limit. WebSocket: close with [`CLOSE_TOO_LARGE`]. HTTP: 413. When sending: don't.
    #[error("a message of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Of the whole frame or body, in bytes.
        size: usize,
        /// In bytes.
        limit: usize,
    },
    /// The frame ends before its header does. (A header with nothing behind is the empty message, and valid.)
    #[error("the message ends before its header does")]
    Truncated,
    /// The header is reserved for later versions of the protocol.
    #[error("the header of the message is {0}, only 0 is defined")]
    Header(u64),
    /// The header is no unsigned integer of 64 bits.
    #[error("the header of the message is longer than 64 bits")]
    LongHeader,
    /// What follows is not the message.
    #[error("the message is not valid protobuf: {0}")]
    Protobuf(#[from] DecodeError),
}

/// Makes the WebSocket message. Fails with [`FrameError::TooLarge`] only.
pub fn encode(message: &impl Message, limit: usize) -> Result<Vec<u8>, FrameError> {
    let size = message.encoded_len().saturating_add(1);
    within(size, limit)?;
    let mut frame = Vec::with_capacity(size);
    frame.push(HEADER);
    // Fails only where the buffer can't take it, and this one grows.
    message.encode(&mut frame).map_err(|_| FrameError::TooLarge { size, limit })?;
    Ok(frame)
}

/// Reads a whole WebSocket message.
pub fn decode<M: Message + Default>(frame: &[u8], limit: usize) -> Result<M, FrameError> {
    within(frame.len(), limit)?;
    match header(frame)? {
        (0, data) => Ok(M::decode(data)?),
        (reserved, _) => Err(FrameError::Header(reserved)),
    }
}

/// Makes the body of an HTTP request or answer. Fails with [`FrameError::TooLarge`] only.
pub fn encode_body(message: &impl Message, limit: usize) -> Result<Vec<u8>, FrameError> {
    within(message.encoded_len(), limit)?;
    Ok(message.encode_to_vec())
}

/// Reads the body of an HTTP request or answer, decompressed.
pub fn decode_body<M: Message + Default>(body: &[u8], limit: usize) -> Result<M, FrameError> {
    within(body.len(), limit)?;
    Ok(M::decode(body)?)
}

fn within(size: usize, limit: usize) -> Result<(), FrameError> {
    if size > limit { Err(FrameError::TooLarge { size, limit }) } else { Ok(()) }
}

/// Reads the header, a base 128 varint, and counts it off. Zero may be written in more than one byte.
fn header(frame: &[u8]) -> Result<(u64, &[u8]), FrameError> {
    let mut value = 0_u64;
    for (at, byte) in frame.iter().enumerate().take(LONGEST_HEADER) {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * at;
        if (bits << shift) >> shift != bits {
            return Err(FrameError::LongHeader);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok((value, &frame[at + 1..]));
        }
    }
    Err(if frame.len() < LONGEST_HEADER { FrameError::Truncated } else { FrameError::LongHeader })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::{Application, Item};
    use crate::opamp::{
        AgentConfigFile, AgentToServer, ComponentHealth, Header, KeyValue, PackageStatus, ServerToAgent,
    };

    /// An element of a list can be two bytes, a tag and a length of 0; one of a map has a key of its own, so some eight, and
    /// the nodes of the tree are half empty at worst.
    #[test]
    fn nothing_grows_more_than_it_is_said_to() {
        let lists = [size_of::<KeyValue>(), size_of::<Header>(), size_of::<Item>(), size_of::<Application>()];
        let maps = [size_of::<PackageStatus>(), size_of::<ComponentHealth>(), size_of::<AgentConfigFile>()];
        for size in lists {
            assert!(size <= 2 * AMPLIFICATION, "{size}");
        }
        for size in maps {
            assert!(2 * (size + size_of::<String>()) <= 8 * AMPLIFICATION, "{size}");
        }
    }

    fn message() -> AgentToServer {
        AgentToServer { instance_uid: vec![1; 16], sequence_num: 3, ..AgentToServer::default() }
    }

    #[test]
    fn a_frame_is_a_zero_and_the_body() {
        let frame = encode(&message(), 100).unwrap();
        let body = encode_body(&message(), 100).unwrap();
        assert_eq!((frame[0], &frame[1..]), (0, body.as_slice()));
        assert_eq!(decode::<AgentToServer>(&frame, 100), Ok(message()));
        assert_eq!(decode_body::<AgentToServer>(&body, 100), Ok(message()));
    }

    #[test]
    fn a_header_alone_is_the_empty_message() {
        assert_eq!(decode(&[0], 1), Ok(ServerToAgent::default()));
        assert_eq!(decode(&[0x80, 0x80, 0], 3), Ok(ServerToAgent::default()));
        let longest = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0];
        assert_eq!(decode(&longest, 10), Ok(ServerToAgent::default()));
        assert_eq!(decode_body(&[], 0), Ok(ServerToAgent::default()));
    }

    #[test]
    fn other_headers_are_malformed() {
        let check = |frame: &[u8], error| assert_eq!(decode::<AgentToServer>(frame, 100), Err(error));
        check(&[], FrameError::Truncated);
        check(&[0x80], FrameError::Truncated);
        check(&[0xff; 9], FrameError::Truncated);
        check(&[1], FrameError::Header(1));
        check(&[0x80, 1, 9, 9], FrameError::Header(128));
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], FrameError::Header(u64::MAX));
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], FrameError::LongHeader);
        check(&[0x80; 10], FrameError::LongHeader);
        check(&[0x80; 40], FrameError::LongHeader);
    }

    #[test]
    fn the_limit_holds_both_ways_and_to_the_byte() {
        let frame = encode(&message(), 21).unwrap();
        assert_eq!(frame.len(), 21);
        let over = FrameError::TooLarge { size: 21, limit: 20 };
        assert_eq!(encode(&message(), 20), Err(over.clone()));
        assert_eq!(decode::<AgentToServer>(&frame, 20), Err(over));
        let over = FrameError::TooLarge { size: 20, limit: 19 };
        assert_eq!(encode_body(&message(), 19), Err(over.clone()));
        assert_eq!(decode_body::<AgentToServer>(&frame[1..], 19), Err(over));
    }

    #[test]
    fn what_is_no_protobuf_is_said_so() {
        let frame = encode(&message(), 100).unwrap();
        let cut = decode::<AgentToServer>(&frame[..10], 100);
        assert!(matches!(cut, Err(FrameError::Protobuf(_))), "{cut:?}");
        let text = decode_body::<AgentToServer>(b"GET / HTTP/1.1", 100);
        assert!(matches!(text, Err(FrameError::Protobuf(_))), "{text:?}");
    }

    /// A component in a component in a component ...: each level costs a few bytes, and would cost a stack frame.
    #[test]
    fn bottomless_nesting_is_refused() {
        let mut health = Vec::new();
        for _ in 0..500 {
            health = nested(&[0x32], &nested(&[0x12], &health));
        }
        let body = nested(&[0x2a], &health);
        assert!(matches!(decode_body::<AgentToServer>(&body, 10_000), Err(FrameError::Protobuf(_))));
    }

    fn nested(tag: &[u8], inner: &[u8]) -> Vec<u8> {
        let mut bytes = tag.to_vec();
        prost::encode_length_delimiter(inner.len(), &mut bytes).unwrap();
        bytes.extend_from_slice(inner);
        bytes
    }
}
