//! Lets a client that is refused while it still sends its body read why. A connection that is closed with bytes on their way
//! is reset, and the answer is lost with it: so the rest is read and thrown away, within limits.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream, HttpBody},
    extract::Request,
    middleware::Next,
    response::Response,
};
use futures::{StreamExt, stream};
use http::header;
use parking_lot::Mutex;

/// Bytes of a body that is not waited for.
const SMALL: u64 = 4 << 10;
/// Most bytes that are thrown away.
const MOST: usize = 64 << 20;
/// Longest time that is taken for it.
const LONGEST: Duration = Duration::from_secs(5);

/// Reads what a refused request still sends before its answer goes out.
pub(crate) async fn read_rest(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // What comes with its head is there by the time that it is answered.
    if body.size_hint().exact().is_some_and(|size| size <= SMALL) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    // One that waits to be asked for its body (RFC 9110, section 10.1.1) sends none after a refusal.
    if body.is_end_stream() || parts.headers.contains_key(header::EXPECT) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let rest = Arc::new(Mutex::new(body.into_data_stream()));
    let shared = Arc::clone(&rest);
    let body = stream::poll_fn(move |context| shared.lock().poll_next_unpin(context));
    let response = next.run(Request::from_parts(parts, Body::from_stream(body))).await;
    if response.status().is_client_error() {
        // Too slow or too much: the connection ends without it.
        let _ = tokio::time::timeout(LONGEST, throw_away(&rest)).await;
    }
    response
}

async fn throw_away(rest: &Mutex<BodyDataStream>) {
    let mut left = MOST;
    let mut rest = stream::poll_fn(|context| rest.lock().poll_next_unpin(context));
    while let Some(Ok(bytes)) = rest.next().await {
        match left.checked_sub(bytes.len()) {
            Some(less) => left = less,
            None => return,
        }
    }
}
