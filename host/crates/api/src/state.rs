//! What all handlers share.

use std::{sync::Arc, time::Duration};

use axum::extract::FromRef;
use syncline_engine::Engine;
use syncline_store::Db;
use tokio_util::sync::CancellationToken;

use crate::{metrics::Metrics, once::UnderWay, opamp::Limits};

/// How the API is served.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Whether `/metrics` is served beside the API. If not, [`crate::metrics_router`] can serve it on a listener of its
    /// own, from the same `metrics`.
    pub serve_metrics: bool,
    /// The numbers of this process.
    pub metrics: Metrics,
    /// Most time for the answer to a request, upload of its body included. Streams of events are not limited.
    pub request_timeout: Duration,
    /// How often a stream looks for events that other nodes wrote.
    pub stream_poll: Duration,
    /// How often a stream without events sends a comment, so that nobody in between takes it for dead.
    pub keep_alive: Duration,
    /// URL of `/v1/opamp` as devices reach it. If absent, they are told the host that they came to.
    pub device_endpoint: Option<String>,
    /// Cancel this when the server begins to shut down: streams end, and `/readyz` says no.
    pub stopping: CancellationToken,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            serve_metrics: true,
            metrics: Metrics::new(),
            request_timeout: Duration::from_secs(120),
            stream_poll: Duration::from_secs(1),
            keep_alive: Duration::from_secs(15),
            device_endpoint: None,
            stopping: CancellationToken::new(),
        }
    }
}

/// What all handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub engine: Engine,
    pub options: Arc<ApiOptions>,
    pub under_way: UnderWay,
    pub device_limits: Arc<Limits>,
}

impl Api {
    pub fn new(engine: Engine, options: ApiOptions) -> Self {
        Self {
            engine,
            options: Arc::new(options),
            under_way: UnderWay::default(),
            device_limits: Arc::default(),
        }
    }

    /// The state, for reading.
    pub fn db(&self) -> &Db {
        self.engine.db()
    }

    /// Whether the server is shutting down.
    pub fn is_stopping(&self) -> bool {
        self.options.stopping.is_cancelled() || self.engine.is_stopping()
    }
}

impl FromRef<Api> for Engine {
    fn from_ref(api: &Api) -> Self {
        api.engine.clone()
    }
}

impl FromRef<Api> for Db {
    fn from_ref(api: &Api) -> Self {
        api.engine.db().clone()
    }
}
