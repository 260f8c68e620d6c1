//! The colours of devices and users: one table for each, here and nowhere else.
//!
//! A table is read from its top; the first row whose condition holds is the status. So the order of the rows is the
//! precedence: failed, red, orange, purple, green, after the rows for what is not under management (any more, or yet).

use std::fmt::Write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::DeviceState;
use crate::word::words;

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum Colour {
    /// Nothing is known or expected.
    Grey,
    /// Something was issued and not taken up.
    Blue,
    /// As it should be.
    Green,
    /// Something changed or failed.
    Red,
    /// On its way.
    Orange,
    /// As it should be, with other keys than the group.
    Purple,
}

words!(Colour, "colour":
    Grey = "grey", Blue = "blue", Green = "green", Red = "red", Orange = "orange", Purple = "purple");

/// How a device or user does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Status {
    /// Colour.
    pub colour: Colour,
    /// Whether the colour carries a mark: it has another meaning than the plain one.
    pub mark: bool,
    /// One word for programs and filters.
    pub state: String,
    /// A sentence for people.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// A row of a table.
#[derive(Debug)]
pub struct Row<S: 'static> {
    /// The word.
    pub state: &'static str,
    /// The colour.
    pub colour: Colour,
    /// Whether it carries a mark.
    pub mark: bool,
    /// When the row holds, in words.
    pub when: &'static str,
    /// What is told.
    pub reason: &'static str,
    holds: fn(&S) -> bool,
}

impl<S> Row<S> {
    /// The status of this row, since `since`.
    pub fn status(&self, since: Timestamp) -> Status {
        Status {
            colour: self.colour,
            mark: self.mark,
            state: self.state.to_owned(),
            reason: self.reason.to_owned(),
            since,
        }
    }
}

/// What decides the status of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceSigns {
    /// Where it stands.
    pub state: DeviceState,
    /// Whether it was ever in contact.
    pub came: bool,
    /// Whether it has been silent for longer than three periods.
    pub silent: bool,
    /// Whether a delivery failed, or a policy could not be resolved.
    pub failed: bool,
    /// Whether a delivery waits for a contact, or a change of it to be published.
    pub waiting: bool,
    /// Whether a delivery is under way.
    pub under_way: bool,
}

/// The table of devices.
pub static DEVICE: &[Row<DeviceSigns>] = &[
    Row {
        state: "decommissioned",
        colour: Colour::Grey,
        mark: false,
        when: "it was decommissioned",
        reason: "Taken out of management.",
        holds: |signs| matches!(signs.state, DeviceState::Decommissioned),
    },
    Row {
        state: "quarantined",
        colour: Colour::Red,
        mark: true,
        when: "it was seen in two places at once",
        reason: "Seen in two places at once: enrol each machine anew.",
        holds: |signs| matches!(signs.state, DeviceState::Quarantined),
    },
    Row {
        state: "registered",
        colour: Colour::Grey,
        mark: false,
        when: "it was never in contact",
        reason: "Registered; it has never been in contact.",
        holds: |signs| !signs.came,
    },
    Row {
        state: "failed",
        colour: Colour::Red,
        mark: true,
        when: "a delivery or a resolve failed",
        reason: "A delivery failed: see its applications.",
        holds: |signs| signs.failed,
    },
    Row {
        state: "silent",
        colour: Colour::Grey,
        mark: true,
        when: "it was silent for longer than three periods (settable)",
        reason: "Silent for longer than three periods.",
        holds: |signs| signs.silent,
    },
    Row {
        state: "changed",
        colour: Colour::Red,
        mark: false,
        when: "a delivery is pending, superseded or withdrawing, or a change is not published yet",
        reason: "Its policy changed; the change was not sent yet.",
        holds: |signs| signs.waiting,
    },
    Row {
        state: "offered",
        colour: Colour::Orange,
        mark: false,
        when: "a delivery is offered or applying",
        reason: "A change was sent and is not confirmed yet.",
        holds: |signs| signs.under_way,
    },
    Row {
        state: "up-to-date",
        colour: Colour::Green,
        mark: false,
        when: "otherwise: all deliveries are applied, verified or unsupported",
        reason: "Up to date.",
        holds: |_| true,
    },
];

/// What decides the status of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserSigns {
    /// Whether the user is switched off here.
    pub disabled: bool,
    /// Whether a subscription was issued and stands.
    pub subscribed: bool,
    /// Whether it was activated on a device.
    pub activated: bool,
    /// Whether something failed since.
    pub failed: bool,
    /// Whether the server has synchronised since the last change (publishing at once counts).
    pub server_synced: bool,
    /// Whether the device has synchronised since the server did.
    pub device_synced: bool,
    /// Whether the keys are others than the group's.
    pub own_keys: bool,
}

/// The table of users.
pub static USER: &[Row<UserSigns>] = &[
    Row {
        state: "disabled",
        colour: Colour::Grey,
        mark: false,
        when: "the user is disabled",
        reason: "Disabled: its keys are withdrawn.",
        holds: |signs| signs.disabled,
    },
    Row {
        state: "no-subscription",
        colour: Colour::Grey,
        mark: false,
        when: "no subscription stands",
        reason: "No subscription.",
        holds: |signs| !signs.subscribed,
    },
    Row {
        state: "issued",
        colour: Colour::Blue,
        mark: false,
        when: "a subscription was issued and not activated",
        reason: "Issued; not activated on any device yet.",
        holds: |signs| !signs.activated,
    },
    Row {
        state: "failed",
        colour: Colour::Red,
        mark: true,
        when: "something failed",
        reason: "Something failed on the user's device.",
        holds: |signs| signs.failed,
    },
    Row {
        state: "changed",
        colour: Colour::Red,
        mark: false,
        when: "something changed and the server has not synchronised since",
        reason: "Something changed; the server has not synchronised since.",
        holds: |signs| !signs.server_synced,
    },
    Row {
        state: "sent",
        colour: Colour::Orange,
        mark: false,
        when: "the server has synchronised and the device has not since",
        reason: "Sent; the device has not received it yet.",
        holds: |signs| !signs.device_synced,
    },
    Row {
        state: "own-keys",
        colour: Colour::Purple,
        mark: false,
        when: "server and device have synchronised, with other keys than the group's",
        reason: "In sync, with other keys than the group.",
        holds: |signs| signs.own_keys,
    },
    Row {
        state: "in-sync",
        colour: Colour::Green,
        mark: false,
        when: "otherwise: activated, and server and device have synchronised since",
        reason: "In sync.",
        holds: |_| true,
    },
];

