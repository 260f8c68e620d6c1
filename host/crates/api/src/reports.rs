//! The File Status Report, and repairing what it finds.

use std::{collections::BTreeSet, pin::Pin, time::Duration};

use axum::{Json as Body, extract::State, response::Response};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use syncline_domain::{Name, RelPath, run::RepairTargets, sync::Compare};
use syncline_engine::{Engine, report::ServerReport};

use crate::{
    auth::{Operator, Viewer},
    conditional::accepted,
    csv,
    format::Format,
    input::{Json, NoParams, Params},
    problem::{Problem, Result},
    runs::RunView,
    state::Api,
};

/// What is to be reported.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportBody {
    /// The servers; all that a sync brings patches to if absent.
    #[serde(default)]
    servers: Option<Vec<Name>>,
    /// By size and time, or by digests read anew on the server.
    #[serde(default)]
    check: Compare,
}

/// In which form.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReportParams {
    /// If absent, the header `Accept` says it.
    #[param(inline)]
    format: Option<Format>,
}

/// What is missing and out of date on servers.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Report {
    /// How was looked.
    check: Compare,
    /// Each server, in the order in which they were named.
    servers: Vec<ServerReport>,
}

type Reports = Pin<Box<dyn Stream<Item = ServerReport> + Send>>;

/// Report which downloaded patches are missing or out of date.
///
/// The files of collection `patches` that should stand on each server, compared with what stands there; nothing else there is
/// looked at, and nothing is changed. Runs beside syncs. With `check` `full` each file is read on the server and compared by
/// its digest. A server that cannot be read has an `error` and no lists. The answer is sent while the servers are looked at,
/// eight at a time, and at most an hour each; hanging up ends the looking.
#[utoipa::path(
    post, path = "/api/v1/distribution-servers/report", tag = "distribution servers",
    params(ReportParams),
    request_body = ReportBody,
    responses((status = 200, description = "How each server stands", content(
        (Report = "application/json"),
        (String = "text/csv"),
        (String = "application/x-ndjson"),
    ))),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn report_servers(
    _: Viewer,
    State(api): State<Api>,
    headers: HeaderMap,
    Params(params): Params<ReportParams>,
    Json(body): Json<ReportBody>,
) -> Result<Response> {
    let reports = api.engine.report(body.servers.as_deref(), body.check).await?;
    let reports: Reports = Box::pin(reports);
    Ok(match Format::wanted(params.format, &headers) {
        Format::Json => json(reports, body.check, api.options.keep_alive)?,
        Format::Ndjson => Format::Ndjson.answer(reports.map(|one| Ok(text(&one)? + "\n"))),
        Format::Csv => {
            let mut head = String::new();
            csv::line(&mut head, ["server", "checked_at", "state", "path", "error"]);
            Format::Csv.answer(stream::iter([Ok(head)]).chain(reports.map(|one| Ok(rows(&one)))))
        }
    })
}

fn text(report: &ServerReport) -> Result<String> {
    serde_json::to_string(report).map_err(Problem::internal)
}

/// One document, with white space while there is nothing to tell, so that nobody in between takes the connection for dead.
fn json(reports: Reports, check: Compare, keep_alive: Duration) -> Result<Response> {
    let check = serde_json::to_string(&check).map_err(Problem::internal)?;
    let head = format!("{{\"check\":{check},\"servers\":[");
    let servers = stream::unfold((reports, false), move |(mut reports, follows)| async move {
        let next = match tokio::time::timeout(keep_alive, reports.next()).await {
            Err(_) => Ok("\n".to_owned()),
            Ok(None) => return None,
            Ok(Some(report)) => {
                let comma = if follows { "," } else { "" };
                return Some((text(&report).map(|text| format!("{comma}{text}")), (reports, true)));
            }
        };
        Some((next, (reports, follows)))
    });
    let whole = stream::iter([Ok(head)]).chain(servers).chain(stream::iter([Ok("]}".to_owned())]));
    Ok(Format::Json.answer(whole))
}

/// A line for each file, or one that says how the server stands as a whole.
fn rows(report: &ServerReport) -> String {
    let mut rows = String::new();
    let (name, at) = (report.name.as_str(), report.checked_at.to_string());
    if let Some(failure) = &report.error {
        csv::line(&mut rows, [name, &at, "error", "", &failure.message]);
        return rows;
    }
    let lists = [("missing", &report.missing), ("out-of-date", &report.out_of_date)];
    for (state, path) in
        lists.into_iter().flat_map(|(state, list)| list.iter().flatten().map(move |p| (state, p)))
    {
        csv::line(&mut rows, [name, &at, state, &path.to_text(), ""]);
    }
    if rows.is_empty() {
        csv::line(&mut rows, [name, &at, "up-to-date", "", ""]);
    }
    rows
}

/// What is to be repaired: servers, or what a report found.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RepairBody {
    /// Servers, on which all is repaired that is found when the run looks.
    #[serde(default)]
    servers: Option<Vec<Name>>,
    /// With `servers`: how is looked.
    #[serde(default)]
    check: Option<Compare>,
    /// In place of both: a report as it was answered. What it lists is repaired where that is still needed.
    #[serde(default)]
    report: Option<Report>,
}

/// Runs that were queued.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Repairs {
    /// One for each sync that brings patches to the servers.
    runs: Vec<RunView>,
}

/// Repair what a report finds, or found.
///
/// Queues runs that copy just the patches that are missing or out of date; they remove nothing. One run for each sync that
/// brings patches to the servers, `Location` is that of the first.
#[utoipa::path(
    post, path = "/api/v1/distribution-servers/repair", tag = "distribution servers",
    request_body = RepairBody,
    responses((status = 202, description = "Queued", body = Repairs, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn repair_servers(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(body): Json<RepairBody>,
) -> Result<Response> {
    let (servers, check) = body.what()?;
    let runs = engine.repair(servers, check, caller.actor()).await?;
    let runs: Vec<RunView> = runs.into_iter().map(RunView::from).collect();
    let location = runs.first().map(RunView::place).unwrap_or_default();
    Ok(accepted(&location, Body(Repairs { runs })))
}

impl RepairBody {
    fn what(self) -> Result<(RepairTargets, Compare)> {
        let refused = |code: &str, detail: &str| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
        match (self.servers, self.check, self.report) {
            (Some(servers), check, None) => {
                let all = servers.into_iter().map(|server| (server, None)).collect();
                Ok((all, check.unwrap_or_default()))
            }
            (None, None, Some(report)) => {
                let found: RepairTargets = report.servers.into_iter().filter_map(found).collect();
                if found.is_empty() {
                    return Err(refused(
                        "nothing-to-repair",
                        "the report lists no file: there is nothing to repair",
                    ));
                }
                Ok((found, report.check))
            }
            _ => Err(refused("repair", "give `servers`, with `check` or without, or else `report`")),
        }
    }
}

/// What a report found on a server, if anything.
fn found(server: ServerReport) -> Option<(Name, Option<BTreeSet<RelPath>>)> {
    let lists = server.missing.into_iter().chain(server.out_of_date);
    let paths: BTreeSet<RelPath> = lists.flatten().collect();
    (!paths.is_empty()).then_some((server.name, Some(paths)))
}
