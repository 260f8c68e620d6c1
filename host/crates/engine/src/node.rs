//! The data folder of a node: who it is, its key, its first token.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use syncline_domain::{
    access::Role,
    clock::Clock,
    event::NewEvent,
    ids::{NodeId, TokenId},
};
use syncline_store::{Db, SecretKey};

use crate::{Error, Result};

/// The folder that a node keeps for itself.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// The node that lives here.
    pub node: NodeId,
    /// The admin token in [`DataFolder::TOKEN`]; none if none was ever made: the first start did not come that far.
    pub token: Option<TokenId>,
}

#[derive(Serialize, Deserialize)]
struct Identity {
    node: NodeId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<TokenId>,
}

impl DataFolder {
    pub(crate) const IDENTITY: &'static str = "node.json";
    pub(crate) const KEY: &'static str = "secret.key";
    pub(crate) const DATABASE: &'static str = "syncline.db";
    /// Name of the file with the first admin token.
    pub const TOKEN: &'static str = "admin.token";
    const CACHE: &'static str = "compiled";

    /// Opens the folder, or makes it with mode 0700 and a new identity.
    pub fn open(path: &Path, clock: &dyn Clock) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| io_error(path, error))?;
        let path = path.canonicalize().map_err(|error| io_error(path, error))?;
        let file = path.join(Self::IDENTITY);
        let (identity, is_new) = match fs::read(&file) {
            Ok(bytes) => {
                let identity: Identity = serde_json::from_slice(&bytes).map_err(|error| {
                    Error::internal(format!(
                        "{} is damaged ({error}): restore it from a backup",
                        file.display()
                    ))
                })?;
                (identity, false)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (Identity { node: NodeId::new(clock.now()), token: None }, true)
            }
            Err(error) => return Err(io_error(&file, error)),
        };
        let folder = Self { path, node: identity.node, token: identity.token };
        if is_new {
            folder.write_identity()?;
        }
        Ok(folder)
    }

    fn write_identity(&self) -> Result<()> {
        let json = serde_json::to_vec(&Identity { node: self.node, token: self.token });
        write_private(&self.path.join(Self::IDENTITY), &json.map_err(Error::internal)?)
    }

    /// URL of the embedded database.
    pub fn database_url(&self) -> String {
        format!("sqlite://{}", self.path.join(Self::DATABASE).display())
    }

    /// Where compiled plugins are kept.
    pub fn cache(&self) -> PathBuf {
        self.path.join(Self::CACHE)
    }

    /// The key that secrets are encrypted with; made at the first call.
    pub fn key(&self) -> Result<SecretKey> {
        let file = self.key_file();
        if file.exists() {
            return Ok(SecretKey::from_file(&file)?);
        }
        let key = SecretKey::generate();
        key.to_file(&file)?;
        Ok(key)
    }

    /// The file of that key.
    pub fn key_file(&self) -> PathBuf {
        self.path.join(Self::KEY)
    }

    /// The file of the first admin token.
    pub fn token_file(&self) -> PathBuf {
        self.path.join(Self::TOKEN)
    }

    /// Writes an admin token, mode 0600, in place of one that is there, and remembers which one it is.
    pub fn write_token(&mut self, id: TokenId, token: &str) -> Result<()> {
        write_private(&self.token_file(), format!("{token}\n").as_bytes())?;
        self.token = Some(id);
        self.write_identity()
    }
}

/// Makes an admin token for the first start of a node.
pub(crate) async fn first_token(db: &Db, folder: &mut DataFolder, node_name: &str) -> Result<()> {
    let event = NewEvent::new("token.created", "system", format!("First admin token of node {node_name}"));
    let (made, token) = db.create_token(&format!("admin@{node_name}"), Role::Admin, None, event).await?;
    folder.write_token(made.id, &token)
}

/// Written beside and renamed, so that a reader sees the old or the new, and nobody else ever a byte of it.
fn write_private(file: &Path, bytes: &[u8]) -> Result<()> {
    let beside = file.with_extension("new");
    let write = || -> io::Result<()> {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&beside, file)?;
        // The name too: a power cut must not bring the old one back.
        fs::File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| io_error(file, error))
}

fn io_error(path: &Path, error: io::Error) -> Error {
    Error::internal(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
