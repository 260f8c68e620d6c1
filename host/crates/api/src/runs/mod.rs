//! Runs: started, looked at, decided on.

mod decide;
mod details;
mod read;
mod start;

pub(crate) use decide::*;
pub(crate) use details::*;
pub(crate) use read::*;
pub(crate) use start::*;

use axum::{Json, response::Response};
use serde::Serialize;
use syncline_domain::run::Run;

use crate::conditional::accepted;

/// A run, and where its parts are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RunView {
    #[serde(flatten)]
    run: Run,
    /// Where its parts are.
    links: RunLinks,
}

/// Where the parts of a run are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RunLinks {
    /// The run itself.
    #[serde(rename = "self")]
    itself: String,
    /// Its sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    sync: Option<String>,
    /// The collection that it refreshes.
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<String>,
    /// Each change that it found.
    operations: String,
    /// What the host and the plugin wrote.
    log: String,
    /// Its attempts.
    attempts: String,
}

impl RunView {
    /// Where it is.
    pub(crate) fn place(&self) -> String {
        Self::location(&self.run)
    }

    fn location(run: &Run) -> String {
        format!("/api/v1/runs/{}", run.id)
    }
}

impl From<Run> for RunView {
    fn from(run: Run) -> Self {
        let itself = Self::location(&run);
        let links = RunLinks {
            sync: run.subject.sync().map(|name| format!("/api/v1/syncs/{name}")),
            collection: run.subject.collection().map(|name| format!("/api/v1/collections/{name}")),
            operations: format!("{itself}/operations"),
            log: format!("{itself}/log"),
            attempts: format!("{itself}/attempts"),
            itself,
        };
        Self { run, links }
    }
}

/// 202: the run goes on by itself, and is where `Location` says.
pub(crate) fn under_way(run: Run) -> Response {
    let location = RunView::location(&run);
    accepted(&location, Json(RunView::from(run)))
}
