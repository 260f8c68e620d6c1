//! Users of devices: subscriptions, activation codes, keys. What changes for a user is published for its device.

use jiff::{SignedDuration, Timestamp};
use syncline_domain::{
    device::{
        GroupPath, Publication, Scope,
        user::{ActivationCode, Key, KeySets, User},
    },
    event::NewEvent,
    ids::{DeviceId, UserId},
};
use syncline_store::{Listed, NewUser, Page, UserFilter};

use super::enrolment::check_label;
use crate::{Engine, Error, Result};

/// How long an activation code is good, where nothing else is said.
const CODE_LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Most keys of all sets of a user or group together.
const MOST_KEYS: usize = 1_000;
/// Most bytes of the parameters of a key, as JSON.
const MOST_BYTES: usize = 16 << 10;

/// What can be changed of a user. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// The account's name.
    pub name: Option<String>,
    /// What to call the person.
    pub display_name: Option<String>,
    /// Its e-mail; an empty text takes it away.
    pub email: Option<String>,
    /// Whether it is switched off.
    pub disabled: Option<bool>,
    /// Where the keys come from that it has not of its own.
    pub group: Option<GroupPath>,
    /// Key sets of its own, in place of all that were there.
    pub keys: Option<KeySets>,
}

impl Engine {
    /// Makes a user, who has no subscription yet.
    pub async fn create_user(&self, new: &NewUser, actor: &str) -> Result<User> {
        check_names(&new.name, &new.display_name)?;
        check_email(new.email.as_deref())?;
        check_keys(&new.keys)?;
        let event = NewEvent::new("user.created", actor, format!("User {:?} was made", new.name));
        Ok(self.db().add_user(new, event).await?)
    }

    /// Users of a filter that are wanted, in the order in which they were made. What is wanted can depend on their status, which
    /// is worked out and not stored.
    pub async fn users_where(
        &self,
        filter: &UserFilter,
        wanted: impl Fn(&User) -> bool + Send,
        page: &Page,
    ) -> Result<Listed<User>, syncline_store::Error> {
        let most = page.limit as usize;
        let mut found = Vec::new();
        let mut part = Page { limit: Page::MAX, after: page.after.clone() };
        while found.len() <= most {
            let listed = self.db().users(filter, &part).await?;
            found.extend(listed.items.into_iter().filter(&wanted).take(most + 1 - found.len()));
            let Some(next) = listed.next else { break };
            part.after = Some(next);
        }
        let more = found.len() > most;
        found.truncate(most);
        let next = found.last().filter(|_| more).map(|user: &User| user.id.to_string());
        Ok(Listed { items: found, next })
    }

    /// Changes a user, and publishes that for its device. `revision` is the one that the caller read.
    pub async fn change_user(
        &self,
        id: UserId,
        change: UserChange,
        revision: Option<i64>,
        actor: &str,
    ) -> Result<User> {
        let user = self.store_change(id, change, revision, actor).await?;
        self.publish_for_users([user.device], actor).await?;
        Ok(self.db().user(id).await?)
    }

    /// Changes a user. What that means for its device is left to be published.
    pub(super) async fn store_change(
        &self,
        id: UserId,
        change: UserChange,
        revision: Option<i64>,
        actor: &str,
    ) -> Result<User> {
        let mut user = self.db().user(id).await?;
        user.revision = revision.unwrap_or(user.revision);
        refuse_given(&user, &change)?;
        user.name = change.name.unwrap_or(user.name);
        user.display_name = change.display_name.unwrap_or(user.display_name);
        user.email = change.email.or(user.email).filter(|email| !email.is_empty());
        user.disabled = change.disabled.unwrap_or(user.disabled);
        user.group = change.group.unwrap_or(user.group);
        user.keys = change.keys.unwrap_or(user.keys);
        check_names(&user.name, &user.display_name)?;
        check_email(user.email.as_deref())?;
        check_keys(&user.keys)?;
        let event = NewEvent::new("user.changed", actor, format!("User {:?} was changed", user.name));
        Ok(self.db().update_user(&user, event).await?)
    }

    /// Removes a user; its device is told that it is gone.
    pub async fn remove_user(&self, id: UserId, actor: &str) -> Result<()> {
        let user = self.db().user(id).await?;
        let event = NewEvent::new("user.removed", actor, format!("User {:?} was removed", user.name));
        self.db().remove_user(id, event).await?;
        self.publish_for_users([user.device], actor).await
    }

    /// Issues a subscription in place of one that stands. What was activated stays so.
    pub async fn issue_subscription(
        &self,
        id: UserId,
        expires_at: Option<Timestamp>,
        actor: &str,
    ) -> Result<User> {
        self.check_end("subscription-expiry", expires_at)?;
        let user = self.db().user(id).await?;
        let until = expires_at.map_or_else(String::new, |at| format!(", until {at}"));
        let told = format!("A subscription was issued to user {:?}{until}", user.name);
        let event = NewEvent::new("subscription.issued", actor, told);
        let user = self.db().issue_subscription(id, expires_at, event).await?;
        self.publish_for_users([user.device], actor).await?;
        Ok(self.db().user(id).await?)
    }

    /// Revokes a subscription, and with it the activation and all codes; the device is told that the user is gone.
    pub async fn revoke_subscription(&self, id: UserId, actor: &str) -> Result<User> {
        let user = self.db().user(id).await?;
        let told = format!("The subscription of user {:?} was revoked", user.name);
        let event = NewEvent::new("subscription.revoked", actor, told);
        let revoked = self.db().revoke_subscription(id, event).await?;
        self.publish_for_users([user.device], actor).await?;
        Ok(revoked)
    }

