//! How anything that goes wrong becomes an answer: `application/problem+json` (RFC 9457).
//!
//! Handlers return [`Result`]; `?` turns the errors of the engine and the store into a [`Problem`]. Refusals of the API
//! itself are made with [`Problem::new`]. The body is written in one place, [`answer_problems`], which also logs what
//! was unexpected: of that a client learns the request id and nothing else.

use std::{any::Any, error::Error as StdError, sync::Arc};

use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use syncline_domain::{Failure, FailureKind, Fault};
use syncline_engine::Error;

use crate::observe::RequestId;

/// What a handler gives back.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

/// What was wrong with a request, and what to do.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// `/problems/` and the code: stable, for programs.
    #[serde(rename = "type")]
    kind: String,
    /// What the status means, the same each time.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What was wrong, with which value, what to do.
    detail: String,
    /// A stable word for programs, in kebab-case.
    code: String,
    /// Where a package, a plugin or a folder refused: why, and whose fault it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    /// The request, as it stands in the log of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip)]
    #[schema(ignore)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Logged, never sent.
    #[serde(skip)]
    #[schema(ignore)]
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Problem {
    /// The media type of these answers.
    pub(crate) const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A refusal of the API itself.
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{code}"),
            title: title(status),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            failure: None,
            request_id: None,
            headers: Vec::new(),
            cause: None,
        }
    }

    /// With one more header in the answer.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The server itself failed: logged whole, sent as a bare 500.
    pub(crate) fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let detail = "the server failed at this; its log says more under the request id";
        let mut problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail);
        problem.cause = Some(Arc::from(cause.into()));
        problem
    }

    /// Logs why an answer whose head was sent already broke off.
    pub(crate) fn log_broken_off(&self) {
        match &self.cause {
            Some(cause) => tracing::error!(error = %Chain(cause.as_ref()), "An answer broke off"),
            None => tracing::warn!(detail = %self.detail, "An answer broke off"),
        }
    }

    /// What the body of a route that is not there says.
    pub(crate) fn no_route(path: &str) -> Self {
        let detail = format!("there is nothing at {path}: see /api/v1/openapi.json for what there is");
        Self::new(StatusCode::NOT_FOUND, "no-route", detail)
    }

    /// What the body of a method that a route does not have says; the header `Allow` names those that it has.
    pub(crate) fn no_method(method: &Method, path: &str) -> Self {
        let detail = format!("{path} does not take {method}: the header Allow says what it takes");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
    }

    fn of_failure(failure: Failure) -> Self {
        let status = match failure.kind {
            FailureKind::Unavailable | FailureKind::Stopped => StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::Changed => StatusCode::CONFLICT,
            FailureKind::Limit if failure.code.contains("size") => StatusCode::PAYLOAD_TOO_LARGE,
            FailureKind::Other if failure.fault == Fault::Host => return Self::internal(failure),
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let code = if failure.code.is_empty() { "failed" } else { &failure.code };
        let mut problem = Self::new(status, code, failure.message.clone());
        if let Some(after) = failure.retry_after_ms {
            problem = problem.header(header::RETRY_AFTER, u64::from(after).div_ceil(1_000).into());
        }
        problem.failure = Some(failure);
        problem
    }
}

/// What a status means here.
fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "The request cannot be read",
        StatusCode::UNAUTHORIZED => "A valid token is needed",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "There is no such thing",
        StatusCode::METHOD_NOT_ALLOWED => "Not a method of this resource",
        StatusCode::CONFLICT => "Not possible in the present state",
        StatusCode::PRECONDITION_FAILED => "Changed since it was read",
        StatusCode::PAYLOAD_TOO_LARGE => "Too large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "Not a media type of this resource",
        StatusCode::UNPROCESSABLE_ENTITY => "What was given does not fit",
        StatusCode::SERVICE_UNAVAILABLE => "Not available now",
        _ => "The server failed",
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "not-found", detail),
            Error::Exists { .. } => Self::new(StatusCode::CONFLICT, "exists", detail),
            Error::Invalid { code, .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail),
            Error::Conflict { code: code @ "schedule-owner", .. } => {
                Self::new(StatusCode::FORBIDDEN, code, detail)
            }
            Error::Conflict { code, .. } => Self::new(StatusCode::CONFLICT, code, detail),
            Error::Stale { .. } => Self::new(StatusCode::PRECONDITION_FAILED, "stale", detail),
            Error::Failed(failure) => Self::of_failure(failure),
            Error::Internal(cause) => Self::internal(cause),
        }
    }
}

impl From<syncline_store::Error> for Problem {
    fn from(error: syncline_store::Error) -> Self {
        match error {
            // Given by the client as `after`; no use case ever sees it.
            error @ syncline_store::Error::Cursor(_) => {
                Self::new(StatusCode::BAD_REQUEST, "cursor", error.to_string())
            }
            other => Error::from(other).into(),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::of_failure(failure)
    }
}

impl IntoResponse for Problem {
    /// Hands the problem to [`answer_problems`], through which every route of the API goes.
    fn into_response(self) -> Response {
        let mut response = StatusCode::from_u16(self.status).unwrap_or_default().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the problem that a handler, or a layer below this one, answers with; logs those that nobody expected.
pub(crate) async fn answer_problems(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().map(ToString::to_string);
    let mut response = next.run(request).await;
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else { return response };
    if let Some(cause) = &problem.cause {
        tracing::error!(error = %Chain(cause.as_ref()), "A request failed unexpectedly");
    }
    problem.request_id = id;
    let body = match serde_json::to_vec(&problem) {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, "A problem could not be written as JSON");
            Vec::new()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
    headers.remove(header::CONTENT_LENGTH);
    for (name, value) in problem.headers {
        headers.insert(name, value);
    }
    *response.body_mut() = Body::from(body);
    response
}

/// A handler panicked: the connection and all others live on.
#[allow(clippy::needless_pass_by_value, reason = "the signature that the layer asks for")]
pub(crate) fn of_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("of unknown kind");
    Problem::internal(format!("panic: {text}")).into_response()
}

/// An error with all that caused it.
struct Chain<'a>(&'a (dyn StdError + Send + Sync));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
