//! What is asked.

use std::fmt;

use bytes::Bytes;
use reqwest::{
    Method,
    header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, RANGE},
};
use url::Url;

/// A request, which can be sent any number of times.
#[derive(Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) secrets: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

impl Request {
    /// Without headers and body.
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), secrets: HeaderMap::new(), body: None }
    }

    /// For the body and all about it.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// Adds a header, beside what is there of that name.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Sets a header that is secret: only the origin of the URL gets it, and it is never shown. It takes the place of what
    /// [`Request::header`] added of that name.
    pub fn secret(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.secrets.insert(name, value);
        self
    }

    /// Asks for the body from this byte on. A server may answer with all of it: see [`Answer::first_byte`].
    ///
    /// [`Answer::first_byte`]: crate::Answer::first_byte
    pub fn from_byte(mut self, first: u64) -> Self {
        // Digits make a valid header.
        if let Ok(value) = HeaderValue::try_from(format!("bytes={first}-")) {
            self.headers.insert(RANGE, value);
        }
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The headers for where it was meant to go (`home`), or for where a redirect led.
    pub(crate) fn headers_for(&self, home: bool) -> HeaderMap {
        let mut headers = self.headers.clone();
        if home {
            for (name, value) in &self.secrets {
                headers.insert(name, value.clone());
            }
        } else {
            [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].iter().for_each(|name| drop(headers.remove(name)));
            self.secrets.keys().for_each(|name| drop(headers.remove(name)));
        }
        headers
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &shown(&self.url))
            .field("headers", &self.headers.keys())
            .field("secrets", &self.secrets.keys())
            .field("body", &self.body.as_ref().map(Bytes::len))
            .finish()
    }
}

/// A URL for people: what may be signed or secret in it is left out.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}
