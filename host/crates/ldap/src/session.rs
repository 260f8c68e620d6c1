//! A bound connection, as others use it.

use std::time::Duration;

use syncline_domain::Failure;
use tokio::time::timeout;

use crate::{server::Server, wire::Wire};

/// How long a server may take nothing of what is sent to it.
const SEND: Duration = Duration::from_secs(60);

/// How long an unbind may take that nobody waits for.
const UNBIND: Duration = Duration::from_secs(2);

/// UnbindRequest with an id that no plugin has a use for.
const UNBIND_REQUEST: [u8; 10] = [0x30, 0x08, 0x02, 0x04, 0x7f, 0xff, 0xff, 0xff, 0x42, 0x00];

/// A bound connection to a directory server. Dropping it unbinds and closes.
pub struct Session {
    server: String,
    /// None once it is over.
    wire: Option<Wire>,
}

impl Session {
    pub(crate) fn new(server: &Server, wire: Wire) -> Self {
        Self { server: server.as_str().to_owned(), wire: Some(wire) }
    }

    /// `host:port` of the server that answered, as the administrator wrote it.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Sends whole LDAPMessages that were looked at already.
    ///
    /// Fails with kind `unavailable` and code `closed`; the session is then over.
    pub async fn send(&mut self, messages: &[u8]) -> Result<(), Failure> {
        let server = &self.server;
        let wire = self.wire.as_mut().ok_or_else(|| over(server))?;
        let sent = match timeout(SEND, wire.send(messages)).await {
            Ok(sent) => sent,
            Err(_) => Err(Failure::unavailable(
                "closed",
                format!("{server} took nothing for {} s; the connection was given up", SEND.as_secs()),
            )),
        };
        if sent.is_err() {
            self.wire = None;
        }
        sent
    }

    /// The next whole LDAPMessages, one after the other: at least one, and as many as have come and fit in `max_bytes`; a
    /// larger one comes alone, up to 4 MiB. Waits no longer than `wait`, and can be dropped while it waits without
    /// losing anything.
    ///
    /// Fails with kind `unavailable` and code `timeout`, and the session goes on; with `unavailable` and `closed`,
    /// `invalid` and `framing`, or `limit` and `message-size`, and it is over.
    pub async fn receive(&mut self, max_bytes: usize, wait: Duration) -> Result<Vec<u8>, Failure> {
        let server = &self.server;
        let wire = self.wire.as_mut().ok_or_else(|| over(server))?;
        let Ok(received) = timeout(wait, wire.receive(max_bytes)).await else {
            let waited = wait.as_secs_f64();
            let message = format!("{server} has not answered for {waited:.1} s, while the connection stands");
            return Err(Failure::unavailable("timeout", message));
        };
        if received.is_err() {
            self.wire = None;
        }
        received
    }
}

fn over(server: &str) -> Failure {
    Failure::unavailable("closed", format!("the session with {server} is over: connect anew"))
}

impl Drop for Session {
    fn drop(&mut self) {
        let (Some(mut wire), Ok(runtime)) = (self.wire.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        // A server that does not take it in time sees the connection closed all the same.
        runtime.spawn(async move { timeout(UNBIND, wire.close(&UNBIND_REQUEST)).await });
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("server", &self.server).field("over", &self.wire.is_none()).finish()
    }
}
