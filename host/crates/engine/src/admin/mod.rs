//! Work on a data folder from outside its server: a new admin token, backup, restore, upgrade, a new key.
//!
//! * [`replace_token`]: the token was lost; beside PostgreSQL also while servers run
//! * [`backup`] and [`restore`]: the folder as one file and back (`archive.rs` has the format); a backup can be taken
//!   while the server works
//! * [`upgrade`]: brings the schema up to date, with a backup made first
//! * [`rotate_key`]: encrypts all secrets under a new key; can be repeated after an interruption
//! * [`FolderLock`]: who must be alone in a folder holds it
//!
//! Nothing here takes a folder for a data folder that has no identity in it, or migrates a database unasked.

mod archive;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use syncline_domain::{access::Role, clock::Clock, event::NewEvent, log::LogLevel};
use syncline_store::{Db, SecretKey};

use crate::{DataFolder, Error, Result};

/// The right to be alone in a data folder, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    const NAME: &'static str = "server.lock";

    /// Takes it; refuses at once if someone else has it. Makes the folder (mode 0700) if it is not there.
    pub fn take(data: &Path) -> Result<Self> {
        make_folder(data)?;
        let path = data.join(Self::NAME);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(|error| cannot(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let message = format!("a server is running on data folder {}: stop it first", data.display());
                Err(Error::conflict("data-folder-in-use", message))
            }
            Err(TryLockError::Error(error)) => Err(cannot(&path, &error)),
        }
    }
}

/// Which state the commands work on.
#[derive(Clone)]
pub struct Place<'a> {
    /// The data folder.
    pub data: &'a Path,
    /// URL of the database; the embedded one in `data` if absent.
    pub database: Option<&'a str>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Place<'_> {
    /// The folder, if it is one.
    fn folder(&self) -> Result<DataFolder> {
        crate::refuse_embedded_url(self.database)?;
        if !self.data.join(DataFolder::IDENTITY).is_file() {
            let message = format!(
                "{} is no data folder of a server: {} is missing there",
                self.data.display(),
                DataFolder::IDENTITY
            );
            return Err(Error::invalid("data-folder", message));
        }
        DataFolder::open(self.data, self.clock.as_ref())
    }

    /// The embedded database, if that is the one in use.
    fn sqlite_file(&self) -> Option<PathBuf> {
        self.database.is_none().then(|| self.data.join(DataFolder::DATABASE))
    }

    /// Opens the database with a key of the caller's choice. Migrates.
    async fn open_with(&self, folder: &DataFolder, key: SecretKey) -> syncline_store::Result<Db> {
        let url = self.database.map_or_else(|| folder.database_url(), str::to_owned);
        Db::open(&url, Arc::clone(&self.clock), folder.node, key).await
    }

    /// Refuses where opening the database would migrate it: only [`upgrade`] does that, after a backup.
    async fn must_be_current(&self) -> Result<()> {
        let Some(file) = self.sqlite_file() else { return Ok(()) };
        let (found, known) = (stored_schema(&file).await?, syncline_store::known_schema());
        if found < known {
            let message = format!(
                "the database has schema {found}, this version works with {known}: run `syncline admin upgrade` first"
            );
            return Err(Error::conflict("schema", message));
        }
        Ok(())
    }
}

/// Makes an admin token, writes it to the folder's `admin.token` (mode 0600) and ends the one that it replaces.
pub async fn replace_token(place: &Place<'_>) -> Result<PathBuf> {
    let mut folder = place.folder()?;
    place.must_be_current().await?;
    let db = place.open_with(&folder, existing_key(&folder)?).await?;
    let done = replace_token_in(&db, &mut folder).await;
    db.close().await;
    done.map(|()| folder.token_file())
}

