//! Policies and their versions. Each change is a new version, and is published.

use axum::{Json as Answer, extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use syncline_domain::{
    Name,
    device::{
        comparison::{self, Comparison},
        policy::{Policy, PolicySpec, PolicyVersion},
    },
    ids::PolicyId,
};
use syncline_engine::Engine;
use syncline_store::Db;

use crate::{
    auth::{Operator, Viewer},
    conditional::{IfMatch, IfNoneMatch, Tagged, created},
    input::{At, Beside, Edited, Json, NoParams, Params, Shown, With},
    page::{self, Items, PageParams},
    problem::Result,
};

/// Why a policy is as it is, in a person's words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    #[serde(default)]
    note: String,
}

impl Beside for Note {
    const FIELDS: &'static [&'static str] = &["note"];
}

/// What is needed to make or change a policy, for the document.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only its schema is used; bodies are read as `With<Note, PolicySpec>`")]
pub(crate) struct PolicyBody {
    /// Why, for those who look at the versions.
    note: Option<String>,
    #[serde(flatten)]
    spec: PolicySpec,
}

/// What GET shows of a policy and PUT does not set.
pub(crate) struct PolicyShown;

impl Shown for PolicyShown {
    const FIELDS: &'static [&'static str] = &["id", "version", "created_at", "updated_at"];
}

fn tagged(policy: Policy) -> Tagged<Policy> {
    Tagged { revision: version(&policy), body: policy }
}

fn version(policy: &Policy) -> i64 {
    i64::try_from(policy.version).unwrap_or(i64::MAX)
}

/// Make a policy.
///
/// What devices should hold by it is published at once, unless the server is set to do that with its own synchronisation.
#[utoipa::path(
    post, path = "/api/v1/policies", tag = "devices",
    request_body = PolicyBody,
    responses((status = 201, description = "Made", body = Policy, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn create_policy(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(new): Json<With<Note, PolicySpec>>,
) -> Result<Response> {
    let policy = engine.create_policy(&new.rest, &new.beside.note, caller.actor()).await?;
    Ok(created(&format!("/api/v1/policies/{}", policy.id), tagged(policy)))
}

/// Which policies are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PolicyParams {
    /// Of this application.
    application: Option<Name>,
    /// Most items of the answer; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged and with the same filter.
    after: Option<String>,
}

/// List policies.
#[utoipa::path(
    get, path = "/api/v1/policies", tag = "devices",
    params(PolicyParams),
    responses((status = 200, description = "Sorted by id: oldest first", body = Items<Policy>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_policies(
    _: Viewer,
    State(db): State<Db>,
    Params(params): Params<PolicyParams>,
) -> Result<Items<Policy>> {
    let page = page::page(params.limit, params.after)?;
    let policies = db.policies(params.application.as_ref()).await?;
    Ok(Items::of(policies, &page, |policy: &Policy| policy.id.to_string()))
}

/// Look at a policy.
#[utoipa::path(
    get, path = "/api/v1/policies/{id}", tag = "devices",
    params(("id" = PolicyId, Path, description = "The policy")),
    responses((status = 200, description = "The policy", body = Policy, headers(("ETag" = String)))),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_policy(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<PolicyId>,
    Params(NoParams {}): Params<NoParams>,
    known: IfNoneMatch,
) -> Result<Response> {
    Ok(tagged(db.policy(id).await?).unless(&known))
}

/// Change a policy: a new version.
///
/// All of what can be set, in place of what was; the application stays.
#[utoipa::path(
    put, path = "/api/v1/policies/{id}", tag = "devices",
    params(
        ("id" = PolicyId, Path, description = "The policy"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    request_body = PolicyBody,
    responses((status = 200, description = "Changed", body = Policy, headers(("ETag" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn change_policy(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<PolicyId>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(edited): Json<Edited<PolicyShown, With<Note, PolicySpec>>>,
) -> Result<Tagged<Policy>> {
    let from = read_version(&engine, id, &known).await?;
    let With { beside, rest } = edited.spec;
    Ok(tagged(engine.change_policy(id, rest, from, &beside.note, caller.actor()).await?))
}

async fn read_version(engine: &Engine, id: PolicyId, known: &IfMatch) -> Result<Option<u64>> {
    let present = engine.db().policy(id).await?;
    let revision = known.revision("policy", id, version(&present))?;
    Ok(revision.map(|_| present.version))
}

/// Remove a policy with its versions.
#[utoipa::path(
    delete, path = "/api/v1/policies/{id}", tag = "devices",
    params(
        ("id" = PolicyId, Path, description = "The policy"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    responses((status = 204, description = "Removed")),
    security(("token" = ["operator"])),
)]
pub(crate) async fn remove_policy(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<PolicyId>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
) -> Result<StatusCode> {
    read_version(&engine, id, &known).await?;
    engine.remove_policy(id, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the versions of a policy.
#[utoipa::path(
    get, path = "/api/v1/policies/{id}/versions", tag = "devices",
    params(("id" = PolicyId, Path, description = "The policy"), PageParams),
    responses((status = 200, description = "Newest first", body = Items<PolicyVersion>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_policy_versions(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<PolicyId>,
    Params(params): Params<PageParams>,
) -> Result<Items<PolicyVersion>> {
    Ok(db.policy_versions(id, &params.page()?).await?.into())
}

/// Which versions are compared.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Versions {
    /// The first.
    from: u64,
    /// The second; the present one if absent.
    to: Option<u64>,
}

/// Compare two versions of a policy.
#[utoipa::path(
    get, path = "/api/v1/policies/{id}/compare", tag = "devices",
    params(("id" = PolicyId, Path, description = "The policy"), Versions),
    responses((status = 200, description = "What differs", body = Comparison)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn compare_policy_versions(
    _: Viewer,
    State(db): State<Db>,
    At(id): At<PolicyId>,
    Params(Versions { from, to }): Params<Versions>,
) -> Result<Answer<Comparison>> {
    let before = db.policy_version(id, from).await?;
    let to = match to {
        Some(to) => to,
        None => db.policy(id).await?.version,
    };
    let after = db.policy_version(id, to).await?;
    Ok(Answer(comparison::compare(&before.spec, &after.spec)))
}

/// Which version is brought back.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollback {
    /// The version whose content is brought back, as a new version.
    version: u64,
    /// Why.
    #[serde(default)]
    note: String,
}

/// Bring back what a policy said in an old version.
#[utoipa::path(
    post, path = "/api/v1/policies/{id}/rollback", tag = "devices",
    params(
        ("id" = PolicyId, Path, description = "The policy"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    request_body = Rollback,
    responses((status = 200, description = "Brought back", body = Policy, headers(("ETag" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn roll_policy_back(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<PolicyId>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(body): Json<Rollback>,
) -> Result<Tagged<Policy>> {
    let from = read_version(&engine, id, &known).await?;
    Ok(tagged(engine.roll_back_policy(id, body.version, from, &body.note, caller.actor()).await?))
}
