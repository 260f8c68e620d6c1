//! The tree of groups. In paths of the API a group is one segment: `%2Fsales%2Fberlin`, or `sales%2Fberlin`.

use std::str::FromStr;

use axum::{extract::State, response::Response};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_domain::device::{
    GroupPath,
    group::BadGroup,
    user::{Key, KeySets},
};
use syncline_engine::{Engine, devices::groups::GroupChange};
use syncline_store::{Db, GroupRecord};

use crate::{
    auth::{Operator, Viewer},
    conditional::{IfMatch, IfNoneMatch, Tagged, created},
    input::{At, Json, NoParams, Params},
    page::{Items, PageParams},
    problem::Result,
};

/// A group in the path of a request, with or without its first `/`.
pub(crate) struct GroupAt(GroupPath);

impl FromStr for GroupAt {
    type Err = BadGroup;

    fn from_str(text: &str) -> std::result::Result<Self, BadGroup> {
        let path = if text.starts_with('/') { text.parse() } else { format!("/{text}").parse() };
        path.map(Self)
    }
}

/// A group.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct GroupView {
    /// Where it is.
    path: GroupPath,
    /// For people.
    description: String,
    /// Key sets by name: of the users in it, and of those below that have none of that name.
    #[schema(value_type = std::collections::BTreeMap<String, Vec<Key>>)]
    keys: KeySets,
    /// When it was made.
    created_at: Timestamp,
    /// Counts changes; the `ETag`.
    revision: i64,
}

impl From<GroupRecord> for GroupView {
    fn from(group: GroupRecord) -> Self {
        let GroupRecord { path, description, keys, created_at, revision } = group;
        Self { path, description, keys, created_at, revision }
    }
}

impl GroupView {
    fn tagged(group: GroupRecord) -> Tagged<Self> {
        Tagged { revision: group.revision, body: group.into() }
    }
}

/// What is needed to make a group.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGroup {
    /// Where it is to be; the group above must be there.
    path: GroupPath,
    /// For people.
    #[serde(default)]
    description: String,
    /// Key sets by name.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, Vec<Key>>)]
    keys: KeySets,
}

/// Make a group.
#[utoipa::path(
    post, path = "/api/v1/groups", tag = "devices",
    request_body = NewGroup,
    responses((status = 201, description = "Made", body = GroupView, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn create_group(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(new): Json<NewGroup>,
) -> Result<Response> {
    let group = engine.create_group(&new.path, &new.description, &new.keys, caller.actor()).await?;
    let location = format!("/api/v1/groups/{}", group.path.as_str().replace('/', "%2F"));
    Ok(created(&location, GroupView::tagged(group)))
}

/// List groups.
#[utoipa::path(
    get, path = "/api/v1/groups", tag = "devices",
    params(PageParams),
    responses((status = 200, description = "Each after those above it", body = Items<GroupView>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_groups(
    _: Viewer,
    State(db): State<Db>,
    Params(params): Params<PageParams>,
) -> Result<Items<GroupView>> {
    let page = params.page()?;
    let items = Items::of(db.groups().await?, &page, |group: &GroupRecord| group.path.to_string());
    Ok(items.map(GroupView::from))
}

/// Look at a group.
#[utoipa::path(
    get, path = "/api/v1/groups/{name}", tag = "devices",
    params(("name" = String, Path, description = "The group's path, with `/` as `%2F`")),
    responses((status = 200, description = "The group", body = GroupView, headers(("ETag" = String)))),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_group(
    _: Viewer,
    State(db): State<Db>,
    At(GroupAt(path)): At<GroupAt>,
    Params(NoParams {}): Params<NoParams>,
    known: IfNoneMatch,
) -> Result<Response> {
    Ok(GroupView::tagged(db.group(&path).await?).unless(&known))
}

/// What is to change of a group. What is absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupChangeBody {
    /// For people.
    description: Option<String>,
    /// Key sets by name, in place of all that were there.
    #[schema(value_type = Option<std::collections::BTreeMap<String, Vec<Key>>>)]
    keys: Option<KeySets>,
    /// Where it is to be, with all that is in it and below it.
    path: Option<GroupPath>,
}

/// Change or move a group.
///
/// What devices should hold by that is published.
#[utoipa::path(
    patch, path = "/api/v1/groups/{name}", tag = "devices",
    params(
        ("name" = String, Path, description = "The group's path, with `/` as `%2F`"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    request_body = GroupChangeBody,
    responses((status = 200, description = "Changed", body = GroupView, headers(("ETag" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn change_group(
    caller: Operator,
    State(engine): State<Engine>,
    At(GroupAt(path)): At<GroupAt>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(body): Json<GroupChangeBody>,
) -> Result<Tagged<GroupView>> {
    let present = engine.db().group(&path).await?.revision;
    let revision = known.revision("group", &path, present)?;
    let change = GroupChange { description: body.description, keys: body.keys, path: body.path };
    Ok(GroupView::tagged(engine.change_group(&path, change, revision, caller.actor()).await?))
}

/// Remove a group.
///
/// Refused with 409 while there is anything in it or below it.
#[utoipa::path(
    delete, path = "/api/v1/groups/{name}", tag = "devices",
    params(
        ("name" = String, Path, description = "The group's path, with `/` as `%2F`"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    responses((status = 204, description = "Removed")),
    security(("token" = ["operator"])),
)]
pub(crate) async fn remove_group(
    caller: Operator,
    State(engine): State<Engine>,
    At(GroupAt(path)): At<GroupAt>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
) -> Result<StatusCode> {
    let present = engine.db().group(&path).await?.revision;
    known.revision("group", &path, present)?;
    engine.remove_group(&path, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
