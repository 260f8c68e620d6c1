//! Devices looked at.

use std::collections::BTreeMap;

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_domain::{
    Failure, Name,
    device::{
        Colour, Delivery, DeliveryState, Device, DeviceState, DocumentDigest, GroupPath,
        status::{DEVICE, device_row},
    },
    ids::DeviceId,
};
use syncline_engine::Engine;
use syncline_store::{DeviceFilter, Page};

use http::StatusCode;

use crate::{
    auth::Viewer,
    conditional::Tagged,
    input::{At, NoParams, Params},
    page::{self, Items},
    problem::{Problem, Result},
};

/// A device with what it should hold.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DeviceView {
    #[serde(flatten)]
    device: Device,
    /// Whether it is connected to the node that answers.
    connected: bool,
    /// What it should hold, by name.
    applications: Vec<ApplicationView>,
}

/// An application on a device.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ApplicationView {
    /// The application.
    name: Name,
    /// The version that the device should hold; null if none was ever worked out.
    wanted_version: Option<u64>,
    /// The version that it holds, as far as known.
    held_version: Option<u64>,
    /// The document that it should hold; null if the application is withdrawn.
    wanted: Option<DocumentDigest>,
    /// The document that it holds, as far as known.
    held: Option<DocumentDigest>,
    /// How far it is; null if nothing was ever worked out.
    delivery: Option<DeliveryView>,
    /// Why the document could not be worked out the last time: what was before stays in force.
    failure: Option<Failure>,
}

/// How far a document is on a device.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DeliveryView {
    /// Where it stands.
    state: DeliveryState,
    /// Since when.
    since: Timestamp,
    /// When this state is over; null at an end.
    deadline: Option<Timestamp>,
    /// The server's time of the report that the document is applied; null while none ever was.
    delivered_at: Option<Timestamp>,
    /// Offers that were not answered in time, and the one under way.
    offers: u32,
    /// What went wrong last.
    error: Option<String>,
}

impl ApplicationView {
    fn new(name: Name, delivery: Delivery) -> Self {
        Self {
            name,
            wanted_version: Some(delivery.wanted_version),
            held_version: delivery.held_version,
            wanted: delivery.wanted.digest().cloned(),
            held: delivery.held,
            delivery: Some(DeliveryView {
                state: delivery.state,
                since: delivery.since,
                deadline: delivery.deadline,
                delivered_at: delivery.delivered_at,
                offers: delivery.offers,
                error: delivery.error,
            }),
            failure: None,
        }
    }

    fn failed(name: Name, failure: Failure) -> Self {
        Self {
            name,
            wanted_version: None,
            held_version: None,
            wanted: None,
            held: None,
            delivery: None,
            failure: Some(failure),
        }
    }
}

/// A device as it is shown.
pub(super) async fn view(engine: &Engine, device: Device) -> Result<DeviceView> {
    let deliveries = engine.db().deliveries_of(device.id).await?;
    with_failures(engine, device, deliveries).await
}

async fn with_failures(
    engine: &Engine,
    device: Device,
    deliveries: Vec<(Name, Delivery)>,
) -> Result<DeviceView> {
    let named = |(name, delivery): (Name, Delivery)| (name.clone(), ApplicationView::new(name, delivery));
    let mut applications: BTreeMap<_, _> = deliveries.into_iter().map(named).collect();
    for (name, failure, _) in engine.db().resolve_failures_of(device.id).await? {
        match applications.get_mut(&name) {
            Some(known) => known.failure = Some(failure),
            None => {
                applications.insert(name.clone(), ApplicationView::failed(name, failure));
            }
        }
    }
    let connected = engine.is_connected(device.id);
    Ok(DeviceView { device, connected, applications: applications.into_values().collect() })
}

/// Which devices are wanted: those for which all that is set holds.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeviceParams {
    /// In this group or below it.
    group: Option<GroupPath>,
    /// In this state of management.
    state: Option<DeviceState>,
    /// With this word of status, such as `failed`.
    status: Option<String>,
    /// With this colour.
    colour: Option<Colour>,
    /// Whose name has this in it, whatever the case of ASCII letters.
    name: Option<String>,
    /// With a delivery of this application.
    application: Option<Name>,
    /// With a delivery in this state.
    delivery: Option<DeliveryState>,
    /// Most items of the answer; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged and with the same filter.
    after: Option<String>,
}

impl DeviceParams {
    /// The filter, and the page of it.
    pub(super) fn split(self) -> Result<(DeviceFilter, Page)> {
        let bad = |word: &str| {
            let words: Vec<_> = DEVICE.iter().map(|row| row.state).collect();
            let detail = format!("query: status {word:?}: use one of {}", words.join(", "));
            Problem::new(StatusCode::BAD_REQUEST, "query", detail)
        };
        let mut status = match &self.status {
            Some(word) => vec![device_row(word).ok_or_else(|| bad(word))?.state],
            None => Vec::new(),
        };
        if let Some(colour) = self.colour {
            let of_colour = DEVICE.iter().filter(|row| row.colour == colour).map(|row| row.state);
            let of_colour: Vec<_> =
                of_colour.filter(|word| status.is_empty() || status.contains(word)).collect();
            // No word at all would mean every device; this one is never stored.
            status = if of_colour.is_empty() { vec!["none"] } else { of_colour };
        }
        let filter = DeviceFilter {
            group: self.group,
            state: self.state,
            status,
            name: self.name,
            application: self.application,
            delivery: self.delivery,
            ..DeviceFilter::default()
        };
        Ok((filter, page::page(self.limit, self.after)?))
    }
}

/// List devices.
#[utoipa::path(
    get, path = "/api/v1/devices", tag = "devices",
    params(DeviceParams),
    responses((status = 200, description = "In the order in which they were made known", body = Items<DeviceView>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_devices(
    _: Viewer,
    State(engine): State<Engine>,
    Params(params): Params<DeviceParams>,
) -> Result<Items<DeviceView>> {
    let (filter, page) = params.split()?;
    engine.fold_contacts_to_look().await;
    let listed = engine.db().devices(&filter, &page).await?;
    let mut items = Vec::with_capacity(listed.items.len());
    for device in listed.items {
        items.push(view(&engine, device).await?);
    }
    Ok(Items { items, next: listed.next })
}

/// Look at a device.
#[utoipa::path(
    get, path = "/api/v1/devices/{id}", tag = "devices",
    params(("id" = DeviceId, Path, description = "The device")),
    responses((status = 200, description = "The device", body = DeviceView, headers(("ETag" = String)))),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn show_device(
    _: Viewer,
    State(engine): State<Engine>,
    At(id): At<DeviceId>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<DeviceView>> {
    engine.fold_contacts_to_look().await;
    let device = engine.db().device(id).await?;
    Ok(Tagged { revision: device.revision, body: view(&engine, device).await? })
}