/// The row of a device.
pub fn of_device(signs: &DeviceSigns) -> &'static Row<DeviceSigns> {
    first(DEVICE, signs)
}

/// The row of a user.
pub fn of_user(signs: &UserSigns) -> &'static Row<UserSigns> {
    first(USER, signs)
}

/// The row of a device of this word, as it is stored.
pub fn device_row(state: &str) -> Option<&'static Row<DeviceSigns>> {
    DEVICE.iter().find(|row| row.state == state)
}

/// The row that [`SILENT`] names is the only one that comes by time alone; these come before it.
pub const BEFORE_SILENT: [&str; 4] = ["decommissioned", "quarantined", "registered", "failed"];

/// Word of the row that a device comes to by doing nothing.
pub const SILENT: &str = "silent";

fn first<S>(table: &'static [Row<S>], signs: &S) -> &'static Row<S> {
    // The last row holds always.
    table.iter().find(|row| (row.holds)(signs)).unwrap_or(&table[table.len() - 1])
}

/// Both tables as Markdown, for the documentation.
pub fn as_markdown() -> String {
    let mut text = String::from("### Devices\n\n");
    render(&mut text, DEVICE);
    text.push_str("\n### Users\n\n");
    render(&mut text, USER);
    text
}

fn render<S>(text: &mut String, table: &[Row<S>]) {
    text.push_str("| colour | state | when | told |\n| --- | --- | --- | --- |\n");
    for row in table {
        let mark = if row.mark { ", with a mark" } else { "" };
        // Writing to a text does not fail.
        let _ = writeln!(text, "| {}{mark} | `{}` | {} | {} |", row.colour, row.state, row.when, row.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: DeviceSigns = DeviceSigns {
        state: DeviceState::Enrolled,
        came: true,
        silent: false,
        failed: false,
        waiting: false,
        under_way: false,
    };

    const IN_SYNC: UserSigns = UserSigns {
        disabled: false,
        subscribed: true,
        activated: true,
        failed: false,
        server_synced: true,
        device_synced: true,
        own_keys: false,
    };

    #[test]
    fn each_row_of_devices() {
        let all = DeviceSigns { silent: true, failed: true, waiting: true, under_way: true, ..WELL };
        for (signs, says) in [
            (DeviceSigns { state: DeviceState::Decommissioned, ..all }, "grey decommissioned"),
            (DeviceSigns { state: DeviceState::Quarantined, ..all }, "red! quarantined"),
            (
                DeviceSigns { came: false, state: DeviceState::Registered, waiting: true, ..WELL },
                "grey registered",
            ),
            (DeviceSigns { came: false, ..WELL }, "grey registered"),
            (all, "red! failed"),
            (DeviceSigns { failed: false, ..all }, "grey! silent"),
            (DeviceSigns { failed: false, silent: false, ..all }, "red changed"),
            (DeviceSigns { under_way: true, ..WELL }, "orange offered"),
            (WELL, "green up-to-date"),
        ] {
            let row = of_device(&signs);
            let mark = if row.mark { "!" } else { "" };
            assert_eq!(format!("{}{mark} {}", row.colour, row.state), says, "{signs:?}");
            assert_eq!(device_row(row.state).unwrap().reason, row.reason);
        }
    }

    #[test]
    fn each_row_of_users() {
        let all =
            UserSigns { failed: true, server_synced: false, device_synced: false, own_keys: true, ..IN_SYNC };
        for (signs, says) in [
            (UserSigns { disabled: true, ..all }, "grey disabled"),
            (UserSigns { subscribed: false, ..all }, "grey no-subscription"),
            (UserSigns { activated: false, ..all }, "blue issued"),
            (all, "red! failed"),
            (UserSigns { failed: false, ..all }, "red changed"),
            (UserSigns { failed: false, server_synced: true, ..all }, "orange sent"),
            (UserSigns { own_keys: true, ..IN_SYNC }, "purple own-keys"),
            (IN_SYNC, "green in-sync"),
        ] {
            let row = of_user(&signs);
            let mark = if row.mark { "!" } else { "" };
            assert_eq!(format!("{}{mark} {}", row.colour, row.state), says, "{signs:?}");
        }
    }

    #[test]
    fn silence_comes_where_the_table_says() {
        let before: Vec<_> =
            DEVICE.iter().map(|row| row.state).take_while(|state| *state != SILENT).collect();
        assert_eq!(before, BEFORE_SILENT);
    }

    #[test]
    fn the_documentation_has_every_row() {
        let text = as_markdown();
        let words = DEVICE.iter().map(|row| row.state).chain(USER.iter().map(|row| row.state));
        for word in words {
            assert!(text.contains(&format!("`{word}`")), "{word}");
        }
        assert!(text.contains("| red, with a mark | `failed` |"));
        let written = include_str!("../../../../../docs/devices.md");
        assert!(written.contains(&text), "docs/devices.md has other tables of colours than these:\n{text}");
    }
}
