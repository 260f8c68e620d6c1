//! Many users at once, out of another system.

use axum::{Json as Answer, extract::State};
use serde::{Deserialize, Serialize};
use syncline_domain::ids::UserId;
use syncline_engine::{
    Engine,
    devices::user_import::{Existing, ImportedUser, Taken},
};

use crate::{
    auth::Operator,
    input::{Json, NoParams, Params},
    problem::{Problem, Result},
};

/// Users, and what becomes of those who are there already.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserImportBody {
    /// 1 to 1,000; the names are the accounts'.
    users: Vec<ImportedUser>,
    /// What becomes of those who are there already.
    #[serde(default)]
    existing: Existing,
}

/// What became of an import.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub(crate) struct UserImport {
    /// How many were made.
    created: usize,
    /// How many were there and were changed.
    changed: usize,
    /// How many were there and are as they were.
    unchanged: usize,
    /// How many were not taken over.
    refused: usize,
    /// Each one, in the order of the request.
    users: Vec<UserImported>,
}

/// What became of one user.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct UserImported {
    /// The account's name, as given.
    name: String,
    /// `created`, `changed`, `unchanged` or `refused`.
    outcome: &'static str,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<UserId>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

impl UserImport {
    fn add(&mut self, name: String, taken: Taken) {
        let (count, outcome, id, problem) = match taken {
            Taken::Created(id) => (&mut self.created, "created", Some(id), None),
            Taken::Changed(id) => (&mut self.changed, "changed", Some(id), None),
            Taken::Unchanged(id) => (&mut self.unchanged, "unchanged", Some(id), None),
            Taken::Refused(error) => (&mut self.refused, "refused", None, Some(error.into())),
        };
        *count += 1;
        self.users.push(UserImported { name, outcome, id, problem });
    }
}

/// Make many users at once.
///
/// Each is taken or refused for itself, and the answer says so of each. Values that are absent stay as they are where a user is
/// changed; what a directory gives is not changed here.
#[utoipa::path(
    post, path = "/api/v1/users/import", tag = "devices",
    request_body = UserImportBody,
    responses((status = 200, description = "What became of each", body = UserImport)),
    security(("token" = ["operator"])),
)]
pub(crate) async fn import_users(
    caller: Operator,
    State(engine): State<Engine>,
    Params(NoParams {}): Params<NoParams>,
    Json(body): Json<UserImportBody>,
) -> Result<Answer<UserImport>> {
    let names: Vec<_> = body.users.iter().map(|user| user.name.clone()).collect();
    let taken = engine.import_users(body.users, body.existing, caller.actor()).await?;
    let mut answer = UserImport::default();
    for (name, taken) in names.into_iter().zip(taken) {
        answer.add(name, taken);
    }
    Ok(Answer(answer))
}
