//! Users of devices: who they are, and the keys that hold for them. Subscriptions and activation codes: `subscriptions.rs`.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use syncline_domain::{
    Name,
    device::{
        Colour, GroupPath, Status,
        status::USER,
        user::{Key, KeySets, User, keys_in_force},
    },
    ids::{DeviceId, UserId},
};
use syncline_engine::{Engine, devices::users::UserChange};
use syncline_store::{NewUser, UserFilter};

use crate::{
    auth::{Operator, Viewer},
    conditional::{IfMatch, Tagged, created},
    input::{At, Json, NoParams, Params},
    page::{self, Items},
    problem::{Problem, Result},
};

/// A user, with its status and the keys that hold for it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct UserView {
    #[serde(flatten)]
    user: User,
    /// Colour, state, reason and since when.
    status: Status,
    /// Key sets that hold for it, by name: its own, and its group's where it has none of that name.
    keys_in_force: BTreeMap<Name, KeysInForce>,
}

/// A key set that holds for a user.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct KeysInForce {
    /// Whether it comes from the group.
    inherited: bool,
    /// The keys.
    keys: Vec<Key>,
}

/// Shows users: the key sets of the groups are read once for all of them.
struct Shower {
    engine: Engine,
    groups: BTreeMap<GroupPath, KeySets>,
}

impl Shower {
    async fn new(engine: &Engine) -> Result<Self> {
        let groups = engine.db().groups().await?;
        let groups = groups.into_iter().map(|group| (group.path, group.keys)).collect();
        Ok(Self { engine: engine.clone(), groups })
    }

    fn show(&self, user: User) -> UserView {
        let above = user.group.ancestors();
        let inherited: Vec<_> = above.iter().filter_map(|path| self.groups.get(path)).collect();
        let sets = keys_in_force(&user.keys, &inherited).into_iter();
        let keys_in_force = sets
            .map(|(name, (keys, inherited))| (name.clone(), KeysInForce { inherited, keys: keys.to_vec() }))
            .collect();
        UserView { status: user.status(self.engine.clock().now()), keys_in_force, user }
    }
}

/// A user as it is shown.
pub(super) async fn shown(engine: &Engine, user: User) -> Result<Tagged<UserView>> {
    let revision = user.revision;
    Ok(Tagged { revision, body: Shower::new(engine).await?.show(user) })
}

/// What is needed to make a user.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUserBody {
    /// The account's name; unique.
    name: String,
    /// What to call the person.
    #[serde(default)]
    display_name: String,
    /// Its e-mail.
    email: Option<String>,
    /// The group whose keys it has.
    #[serde(default = "GroupPath::root")]
    group: GroupPath,
    /// Key sets of its own, by name.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Vec<Key>>)]
    keys: KeySets,
}

