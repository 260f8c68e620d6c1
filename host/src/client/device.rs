//! `syncline device`: devices, what they should hold, and what they and the server say to each other.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use syncline_domain::{
    Name,
    device::{Colour, DeliveryState, DeviceState, GroupPath, operation::SyncOutcome},
    ids::SyncOperationId,
};

use super::{
    Client, Paging,
    device_messages::{self, NewMessage, Wanted},
    device_views::{details, table},
    explanation, named,
    sync_operation::{self, Wait},
};
use crate::{
    outcome::{CliError, Exit, Result},
    output::Output,
};

/// What can be asked. A device is named by its id, or by its name where no other has it.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List devices
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show one with the applications that it should hold
    Show {
        /// Name or id of the device
        device: String,
    },
    /// Make a device known before it ever comes
    Register {
        /// What to call it
        name: String,
        /// Where it sits
        #[arg(long, default_value = "/")]
        group: GroupPath,
    },
    /// Call a device something else
    Rename {
        /// Name or id of the device
        device: String,
        /// What to call it
        name: String,
    },
    /// Put a device into another group; what it should hold by that is published
    Move {
        /// Name or id of the device
        device: String,
        /// Where it is to sit
        group: GroupPath,
    },
    /// Synchronise devices now: connected ones are woken, others do it at their next contact
    Sync {
        #[command(flatten)]
        whom: Whom,
        #[command(flatten)]
        wait: Wait,
    },
    /// Show a synchronisation that was begun, or wait for it
    Operation {
        /// Id of the synchronisation
        id: SyncOperationId,
        #[command(flatten)]
        wait: Wait,
        /// List its devices, each with what became of it
        #[arg(long, conflicts_with = "wait")]
        devices: bool,
        /// List only devices with this outcome
        #[arg(long, requires = "devices")]
        outcome: Option<SyncOutcome>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Try deliveries again that failed; the filter is that of the list
    Retry {
        #[command(flatten)]
        filter: Filter,
        /// On all devices
        #[arg(long)]
        all: bool,
    },
    /// Take a device out of management: its credentials are revoked, and it stays in the list
    Decommission {
        /// Name or id of the device
        device: String,
        /// Why, for those who look for it
        #[arg(long)]
        reason: String,
    },
    /// Send a message to the people at a device
    Message(NewMessage),
    /// List the messages between the server and a device, the newest first
    Messages(Wanted),
    /// Show where each value of an application on a device comes from and what it overruled
    Explain {
        /// Name or id of the device
        device: String,
        /// The application
        application: Name,
    },
}

/// Which devices: those for which all that is given holds.
#[derive(Debug, Args)]
pub struct Filter {
    /// In this group or below it
    #[arg(long)]
    group: Option<GroupPath>,
    /// In this state of management, such as enrolled
    #[arg(long)]
    state: Option<DeviceState>,
    /// With this word of status, such as failed or silent
    #[arg(long, value_name = "WORD")]
    status: Option<String>,
    /// With this colour
    #[arg(long)]
    colour: Option<Colour>,
    /// With this in their name
    #[arg(long, value_name = "PART")]
    name: Option<String>,
    /// With a delivery of this application
    #[arg(long)]
    application: Option<Name>,
    /// With a delivery in this state, such as pending
    #[arg(long, value_name = "STATE")]
    delivery: Option<DeliveryState>,
}

/// What is to synchronise.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Whom {
    /// Names or ids of devices
    #[arg(value_name = "DEVICE")]
    devices: Vec<String>,
    /// All devices in this group and below it
    #[arg(long)]
    group: Option<GroupPath>,
    /// The devices that this selection gives now
    #[arg(long)]
    selection: Option<Name>,
}

#[derive(Deserialize)]
struct Retried {
    deliveries: u64,
}

/// Where devices are.
pub const PATH: &str = "/api/v1/devices";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    let at = |device: &str| named::device(client, device).map(|id| format!("{PATH}/{id}"));
    match action {
        Action::List { filter, paging } => client.show_list(out, PATH, &filter.query(), &paging, table),
        Action::Show { device } => out.show(&client.get(&at(&device)?)?, details),
        Action::Register { name, group } => {
            out.show(&client.post(PATH, &json!({ "name": name, "group": group }))?, details)
        }
        Action::Rename { device, name } => {
            out.show(&client.patch(&at(&device)?, &json!({ "name": name }), None)?, details)
        }
        Action::Move { device, group } => {
            out.show(&client.patch(&at(&device)?, &json!({ "group": group }), None)?, details)
        }
        Action::Sync { whom, wait } => {
            let body = named::scope(client, &whom.devices, whom.group.as_ref(), whom.selection.as_ref())?;
            let answer = client.post(&format!("{PATH}/sync"), &Value::Object(body))?;
            sync_operation::follow(&answer, client, out, wait)
        }
        Action::Operation { id, devices: true, outcome, paging, .. } => {
            sync_operation::devices(id, outcome, &paging, client, out)
        }
        Action::Operation { id, wait, .. } => sync_operation::show(id, client, out, wait),
        Action::Retry { filter, all } => retry(&filter, all, client, out),
        Action::Decommission { device, reason } => {
            let path = format!("{}/decommission", at(&device)?);
            out.show(&client.post(&path, &json!({ "reason": reason }))?, details)
        }
        Action::Message(message) => device_messages::send(message, client, out),
        Action::Messages(wanted) => device_messages::list(&wanted, client, out),
        Action::Explain { device, application } => {
            let path = format!("{}/documents/{application}", at(&device)?);
            out.show(&client.get(&path)?, explanation::render)
        }
    }
}

fn retry(filter: &Filter, all: bool, client: &Client, out: Output) -> Result<Exit> {
    let given = filter.query().into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    let body: Map<String, Value> = given.collect();
    if all != body.is_empty() {
        return Err(CliError::usage(
            "say which devices by a filter, or --all: see `syncline device retry --help`",
        ));
    }
    let answer = client.post(&format!("{PATH}/retry"), &Value::Object(body))?;
    out.show(&answer, |retried: &Retried| match retried.deliveries {
        0 => "No delivery had failed.".to_owned(),
        1 => "1 delivery is tried again.".to_owned(),
        count => format!("{count} deliveries are tried again."),
    })
}

impl Filter {
    fn query(&self) -> [(&'static str, Option<String>); 7] {
        fn text(value: Option<&impl ToString>) -> Option<String> {
            value.map(ToString::to_string)
        }
        [
            ("group", text(self.group.as_ref())),
            ("state", text(self.state.as_ref())),
            ("status", self.status.clone()),
            ("colour", text(self.colour.as_ref())),
            ("name", self.name.clone()),
            ("application", text(self.application.as_ref())),
            ("delivery", text(self.delivery.as_ref())),
        ]
    }
}