async fn replace_token_in(db: &Db, folder: &mut DataFolder) -> Result<()> {
    let nodes = db.nodes().await?;
    let node_name = nodes.iter().find(|node| node.id == folder.node).map_or("syncline", |node| &node.name);
    let name = format!("admin@{node_name}");
    let replaced = db.tokens().await?.into_iter().find(|token| Some(token.id) == folder.token);
    let event = |kind: &str, message: String| NewEvent::new(kind, "system", message).level(LogLevel::Warn);
    let message = format!("Admin token {name:?} was replaced by a command on the data folder");
    let (made, token) = db.create_token(&name, Role::Admin, None, event("token.created", message)).await?;
    folder.write_token(made.id, &token)?;
    if let Some(old) = replaced {
        let message = format!("Token {} was revoked: it was replaced", old.id);
        db.remove_token(old.id, event("token.removed", message)).await?;
    }
    Ok(())
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// Size of the file, in bytes.
    pub size: u64,
    /// Whether the database is in it. Not for PostgreSQL: that needs `pg_dump`.
    pub with_database: bool,
}

/// Writes database, key and identity to a new file with mode 0600. A server may be at work on the folder.
pub async fn backup(place: &Place<'_>, output: &Path) -> Result<BackedUp> {
    place.folder()?;
    if output.exists() {
        let message = format!("{} is there already: a backup never replaces a file", output.display());
        return Err(Error::conflict("backup-file", message));
    }
    let scratch = scratch_folder(output)?;
    let mut members = vec![(DataFolder::IDENTITY, place.data.join(DataFolder::IDENTITY))];
    let key = place.data.join(DataFolder::KEY);
    if key.exists() {
        members.push((DataFolder::KEY, key));
    }
    let mut schema = None;
    if let Some(file) = place.sqlite_file().filter(|file| file.exists()) {
        let copy = scratch.path().join(DataFolder::DATABASE);
        schema = Some(syncline_store::snapshot(&file, &copy).await?);
        members.push((DataFolder::DATABASE, copy));
    }
    let made_at = place.clock.now();
    let output = output.to_owned();
    let size = blocking(move || archive::write(&output, &members, schema, made_at)).await?;
    Ok(BackedUp { size, with_database: schema.is_some() })
}

/// What came out of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// When the backup was made.
    pub made_at: Timestamp,
    /// Version that made it.
    pub made_by: String,
    /// Whether the database was in it.
    pub with_database: bool,
}

/// Unpacks a backup to `data`, which must be new or empty: all of it, checked, or nothing.
pub async fn restore(input: &Path, data: &Path, clock: Arc<dyn Clock>) -> Result<Restored> {
    let occupied = fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some());
    if occupied || data.is_file() {
        let message = format!("{} is not empty: restore into a new folder", data.display());
        return Err(Error::conflict("data-folder-not-empty", message));
    }
    let scratch = scratch_folder(data)?;
    let unpacked = scratch.path().join("data");
    make_folder(&unpacked)?;
    let manifest = {
        let (input, unpacked) = (input.to_owned(), unpacked.clone());
        blocking(move || archive::read(&input, &unpacked)).await?
    };
    let with_database = manifest.holds(DataFolder::DATABASE);
    if with_database {
        check_restored(&unpacked, clock).await?;
    }
    fs::rename(&unpacked, data).map_err(|error| cannot(data, &error))?;
    sync_folder(parent(data))?;
    Ok(Restored { made_at: manifest.made_at, made_by: manifest.made_by, with_database })
}

/// Opens what was unpacked, as a server would: the schema is known, the key fits.
async fn check_restored(data: &Path, clock: Arc<dyn Clock>) -> Result<()> {
    let place = Place { data, database: None, clock };
    let folder = place.folder()?;
    let db = place.open_with(&folder, existing_key(&folder)?).await?;
    let answered = db.ping().await;
    db.close().await;
    Ok(answered?)
}

/// What an upgrade did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgraded {
    /// Schema before.
    pub from: i64,
    /// Schema now.
    pub to: i64,
    /// The backup that was made first; none if there was nothing to do.
    pub backup: Option<PathBuf>,
}

