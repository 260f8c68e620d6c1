//! Users of devices: subscriptions, activation, keys.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    GroupPath, Status,
    status::{UserSigns, of_user},
};
use crate::{
    Name,
    directory::Origin,
    ids::{ActivationCodeId, DeviceId, SubscriptionId, UserId},
};

/// Something assigned: a key, a profile, a licence. No secret material.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Key {
    /// Id.
    pub id: String,
    /// For people.
    pub name: String,
    /// What goes with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: serde_json::Value,
}

/// Key sets by name. A user's own takes the place of the group's of the same name.
pub type KeySets = BTreeMap<Name, Vec<Key>>;

/// The keys that hold for a user: its own, and the nearest group's where it has none of that name. `groups` come from the
/// root down. With each set goes whether it is inherited.
pub fn keys_in_force<'a>(own: &'a KeySets, groups: &[&'a KeySets]) -> BTreeMap<&'a Name, (&'a [Key], bool)> {
    let inherited =
        groups.iter().flat_map(|sets| sets.iter()).map(|(name, keys)| (name, (keys.as_slice(), true)));
    let own = own.iter().map(|(name, keys)| (name, (keys.as_slice(), false)));
    inherited.chain(own).collect()
}

/// A person who uses devices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct User {
    /// Id.
    pub id: UserId,
    /// The account's name; unique.
    pub name: String,
    /// What to call the person.
    pub display_name: String,
    /// Its e-mail.
    pub email: Option<String>,
    /// Whether it is switched off: its keys are withdrawn, and it cannot be activated.
    pub disabled: bool,
    /// Where values came from that a directory gave, by field.
    pub origins: BTreeMap<String, Origin>,
    /// Where the keys come from that the user has not of its own.
    pub group: GroupPath,
    /// Key sets of its own.
    pub keys: KeySets,
    /// The subscription that stands.
    pub subscription: Option<Subscription>,
    /// The device on which it was activated.
    pub device: Option<DeviceId>,
    /// When it was activated.
    pub activated_at: Option<Timestamp>,
    /// When something of it last changed.
    pub changed_at: Timestamp,
    /// When the server last synchronised it; publishing at once counts.
    pub server_synced_at: Option<Timestamp>,
    /// When its device last synchronised it.
    pub device_synced_at: Option<Timestamp>,
    /// What failed since.
    pub failure: Option<String>,
    /// Since when something fails.
    #[serde(default)]
    pub failed_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Counts changes; the `ETag` of the API.
    pub revision: i64,
}

/// A right to be activated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Subscription {
    /// Id.
    pub id: SubscriptionId,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// An activation code without its text, which is shown once and kept as a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActivationCode {
    /// Id.
    pub id: ActivationCodeId,
    /// Whom it activates.
    pub user: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

impl User {
    /// What decides its status at `now`, where a key set of its own counts as other keys than the group's.
    pub fn signs(&self, now: Timestamp) -> UserSigns {
        let stands = |one: &Subscription| one.expires_at.is_none_or(|end| end > now);
        let server = self.server_synced_at.filter(|at| *at >= self.changed_at);
        UserSigns {
            disabled: self.disabled,
            subscribed: !self.disabled && self.subscription.as_ref().is_some_and(stands),
            activated: self.activated_at.is_some(),
            failed: self.failure.is_some(),
            server_synced: server.is_some(),
            device_synced: server.is_some_and(|server| self.device_synced_at.is_some_and(|at| at >= server)),
            own_keys: !self.keys.is_empty(),
        }
    }

    /// Its status at `now`.
    pub fn status(&self, now: Timestamp) -> Status {
        let row = of_user(&self.signs(now));
        let subscription = self.subscription.as_ref();
        let since = match row.state {
            "disabled" => self.origins.get("disabled").map_or(self.changed_at, |origin| origin.at),
            "no-subscription" => subscription.and_then(|one| one.expires_at).unwrap_or(self.created_at),
            "issued" => subscription.map_or(self.created_at, |one| one.issued_at),
            "sent" => self.server_synced_at.unwrap_or(self.changed_at),
            "in-sync" | "own-keys" => self.device_synced_at.unwrap_or(self.changed_at),
            "failed" => self.failed_at.unwrap_or(self.changed_at),
            _ => self.changed_at,
        };
        let mut status = row.status(since);
        if let Some(why) = self.failure.as_ref().filter(|_| row.state == "failed") {
            status.reason.clone_from(why);
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> Vec<Key> {
        vec![Key { id: id.to_owned(), name: id.to_owned(), parameters: serde_json::Value::Null }]
    }

    #[test]
    fn the_nearest_group_gives_what_the_user_has_not() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let root = KeySets::from([(name("vpn"), key("root")), (name("mail"), key("root"))]);
        let sales = KeySets::from([(name("vpn"), key("sales"))]);
        let own = KeySets::from([(name("disk"), key("own"))]);
        let all = keys_in_force(&own, &[&root, &sales]);
        let told =
            all.iter().map(|(name, (keys, inherited))| (name.as_str(), keys[0].id.as_str(), *inherited));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [("disk", "own", false), ("mail", "root", true), ("vpn", "sales", true)]
        );
    }
}
