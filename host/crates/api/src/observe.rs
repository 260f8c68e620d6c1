//! What all requests go through: an id, a line in the log, a number in the metrics, an end to waiting.
//!
//! Headers, queries and bodies are never logged: a token, a secret or a name may stand in them.

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;
use tracing::Span;
use uuid::{NoContext, Timestamp, Uuid};

use crate::{linger, problem::Problem, state::Api};

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// By which a request is found in the log: as the caller, or a proxy before the server, named it, or a new one.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    fn of(request: &Request, api: &Api) -> Self {
        let plain = |text: &&str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let given = request.headers().get(HEADER).and_then(|value| value.to_str().ok()).filter(plain);
        given.map_or_else(|| Self::new(api), |text| Self(text.into()))
    }

    fn new(api: &Api) -> Self {
        let now = api.engine.clock().now();
        let seconds = now.as_second().max(0).unsigned_abs();
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        Self(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, nanos)).to_string().into())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names the request, and says so in the answer.
pub(crate) async fn name_request(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request, &api);
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// The span in which all lines of a request stand.
pub(crate) fn span<B>(request: &http::Request<B>) -> Span {
    let id = request.extensions().get::<RequestId>().map(tracing::field::display);
    tracing::info_span!("request", id, method = %request.method(), path = request.uri().path())
}

/// The line that says how a request ended.
pub(crate) fn answered<B>(response: &http::Response<B>, latency: Duration, _: &Span) {
    let status = response.status().as_u16();
    let ms = latency.as_millis();
    if response.status().is_server_error() {
        tracing::warn!(status, ms, "Answered with an error of the server");
    } else {
        tracing::debug!(status, ms, "Answered");
    }
}

/// Counts the request and how long its answer took.
pub(crate) async fn count(State(api): State<Api>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = known_method(request.method());
    let begun = Instant::now();
    let response = next.run(request).await;
    api.options.metrics.answered(method, route, response.status().as_u16(), begun.elapsed());
    response
}

/// What a request of a device goes through: counted, but for its route and time, which nobody asks; and within the limits of
/// any other. One layer, since each costs as much as it takes to answer a contact without news.
pub(crate) async fn device(State(api): State<Api>, request: Request, next: Next) -> Response {
    let response = within(api.options.request_timeout, linger::read_rest(request, next)).await;
    api.options.metrics.device_answered(response.status().as_u16());
    response
}

/// A client must not be able to make labels of its own.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Gives a request up that takes too long, be it for a body that trickles in or for work that does not end.
pub(crate) async fn limit_time(State(api): State<Api>, request: Request, next: Next) -> Response {
    within(api.options.request_timeout, next.run(request)).await
}

async fn within(limit: Duration, response: impl Future<Output = Response>) -> Response {
    let Ok(response) = tokio::time::timeout(limit, response).await else {
        let detail = format!(
            "the request was given up after {} s: look whether it had its effect before sending it again",
            limit.as_secs()
        );
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail)
            .header(header::RETRY_AFTER, HeaderValue::from_static("5"))
            .into_response();
    };
    response
}
