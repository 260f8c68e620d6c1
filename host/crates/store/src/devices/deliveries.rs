//! Deliveries: one (device, application), changed by [`syncline_domain::device::step`] and nothing else.
//!
//! Many at once: what is seen of a hundred thousand deliveries is read, stepped and written in batches of five thousand, with a
//! few statements each. Rows are taken in the order of their keys, so that two writers wait for each other and never block.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::json;
use syncline_domain::{
    Name,
    device::{Deadlines, Delivery, DeliveryState, Observation, Wanted, step},
    ids::DeviceId,
};

use super::status;
use crate::{
    db::{Db, Tx},
    dialect::sql,
    error::{Error, Result},
    page::{Listed, Page},
    row::Row,
    together::{Queue, Together, together},
};

macro_rules! columns {
    () => {
        "device, application, wanted, wanted_version, basis, held, held_version, state, since, offers, attempt, deadline, \
         delivered_at, error"
    };
}

/// Deliveries in one transaction, and rows in one statement.
const BATCH: usize = 5_000;

/// So few are written together with what others see.
const FEW: usize = 64;

/// Which delivery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryKey {
    /// The device.
    pub device: DeviceId,
    /// The application.
    pub application: Name,
}

/// What is seen of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which.
    pub key: DeliveryKey,
    /// What.
    pub observation: Observation,
}

impl Db {
    /// Takes each delivery a step (several for one are taken in their order), and works out the status of the devices anew. What
    /// was published for a device that had nothing of that application makes a delivery; anything else that is seen of one
    /// that is not there is passed over. Gives those that changed, as they are now.
    ///
    /// Five thousand deliveries are a transaction, so that contacts need not wait for a hundred thousand. Should it fail halfway,
    /// what was done stays done, and observing all of it again does no harm.
    pub async fn observe_deliveries(
        &self,
        seen: &[Seen],
        deadlines: &Deadlines,
    ) -> Result<Vec<(DeliveryKey, Delivery)>> {
        if seen.len() <= FEW {
            // What one contact tells: many devices can be here at once.
            return together(self, Few { seen: seen.to_vec(), deadlines: *deadlines }).await;
        }
        let all: Vec<_> = by_key(seen).into_iter().collect();
        let mut changed = Vec::new();
        for batch in all.chunks(BATCH) {
            changed.extend(self.observe_batch(batch, deadlines).await?);
        }
        Ok(changed)
    }

