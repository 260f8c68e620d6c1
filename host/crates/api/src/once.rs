//! `Idempotency-Key`: what starts or makes something is done once, however often the request is sent.
//!
//! The first answer is kept for a day, for the token that asked and only if the request had its effect; a refusal
//! changed nothing, so the same key can be used again. A repetition is answered with what was kept and the header
//! `Idempotency-Replayed: true`. The same key with another request is refused.

use std::{collections::HashSet, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use syncline_store::Remembered;
use tracing::Instrument;

use crate::{
    auth::Caller,
    input,
    problem::{Problem, Result},
    state::Api,
};

pub(crate) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The keys whose first request this process is working on.
#[derive(Clone, Default)]
pub(crate) struct UnderWay(Arc<Mutex<HashSet<(String, String)>>>);

/// A key, for as long as its first request is under way.
struct Begun {
    under_way: UnderWay,
    key: (String, String),
}

impl UnderWay {
    fn begin(&self, key: &str, caller: &str) -> Result<Begun> {
        let key = (key.to_owned(), caller.to_owned());
        if self.0.lock().insert(key.clone()) {
            return Ok(Begun { under_way: self.clone(), key });
        }
        let detail =
            format!("a request with the Idempotency-Key {:?} is under way: try again in a moment", key.0);
        Err(Problem::new(StatusCode::CONFLICT, "idempotency-busy", detail)
            .header(header::RETRY_AFTER, HeaderValue::from_static("1")))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.under_way.0.lock().remove(&self.key);
    }
}

/// Does what the request asks for once, if it carries a key.
pub(crate) async fn once(State(api): State<Api>, request: Request, next: Next) -> Result<Response> {
    let Some(key) = key(request.headers())? else { return Ok(next.run(request).await) };
    let (mut parts, body) = request.into_parts();
    // Tokens, not their names: two tokens of one name must not see each other's answers.
    let caller = Caller::of(&mut parts, &api).await?.token.to_string();
    let body = input::body(Request::from_parts(parts.clone(), body), &api).await?;
    let digest = digest(&parts, &body);
    let begun = api.under_way.begin(&key, &caller)?;
    if let Some(known) = api.db().remembered(&key, &caller).await? {
        return replay(known, &digest, &key);
    }
    // In a task of its own: a caller that hangs up must not leave work behind whose answer nobody remembers.
    let work = async move {
        let _begun = begun;
        let response = next.run(Request::from_parts(parts, Body::from(body))).await;
        remember(&api, &key, &caller, digest, response).await
    };
    tokio::spawn(work.in_current_span()).await.map_err(Problem::internal)?
}

/// Refuses a key where the answer holds a secret and cannot be kept.
pub(crate) fn refuse_key(headers: &HeaderMap) -> Result<()> {
    if key(headers)?.is_none() {
        return Ok(());
    }
    let detail = "the answer to this holds a secret and is not kept: leave the header Idempotency-Key out";
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-secret", detail))
}

fn key(headers: &HeaderMap) -> Result<Option<String>> {
    const MOST: usize = 255;
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    match value.to_str() {
        Ok(text) if (1..=MOST).contains(&text.len()) => Ok(Some(text.to_owned())),
        _ => {
            let detail = format!("the header Idempotency-Key must be 1 to {MOST} visible ASCII characters");
            Err(Problem::new(StatusCode::BAD_REQUEST, "idempotency-key", detail))
        }
    }
}

fn digest(parts: &Parts, body: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [parts.method.as_str().as_bytes(), parts.uri.to_string().as_bytes(), body] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex().to_string()
}

fn replay(known: Remembered, digest: &str, key: &str) -> Result<Response> {
    if known.request_digest != digest {
        let detail =
            format!("the Idempotency-Key {key:?} was used for another request: take a new key for this one");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", detail));
    }
    let status = StatusCode::from_u16(known.status).map_err(Problem::internal)?;
    let mut response = (status, known.body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if let Some(location) = known.location {
        headers.insert(header::LOCATION, HeaderValue::from_str(&location).map_err(Problem::internal)?);
    }
    Ok(response)
}

async fn remember(
    api: &Api,
    key: &str,
    caller: &str,
    digest: String,
    response: Response,
) -> Result<Response> {
    if !response.status().is_success() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body: Bytes = body.collect().await.map_err(Problem::internal)?.to_bytes();
    let location = parts.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let answer = Remembered {
        request_digest: digest,
        status: parts.status.as_u16(),
        body: String::from_utf8(body.to_vec()).map_err(Problem::internal)?,
        location: location.map(str::to_owned),
    };
    // The work is done: to answer with an error now would invite the caller to have it done again.
    if let Err(error) = api.db().remember(key, caller, &answer).await {
        tracing::error!(%error, "The answer to a request with an Idempotency-Key could not be kept");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}
