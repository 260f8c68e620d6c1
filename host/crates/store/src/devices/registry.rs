//! The devices themselves: made known, changed, quarantined, taken out. Lists are in `list.rs`; enrolment and credentials in
//! files of their own.

use jiff::Timestamp;
use syncline_domain::{
    device::{Abilities, Device, DeviceState, GroupPath, record::Facts},
    event::NewEvent,
    ids::DeviceId,
};

use super::{credentials, groups, status};
use crate::{
    db::{Db, Tx},
    dialect::{Session, sql},
    error::{Error, OrNotFound, Result},
    row::Row,
};

macro_rules! device_columns {
    () => {
        "id, name, state, reason, group_path, facts, abilities, registered_at, enrolled_at, last_contact, \
         next_contact, silent_after, last_periodic_sync, last_forced_sync, instance_uid, sequence, status, \
         status_since, revision"
    };
}
pub(crate) use device_columns;

impl Db {
    /// Makes a device known before it ever comes.
    pub async fn register_device(&self, name: &str, group: &GroupPath, event: NewEvent) -> Result<Device> {
        let mut tx = self.begin().await?;
        let id = DeviceId::new(self.now());
        insert(&mut tx, id, name, group, self.now()).await?;
        let device = find(&mut tx, id).await?;
        tx.event(event.device(id));
        tx.commit().await?;
        Ok(device)
    }

    /// The device of this id.
    pub async fn device(&self, id: DeviceId) -> Result<Device> {
        let query = sql(concat!("SELECT ", device_columns!(), " FROM devices WHERE id = $1"));
        let row = query.bind(id).row(&mut self.read().await?).await?;
        parse(&row.or_not_found("device", id)?, self.now())
    }