    /// Makes an activation code; those from before that nobody used are over. The text is given this once.
    pub async fn create_activation_code(
        &self,
        id: UserId,
        expires_at: Option<Timestamp>,
        actor: &str,
    ) -> Result<(ActivationCode, String)> {
        self.check_end("activation-code-expiry", expires_at)?;
        let later = || self.clock().now().checked_add(CODE_LASTS).unwrap_or(Timestamp::MAX);
        let user = self.db().user(id).await?;
        let told = format!("An activation code was made for user {:?}", user.name);
        let event = NewEvent::new("activation-code.created", actor, told);
        Ok(self.db().create_activation_code(id, expires_at.unwrap_or_else(later), event).await?)
    }

    /// Publishes what changed for the users of these devices.
    pub(crate) async fn publish_for_users(
        &self,
        devices: impl IntoIterator<Item = Option<DeviceId>>,
        actor: &str,
    ) -> Result<()> {
        let devices: Vec<_> = devices.into_iter().flatten().collect();
        if devices.is_empty() {
            return Ok(());
        }
        self.publish_change(Publication::of(Scope::Devices(devices)), actor).await
    }

    /// Publishes for these devices what a run changed for their users. Never by a run, in which it may be.
    pub(crate) async fn publish_to(&self, mut devices: Vec<DeviceId>) -> Result<()> {
        devices.sort_unstable();
        devices.dedup();
        if devices.is_empty() || !self.config().devices.publish_at_once {
            return Ok(());
        }
        self.publish(Publication::of(Scope::Devices(devices))).await.map(drop)
    }

    fn check_end(&self, code: &'static str, expires_at: Option<Timestamp>) -> Result<()> {
        match expires_at.filter(|at| *at <= self.clock().now()) {
            Some(at) => Err(Error::invalid(
                code,
                format!("expires_at {at} is past: use a later time, or leave it out"),
            )),
            None => Ok(()),
        }
    }
}

/// What a directory gives is changed there.
fn refuse_given(user: &User, change: &UserChange) -> Result<()> {
    let wanted = [
        ("name", change.name.as_ref().is_some_and(|name| *name != user.name)),
        ("display_name", change.display_name.as_ref().is_some_and(|name| *name != user.display_name)),
        ("email", change.email.as_ref().is_some_and(|email| Some(email) != user.email.as_ref())),
        ("disabled", change.disabled.is_some_and(|disabled| disabled != user.disabled)),
        ("group", change.group.as_ref().is_some_and(|group| *group != user.group)),
    ];
    for (field, _) in wanted.into_iter().filter(|(_, changes)| *changes) {
        if let Some(origin) = user.origins.get(field) {
            let message = format!(
                "{field} of user {:?} comes from the directory of sync {}: change it there, or unlink the user's entry",
                user.name, origin.sync
            );
            return Err(Error::conflict("from-directory", message));
        }
    }
    Ok(())
}

fn check_email(email: Option<&str>) -> Result<()> {
    let Some(email) = email else { return Ok(()) };
    check_label("user-email", email)?;
    let has_both = email.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty());
    if has_both {
        return Ok(());
    }
    Err(Error::invalid("user-email", format!("{email:?} is no e-mail address: use name@domain")))
}

fn check_names(name: &str, display_name: &str) -> Result<()> {
    check_label("user-name", name)?;
    if display_name.is_empty() { Ok(()) } else { check_label("user-display-name", display_name) }
}

/// Key sets of a user or a group, within bounds and with ids that tell the keys of a set apart.
pub(super) fn check_keys(sets: &KeySets) -> Result<()> {
    let count: usize = sets.values().map(Vec::len).sum();
    if count > MOST_KEYS {
        return Err(Error::invalid("keys", format!("{count} keys: use {MOST_KEYS} at most")));
    }
    for (name, keys) in sets {
        for (at, key) in keys.iter().enumerate() {
            check_key(key).map_err(|why| Error::invalid("keys", format!("key set {name}: {why}")))?;
            if keys.iter().take(at).any(|other| other.id == key.id) {
                return Err(Error::invalid("keys", format!("key set {name} has the key {:?} twice", key.id)));
            }
        }
    }
    Ok(())
}

fn check_key(key: &Key) -> Result<(), String> {
    for (what, text) in [("id", &key.id), ("name", &key.name)] {
        check_label("keys", text).map_err(|error| format!("the {what} of a key: {error}"))?;
    }
    let bytes = key.parameters.to_string().len();
    if bytes > MOST_BYTES {
        return Err(format!("parameters of key {:?} have {bytes} bytes: use {MOST_BYTES} at most", key.id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(keys: &[(&str, usize)]) -> KeySets {
        let key = |(id, bytes): &(&str, usize)| Key {
            id: (*id).to_owned(),
            name: "a key".to_owned(),
            parameters: "x".repeat(*bytes).into(),
        };
        KeySets::from([("vpn".parse().unwrap(), keys.iter().map(key).collect())])
    }

    #[test]
    fn keys_are_told_apart_and_within_bounds() {
        assert!(check_keys(&sets(&[("a", 0), ("b", 10)])).is_ok());
        for (bad, told) in [
            (sets(&[("a", 0), ("a", 0)]), "\"a\" twice"),
            (sets(&[("", 0)]), "the id of a key"),
            (sets(&[("a", MOST_BYTES)]), "parameters of key \"a\""),
            (sets(&[("a", 0); MOST_KEYS + 1]), "1001 keys"),
        ] {
            let error = check_keys(&bad).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
