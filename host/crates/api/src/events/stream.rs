//! Looking on: server-sent events.
//!
//! Commits of this process wake a stream at once; what other nodes write is found by looking once a second. Either way
//! the events are read from the database in the order of their numbers, so that nothing is left out or comes twice.

use std::{collections::VecDeque, convert::Infallible};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event as Message, KeepAlive},
    },
};
use futures::stream;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use syncline_domain::event::Event;
use syncline_store::EventFilter;
use tokio::sync::watch;

use super::filter::event_params;
use crate::{
    auth::{Caller, Viewer},
    input::Params,
    problem::{Problem, Result},
    state::Api,
};

event_params! {
    /// Which events are wanted: those for which all that is set holds.
    StreamParams {
        /// Begin after the event of this number, for clients that cannot send `Last-Event-ID`. Without either: with what
        /// happens from now on.
        after: Option<i64>,
    }
}

/// Numbers of events that a stream could not give.
#[derive(Debug, Serialize)]
struct Gap {
    /// The first.
    from: i64,
    /// The last.
    to: i64,
}

/// Follow events as they happen.
///
/// Server-sent events: `id` is the number of the event, `data` the event as in the list. A client that was cut off
/// sends `Last-Event-ID` and misses nothing: the stream begins with an `id` without data, so that this holds before its
/// first event too. If what it missed is not kept any more, it is told by a message of type
/// `gap` with the numbers `from` and `to`. The stream ends when the server shuts down or the token ends.
#[utoipa::path(
    get, path = "/api/v1/events/stream", tag = "events",
    params(
        StreamParams,
        ("Last-Event-ID" = Option<i64>, Header, description = "Begin after the event of this number"),
    ),
    responses((status = 200, description = "Events, without end", body = Event, content_type = "text/event-stream")),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn follow_events(
    caller: Viewer,
    State(api): State<Api>,
    headers: HeaderMap,
    Params(params): Params<StreamParams>,
) -> Result<Response> {
    let asked = last_event_id(&headers)?.or(params.after);
    // Subscribed before the first look: what is written in between wakes the stream.
    let signal = api.db().event_signal();
    let last = api.db().last_event().await?;
    let mut follower = Follower {
        position: asked.map_or(last, |id| id.clamp(0, last)),
        may_have_gap: asked.is_some(),
        ready: VecDeque::new(),
        ended: false,
        caller: caller.0,
        filter: params.filter(),
        signal,
        api,
    };
    follower.ready.push_back(Message::default().id(follower.position.to_string()));
    if let Some(id) = asked.filter(|id| *id > last) {
        // The database is older than the client: it was restored from a backup.
        follower.ready.push_back(gap(last + 1, id));
    }
    let keep_alive = KeepAlive::new().interval(follower.api.options.keep_alive);
    let messages = stream::unfold(follower, async |mut follower| {
        let message = follower.next().await?;
        Some((Ok::<_, Infallible>(message), follower))
    });
    // Proxies that collect answers would hold back each event.
    let unbuffered = [("x-accel-buffering", HeaderValue::from_static("no"))];
    Ok((unbuffered, Sse::new(messages).keep_alive(keep_alive)).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    text.parse().map(Some).map_err(|_| {
        let detail =
            format!("the header Last-Event-ID is {text:?}: send the `id` of the last event, a number");
        Problem::new(StatusCode::BAD_REQUEST, "last-event-id", detail)
    })
}

fn gap(from: i64, to: i64) -> Message {
    // Two numbers are always JSON.
    Message::default().event("gap").json_data(Gap { from, to }).unwrap_or_default()
}

/// One client that follows.
struct Follower {
    api: Api,
    caller: Caller,
    filter: EventFilter,
    signal: watch::Receiver<i64>,
    /// All events up to this number were looked at.
    position: i64,
    /// Nothing was read yet, and the client said where to begin.
    may_have_gap: bool,
    ready: VecDeque<Message>,
    ended: bool,
}

impl Follower {
    /// The next message; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Message> {
        const BATCH: u32 = 500;
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            if self.ended || self.api.is_stopping() || self.is_expired() {
                return None;
            }
            match self.api.db().events_after(self.position, BATCH).await {
                Ok(events) if events.is_empty() => self.wait().await,
                Ok(events) => self.take(events).await,
                Err(error) => {
                    // The client comes again and says where it was.
                    tracing::warn!(%error, "A stream of events ended: the next events could not be read");
                    return None;
                }
            }
        }
    }

    async fn wait(&mut self) {
        tokio::select! {
            () = self.api.options.stopping.cancelled() => self.ended = true,
            changed = self.signal.changed() => self.ended = changed.is_err(),
            () = tokio::time::sleep(self.api.options.stream_poll) => {}
        }
    }

    async fn take(&mut self, events: Vec<Event>) {
        for event in events {
            if self.may_have_gap && event.seq > self.position + 1 {
                self.ready.push_back(gap(self.position + 1, event.seq - 1));
            }
            self.may_have_gap = false;
            self.position = event.seq;
            if event.event.kind == "token.removed" && !self.is_token_there().await {
                self.ended = true;
                return;
            }
            if self.filter.wants(&event) {
                match Message::default().id(event.seq.to_string()).json_data(&event) {
                    Ok(message) => self.ready.push_back(message),
                    Err(error) => {
                        tracing::error!(%error, seq = event.seq, "An event could not be written as JSON")
                    }
                }
            }
        }
    }

    fn is_expired(&self) -> bool {
        self.caller.expires_at.is_some_and(|at| at <= self.api.engine.clock().now())
    }

    async fn is_token_there(&self) -> bool {
        let tokens = self.api.db().tokens().await;
        tokens.is_ok_and(|tokens| tokens.iter().any(|token| token.id == self.caller.token))
    }
}
