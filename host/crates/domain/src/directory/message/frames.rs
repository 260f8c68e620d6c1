//! Where one message ends and the next begins.

use super::{
    BadMessage,
    ber::{self, SEQUENCE},
};

/// Bytes of the message that `bytes` begins with; none if that cannot be told yet.
fn frame(bytes: &[u8]) -> Result<Option<usize>, BadMessage> {
    match bytes.first() {
        None => return Ok(None),
        Some(&SEQUENCE) => {}
        Some(&tag) => return Err(BadMessage::NoMessage(tag)),
    }
    Ok(ber::head(bytes)?.map(|head| head.bytes + head.content))
}

/// Cuts what comes over a connection, in pieces of whatever size, into whole LDAPMessages. It holds at most what it was fed
/// and not asked for: whoever feeds it takes all there is before feeding more.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    /// What is before this was taken.
    start: usize,
}

impl Frames {
    /// Bytes that came.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole messages, one after the other: as many as there are and fit in `max` bytes. A larger one comes alone.
    /// None if more bytes are needed.
    ///
    /// # Errors
    ///
    /// What comes next is no message of at most [`MAX_MESSAGE`](super::MAX_MESSAGE) bytes, and nobody can tell where the one
    /// after it would begin: the connection has to end. Messages before it are given out first.
    pub fn take(&mut self, max: usize) -> Result<Option<Vec<u8>>, BadMessage> {
        let waiting = &self.buffer[self.start..];
        let mut whole = 0;
        loop {
            let next = match frame(&waiting[whole..]) {
                Ok(Some(length)) if length <= waiting.len() - whole => whole + length,
                Err(bad) if whole == 0 => return Err(bad),
                _ => break,
            };
            if next > max && whole > 0 {
                break;
            }
            whole = next;
        }
        if whole == 0 {
            return Ok(None);
        }
        let messages = waiting[..whole].to_vec();
        self.start += whole;
        Ok(Some(messages))
    }

    /// Bytes that were fed and not taken. Where a connection ends while there are some, it ended within a message.
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.start
    }
}

/// The messages in `bytes`, which holds whole ones, one after the other. It ends with the first that is none.
pub fn split(bytes: &[u8]) -> Split<'_> {
    Split(bytes)
}

/// See [`split`].
#[derive(Debug, Clone)]
pub struct Split<'a>(&'a [u8]);

impl<'a> Iterator for Split<'a> {
    type Item = Result<&'a [u8], BadMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        match frame(bytes) {
            Ok(Some(length)) if length <= bytes.len() => {
                let (message, rest) = bytes.split_at(length);
                self.0 = rest;
                Some(Ok(message))
            }
            Ok(_) => Some(Err(BadMessage::Truncated)),
            Err(bad) => Some(Err(bad)),
        }
    }
}
