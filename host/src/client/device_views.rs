//! What devices look like to people.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use syncline_domain::{
    Failure, Name,
    device::{DeliveryState, Device, Status},
};

use crate::output::{Rows, fields, moment, moment_or, plain};

/// A device as the API shows it.
#[derive(Debug, Deserialize)]
pub struct Shown {
    #[serde(flatten)]
    device: Device,
    connected: bool,
    applications: Vec<Application>,
}

/// An application on a device as the API shows it.
#[derive(Debug, Deserialize)]
struct Application {
    name: Name,
    wanted_version: Option<u64>,
    held_version: Option<u64>,
    wanted: Option<Value>,
    delivery: Option<Delivery>,
    failure: Option<Failure>,
}

#[derive(Debug, Deserialize)]
struct Delivery {
    state: DeliveryState,
    since: Timestamp,
    deadline: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
    offers: u32,
    error: Option<String>,
}

/// Colour and state in a few letters; `!` is the mark.
pub fn status(status: &Status) -> String {
    format!("{}{} {}", status.colour, if status.mark { "!" } else { "" }, status.state)
}

/// One line a device.
pub fn table(devices: &[Shown]) -> String {
    let headings = ["ID", "NAME", "GROUP", "STATUS", "LAST CONTACT", "NEXT CONTACT"];
    let mut rows = Rows::new(&headings, "There are no devices.");
    for Shown { device, connected, .. } in devices {
        let next = moment_or(device.next_contact, "");
        rows.add([
            device.id.to_string(),
            device.name.clone(),
            device.group.to_string(),
            status(&device.status),
            moment_or(device.last_contact, "never"),
            if *connected { format!("{next} (connected)") } else { next },
        ]);
    }
    rows.render()
}

/// All about one device.
pub fn details(shown: &Shown) -> String {
    let Shown { device, connected, applications } = shown;
    let head = fields(&[
        ("device", device.id.to_string()),
        ("name", device.name.clone()),
        ("group", device.group.to_string()),
        ("status", status(&device.status)),
        ("why", device.status.reason.clone()),
        ("since", moment(device.status.since)),
        ("management", device.state.to_string()),
        ("reason", device.reason.clone().unwrap_or_default()),
        ("last contact", moment_or(device.last_contact, "never")),
        ("next contact", moment_or(device.next_contact, "")),
        ("silent after", moment_or(device.silent_after, "")),
        ("connected", if *connected { "yes" } else { "no" }.to_owned()),
        ("periodic sync", moment_or(device.last_periodic_sync, "never")),
        ("forced sync", moment_or(device.last_forced_sync, "never")),
        ("registered", moment(device.registered_at)),
        ("enrolled", moment_or(device.enrolled_at, "")),
        ("agent can", abilities(device)),
    ]);
    let mut parts = vec![head, self::applications(applications)];
    if !device.facts.is_empty() {
        let facts: Vec<String> = device.facts.iter().map(|(name, value)| fact(name, value)).collect();
        parts.push(format!("Facts:\n{}", facts.join("\n")));
    }
    parts.join("\n\n")
}

fn applications(applications: &[Application]) -> String {
    let headings = ["APPLICATION", "WANTED>", "HELD>", "DELIVERY", "SINCE", "DELIVERED", "UNTIL", "WHY"];
    let mut rows = Rows::new(&headings, "It should hold nothing.");
    for one in applications {
        let version = |version: Option<u64>| version.map(|one| one.to_string()).unwrap_or_default();
        let withdrawn = one.delivery.is_some() && one.wanted.is_none();
        let failure = one.failure.as_ref().map(|failure| format!("not worked out: {}", failure.message));
        let (mut state, mut since, mut delivered, mut until, mut why) = Default::default();
        if let Some(delivery) = &one.delivery {
            state = match delivery.offers {
                0 | 1 => delivery.state.to_string(),
                offers => format!("{} ({offers} offers)", delivery.state),
            };
            since = moment(delivery.since);
            delivered = moment_or(delivery.delivered_at, "never");
            until = moment_or(delivery.deadline, "");
            why = delivery.error.clone().unwrap_or_default();
        }
        rows.add([
            one.name.to_string(),
            if withdrawn { "none".to_owned() } else { version(one.wanted_version) },
            version(one.held_version),
            state,
            since,
            delivered,
            until,
            failure.unwrap_or(why),
        ]);
    }
    rows.render()
}

fn abilities(device: &Device) -> String {
    let can = &device.abilities;
    let words = [
        (can.takes_config, "take documents"),
        (can.reports_config, "report on them"),
        (can.reports_effective, "show what is in force"),
        (can.takes_credential, "take a credential"),
        (can.takes_interval, "take an interval"),
        (can.speaks_items, "messages and tasks"),
    ];
    let words: Vec<&str> = words.into_iter().filter(|(can, _)| *can).map(|(_, word)| word).collect();
    words.join(", ")
}

fn fact(name: &str, value: &Value) -> String {
    let value = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!("  {} = {}", plain(name), plain(&value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown() -> Shown {
        let digest = "ab".repeat(32);
        serde_json::from_value(json!({
            "id": "01930000-0000-7000-8000-000000000001", "name": "till-1", "state": "enrolled", "reason": null,
            "group": "/sales", "facts": {"os.type": "linux", "host.cpus": 4}, "connected": false,
            "abilities": {"takes_config": true, "reports_config": true},
            "registered_at": "2026-11-22T10:00:00Z", "enrolled_at": "2026-11-22T11:00:00Z",
            "last_contact": "2026-11-22T12:00:00Z", "next_contact": "2026-11-22T13:00:00Z",
            "silent_after": "2026-11-22T15:00:00Z", "last_periodic_sync": "2026-11-22T12:00:00Z",
            "last_forced_sync": null, "instance_uid": null, "sequence": 4, "revision": 2,
            "status": {"colour": "red", "mark": true, "state": "failed", "since": "2026-11-22T12:00:00Z",
                "reason": "A delivery failed: see its applications."},
            "applications": [
                {"name": "browser", "wanted_version": 3, "held_version": 2, "wanted": digest, "held": digest,
                    "failure": null, "delivery": {"state": "failed", "since": "2026-11-22T12:00:00Z", "deadline": null,
                    "delivered_at": "2026-11-21T12:00:00Z", "offers": 5, "error": "the check failed"}},
                {"name": "vpn", "wanted_version": null, "held_version": null, "wanted": null, "held": null,
                    "delivery": null, "failure": {"kind": "invalid", "fault": "plugin", "code": "x", "message": "no server"}},
                {"name": "till", "wanted_version": 2, "held_version": 1, "wanted": null, "held": digest, "failure": null,
                    "delivery": {"state": "withdrawing", "since": "2026-11-22T12:00:00Z",
                    "deadline": "2026-11-22T14:00:00Z", "delivered_at": null, "offers": 0, "error": null}},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_device_tells_what_it_should_hold_and_how_far_that_is() {
        insta::assert_snapshot!(details(&shown()));
    }

    #[test]
    fn a_list_of_devices() {
        insta::assert_snapshot!(table(&[shown()]));
    }
}
