//! Devices speak OpAMP here, over plain HTTP and over WebSocket, both at `/v1/opamp`.
//!
//! This is no part of the API for people and programs: other tokens, other bodies, other errors. `plain.rs` and `socket.rs`
//! have a transport each; what is said is decided by `syncline_engine::devices::session`.

mod limits;
mod plain;
mod socket;

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use syncline_engine::devices::session::{Answer, Link, Presented};
use syncline_protocol::opamp::{
    AgentToServer, ErrorDetails, RetryInfo, ServerErrorResponse, ServerErrorResponseType, ServerToAgent,
};

pub(crate) use limits::Limits;
use limits::Refusal;

use crate::state::Api;

/// Where devices come to.
const PATH: &str = "/v1/opamp";
/// Least seconds after which a device that could not be served tries again; up to twice as many, so that not all come
/// at once.
const RETRY_SECONDS: u64 = 30;

/// The one path that devices use.
pub(crate) fn routes() -> Router<Api> {
    Router::new().route(PATH, get(socket::connect).post(plain::post))
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Where the device has come to, as it is told to come back to.
fn link(api: &Api, parts: &Parts, socket: bool) -> Link {
    let known = api.options.device_endpoint.clone();
    let endpoint = known.unwrap_or_else(|| {
        let named = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let host = named.or_else(|| parts.uri.authority().map(|one| one.as_str())).unwrap_or("localhost");
        let proto = parts.headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
        let scheme = if proto == Some("https") { "https" } else { "http" };
        format!("{scheme}://{host}{PATH}")
    });
    let endpoint = match (socket, endpoint.strip_prefix("http")) {
        (true, Some(rest)) => format!("ws{rest}"),
        _ => endpoint,
    };
    Link { endpoint }
}

/// What becomes of a message before anything is looked up.
enum Quietly {
    /// It has no news, and there is none for it.
    Answered(Box<Answer>),
    /// It is to be answered as a message of this one.
    Known(Presented),
    /// The credential is good for nothing.
    Unknown,
}

async fn quietly(api: &Api, token: &str, message: &AgentToServer) -> Result<Quietly, syncline_engine::Error> {
    if let Some(answer) = api.engine.answer_quietly(token, message).await? {
        return Ok(Quietly::Answered(Box::new(answer)));
    }
    Ok(Box::pin(api.engine.authenticate_device(token)).await?.map_or(Quietly::Unknown, Quietly::Known))
}

fn unauthorized() -> Response {
    let ask = HeaderValue::from_static(r#"Bearer realm="syncline-devices""#);
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, ask)]).into_response()
}

/// Asks to come again later.
fn later(status: StatusCode, seconds: u64) -> Response {
    (status, [(header::RETRY_AFTER, seconds.to_string())]).into_response()
}

impl Refusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::TooOften => StatusCode::TOO_MANY_REQUESTS,
            Self::TooMany => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What is said to a device that cannot be served now, and in how many seconds it tries again.
fn unavailable(instance_uid: Vec<u8>) -> (ServerToAgent, u64) {
    let seconds = RETRY_SECONDS + rand::random::<u64>() % RETRY_SECONDS;
    let error = ServerErrorResponse {
        kind: ServerErrorResponseType::Unavailable.into(),
        error_message: "the server cannot take this now: try again later".to_owned(),
        details: Some(ErrorDetails::RetryInfo(RetryInfo {
            retry_after_nanoseconds: seconds * 1_000_000_000,
        })),
    };
    (ServerToAgent { instance_uid, error_response: Some(error), ..ServerToAgent::default() }, seconds)
}
