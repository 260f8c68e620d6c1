//! Clients that open a connection and keep it waiting: it costs them nothing, and takes a file handle of the server.
//!
//! A half-sent head of HTTP/1 is the business of the HTTP library. Before that it reads the first bytes to tell the versions
//! of HTTP apart, for as long as that takes; here is the limit for those.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum_server::accept::Accept;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// By so many bytes the version of HTTP is known.
const FIRST_BYTES: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// Accepts as another acceptor does, and gives up connections whose first bytes do not come in time.
#[derive(Debug, Clone)]
pub struct Prompt<A> {
    accept: A,
    at_most: Duration,
}

impl<A> Prompt<A> {
    /// First bytes within `at_most`, after whatever `accept` waits for.
    pub const fn new(accept: A, at_most: Duration) -> Self {
        Self { accept, at_most }
    }
}

impl<I, S, A> Accept<I, S> for Prompt<A>
where
    A: Accept<I, S, Future: Send + 'static>,
{
    type Stream = PromptStream<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let (accepted, at_most) = (self.accept.accept(stream, service), self.at_most);
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            Ok((
                PromptStream { stream, missing: FIRST_BYTES, timer: Some(Box::pin(sleep(at_most))) },
                service,
            ))
        })
    }
}

/// A connection whose first bytes must come in time.
#[derive(Debug)]
pub struct PromptStream<S> {
    stream: S,
    missing: usize,
    /// Gone once they have come.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for PromptStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, into);
        let Some(timer) = &mut self.timer else { return polled };
        if polled.is_pending() && timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.missing = self.missing.saturating_sub(into.filled().len() - before);
        if self.missing == 0 {
            self.timer = None;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PromptStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use axum_server::accept::DefaultAcceptor;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What comes of a client that says this and nothing more; none if it is waited for still.
    async fn after(said: &str, waiting: Duration) -> Option<io::Result<usize>> {
        let prompt = Prompt::new(DefaultAcceptor::new(), Duration::from_millis(50));
        let (mut client, server) = duplex(100);
        let (mut stream, ()) = prompt.accept(server, ()).await.unwrap();
        client.write_all(said.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        let read = tokio::time::timeout(waiting, stream.read_to_end(&mut heard)).await;
        assert_eq!(heard, said.as_bytes());
        read.ok()
    }

    #[tokio::test]
    async fn a_client_that_says_too_little_is_cut_off() {
        for said in ["", "P", "PRI * HTTP/2.0", "GET /healthz HTTP/1.1"] {
            let end = after(said, Duration::from_secs(60)).await.unwrap();
            assert_eq!(end.unwrap_err().kind(), io::ErrorKind::TimedOut, "{said:?}");
        }
    }

    #[tokio::test]
    async fn one_that_said_enough_is_left_to_the_library() {
        let end = after("GET /healthz HTTP/1.1\r\nHost: a", Duration::from_millis(500)).await;
        assert!(end.is_none(), "{end:?}");
    }
}
