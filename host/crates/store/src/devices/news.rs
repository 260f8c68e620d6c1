//! What nodes on one database tell each other: that devices are to be looked after. Over PostgreSQL's LISTEN and NOTIFY; with
//! SQLite there is one node, and nobody to tell.

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use syncline_domain::ids::{DeviceId, NodeId};

use crate::{
    db::Db,
    dialect::{Pools, sql},
    error::Result,
};

const CHANNEL: &str = "syncline_devices";
/// Devices in one notification: its text must stay below 8,000 bytes.
const MOST: usize = 150;
/// From this number on, all devices are looked after rather than these told one by one.
const MANY: usize = 3_000;

/// Devices that are to be looked after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNews {
    /// Who says so.
    node: NodeId,
    /// Which; absent: all.
    pub devices: Option<Vec<DeviceId>>,
    /// Whether they are to report everything.
    pub full: bool,
}

/// What other nodes say.
pub struct Nodes {
    listener: PgListener,
    node: NodeId,
}

impl Db {
    /// Whether other nodes can work on the same database.
    pub fn is_shared(&self) -> bool {
        matches!(self.pools(), Pools::Postgres(_))
    }

    /// Tells the other nodes, if there can be any, that devices are to be looked after.
    pub async fn tell_nodes(&self, devices: &[DeviceId], full: bool) -> Result<()> {
        if !self.is_shared() || devices.is_empty() {
            return Ok(());
        }
        let node = self.node();
        let all = [DeviceNews { node, devices: None, full }];
        let some = devices.chunks(MOST).map(|some| DeviceNews { node, devices: Some(some.to_vec()), full });
        let news: Vec<_> = if devices.len() > MANY { all.into() } else { some.collect() };
        let mut session = self.write_once().await?;
        for one in news {
            let query = sql("SELECT pg_notify('syncline_devices', $1)");
            query.bind_json(&one).execute(&mut session).await?;
        }
        Ok(())
    }

    /// Listens to the other nodes; `None` if there can be none. What was said before is lost.
    pub async fn listen_to_nodes(&self) -> Result<Option<Nodes>> {
        let Pools::Postgres(pool) = self.pools() else { return Ok(None) };
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Some(Nodes { listener, node: self.node() }))
    }
}

impl Nodes {
    /// What another node says next. `None`: the connection was lost and is there again; what was said meanwhile is lost.
    pub async fn next(&mut self) -> Result<Option<DeviceNews>> {
        loop {
            let Some(said) = self.listener.try_recv().await? else { return Ok(None) };
            match serde_json::from_str::<DeviceNews>(said.payload()) {
                Ok(news) if news.node == self.node => {}
                Ok(news) => return Ok(Some(news)),
                // A node of another version: whatever it means, to look again is right.
                Err(_) => return Ok(None),
            }
        }
    }
}
