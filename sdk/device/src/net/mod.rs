//! Reaching the server: WebSocket, or plain HTTP where that does not get through; both through a proxy where there is one.
//!
//! [`Connector::open`] makes a [`Connection`], which sends messages and gives answers in the same way over both.

mod http;
mod stream;
mod websocket;

use std::time::Duration;

use ::http::{StatusCode, Uri};
use syncline_protocol::{
    InstanceUid,
    opamp::{AgentToServer, ServerToAgent},
};

use crate::{
    config::{Config, Transport},
    error::{Error, Result},
    state::credential::Login,
};

/// Bytes of a message of the server: its documents, and some more.
pub const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;

/// The longest that one exchange with the network can take.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Why the server was not reached, or gave no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The credential is not accepted.
    #[error("the server does not accept the credential ({0}): enrol this device anew")]
    Refused(u16),
    /// The server has too much to do.
    #[error("the server has too much to do ({0})")]
    Later(u16, Option<Duration>),
    /// Someone on the way does not speak WebSocket.
    #[error("WebSocket does not get through: {0}")]
    NoWebSocket(String),
    /// Anything else.
    #[error("{0}")]
    Broken(String),
}

impl Failure {
    pub(crate) fn broken(doing: &str) -> impl FnOnce(String) -> Self {
        move |error| Self::Broken(format!("{doing}: {error}"))
    }

    /// What an answer of HTTP that is no success means.
    fn of_status(status: StatusCode, headers: &::http::HeaderMap) -> Self {
        let code = status.as_u16();
        match code {
            401 | 403 => Self::Refused(code),
            429 | 503 => Self::Later(code, retry_after(headers)),
            _ => Self::Broken(format!("the server answers {status}")),
        }
    }
}

/// Seconds, or a date: a date says as much only to a device whose clock is right, so it is left to the agent.
fn retry_after(headers: &::http::HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(::http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(86_400)))
}

/// Makes connections.
#[derive(Clone)]
pub struct Connector {
    tls: tokio_rustls::TlsConnector,
    proxy: Option<stream::Proxy>,
}

/// A connection, over which both sides say what they have to say.
pub enum Connection {
    /// Either side can speak at any time.
    WebSocket(Box<websocket::Socket>),
    /// The server speaks when it was spoken to.
    Http(Box<http::Polling>),
}

impl Connector {
    /// Reads what the configuration names: authorities, and the proxy's password.
    pub fn new(config: &Config) -> Result<Self> {
        Ok(Self { tls: stream::tls(config.ca.as_deref())?, proxy: stream::Proxy::of(config)? })
    }

    /// Connects. Over plain HTTP that happens with the first message.
    pub async fn open(
        &self,
        login: &Login,
        how: Transport,
        instance: InstanceUid,
    ) -> Result<Connection, Failure> {
        let endpoint =
            Endpoint::parse(&login.endpoint).map_err(|error| Failure::Broken(error.to_string()))?;
        let polling = || {
            let polling =
                http::Polling::new(self.clone(), endpoint.clone(), login.authorization.clone(), instance);
            Connection::Http(Box::new(polling))
        };
        match how {
            Transport::Http => Ok(polling()),
            Transport::Websocket => {
                websocket::Socket::open(self, &endpoint, login, instance).await.map(Connection::of)
            }
            Transport::Auto => match websocket::Socket::open(self, &endpoint, login, instance).await {
                Err(Failure::NoWebSocket(why)) => {
                    tracing::info!("plain HTTP is used, since WebSocket does not get through: {why}");
                    Ok(polling())
                }
                other => other.map(Connection::of),
            },
        }
    }
}

impl Connection {
    fn of(socket: websocket::Socket) -> Self {
        Self::WebSocket(Box::new(socket))
    }

    /// What `status` calls it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WebSocket(_) => "WebSocket",
            Self::Http(_) => "HTTP",
        }
    }

    /// Sends a message. Over HTTP, [`Connection::receive`] then gives its answer.
    pub async fn send(&mut self, message: &AgentToServer) -> Result<(), Failure> {
        let sent = async {
            match self {
                Self::WebSocket(socket) => socket.send(message).await,
                Self::Http(polling) => polling.exchange(message).await,
            }
        };
        timed(sent).await
    }

    /// The next thing that the server says; waits without end where it says nothing. Nothing is lost if the wait is given up.
    pub async fn receive(&mut self) -> Result<ServerToAgent, Failure> {
        match self {
            Self::WebSocket(socket) => socket.receive().await,
            Self::Http(polling) => polling.receive().await,
        }
    }

    /// Says goodbye.
    pub async fn close(self) {
        if let Self::WebSocket(socket) = self {
            // A server that is gone need not be told.
            let _ = timed(socket.close()).await;
        }
    }
}

async fn timed<T>(what: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| Failure::Broken(format!("there was no answer within {} s", TIMEOUT.as_secs()));
    tokio::time::timeout(TIMEOUT, what).await.map_err(late)?
}

/// Where the server is.
#[derive(Debug, Clone)]
pub struct Endpoint {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl Endpoint {
    /// Reads a URL of HTTP or WebSocket.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::Config(format!(
                "the server's URL {url:?} {why}: write it like https://syncline.example:4320/v1/opamp"
            ))
        };
        let uri: Uri = url.parse().map_err(|_| wrong("is none"))?;
        let tls = match uri.scheme_str() {
            Some("https" | "wss") => true,
            Some("http" | "ws") => false,
            _ => return Err(wrong("is none of HTTP or WebSocket")),
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            // The URL itself is not shown: it has a password.
            return Err(Error::Config("the server's URL has a user in it: leave it out".to_owned()));
        }
        let host =
            uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("names no host"))?.to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path == "/" { "/v1/opamp" } else { path }.to_owned();
        Ok(Self { tls, host, port, path })
    }

    /// Host and port, as a request names them.
    fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn url(&self, scheme: &str) -> String {
        let secure = if self.tls { "s" } else { "" };
        format!("{scheme}{secure}://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let check = |url: &str, ws: &str| assert_eq!(Endpoint::parse(url).unwrap().url("ws"), ws);
        check("https://a.example", "wss://a.example:443/v1/opamp");
        check("http://127.0.0.1:4320/x?y", "ws://127.0.0.1:4320/x?y");
        check("wss://[::1]:4320/v1/opamp", "wss://[::1]:4320/v1/opamp");
        for bad in ["", "a.example", "ftp://a.example/", "/v1/opamp"] {
            assert!(Endpoint::parse(bad).unwrap_err().to_string().contains("write it like"), "{bad}");
        }
        let error = Endpoint::parse("https://user:hunter2@a.example").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_wait_is_read_from_seconds() {
        let of = |value: &'static str| {
            let mut headers = ::http::HeaderMap::new();
            headers.insert("retry-after", ::http::HeaderValue::from_static(value));
            retry_after(&headers)
        };
        assert_eq!(of("45"), Some(Duration::from_secs(45)));
        assert_eq!(of("Tue, 24 Nov 2026 10:00:00 GMT"), None);
        assert_eq!(of("99999999999"), Some(Duration::from_secs(86_400)));
    }
}