/// Brings the embedded database up to this version's schema, with a backup in `<data>/backups` made first.
pub async fn upgrade(place: &Place<'_>) -> Result<Upgraded> {
    let folder = place.folder()?;
    let _alone = FolderLock::take(place.data)?;
    let Some(file) = place.sqlite_file() else {
        let message = "the database is PostgreSQL: back it up with pg_dump, then start the new version, which brings the schema up to date";
        return Err(Error::invalid("upgrade-postgres", message));
    };
    let (from, to) = (stored_schema(&file).await?, syncline_store::known_schema());
    if from == to {
        return Ok(Upgraded { from, to, backup: None });
    }
    if from > to {
        return Err(syncline_store::Error::NewerSchema { found: from, known: to }.into());
    }
    let backups = place.data.join("backups");
    make_folder(&backups)?;
    let at = place.clock.now().strftime("%Y%m%dT%H%M%SZ");
    let file = backups.join(format!("before-schema-{to}-{at}.tar.zst"));
    backup(place, &file).await?;
    place.open_with(&folder, existing_key(&folder)?).await?.close().await;
    Ok(Upgraded { from, to, backup: Some(file) })
}

/// Encrypts all secrets under a new key and puts it in place of the old one; says how many there were. If an earlier call was
/// interrupted, it is brought to its end first.
pub async fn rotate_key(place: &Place<'_>) -> Result<u64> {
    let folder = place.folder()?;
    let _alone = FolderLock::take(place.data)?;
    place.must_be_current().await?;
    let next = place.data.join("secret.key.next");
    let (db, old_key) = open_with_either_key(place, &folder, &next).await?;
    let rotated = rotate_key_in(&db, &folder, &old_key, &next).await;
    db.close().await;
    rotated
}

async fn rotate_key_in(db: &Db, folder: &DataFolder, old_key: &SecretKey, next: &Path) -> Result<u64> {
    let key = SecretKey::generate();
    // On disk before the first secret needs it, beside the old one until none needs that.
    key.replace_file(next)?;
    let message = format!("The key of the secrets was changed from {} to {}", old_key.key_id(), key.key_id());
    let event = NewEvent::new("secret.key-rotated", "system", message).level(LogLevel::Warn);
    let count = db.rotate_key(&key, event).await?;
    fs::rename(next, folder.key_file()).map_err(|error| cannot(next, &error))?;
    sync_folder(parent(next))?;
    Ok(count)
}

/// The database under the key in the folder; or, after an interrupted rotation, under the one that was to follow, which then
/// becomes the one in the folder.
async fn open_with_either_key(
    place: &Place<'_>,
    folder: &DataFolder,
    next: &Path,
) -> Result<(Db, SecretKey)> {
    let key = existing_key(folder)?;
    match place.open_with(folder, key.clone()).await {
        Err(syncline_store::Error::Key(_)) if next.exists() => {
            let key = SecretKey::from_file(next)?;
            let db = place.open_with(folder, key.clone()).await?;
            key.replace_file(&folder.key_file())?;
            Ok((db, key))
        }
        opened => Ok((opened?, key)),
    }
}

/// The key of the folder. Unlike [`DataFolder::key`], one that is missing is not made: it would fit nothing.
fn existing_key(folder: &DataFolder) -> Result<SecretKey> {
    Ok(SecretKey::from_file(&folder.key_file())?)
}

async fn stored_schema(file: &Path) -> Result<i64> {
    if !file.is_file() {
        let message = format!(
            "there is no database at {}: if it is PostgreSQL, say so with --database",
            file.display()
        );
        return Err(Error::invalid("database-file", message));
    }
    Ok(syncline_store::stored_schema(file).await?)
}

/// A folder of our own beside `path`, on the same file system, that goes when it is dropped.
fn scratch_folder(path: &Path) -> Result<tempfile::TempDir> {
    let parent = parent(path);
    tempfile::Builder::new().prefix(".syncline-").tempdir_in(parent).map_err(|error| cannot(parent, &error))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn make_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| cannot(path, &error))
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| cannot(path, &error))
}

fn cannot(path: &Path, error: &io::Error) -> Error {
    Error::internal(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

#[cfg(test)]
mod tests;
