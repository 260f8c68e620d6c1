//! Imports at once: of one directory source, or of all.

use axum::{Json as Answer, extract::State, response::Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use syncline_domain::{Name, ids::RunId, run::RunMode};
use syncline_engine::{Engine, runs::StartRun};

use crate::{
    auth::Operator,
    input::{At, MaybeJson, NoParams, Params},
    problem::{Problem, Result},
};

/// How to import.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ImportBody {
    /// Whether it changes anything.
    mode: RunMode,
    /// Whether everything is read anew.
    anew: bool,
}

/// What was begun.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Imports {
    /// One for each sync that reads the source, sorted by name.
    runs: Vec<Import>,
}

/// An import of one sync: the run that was queued, or why none was.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Import {
    /// The sync.
    sync: Name,
    /// Its run.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
    /// Why none was queued, such as a source that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// Import a directory source now.
///
/// Queues a run of each sync that reads it, as `POST /api/v1/syncs/{name}/runs` does.
#[utoipa::path(
    post, path = "/api/v1/directory-sources/{name}/import", tag = "directories",
    params(("name" = Name, Path, description = "The source")),
    request_body = Option<ImportBody>,
    responses((status = 202, description = "Begun", body = Imports)),
    security(("token" = ["operator"])),
)]
pub(crate) async fn import_directory_source(
    caller: Operator,
    State(engine): State<Engine>,
    At(name): At<Name>,
    Params(NoParams {}): Params<NoParams>,
    MaybeJson(body): MaybeJson<ImportBody>,
) -> Result<Response> {
    engine.db().directory_source(&name).await?;
    let syncs = engine.syncs_of_source(&name).await?;
    if syncs.is_empty() {
        let detail = format!("no sync reads directory source {name}: make one with it among its sources");
        return Err(Problem::new(StatusCode::CONFLICT, "not-read", detail));
    }
    begin(&engine, syncs, &body, caller.actor()).await
}

/// Import all directory sources now.
#[utoipa::path(
    post, path = "/api/v1/directory-imports", tag = "directories",
    request_body = Option<ImportBody>,
    responses((status = 202, description = "Begun", body = Imports)),
    security(("token" = ["operator"])),
)]
pub(crate) async fn import_all_directories(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    MaybeJson(body): MaybeJson<ImportBody>,
) -> Result<Response> {
    let syncs = engine.db().syncs().await?.into_iter();
    let syncs = syncs.filter(|sync| sync.spec.directory.is_some()).map(|sync| sync.name);
    begin(&engine, syncs.collect(), &body, caller.actor()).await
}

async fn begin(engine: &Engine, syncs: Vec<Name>, body: &ImportBody, actor: &str) -> Result<Response> {
    use axum::response::IntoResponse as _;
    let mut runs = Vec::with_capacity(syncs.len());
    for sync in syncs {
        let start = StartRun { mode: body.mode, anew: body.anew };
        let (run, problem) = match engine.start_run(&sync, start, actor).await {
            Ok(run) => (Some(run.id), None),
            Err(error) => (None, Some(Problem::from(error))),
        };
        runs.push(Import { sync, run, problem });
    }
    Ok((StatusCode::ACCEPTED, Answer(Imports { runs })).into_response())
}
