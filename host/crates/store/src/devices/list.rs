//! Lists of devices: filters, pages, counts.

use jiff::Timestamp;
use syncline_domain::{
    Name,
    device::{DeliveryState, Device, DeviceState, GroupPath},
    ids::DeviceId,
};

use super::{
    groups::below,
    registry::{device_columns, parse},
    status::OVERLAY,
};
use crate::{
    db::Db,
    dialect::{Query, sql},
    error::Result,
    page::{Listed, Page},
};

/// Which devices are wanted: those for which all that is set holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviceFilter {
    /// In this group or below it.
    pub group: Option<GroupPath>,
    /// In this state of management.
    pub state: Option<DeviceState>,
    /// With one of these words of status; empty for all. A colour is the words of its rows in the table.
    pub status: Vec<&'static str>,
    /// Whose name has this in it, whatever the case of ASCII letters.
    pub name: Option<String>,
    /// Whose last contact was before this, or never was.
    pub silent_since: Option<Timestamp>,
    /// Whose last contact was at this time or later.
    pub seen_since: Option<Timestamp>,
    /// With a delivery of this application.
    pub application: Option<Name>,
    /// With a delivery in this state; of `application`, where that is set.
    pub delivery: Option<DeliveryState>,
}

impl Db {
    /// Devices, in the order in which they were made known.
    pub async fn devices(&self, filter: &DeviceFilter, page: &Page) -> Result<Listed<Device>> {
        let now = self.now();
        let query = sql(concat!("SELECT ", device_columns!(), " FROM devices WHERE TRUE"));
        let query = matching(query, filter, now)
            .push_some(" AND id > $?", page.position::<DeviceId>()?)
            .push_with(" ORDER BY id LIMIT $?", page.one_more());
        let rows = query.rows(&mut self.read().await?).await?;
        let devices = rows.iter().map(|row| parse(row, now)).collect::<Result<Vec<_>>>()?;
        Ok(Listed::cut(devices, page, |device| device.id.to_string()))
    }

    /// How many devices there are.
    pub async fn count_devices(&self, filter: &DeviceFilter) -> Result<u64> {
        let query = matching(sql("SELECT COUNT(*) FROM devices WHERE TRUE"), filter, self.now());
        let row = query.row(&mut self.read().await?).await?;
        row.map_or(Ok(0), |row| row.number()).map(i64::unsigned_abs)
    }

    /// The ids of all of them: for what is done to many at once.
    pub async fn device_ids(&self, filter: &DeviceFilter) -> Result<Vec<DeviceId>> {
        let query = matching(sql("SELECT id FROM devices WHERE TRUE"), filter, self.now());
        let rows = query.push(" ORDER BY id").rows(&mut self.read().await?).await?;
        rows.iter().map(|row| row.of("devices", "id").parse("id")).collect()
    }

    /// How many devices have each word of status, silence included. Words that none has are not in it.
    pub async fn devices_by_status(&self, filter: &DeviceFilter) -> Result<Vec<(String, u64)>> {
        let now = self.now();
        let query = sql("SELECT word, COUNT(*) AS many FROM (SELECT ").push_with(OVERLAY, now);
        let query = matching(query.push(" AS word FROM devices WHERE TRUE"), filter, now);
        let rows = query.push(") counted GROUP BY word ORDER BY word").rows(&mut self.read().await?).await?;
        let count = |row: &crate::row::Row| {
            let row = row.of("devices", "word");
            Ok((row.get("word")?, row.unsigned("many")?))
        };
        rows.iter().map(count).collect()
    }
}

fn matching(mut query: Query, filter: &DeviceFilter, now: Timestamp) -> Query {
    if let Some(group) = filter.group.as_ref().filter(|group| !group.is_root()) {
        query = query
            .push_with(" AND group_path IN (SELECT path FROM device_groups WHERE path = $?", group)
            .push_with(" OR substr(path, 1, length($?)) = $?)", below(group));
    }
    query = query
        .push_some(" AND state = $?", filter.state.map(DeviceState::as_str))
        .push_some(" AND (last_contact IS NULL OR last_contact < $?)", filter.silent_since)
        .push_some(" AND last_contact >= $?", filter.seen_since);
    if let Some(name) = &filter.name {
        let pattern = name.to_ascii_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_");
        query = query.push_with(" AND lower(name) LIKE $? ESCAPE '!'", format!("%{pattern}%"));
    }
    if let Some((first, rest)) = filter.status.split_first() {
        query = query.push(" AND (").push_with(OVERLAY, now).push_with(") IN ($?", *first);
        query = rest.iter().fold(query, |query, word| query.push_with(", $?", *word)).push(")");
    }
    if filter.application.is_some() || filter.delivery.is_some() {
        query = query
            .push(" AND id IN (SELECT device FROM deliveries WHERE TRUE")
            .push_some(" AND application = $?", filter.application.as_ref())
            .push_some(" AND state = $?", filter.delivery.map(DeliveryState::as_str))
            .push(")");
    }
    query
}
