//! Users of devices: what is set of them, and when server and device last synchronised it. Subscriptions and activation:
//! `activation.rs`.

use jiff::Timestamp;
use serde_json::json;
use syncline_domain::{
    device::{
        GroupPath,
        user::{KeySets, Subscription, User},
    },
    directory::import::key,
    event::NewEvent,
    ids::{DeviceId, UserId},
};

use super::groups::{self, below};
use crate::{
    db::{Db, Tx},
    dialect::{Session, sql},
    error::{Error, OrNotFound, Result},
    page::{Listed, Page},
    row::Row,
};

macro_rules! columns {
    () => {
        "id, name, display_name, email, disabled, origins, group_path, key_sets, subscription, issued_at, subscription_expires_at, device, \
         activated_at, changed_at, server_synced_at, device_synced_at, failure, failed_at, created_at, revision"
    };
}

/// A user to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewUser {
    /// The account's name; unique.
    pub name: String,
    /// What to call the person.
    pub display_name: String,
    /// Its e-mail.
    pub email: Option<String>,
    /// The group whose keys it has.
    pub group: GroupPath,
    /// Key sets of its own.
    pub keys: KeySets,
}

/// Which users are wanted: those for which all that is set holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UserFilter {
    /// In this group or below it.
    pub group: Option<GroupPath>,
    /// Activated on this device.
    pub device: Option<DeviceId>,
    /// With this name.
    pub name: Option<String>,
    /// With this e-mail, in any case.
    pub email: Option<String>,
    /// Switched off, or not.
    pub disabled: Option<bool>,
}

impl Db {
    /// Makes a user.
    pub async fn add_user(&self, new: &NewUser, event: NewEvent) -> Result<User> {
        let (id, now) = (UserId::new(self.now()), self.now());
        let mut tx = self.begin().await?;
        groups::must_exist(&mut tx, &new.group).await?;
        let query =
            sql("INSERT INTO users (id, name, display_name, group_path, key_sets, changed_at, created_at,
                revision, name_key, email, email_key)
            VALUES ($1, $2, $3, $4, $5, $6, $6, 1, $7, $8, $9)");
        let query = query.bind(id).bind(&new.name).bind(&new.display_name).bind(&new.group);
        let query = query.bind_json(&new.keys).bind(now).bind(key(&new.name));
        let query = query.bind(new.email.as_ref()).bind(new.email.as_deref().map(key));
        let inserted = query.execute(&mut tx).await;
        inserted.map_err(|error| error.or_exists("user", &new.name))?;
        let added = find(&mut tx, id).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(added)
    }

    /// Users, in the order in which they were made.
    pub async fn users(&self, filter: &UserFilter, page: &Page) -> Result<Listed<User>> {
        let mut query = sql(concat!("SELECT ", columns!(), " FROM users WHERE TRUE"))
            .push_some(" AND id > $?", page.position::<UserId>()?)
            .push_some(" AND device = $?", filter.device)
            .push_some(" AND name = $?", filter.name.as_ref())
            .push_some(" AND email_key = $?", filter.email.as_deref().map(key));
        query = match filter.disabled {
            None => query,
            Some(true) => query.push(" AND disabled"),
            Some(false) => query.push(" AND NOT disabled"),
        };
        if let Some(group) = filter.group.as_ref().filter(|group| !group.is_root()) {
            query = query
                .push_with(" AND (group_path = $?", group)
                .push_with(" OR substr(group_path, 1, length($?)) = $?)", below(group));
        }
        let query = query.push_with(" ORDER BY id LIMIT $?", page.one_more());
        let rows = query.rows(&mut self.read().await?).await?;
        let users = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        Ok(Listed::cut(users, page, |user| user.id.to_string()))
    }

    /// The user of this id.
    pub async fn user(&self, id: UserId) -> Result<User> {
        find(&mut self.read().await?, id).await
    }