/// Make a user.
///
/// It has no subscription yet.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "devices",
    request_body = NewUserBody,
    responses((status = 201, description = "Made", body = UserView, headers(("Location" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn create_user(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(body): Json<NewUserBody>,
) -> Result<Response> {
    let NewUserBody { name, display_name, email, group, keys } = body;
    let new = NewUser { name, display_name, email, group, keys };
    let user = engine.create_user(&new, caller.actor()).await?;
    let location = format!("/api/v1/users/{}", user.id);
    Ok(created(&location, shown(&engine, user).await?))
}

/// Which users are wanted: those for which all that is set holds.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UserParams {
    /// In this group or below it.
    group: Option<GroupPath>,
    /// Activated on this device.
    device: Option<DeviceId>,
    /// With this name.
    name: Option<String>,
    /// With this e-mail, in any case.
    email: Option<String>,
    /// Switched off, or not.
    disabled: Option<bool>,
    /// With this word of status, such as `issued`.
    status: Option<String>,
    /// With this colour.
    colour: Option<Colour>,
    /// Most items of the answer; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged and with the same filter.
    after: Option<String>,
}

impl UserParams {
    fn check_status(&self) -> Result<()> {
        let known = |word: &String| USER.iter().any(|row| row.state == word);
        let Some(word) = self.status.as_ref().filter(|word| !known(word)) else { return Ok(()) };
        let words: Vec<_> = USER.iter().map(|row| row.state).collect();
        let detail = format!("query: status {word:?}: use one of {}", words.join(", "));
        Err(Problem::new(StatusCode::BAD_REQUEST, "query", detail))
    }
}

/// List users.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "devices",
    params(UserParams),
    responses((status = 200, description = "In the order in which they were made", body = Items<UserView>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_users(
    _: Viewer,
    State(engine): State<Engine>,
    Params(params): Params<UserParams>,
) -> Result<Items<UserView>> {
    params.check_status()?;
    let UserParams { group, device, name, email, disabled, status, colour, limit, after } = params;
    let page = page::page(limit, after)?;
    let filter = UserFilter { group, device, name, email, disabled };
    let now = engine.clock().now();
    let wanted = move |user: &User| {
        if status.is_none() && colour.is_none() {
            return true;
        }
        let present = user.status(now);
        status.as_ref().is_none_or(|word| present.state == *word)
            && colour.is_none_or(|colour| present.colour == colour)
    };
    let listed = engine.users_where(&filter, wanted, &page).await?;
    let shower = Shower::new(&engine).await?;
    Ok(Items::from(listed).map(|user| shower.show(user)))
}

/// Look at a user.
#[utoipa::path(
    get, path = "/api/v1/users/{id}", tag = "devices",
    params(("id" = UserId, Path, description = "The user")),
    responses((status = 200, description = "The user", body = UserView, headers(("ETag" = String)))),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_user(
    _: Viewer,
    State(engine): State<Engine>,
    At(id): At<UserId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<UserView>> {
    let user = engine.db().user(id).await?;
    shown(&engine, user).await
}

/// What is to change of a user. What is absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChangeBody {
    /// The account's name.
    name: Option<String>,
    /// What to call the person.
    display_name: Option<String>,
    /// Its e-mail; an empty text takes it away.
    email: Option<String>,
    /// Whether it is switched off: its keys are withdrawn, and it cannot be activated.
    disabled: Option<bool>,
    /// The group whose keys it has.
    group: Option<GroupPath>,
    /// Key sets of its own, by name, in place of all that were there.
    #[schema(value_type = Option<BTreeMap<String, Vec<Key>>>)]
    keys: Option<KeySets>,
}

/// Change a user.
///
/// What its device should hold by that is published. What a directory gives is refused with 409: it is changed there.
#[utoipa::path(
    patch, path = "/api/v1/users/{id}", tag = "devices",
    params(
        ("id" = UserId, Path, description = "The user"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    request_body = UserChangeBody,
    responses((status = 200, description = "Changed", body = UserView, headers(("ETag" = String)))),
    security(("token" = ["operator"])),
)]
pub(crate) async fn change_user(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<UserId>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
    Json(body): Json<UserChangeBody>,
) -> Result<Tagged<UserView>> {
    let present = engine.db().user(id).await?.revision;
    let revision = known.revision("user", id, present)?;
    let UserChangeBody { name, display_name, email, disabled, group, keys } = body;
    let change = UserChange { name, display_name, email, disabled, group, keys };
    let user = engine.change_user(id, change, revision, caller.actor()).await?;
    shown(&engine, user).await
}

/// Remove a user.
///
/// Its subscription and codes go with it, and its device is told.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}", tag = "devices",
    params(
        ("id" = UserId, Path, description = "The user"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was read"),
    ),
    responses((status = 204, description = "Removed")),
    security(("token" = ["operator"])),
)]
pub(crate) async fn remove_user(
    caller: Operator,
    State(engine): State<Engine>,
    At(id): At<UserId>,
    Params(NoParams {}): Params<NoParams>,
    known: IfMatch,
) -> Result<StatusCode> {
    let present = engine.db().user(id).await?.revision;
    known.revision("user", id, present)?;
    engine.remove_user(id, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
