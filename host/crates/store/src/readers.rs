//! The connections to SQLite that only read.
//!
//! A pool asks each connection whether it is alive before it gives it out and when it comes back: for one query, three trips to
//! the connection's thread. A file that is open need not be asked, so connections are kept here between two uses.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use scopeguard::ScopeGuard;
use sqlx::{Sqlite, SqlitePool, pool::PoolConnection};
use tokio::{sync::Semaphore, time::timeout};

use crate::error::Result;

/// How long a caller waits for a connection, as in sqlx.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that only reads; kept for the next when it is dropped.
pub(crate) type Reader = ScopeGuard<PoolConnection<Sqlite>, Box<dyn FnOnce(PoolConnection<Sqlite>) + Send>>;

/// Cheap to clone; the clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    pool: SqlitePool,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<PoolConnection<Sqlite>>>>,
}

impl Readers {
    /// As many as the pool may have.
    pub(crate) fn new(pool: SqlitePool) -> Self {
        let places = usize::try_from(pool.options().get_max_connections()).unwrap_or(1);
        Self { pool, places: Arc::new(Semaphore::new(places)), idle: Arc::default() }
    }

    /// One that nobody else has, until it is dropped.
    pub(crate) async fn acquire(&self) -> Result<Reader> {
        let place = timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        let kept = self.idle.lock().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        let readers = self.clone();
        Ok(scopeguard::guard(
            connection,
            Box::new(move |connection| {
                let mut idle = readers.idle.lock();
                // Asked under the lock: whoever closes them clears the others afterwards.
                if !readers.places.is_closed() {
                    idle.push(connection);
                }
                drop(idle);
                drop(place);
            }),
        ))
    }

    /// Ends all of them, after what is under way.
    pub(crate) async fn close(&self) {
        self.places.close();
        self.idle.lock().clear();
        self.pool.close().await;
    }
}