    async fn observe_batch(
        &self,
        batch: &Batch<'_>,
        deadlines: &Deadlines,
    ) -> Result<Vec<(DeliveryKey, Delivery)>> {
        let now = self.now();
        let mut tx = self.begin().await?;
        insert_new(&mut tx, batch, now).await?;
        let known = read_for_update(&mut tx, batch).await?;
        let stepped = batch.iter().filter_map(|(key, observations)| {
            let before = known.get(*key)?;
            let walk = |delivery, observation: &&Observation| step(&delivery, observation, now, deadlines);
            let after = observations.iter().fold(before.clone(), walk);
            (after != *before).then(|| ((*key).clone(), after))
        });
        let changed: Vec<_> = stepped.collect();
        write(&mut tx, &changed).await?;
        let devices: BTreeSet<_> = changed.iter().map(|(key, _)| key.device).collect();
        status::refresh(&mut tx, &devices.into_iter().collect::<Vec<_>>(), now).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// The deliveries of a device, by application.
    pub async fn deliveries_of(&self, device: DeviceId) -> Result<Vec<(Name, Delivery)>> {
        let query =
            sql(concat!("SELECT ", columns!(), " FROM deliveries WHERE device = $1 ORDER BY application"));
        let rows = query.bind(device).rows(&mut self.read().await?).await?;
        rows.iter().map(|row| parse(row).map(|(key, delivery)| (key.application, delivery))).collect()
    }

    /// The deliveries of many devices, by device and application.
    pub async fn deliveries_of_devices(&self, devices: &[DeviceId]) -> Result<Vec<(DeliveryKey, Delivery)>> {
        let mut found = Vec::new();
        let mut session = self.read().await?;
        for batch in devices.chunks(BATCH) {
            let ids: Vec<_> = batch.iter().map(|id| json!({ "id": id })).collect();
            let query = sql(concat!(
                "SELECT ",
                columns!(),
                " FROM deliveries WHERE device IN (SELECT item.value ->> 'id' FROM {each})
                ORDER BY device, application"
            ));
            for row in query.bind_json(&ids).rows(&mut session).await? {
                found.push(parse(&row)?);
            }
        }
        Ok(found)
    }

    /// Deliveries of an application, or of all, in a state or in any: by device and application.
    pub async fn deliveries(
        &self,
        application: Option<&Name>,
        state: Option<DeliveryState>,
        page: &Page,
    ) -> Result<Listed<(DeliveryKey, Delivery)>> {
        let position = page.position::<Position>()?;
        let mut query = sql(concat!("SELECT ", columns!(), " FROM deliveries WHERE TRUE"))
            .push_some(" AND application = $?", application)
            .push_some(" AND state = $?", state.map(DeliveryState::as_str));
        if let Some(Position(device, application)) = position {
            query = query
                .push_with(" AND (device > $?", device)
                .push_with(" OR (device = $?", device)
                .push_with(" AND application > $?))", &application);
        }
        let query = query.push_with(" ORDER BY device, application LIMIT $?", page.one_more());
        let rows = query.rows(&mut self.read().await?).await?;
        let found = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        Ok(Listed::cut(found, page, |(key, _)| format!("{}/{}", key.device, key.application)))
    }

    /// Deliveries whose deadline has passed, the longest overdue first: for [`Observation::DeadlinePassed`].
    pub async fn overdue_deliveries(&self, limit: u32) -> Result<Vec<DeliveryKey>> {
        let query = sql("SELECT device, application FROM deliveries WHERE deadline <= $1
            ORDER BY deadline LIMIT $2");
        let rows = query.bind(self.now()).bind(limit).rows(&mut self.read().await?).await?;
        rows.iter().map(key).collect()
    }

    /// How many deliveries of an application, or of all, stand in each state. States that none is in are not in it.
    pub async fn count_deliveries(&self, application: Option<&Name>) -> Result<BTreeMap<String, u64>> {
        let query = sql("SELECT state, COUNT(*) AS many FROM deliveries WHERE TRUE")
            .push_some(" AND application = $?", application)
            .push(" GROUP BY state");
        let rows = query.rows(&mut self.read().await?).await?;
        let count = |row: &Row| {
            let row = row.of("deliveries", "state");
            Ok((row.get("state")?, row.unsigned("many")?))
        };
        rows.iter().map(count).collect()
    }
}

/// What one caller sees of a few deliveries.
#[derive(Clone)]
pub(crate) struct Few {
    seen: Vec<Seen>,
    deadlines: Deadlines,
}

impl Together for Few {
    type Context = Db;
    type Error = Error;
    type Answer = Vec<(DeliveryKey, Delivery)>;
    const MOST: usize = 500;

    fn queue(db: &Db) -> &Queue<Self> {
        &db.queues().deliveries
    }

    fn stopping() -> Error {
        Error::stopping()
    }

    async fn all(db: &Db, all: &[Self]) -> Result<Vec<Self::Answer>> {
        let Some(first) = all.first() else { return Ok(Vec::new()) };
        if all.iter().any(|one| one.deadlines != first.deadlines) {
            return Err(Error::Conflict("deadlines differ".to_owned()));
        }
        let observed: Vec<_> = by_key(all.iter().flat_map(|one| &one.seen)).into_iter().collect();
        let changed: BTreeMap<_, _> =
            db.observe_batch(&observed, &first.deadlines).await?.into_iter().collect();
        let of = |one: &Self| {
            let keys: BTreeSet<_> = one.seen.iter().map(|seen| &seen.key).collect();
            keys.into_iter().filter_map(|key| Some((key.clone(), changed.get(key)?.clone()))).collect()
        };
        Ok(all.iter().map(of).collect())
    }
}

/// Several of one delivery stay in their order.
fn by_key<'a>(seen: impl IntoIterator<Item = &'a Seen>) -> BTreeMap<&'a DeliveryKey, Vec<&'a Observation>> {
    let mut by_key: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for one in seen {
        by_key.entry(&one.key).or_default().push(&one.observation);
    }
    by_key
}

/// Where a list goes on.
struct Position(DeviceId, Name);

impl std::str::FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (device, application) = text.split_once('/').ok_or(())?;
        Ok(Self(device.parse().map_err(|_| ())?, application.parse().map_err(|_| ())?))
    }
}

type Batch<'a> = [(&'a DeliveryKey, Vec<&'a Observation>)];

