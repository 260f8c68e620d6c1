//! What a device should hold, and why.

use axum::{Json as Answer, extract::State};
use syncline_domain::{Name, ids::DeviceId};
use syncline_engine::{Engine, devices::explain::Explanation};

use crate::{
    auth::Viewer,
    input::{AtBoth, NoParams, Params},
    problem::Result,
};

/// Look at the document of an application on a device, and at where its values come from.
///
/// Worked out anew for this answer: the layers, what came of them, where each value comes from and what it overruled.
#[utoipa::path(
    get, path = "/api/v1/devices/{id}/documents/{name}", tag = "devices",
    params(
        ("id" = DeviceId, Path, description = "The device"),
        ("name" = Name, Path, description = "The application"),
    ),
    responses((status = 200, description = "The document and its origin", body = Explanation)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn explain_document(
    _: Viewer,
    State(engine): State<Engine>,
    AtBoth(id, name): AtBoth<DeviceId, Name>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<Explanation>> {
    Ok(Answer(engine.explain_document(id, &name).await?))
}
