//! Over plain HTTP: one message a request (section "Plain HTTP Transport").

use std::io::Read;

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use syncline_protocol::{
    frame::{CONTENT_TYPE, FrameError, decode_body, encode_body},
    opamp::{AgentToServer, ServerErrorResponseType, ServerToAgent},
};

use super::{Quietly, Refusal, bearer, limits::OF_REQUEST, link, quietly, unauthorized, unavailable};
use crate::state::Api;

/// Takes a message of a device and answers it.
pub(super) async fn post(State(api): State<Api>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(token) = bearer(&parts.headers) else { return unauthorized() };
    let limit = api.engine.config().devices.message_limit;
    let mut presented = None;
    // Nobody is listened to who is not known.
    if !api.engine.is_of_quiet_device(token) {
        presented = match Box::pin(api.engine.authenticate_device(token)).await {
            Ok(Some(presented)) => Some(presented),
            Ok(None) => return unauthorized(),
            Err(error) => return failed(&error, Vec::new()),
        };
    }
    let length =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let metrics = &api.options.metrics;
    // What is not told beforehand can be as much as it may.
    let _content = match api.device_limits.content(length.unwrap_or(limit).min(limit), metrics) {
        Ok(place) => place,
        Err(refusal) => return refused(refusal, Vec::new()),
    };
    let message = match read(&parts.headers, body, limit).await {
        Ok(message) => message,
        Err(refusal) => return *refusal,
    };
    let presented = match presented {
        Some(presented) => presented,
        None => match quietly(&api, token, &message).await {
            Ok(Quietly::Answered(answer)) => return said(StatusCode::OK, &answer.message, limit),
            Ok(Quietly::Known(presented)) => presented,
            Ok(Quietly::Unknown) => return unauthorized(),
            Err(error) => return failed(&error, message.instance_uid),
        },
    };
    let _place = match api.device_limits.place(&presented, &message, OF_REQUEST, metrics).await {
        Ok(place) => place,
        Err(refusal) => return refused(refusal, message.instance_uid),
    };
    let link = link(&api, &parts, false);
    // On the heap, so that a contact without news does not make the room that answering takes.
    match Box::pin(api.engine.answer_device(presented, token, &link, &message)).await {
        Ok(answer) => {
            let refused = answer.message.error_response.is_some();
            let status = if refused { StatusCode::BAD_REQUEST } else { StatusCode::OK };
            said(status, &answer.message, limit)
        }
        Err(error) => failed(&error, message.instance_uid),
    }
}

/// The message in a body, or the answer that refuses it.
async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<AgentToServer, Box<Response>> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(CONTENT_TYPE) {
        return Err(Box::new(StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response()));
    }
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes).unwrap_or_default();
    let is = |word: &str| encoding.eq_ignore_ascii_case(word.as_bytes());
    let bytes = to_bytes(body, limit).await.map_err(|_| too_large())?;
    let bytes = if encoding.is_empty() || is("identity") {
        bytes
    } else if is("gzip") {
        unpacked(&bytes, limit)?
    } else {
        return Err(Box::new(StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response()));
    };
    decode_body(&bytes, limit).map_err(|error| match error {
        FrameError::TooLarge { .. } => too_large(),
        error => bad(&error.to_string()),
    })
}

/// What was packed with gzip, to the limit and no further.
fn unpacked(bytes: &[u8], limit: usize) -> Result<Bytes, Box<Response>> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut out = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(most).read_to_end(&mut out);
    if out.len() > limit {
        return Err(too_large());
    }
    read.map_err(|error| bad(&format!("the body is not gzip: {error}")))?;
    Ok(out.into())
}

fn too_large() -> Box<Response> {
    Box::new(StatusCode::PAYLOAD_TOO_LARGE.into_response())
}

fn bad(why: &str) -> Box<Response> {
    let message = ServerToAgent::error(Vec::new(), ServerErrorResponseType::BadRequest, why);
    Box::new(said(StatusCode::BAD_REQUEST, &message, usize::MAX))
}

/// Turned away: with the time to come again in the header, for HTTP, and in the message, for OpAMP.
fn refused(refusal: Refusal, instance_uid: Vec<u8>) -> Response {
    let (message, seconds) = unavailable(instance_uid);
    let mut response = said(refusal.status(), &message, usize::MAX);
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

fn failed(error: &syncline_engine::Error, instance_uid: Vec<u8>) -> Response {
    tracing::error!(%error, "A device could not be answered");
    let (message, seconds) = unavailable(instance_uid);
    let mut response = said(StatusCode::SERVICE_UNAVAILABLE, &message, usize::MAX);
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

fn said(status: StatusCode, message: &ServerToAgent, limit: usize) -> Response {
    match encode_body(message, limit) {
        // The content type letter by letter: clients compare it.
        Ok(body) => (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "The answer to a device is over the limit");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
