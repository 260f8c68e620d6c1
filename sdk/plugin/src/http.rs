//! Asking web sources. The host connects, follows redirects and puts secrets in; a plugin asks at or below a source's URL.
//!
//! ```no_run
//! # use syncline_plugin::{Result, web_sources};
//! # fn first() -> Result<()> {
//! for source in web_sources() {
//!     let answer = source.get("/Users?count=1").header("accept", "application/scim+json").bearer().send()?;
//!     syncline_plugin::info!("{} answers with status {}", source.name, answer.status);
//! }
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use crate::{
    Labels,
    failure::Result,
    raw::{directory_sync::syncline::plugin::http as raw, syncline::plugin::types::Label},
};

/// A web source that is bound to the sync, and granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSource {
    /// Its name.
    pub name: String,
    /// What is asked is at or below this. Without a slash at the end.
    pub url: String,
    /// What an administrator noted: `kind`, such as `scim`.
    pub labels: Labels,
    /// Names of the secrets that requests to it may carry. The host alone knows more of them.
    pub secrets: Vec<String>,
}

/// All web sources, sorted by name; the same at each call.
pub fn web_sources() -> Vec<WebSource> {
    let source = |raw: raw::Source| WebSource {
        name: raw.name,
        url: raw.url,
        labels: raw.labels.into(),
        secrets: raw.secrets,
    };
    raw::sources().into_iter().map(source).collect()
}

impl WebSource {
    /// A request to read what is at this path below the source's URL, with its query if it has one: `/Users?count=1`.
    pub fn get(&self, path: &str) -> WebRequest<'_> {
        self.request("GET", path)
    }

    /// A request with another method. All but GET and HEAD have to be wanted and granted with their path, as in
    /// `POST /.search`.
    pub fn request(&self, method: &str, path: &str) -> WebRequest<'_> {
        let request = raw::Request {
            source: self.name.clone(),
            method: method.to_owned(),
            url: format!("{}{path}", self.url),
            headers: Vec::new(),
            secrets: Vec::new(),
            body: None,
            timeout: 30_000,
            max_bytes: WebRequest::MAX_BYTES,
        };
        WebRequest { source: self, request }
    }
}

/// A request, until it is sent.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct WebRequest<'a> {
    source: &'a WebSource,
    request: raw::Request,
}

impl WebRequest<'_> {
    /// Most bytes of an answer that can be asked for.
    pub const MAX_BYTES: u32 = 7 << 20;

    /// With a header. Those about length, connection, encoding and cookies are the host's.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.request.headers.push(Label { name: name.to_owned(), value: value.into() });
        self
    }

    /// With a header that the host makes of this and of a secret, named as in [`WebSource::secrets`].
    pub fn secret(mut self, header: &str, prefix: &str, secret: &str) -> Self {
        let secret = raw::SecretHeader {
            header: header.to_owned(),
            prefix: prefix.to_owned(),
            secret: secret.to_owned(),
        };
        self.request.secrets.push(secret);
        self
    }

    /// With the source's first secret as a bearer token (RFC 6750), if it has one.
    pub fn bearer(self) -> Self {
        match self.source.secrets.first() {
            Some(secret) => self.secret("authorization", "Bearer ", secret),
            None => self,
        }
    }

    /// With a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = Some(body.into());
        self
    }

    /// The whole exchange takes no longer than this, at most two minutes. 30 seconds unless set.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.request.timeout = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        self
    }

    /// The body of the answer has no more bytes than this: [`MAX_BYTES`](Self::MAX_BYTES) unless set.
    pub fn max_bytes(mut self, most: u32) -> Self {
        self.request.max_bytes = most;
        self
    }

    /// Ask, once. A status of 4xx or 5xx is an answer.
    ///
    /// # Errors
    ///
    /// `unavailable` with code `resolve`, `connect`, `tls`, `timeout` or `closed`; `denied` with code `not-granted`, `origin`,
    /// `method`, `address`, `redirect`, `certificate` or `secret`; `limit` with code `body-size`; `invalid`.
    pub fn send(self) -> Result<WebResponse> {
        let raw = raw::send(&self.request)?;
        Ok(WebResponse { status: raw.status, url: raw.url, headers: raw.headers.into(), body: raw.body })
    }
}

/// What a web source answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebResponse {
    /// Whatever it is.
    pub status: u16,
    /// Where the answer came from in the end.
    pub url: String,
    /// Names in lower case.
    pub headers: Labels,
    /// The body.
    pub body: Vec<u8>,
}
