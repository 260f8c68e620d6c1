//! Bytes both ways, and messages out of them.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use syncline_domain::{
    Failure, FailureKind, Fault,
    directory::message::{BadMessage, Frames, MAX_MESSAGE},
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

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
    /// Set once nothing more comes.
    end: Option<End>,
    /// Id of the host's last question.
    asked: i32,
}

/// Why nothing more comes.
enum End {
    Closed,
    Broken(io::Error),
}

impl Wire {
    /// `server` is what failures name.
    pub fn new(server: String, bytes: Box<dyn Bytes>) -> Self {
        Self { server, bytes, frames: Frames::default(), chunk: vec![0; CHUNK], end: None, asked: 0 }
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
        written.await.map_err(|error| broken(&self.server, &error))
    }

    /// The next whole messages, at least one: as many as have come and fit in `max`. May be dropped while it waits.
    pub async fn receive(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(messages) = self.frames.take(max).map_err(|bad| unreadable(&self.server, &bad))? {
                return Ok(messages);
            }
            match &self.end {
                None => poll_fn(|context| self.read(context, max)).await,
                Some(End::Closed) => return Err(self.closed()),
                Some(End::Broken(error)) => return Err(broken(&self.server, error)),
            }
        }
    }

    /// Waits until something comes, and takes what has come, up to about `max` bytes: TLS gives out little at a time. What is
    /// read is fed before anything else is waited for, so that nothing is lost where the waiting is given up.
    fn read(&mut self, context: &mut Context<'_>, max: usize) -> Poll<()> {
        let mut some = false;
        while self.end.is_none() && !(some && self.frames.waiting() >= max) {
            let mut buffer = ReadBuf::new(&mut self.chunk);
            match Pin::new(&mut self.bytes).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.end = Some(End::Closed),
                Poll::Ready(Ok(())) => {
                    self.frames.feed(buffer.filled());
                    some = true;
                }
                Poll::Ready(Err(error)) => self.end = Some(End::Broken(error)),
                Poll::Pending if some => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
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

    fn closed(&self) -> Failure {
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

fn broken(server: &str, error: &io::Error) -> Failure {
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