    /// Renames a device or puts it into another group; one that was read before: its revision must still be what it was.
    pub async fn update_device(&self, device: &Device, event: NewEvent) -> Result<Device> {
        let mut tx = self.begin().await?;
        groups::must_exist(&mut tx, &device.group).await?;
        let query = sql("UPDATE devices SET name = $3, group_path = $4, revision = revision + 1
            WHERE id = $1 AND revision = $2");
        let query = query.bind(device.id).bind(device.revision).bind(&device.name).bind(&device.group);
        let changed = query.execute(&mut tx).await?;
        let stored = find(&mut tx, device.id).await?;
        if changed == 0 {
            return Err(Error::Stale { what: "device", name: device.id.to_string() });
        }
        tx.event(event.device(device.id));
        tx.commit().await?;
        Ok(stored)
    }

    /// Keeps what a device says of itself. True if that is news: then what it should hold may have changed. Nothing is written
    /// if not.
    pub async fn set_facts(&self, id: DeviceId, facts: &Facts, abilities: Abilities) -> Result<bool> {
        let known = self.device(id).await?;
        if known.facts == *facts && known.abilities == abilities {
            return Ok(false);
        }
        let query = sql("UPDATE devices SET facts = $2, abilities = $3 WHERE id = $1");
        let query = query.bind(id).bind_json(facts).bind_json(&abilities);
        if query.execute(&mut self.write_once().await?).await? != 1 {
            return Err(Error::not_found("device", id));
        }
        Ok(true)
    }

    /// Puts a device that was seen in two places into quarantine. Its credentials stay, so that whoever comes with them can
    /// be told; a credential that a person hands out for it gets it out. One that is in quarantine already is given as it
    /// is, without the event.
    pub async fn quarantine_device(&self, id: DeviceId, reason: &str, event: NewEvent) -> Result<Device> {
        let mut tx = self.begin().await?;
        let device = lock(&mut tx, id).await?;
        match device.state {
            DeviceState::Quarantined => return Ok(device),
            DeviceState::Decommissioned => return Err(wrong_state(&device, "be quarantined")),
            DeviceState::Registered | DeviceState::Enrolled => {}
        }
        set_state(&mut tx, &device, DeviceState::Quarantined, reason).await?;
        self.finish(tx, id, event).await
    }

    /// Takes a device out of management and revokes all of its credentials, and the tokens that were made for it. One that
    /// is out already is given as it is, without the event.
    pub async fn decommission_device(&self, id: DeviceId, reason: &str, event: NewEvent) -> Result<Device> {
        let mut tx = self.begin().await?;
        let device = lock(&mut tx, id).await?;
        if device.state == DeviceState::Decommissioned {
            return Ok(device);
        }
        set_state(&mut tx, &device, DeviceState::Decommissioned, reason).await?;
        credentials::revoke_all(&mut tx, id).await?;
        let query = sql("UPDATE enrolment_tokens SET ended_at = $2 WHERE device = $1 AND ended_at IS NULL");
        query.bind(id).bind(self.now()).execute(&mut tx).await?;
        self.finish(tx, id, event).await
    }

    async fn finish(&self, mut tx: Tx, id: DeviceId, event: NewEvent) -> Result<Device> {
        status::refresh(&mut tx, &[id], self.now()).await?;
        let device = find(&mut tx, id).await?;
        tx.event(event.device(id));
        tx.commit().await?;
        Ok(device)
    }
}

async fn set_state(tx: &mut Tx, device: &Device, to: DeviceState, reason: &str) -> Result<()> {
    let query =
        sql("UPDATE devices SET state = $3, reason = $4, enrolling_with = NULL, revision = revision + 1
        WHERE id = $1 AND state = $2");
    let query = query.bind(device.id).bind(device.state.as_str()).bind(to.as_str()).bind(reason);
    if query.execute(tx).await? != 1 {
        return Err(Error::Stale { what: "device", name: device.id.to_string() });
    }
    Ok(())
}

fn wrong_state(device: &Device, what: &str) -> Error {
    Error::Conflict(format!("device {} is {} and cannot {what}", device.id, device.state))
}

/// A new device in a group that is there. Its status is that of one that never came.
pub(crate) async fn insert(
    tx: &mut Tx,
    id: DeviceId,
    name: &str,
    group: &GroupPath,
    now: Timestamp,
) -> Result<()> {
    groups::must_exist(tx, group).await?;
    let query =
        sql("INSERT INTO devices (id, name, state, group_path, facts, abilities, registered_at, sequence,
            status, status_since, revision)
        VALUES ($1, $2, 'registered', $3, '{}', '{}', $4, 0, 'registered', $4, 1)");
    query.bind(id).bind(name).bind(group).bind(now).execute(tx).await?;
    Ok(())
}

/// The device, held as it is until the transaction ends.
pub(crate) async fn lock(tx: &mut Tx, id: DeviceId) -> Result<Device> {
    let query = sql(concat!("SELECT ", device_columns!(), " FROM devices WHERE id = $1 {for update}"));
    let row = query.bind(id).row(tx).await?;
    let now = tx.now();
    parse(&row.or_not_found("device", id)?, now)
}

pub(crate) async fn find(session: &mut Session, id: DeviceId) -> Result<Device> {
    let query = sql(concat!("SELECT ", device_columns!(), " FROM devices WHERE id = $1"));
    let row = query.bind(id).row(session).await?;
    parse(&row.or_not_found("device", id)?, session.now())
}

/// A row of `devices`, with its status at `now`.
pub(crate) fn parse(row: &Row, now: Timestamp) -> Result<Device> {
    let row = row.of("devices", "id");
    Ok(Device {
        id: row.parse("id")?,
        name: row.get("name")?,
        state: row.word("state")?,
        reason: row.get("reason")?,
        group: row.parse("group_path")?,
        facts: row.json("facts")?,
        abilities: row.json("abilities")?,
        registered_at: row.time("registered_at")?,
        enrolled_at: row.time_opt("enrolled_at")?,
        last_contact: row.time_opt("last_contact")?,
        next_contact: row.time_opt("next_contact")?,
        silent_after: row.time_opt("silent_after")?,
        last_periodic_sync: row.time_opt("last_periodic_sync")?,
        last_forced_sync: row.time_opt("last_forced_sync")?,
        instance_uid: row.get("instance_uid")?,
        sequence: row.unsigned("sequence")?,
        status: status::read(&row, now)?,
        revision: row.get("revision")?,
    })
}