    /// Changes names, group and own key sets of a user that was read before: its revision must still be what it was.
    pub async fn update_user(&self, user: &User, event: NewEvent) -> Result<User> {
        let mut tx = self.begin().await?;
        groups::must_exist(&mut tx, &user.group).await?;
        let query = sql("UPDATE users SET name = $3, display_name = $4, group_path = $5, key_sets = $6,
                changed_at = $7, name_key = $8, email = $9, email_key = $10, disabled = $11, origins = $12,
                revision = revision + 1
            WHERE id = $1 AND revision = $2");
        let query = query.bind(user.id).bind(user.revision).bind(&user.name).bind(&user.display_name);
        let query = query.bind(&user.group).bind_json(&user.keys).bind(self.now()).bind(key(&user.name));
        let query = query.bind(user.email.as_ref()).bind(user.email.as_deref().map(key));
        let query = query.bind(user.disabled).bind_json(&user.origins);
        let changed = query.execute(&mut tx).await.map_err(|error| error.or_exists("user", &user.name))?;
        let stored = find(&mut tx, user.id).await?;
        if changed == 0 {
            return Err(Error::Stale { what: "user", name: user.id.to_string() });
        }
        tx.event(event);
        tx.commit().await?;
        Ok(stored)
    }

    /// Removes a user with its activation codes. An entry of a directory that it went by is ignored from now on, so that no run
    /// makes it again; one that is gone there is forgotten.
    pub async fn remove_user(&self, id: UserId, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        for text in [
            "DELETE FROM directory_entries WHERE user_id = $1 AND state = 'orphaned'",
            "UPDATE directory_entries SET state = 'ignored', user_id = NULL, held = NULL, revision = revision + 1
                WHERE user_id = $1",
        ] {
            sql(text).bind(id).execute(&mut tx).await?;
        }
        if sql("DELETE FROM users WHERE id = $1").bind(id).execute(&mut tx).await? == 0 {
            return Err(Error::not_found("user", id));
        }
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }

    /// The server has synchronised these users: what they should have, as it was read at `read_at`, is published. Users that
    /// changed since stay as they are. Gives how many there were.
    pub async fn users_published(&self, users: &[UserId], read_at: Timestamp) -> Result<u64> {
        let ids: Vec<_> = users.iter().map(|id| json!({ "id": id })).collect();
        let query = sql("UPDATE users SET server_synced_at = $2, failure = NULL
            WHERE changed_at <= $3 AND id IN (SELECT item.value ->> 'id' FROM {each})");
        let query = query.bind_json(&ids).bind(self.now()).bind(read_at);
        query.execute(&mut self.write_once().await?).await
    }

    /// A device was there at `at`, and nothing that was published before is outstanding: so it has synchronised its users, or
    /// `failure` says why not. Users of whom nothing new was published since they were synchronised stay as they are. Gives how
    /// many changed.
    pub async fn users_synced_by(
        &self,
        device: DeviceId,
        at: Timestamp,
        failure: Option<&str>,
    ) -> Result<u64> {
        let query = match failure {
            None => sql("UPDATE users SET device_synced_at = $2, failure = NULL WHERE device = $1
                AND (failure IS NOT NULL OR (server_synced_at <= $2
                    AND (device_synced_at IS NULL OR device_synced_at < server_synced_at)))")
            .bind(device)
            .bind(at),
            Some(why) => sql("UPDATE users SET failure = $2,
                    failed_at = CASE WHEN failure IS NULL THEN $3 ELSE failed_at END
                WHERE device = $1 AND (failure IS NULL OR failure <> $2)")
            .bind(device)
            .bind(why)
            .bind(self.now()),
        };
        query.execute(&mut self.write_once().await?).await
    }
}

impl Db {
    /// The devices of the users in a group or below it, which can sit anywhere themselves.
    pub async fn devices_of_users_in(&self, group: &GroupPath) -> Result<Vec<DeviceId>> {
        let query = sql("SELECT DISTINCT device FROM users WHERE device IS NOT NULL
            AND (group_path = $1 OR substr(group_path, 1, length($2)) = $2) ORDER BY device");
        let rows = query.bind(group).bind(below(group)).rows(&mut self.read().await?).await?;
        rows.iter().map(|row| row.of("users", "device").parse("device")).collect()
    }
}

/// Something changed for the users in a group or below it.
pub(crate) async fn changed_in(tx: &mut Tx, group: &GroupPath, now: Timestamp) -> Result<()> {
    let query = sql("UPDATE users SET changed_at = $3
        WHERE group_path = $1 OR substr(group_path, 1, length($2)) = $2");
    query.bind(group).bind(below(group)).bind(now).execute(tx).await?;
    Ok(())
}

/// The user of this id, which stays as it is until the transaction ends.
pub(super) async fn lock(tx: &mut Tx, id: UserId) -> Result<User> {
    let query = sql(concat!("SELECT ", columns!(), " FROM users WHERE id = $1 {for update}"));
    parse(&query.bind(id).row(tx).await?.or_not_found("user", id)?)
}

pub(crate) async fn find(session: &mut Session, id: UserId) -> Result<User> {
    let query = sql(concat!("SELECT ", columns!(), " FROM users WHERE id = $1"));
    parse(&query.bind(id).row(session).await?.or_not_found("user", id)?)
}

fn parse(row: &Row) -> Result<User> {
    let row = row.of("users", "id");
    let subscription = match row.parse_opt("subscription")? {
        None => None,
        Some(id) => Some(Subscription {
            id,
            issued_at: row.time("issued_at")?,
            expires_at: row.time_opt("subscription_expires_at")?,
        }),
    };
    let failure: Option<String> = row.get("failure")?;
    Ok(User {
        id: row.parse("id")?,
        name: row.get("name")?,
        display_name: row.get("display_name")?,
        email: row.get("email")?,
        disabled: row.get("disabled")?,
        origins: row.json("origins")?,
        group: row.parse("group_path")?,
        keys: row.json("key_sets")?,
        subscription,
        device: row.parse_opt("device")?,
        activated_at: row.time_opt("activated_at")?,
        changed_at: row.time("changed_at")?,
        server_synced_at: row.time_opt("server_synced_at")?,
        device_synced_at: row.time_opt("device_synced_at")?,
        failed_at: row.time_opt("failed_at")?.filter(|_| failure.is_some()),
        failure,
        created_at: row.time("created_at")?,
        revision: row.get("revision")?,
    })
}
