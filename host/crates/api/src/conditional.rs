//! `ETag`, `If-None-Match` and `If-Match` (RFC 9110), from the revision that everything editable carries.
//!
//! Without `If-Match` a change is unconditional.

use std::convert::Infallible;

use axum::{
    Json,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use serde::Serialize;
use syncline_engine::Error;

use crate::problem::Result;

/// What the caller read before changing it: the header `If-Match`.
pub(crate) struct IfMatch(Option<Tags>);

/// What the caller has already: the header `If-None-Match`.
pub(crate) struct IfNoneMatch(Option<Tags>);

enum Tags {
    Any,
    /// With their quotes; those that are not ours match nothing.
    Listed(Vec<String>),
}

impl IfMatch {
    /// The revision that a change is bound to, if the caller said one; refuses if it is not the present one.
    pub fn revision(&self, what: &'static str, name: impl ToString, present: i64) -> Result<Option<i64>> {
        match &self.0 {
            None | Some(Tags::Any) => Ok(None),
            Some(Tags::Listed(tags)) if tags.contains(&tag(present)) => Ok(Some(present)),
            Some(Tags::Listed(_)) => Err(Error::Stale { what, name: name.to_string() }.into()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Infallible> {
        Ok(Self(tags(&parts.headers, header::IF_MATCH)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Infallible> {
        Ok(Self(tags(&parts.headers, header::IF_NONE_MATCH)))
    }
}

fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Tags> {
    let mut found = None;
    for value in headers.get_all(name) {
        let listed = match found.get_or_insert_with(|| Tags::Listed(Vec::new())) {
            Tags::Any => return found,
            Tags::Listed(listed) => listed,
        };
        let text = String::from_utf8_lossy(value.as_bytes());
        if text.trim() == "*" {
            return Some(Tags::Any);
        }
        listed.extend(text.split(',').map(|one| one.trim().to_owned()));
    }
    found
}

fn tag(revision: i64) -> String {
    format!("\"{revision}\"")
}

/// Something editable, with its `ETag`.
pub(crate) struct Tagged<T> {
    /// Its revision.
    pub revision: i64,
    /// What is shown of it.
    pub body: T,
}

impl<T: Serialize> Tagged<T> {
    /// The answer to a GET: 304 without a body if the caller has this revision already.
    ///
    /// Only for what depends on nothing but the revision.
    pub fn unless(self, known: &IfNoneMatch) -> Response {
        let has = match &known.0 {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::Listed(tags)) => {
                let tag = tag(self.revision);
                tags.iter().any(|one| one.strip_prefix("W/").unwrap_or(one) == tag)
            }
        };
        if has {
            return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag(self.revision))]).into_response();
        }
        self.into_response()
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        ([(header::ETAG, etag(self.revision))], Json(self.body)).into_response()
    }
}

fn etag(revision: i64) -> HeaderValue {
    // A number in quotes is always a header value.
    HeaderValue::from_str(&tag(revision)).unwrap_or(HeaderValue::from_static("\"\""))
}

/// 201 with the place of what was made.
pub(crate) fn created(location: &str, body: impl IntoResponse) -> Response {
    (StatusCode::CREATED, at(location), body).into_response()
}

/// 202 with the place where the work can be watched.
pub(crate) fn accepted(location: &str, body: impl IntoResponse) -> Response {
    (StatusCode::ACCEPTED, at(location), body).into_response()
}

fn at(location: &str) -> HeaderMap {
    // Locations are made of names and ids, whose letters all fit into a header.
    HeaderValue::from_str(location).map(|value| (header::LOCATION, value)).into_iter().collect()
}
