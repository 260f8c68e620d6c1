//! The HTTP API of Syncline, over the use cases of [`syncline_engine`].
//!
//! Where to look:
//!
//! * `router.rs`: every route, and what all of them go through
//! * one file or folder a resource: `plugins/`, `stores.rs`, `collections.rs`, `syncs.rs`, `runs/`, `schedules.rs`,
//!   `reports.rs`, `events/`, `access.rs` (tokens, secrets, who am I), `nodes.rs`, `health.rs`; a handler reads top to bottom:
//!   what goes in and out, its documentation, what it does
//! * `devices/`: devices, groups, applications, policies, selections, forced synchronisation, messages,
//!   tasks, users
//! * `opamp/`: what devices themselves speak to, at `/v1/opamp`
//! * `problem.rs`: how anything that goes wrong becomes an answer
//! * `auth.rs`: tokens and roles, as arguments of handlers
//! * `input.rs`: bodies, queries and path parameters; `conditional.rs`: `ETag`, `If-Match`; `page.rs`: lists;
//!   `format.rs`, `csv.rs`: answers that are no JSON; `once.rs`: `Idempotency-Key`
//! * `observe.rs`: request ids, logs, the time limit; `linger.rs`: refusals in the middle of an upload; `metrics.rs`: numbers
//! * `openapi.rs`: the document that says all this to programs
//!
//! Handlers check nothing that a use case checks, and write no SQL.
//!
//! To add a route: write the handler with its `utoipa::path`, name it in `router.rs` and in `openapi.rs`, run the tests
//! with `INSTA_UPDATE=always` and look at what changed in the snapshot of routes and roles.

#![allow(clippy::result_large_err, reason = "made at most once for a request, and moved a few times")]

mod access;
mod auth;
mod collections;
mod conditional;
mod csv;
mod devices;
mod directory;
mod events;
mod format;
mod health;
mod input;
mod linger;
mod metrics;
mod nodes;
mod observe;
mod once;
mod opamp;
mod openapi;
mod page;
mod plugins;
mod problem;
mod reports;
mod router;
mod runs;
mod schedules;
mod servers;
mod state;
mod stores;
mod syncs;

pub use metrics::Metrics;
pub use openapi::document;
pub use problem::Problem;
pub use router::{device_router, metrics_router, router};
pub use state::ApiOptions;
