//! Bytes both ways, and messages out of them.

use std::io;

use syncline_domain::{
    Failure, FailureKind, Fault,
    directory::message::{BadMessage, Frames, MAX_MESSAGE},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What a read takes at once.
const CHUNK: usize = 64 << 10;

/// Bytes to and from a server: TCP, with or without TLS.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A connection on which whole messages come.
pub(crate) struct Wire {
    server: String,
    bytes: Box<dyn Bytes>,
    frames: Frames,
    chunk: Vec<u8>,
    /// Id of the host's last question.
    asked: i32,
}

impl Wire {
    /// `server` is what failures name.
    pub fn new(server: String, bytes: Box<dyn Bytes>) -> Self {
        Self { server, bytes, frames: Frames::default(), chunk: vec![0; CHUNK], asked: 0 }
    }

    /// The server's name in failures.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// An id for a question of the host itself.
    pub fn next_id(&mut self) -> i32 {
        self.asked += 1;
        self.asked
    }

    /// Writes all of it.
    pub async fn send(&mut self, messages: &[u8]) -> Result<(), Failure> {
        let written = async {
            self.bytes.write_all(messages).await?;
            self.bytes.flush().await
        };
        written.await.map_err(|error| closed(&self.server, &error))
    }

    /// The next whole messages, at least one: as many as have come and fit in `max`. May be dropped while it waits.
    pub async fn receive(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(messages) = self.frames.take(max).map_err(|bad| unreadable(&self.server, &bad))? {
                return Ok(messages);
            }
            // A read that is dropped has taken nothing, and what it took is fed at once.
            match self.bytes.read(&mut self.chunk).await {
                Ok(0) => return Err(self.ended()),
                Ok(read) => self.frames.feed(&self.chunk[..read]),
                Err(error) => return Err(closed(&self.server, &error)),
            }
        }
    }

    /// The bytes alone, to go on with TLS. Fails if anything has come that was not asked for: it came without
    /// protection, from anybody, and would be believed as if it had come with it (as CVE-2011-0411).
    pub fn into_bytes(self) -> Result<Box<dyn Bytes>, usize> {
        match self.frames.waiting() {
            0 => Ok(self.bytes),
            more => Err(more),
        }
    }

    /// Tells the other side that nothing more comes. Whether it heard makes no difference.
    pub async fn close(&mut self, last: &[u8]) {
        let _ = self.bytes.write_all(last).await;
        let _ = self.bytes.shutdown().await;
    }

    fn ended(&self) -> Failure {
        let server = &self.server;
        Failure::unavailable(
            "closed",
            match self.frames.waiting() {
                0 => format!("{server} closed the connection; see its log for why"),
                some => format!("{server} closed the connection {some} bytes into a message"),
            },
        )
    }
}

fn closed(server: &str, error: &io::Error) -> Failure {
    Failure::unavailable("closed", format!("the connection to {server} broke: {error}"))
}

fn unreadable(server: &str, bad: &BadMessage) -> Failure {
    if let BadMessage::TooLarge(_) = bad {
        let message = format!(
            "{server} sends a message of more than {} MiB ({bad}): ask for fewer attributes, or values in ranges",
            MAX_MESSAGE >> 20
        );
        return Failure::new(FailureKind::Limit, Fault::Remote, "message-size", message);
    }
    let message = format!("{server} sends what is no LDAP: {bad}");
    Failure::new(FailureKind::Invalid, Fault::Remote, "framing", message)
}
