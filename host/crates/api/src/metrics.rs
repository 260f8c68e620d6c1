//! Numbers for Prometheus, in the OpenMetrics text format.
//!
//! What the process counts itself is counted as it happens; what stands in the database is read when somebody asks.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};
use syncline_domain::run::{Run, RunState};
use tokio::sync::Mutex;

use crate::{
    problem::{Problem, Result},
    state::Api,
};

/// The numbers of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    requests: Family<Answered, Counter>,
    request_seconds: Family<Route, Histogram, fn() -> Histogram>,
    runs: Family<InState, Gauge>,
    run_seconds: Family<InState, Histogram, fn() -> Histogram>,
    events: Counter,
    compilations: Counter,
    device_answers: Family<Status, Counter>,
    refused: Family<Limited, Counter>,
    connected: Gauge,
    /// The last event of which runs were counted; `None` before the first look.
    counted: Mutex<Option<i64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limited {
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("syncline");
        let requests = Family::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let request_seconds: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(quick);
        registry.register("http_request_seconds", "Time to the head of the answer", request_seconds.clone());
        let runs = Family::default();
        registry.register("runs", "Runs in the database, by state", runs.clone());
        let run_seconds: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(slow);
        let help = "Time of the last attempt of runs that ended on this node, by the state they ended in";
        registry.register("run_seconds", help, run_seconds.clone());
        let events = Counter::default();
        registry.register("events", "Events in the history, across all nodes", events.clone());
        let compilations = Counter::default();
        registry.register("plugin_compilations", "Packages compiled by this process", compilations.clone());
        let device_answers = Family::default();
        registry.register("device_answers", "Requests of devices answered", device_answers.clone());
        let refused = Family::default();
        let help = "Messages of devices that were turned away, by the limit that they met";
        registry.register("device_refusals", help, refused.clone());
        let connected = Gauge::default();
        registry.register("devices_connected", "Devices connected to this node", connected.clone());
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", build);
        let counted = Mutex::new(None);
        let inner = Inner {
            registry,
            requests,
            request_seconds,
            runs,
            run_seconds,
            events,
            compilations,
            device_answers,
            refused,
            connected,
            counted,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, method: &'static str, route: String, status: u16, took: Duration) {
        let labels = Route { method, route: route.clone() };
        self.inner.request_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        self.inner.requests.get_or_create(&Answered { method, route, status }).inc();
    }

    /// Counts an answer to a device.
    pub(crate) fn device_answered(&self, status: u16) {
        self.inner.device_answers.get_or_create(&Status { status }).inc();
    }

    /// Counts a message of a device that was turned away.
    pub(crate) fn device_refused(&self, limit: &'static str) {
        self.inner.refused.get_or_create(&Limited { limit }).inc();
    }

    /// Reads what stands in the database, and writes all numbers down.
    async fn text(&self, api: &Api) -> Result<String> {
        let counts = api.db().run_states().await?;
        for state in RunState::ALL {
            let count = counts.iter().find(|(one, _)| *one == state).map_or(0, |(_, count)| *count);
            let gauge = self.inner.runs.get_or_create(&InState { state: state.as_str() }).clone();
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let last = api.db().last_event().await?;
        self.count_runs(api, last).await?;
        self.inner.events.inner().store(last.max(0).unsigned_abs(), Ordering::Relaxed);
        self.inner.compilations.inner().store(api.engine.sandbox().compilations(), Ordering::Relaxed);
        self.inner.connected.set(i64::try_from(api.engine.connected_devices()).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.inner.registry).map_err(Problem::internal)?;
        Ok(text)
    }

    /// Adds the runs that ended since the last look, as the events tell.
    async fn count_runs(&self, api: &Api, last: i64) -> Result<()> {
        const BATCH: u32 = 1_000;
        // Held for as long as it takes, so that a run is counted once though two ask at a time.
        let mut counted = self.inner.counted.lock().await;
        let Some(mut from) = *counted else {
            *counted = Some(last);
            return Ok(());
        };
        while from < last {
            let events = api.db().events_after(from, BATCH).await?;
            let Some(end) = events.last().map(|event| event.seq) else { break };
            let mut ended = Vec::new();
            for event in events.iter().filter(|event| event.node == api.engine.node()) {
                let state =
                    event.event.kind.strip_prefix("run.").and_then(|word| word.parse::<RunState>().ok());
                if let (Some(state), Some(id)) = (state.filter(|state| state.is_final()), event.event.run) {
                    match api.db().run(id).await {
                        Ok(run) => ended.push((state, run)),
                        // Told of, and not kept any more.
                        Err(syncline_store::Error::NotFound { .. }) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            // Nothing can fail from here on: a batch is counted as a whole, or again at the next look.
            ended.iter().for_each(|(state, run)| self.count_run(*state, run));
            from = end;
            *counted = Some(from);
        }
        *counted = Some(from.max(last));
        Ok(())
    }

    fn count_run(&self, state: RunState, run: &Run) {
        if let (Some(begun), Some(ended)) = (run.started_at, run.finished_at) {
            let labels = InState { state: state.as_str() };
            let seconds = ended.duration_since(begun).as_secs_f64();
            self.inner.run_seconds.get_or_create(&labels).observe(seconds);
        }
    }
}

/// A millisecond to half a minute.
fn quick() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

/// A tenth of a second to nearly two hours.
fn slow() -> Histogram {
    Histogram::new(exponential_buckets(0.1, 3.0, 11))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Numbers for Prometheus.
///
/// Needs no token; the server can serve it on an address of its own, or not at all.
#[utoipa::path(
    get, path = "/metrics", tag = "server",
    responses((status = 200, description = "OpenMetrics text", body = String,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8")),
)]
pub(crate) async fn show_metrics(State(api): State<Api>) -> Result<Response> {
    let text = api.options.metrics.text(&api).await?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}
