//! What came back.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_RANGE, HeaderMap, SET_COOKIE},
};
use syncline_domain::{Failure, FailureKind, Fault};
use tokio::time::timeout;
use url::Url;

use crate::{problem, request::shown};

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Answer {
    /// Whatever the server says, 4xx and 5xx as well.
    pub status: StatusCode,
    /// Where it came from in the end.
    pub url: Url,
    /// Without cookies.
    pub headers: HeaderMap,
    response: Response,
    patience: Duration,
}

/// An answer in full.
#[derive(Debug)]
pub struct Whole {
    /// Whatever the server says, 4xx and 5xx as well.
    pub status: StatusCode,
    /// Where it came from in the end.
    pub url: Url,
    /// Without cookies.
    pub headers: HeaderMap,
    /// As it was sent, and as long as it was said to be.
    pub body: Bytes,
}

impl Whole {
    /// Whether these bytes stand anywhere in it: a server that repeats what it was sent would give a secret away.
    pub fn holds(&self, secret: &[u8]) -> bool {
        let within = |bytes: &[u8]| !secret.is_empty() && bytes.windows(secret.len()).any(|at| at == secret);
        within(&self.body)
            || within(self.url.as_str().as_bytes())
            || self
                .headers
                .iter()
                .any(|(name, value)| within(name.as_str().as_bytes()) || within(value.as_bytes()))
    }
}

impl Answer {
    pub(crate) fn new(url: Url, mut response: Response, patience: Duration) -> Self {
        let mut headers = std::mem::take(response.headers_mut());
        headers.remove(SET_COOKIE);
        Self { status: response.status(), url, headers, response, patience }
    }

    /// Bytes of the body that will come; none if that is not known before.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The byte of the file that the body begins with: 0 unless the server gives a part (status 206).
    ///
    /// None if it gives a part and does not say which.
    pub fn first_byte(&self) -> Option<u64> {
        if self.status != StatusCode::PARTIAL_CONTENT {
            return Some(0);
        }
        let range = self.headers.get(CONTENT_RANGE)?.to_str().ok()?;
        range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
    }

    /// The next piece of the body; none at its end. A body that is shorter than was said has no end but a failure.
    ///
    /// Fails with `closed` or `timeout`, and the answer is over.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match timeout(self.patience, self.response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(problem::cut(&self.url, &error)),
            Err(_) => {
                Err(problem::late(&self.url, &format!("nothing more of the answer in {:?}", self.patience)))
            }
        }
    }

    /// All of the body, if it has at most `most` bytes.
    pub async fn whole(mut self, most: u64) -> Result<Whole, Failure> {
        let too_large = |url: &Url| {
            let message = format!("the answer of {} has more than {most} bytes", shown(url));
            Failure::new(FailureKind::Limit, Fault::Remote, "body-size", message)
        };
        if self.length().is_some_and(|length| length > most) {
            return Err(too_large(&self.url));
        }
        let mut body = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            if (body.len() + piece.len()) as u64 > most {
                return Err(too_large(&self.url));
            }
            body.extend_from_slice(&piece);
        }
        let Self { status, url, headers, .. } = self;
        Ok(Whole { status, url, headers, body: body.freeze() })
    }
}
