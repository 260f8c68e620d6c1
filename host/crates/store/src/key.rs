//! The key that secrets are encrypted with, and its file.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result};

/// 32 random bytes. Never shown: neither by `Debug` nor in an error.
#[derive(Clone)]
pub struct SecretKey {
    bytes: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey({})", self.key_id())
    }
}

impl SecretKey {
    const NONCE: usize = 24;

    /// A new key.
    pub fn generate() -> Self {
        Self { bytes: Zeroizing::new(rand::random()) }
    }

    /// The key in a file that [`SecretKey::to_file`] wrote. A file that others can read is refused.
    pub fn from_file(path: &Path) -> Result<Self> {
        let cannot = |why: &str| Error::Key(format!("key file {}: {why}", path.display()));
        let metadata = fs::metadata(path).map_err(|error| cannot(&error.to_string()))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(cannot(&format!("its mode is {mode:04o}, so others can read it: set it to 0600")));
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| cannot(&error.to_string()))?);
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_end(), bytes.as_mut_slice())
            .map_err(|_| cannot("it does not hold 64 hexadecimal digits: restore it from a backup"))?;
        Ok(Self { bytes })
    }

    /// Writes the key to a new file with mode 0600. A file that is there already is left as it is: losing a key loses the
    /// secrets. The file appears whole or not at all.
    pub fn to_file(&self, path: &Path) -> Result<()> {
        let whole = self.write_beside(path)?;
        // A link, unlike a rename, never replaces what is there.
        let linked = fs::hard_link(&whole, path);
        let removed = fs::remove_file(&whole);
        match linked.and(removed) {
            Ok(()) => sync_folder(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Error::Exists { what: "key file", name: path.display().to_string() })
            }
            Err(error) => Err(Error::Key(format!("key file {}: {error}", path.display()))),
        }
    }

    /// Writes the key to a file that may be there already, with mode 0600: the last step of a rotation.
    pub fn replace_file(&self, path: &Path) -> Result<()> {
        let whole = self.write_beside(path)?;
        fs::rename(&whole, path)
            .map_err(|error| Error::Key(format!("key file {}: {error}", path.display())))?;
        sync_folder(path)
    }

    /// A file beside `path` that holds the key and has never been open to others.
    fn write_beside(&self, path: &Path) -> Result<PathBuf> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", hex::encode(rand::random::<[u8; 8]>())));
        let beside = PathBuf::from(name);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            let mut text = Zeroizing::new(hex::encode(self.bytes.as_slice()));
            text.push('\n');
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error| Error::Key(format!("key file {}: {error}", beside.display())))?;
        Ok(beside)
    }

    /// Tells keys apart without telling anything of the key.
    pub fn key_id(&self) -> String {
        let digest = Sha256::new().chain_update(b"syncline key id\0").chain_update(self.bytes.as_slice());
        hex::encode(&digest.finalize()[..8])
    }

    /// Nonce and ciphertext of `value`, which opens under the same `name` only.
    pub(crate) fn seal(&self, name: &str, value: &[u8]) -> Result<Vec<u8>> {
        let nonce: [u8; Self::NONCE] = rand::random();
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: value, aad: name.as_bytes() })
            .map_err(|_| Error::Key(format!("secret {name:?} cannot be encrypted: it is too long")))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// What [`SecretKey::seal`] was given.
    pub(crate) fn open(&self, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let wrong = || {
            Error::Key(format!("secret {name:?} is damaged or was moved here from elsewhere: set it anew"))
        };
        let (nonce, sealed) = sealed.split_first_chunk::<{ Self::NONCE }>().ok_or_else(wrong)?;
        let opened =
            self.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: name.as_bytes() });
        opened.map(Zeroizing::new).map_err(|_| wrong())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        let mut key = chacha20poly1305::Key::from(*self.bytes);
        let cipher = XChaCha20Poly1305::new(&key);
        key.as_mut_slice().zeroize();
        cipher
    }
}

/// Makes a new name in a folder survive a power cut.
fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Error::Key(format!("folder {}: {error}", folder.display())))
}