/// Makes the deliveries of which something is published for the first time. Devices that are not there are passed over.
async fn insert_new(tx: &mut Tx, batch: &Batch<'_>, now: Timestamp) -> Result<()> {
    let published = |all: &Vec<&Observation>| all.iter().any(|one| matches!(one, Observation::Wanted { .. }));
    let new: Vec<_> = batch.iter().filter(|(_, all)| published(all)).map(|(key, _)| key_json(key)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let query =
        sql("INSERT INTO deliveries (device, application, wanted_version, state, since, offers, attempt)
        SELECT d.id, item.value ->> 'application', 0, 'verified', CAST($2 AS BIGINT), 0, 0
        FROM {each} JOIN devices d ON d.id = item.value ->> 'device' WHERE TRUE
        ORDER BY 1, 2 ON CONFLICT (device, application) DO NOTHING");
    query.bind_json(&new).bind(now).execute(tx).await?;
    Ok(())
}

async fn read_for_update(tx: &mut Tx, batch: &Batch<'_>) -> Result<BTreeMap<DeliveryKey, Delivery>> {
    let keys: Vec<_> = batch.iter().map(|(key, _)| key_json(key)).collect();
    let query = sql(concat!(
        "SELECT ",
        columns!(),
        " FROM deliveries WHERE (device, application) IN
            (SELECT item.value ->> 'device', item.value ->> 'application' FROM {each})
        ORDER BY device, application {for update}"
    ));
    query.bind_json(&keys).rows(tx).await?.iter().map(parse).collect()
}

async fn write(tx: &mut Tx, changed: &[(DeliveryKey, Delivery)]) -> Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = changed.iter().map(row_json).collect();
    let query = sql("UPDATE deliveries SET
            wanted = item.value ->> 'wanted',
            wanted_version = CAST(item.value ->> 'wanted_version' AS BIGINT),
            basis = item.value ->> 'basis',
            held = item.value ->> 'held',
            held_version = CAST(item.value ->> 'held_version' AS BIGINT),
            state = item.value ->> 'state',
            since = CAST(item.value ->> 'since' AS BIGINT),
            offers = CAST(item.value ->> 'offers' AS BIGINT),
            attempt = CAST(item.value ->> 'attempt' AS BIGINT),
            deadline = CAST(item.value ->> 'deadline' AS BIGINT),
            delivered_at = CAST(item.value ->> 'delivered_at' AS BIGINT),
            error = item.value ->> 'error'
        FROM {each}
        WHERE deliveries.device = item.value ->> 'device'
            AND deliveries.application = item.value ->> 'application'");
    let written = query.bind_json(&rows).execute(tx).await?;
    if usize::try_from(written).ok() != Some(changed.len()) {
        let lost = format!("{written} of {} deliveries were written: the others are gone", changed.len());
        return Err(Error::Conflict(lost));
    }
    Ok(())
}

pub(super) fn key_json(key: &DeliveryKey) -> serde_json::Value {
    json!({ "device": key.device, "application": key.application })
}

fn row_json((key, delivery): &(DeliveryKey, Delivery)) -> serde_json::Value {
    json!({
        "device": key.device,
        "application": key.application,
        "wanted": delivery.wanted.digest(),
        "wanted_version": delivery.wanted_version,
        "basis": delivery.basis,
        "held": delivery.held,
        "held_version": delivery.held_version,
        "state": delivery.state,
        "since": delivery.since.as_microsecond(),
        "offers": delivery.offers,
        "attempt": delivery.attempt,
        "deadline": delivery.deadline.map(Timestamp::as_microsecond),
        "delivered_at": delivery.delivered_at.map(Timestamp::as_microsecond),
        "error": delivery.error,
    })
}

fn key(row: &Row) -> Result<DeliveryKey> {
    let row = row.of("deliveries", "device");
    Ok(DeliveryKey { device: row.parse("device")?, application: row.parse("application")? })
}

fn parse(row: &Row) -> Result<(DeliveryKey, Delivery)> {
    let key = key(row)?;
    let row = row.of("deliveries", "device");
    let delivery = Delivery {
        wanted: row.parse_opt("wanted")?.map_or(Wanted::Withdrawn, Wanted::Document),
        wanted_version: row.unsigned("wanted_version")?,
        basis: row.get("basis")?,
        held: row.parse_opt("held")?,
        held_version: row.unsigned_opt("held_version")?,
        state: row.word("state")?,
        since: row.time("since")?,
        offers: row.unsigned("offers")?,
        attempt: row.unsigned("attempt")?,
        deadline: row.time_opt("deadline")?,
        delivered_at: row.time_opt("delivered_at")?,
        error: row.get("error")?,
    };
    Ok((key, delivery))
}
