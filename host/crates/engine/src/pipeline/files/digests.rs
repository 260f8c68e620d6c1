//! The memory of digests, kept in the database.

use syncline_domain::{Failure, Name, RelPath};
use syncline_files::Digests;
use syncline_store::Db;
use tokio::runtime::Handle;

use crate::Error;

/// Blocks its threads on the database: these threads belong to the file work and wait for disks all day.
pub struct StoredDigests {
    db: Db,
    runtime: Handle,
}

impl StoredDigests {
    /// Must be made on the runtime that the database works on.
    pub fn new(db: Db) -> Self {
        Self { db, runtime: Handle::current() }
    }
}

impl Digests for StoredDigests {
    fn load(&self, store: &Name, folder: &RelPath) -> Result<Option<Vec<u8>>, Failure> {
        self.runtime
            .block_on(self.db.digests_of(store, folder))
            .map_err(|error| Error::from(error).into_failure())
    }

    fn save(&self, store: &Name, folders: Vec<(RelPath, Vec<u8>)>) -> Result<(), Failure> {
        self.runtime
            .block_on(self.db.save_digests(store, &folders))
            .map_err(|error| Error::from(error).into_failure())
    }
}
