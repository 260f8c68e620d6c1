//! A file on its way: what came of it so far, and its digest.

use sha2::{Digest as _, Sha256};
use syncline_domain::{
    Failure, FailureKind, Fault,
    refresh::{Digest, ListedFile},
};

use super::CHUNK;
use crate::store::Writer;

/// A file on its way. Dropped before its end it stays under its temporary name, and the next one goes on with it.
pub struct Part<'d> {
    writer: Box<dyn Writer + 'd>,
    hash: Hash,
    length: u64,
    size: u64,
}

enum Hash {
    Blake3(Box<blake3::Hasher>),
    Sha256(Sha256),
}

impl Hash {
    fn new(like: &Digest) -> Self {
        match like {
            Digest::Blake3(_) => Self::Blake3(Box::default()),
            Digest::Sha256(_) => Self::Sha256(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(hash) => drop(hash.update(bytes)),
            Self::Sha256(hash) => hash.update(bytes),
        }
    }

    fn finish(&self) -> Digest {
        match self {
            Self::Blake3(hash) => Digest::Blake3(*hash.finalize().as_bytes()),
            Self::Sha256(hash) => Digest::Sha256(hash.clone().finalize().into()),
        }
    }
}

/// The digest of all that `read` gives, of the kind of `like`. `read` gives 0 at the end.
pub(super) fn digest_of(
    like: &Digest,
    mut read: impl FnMut(&mut [u8]) -> Result<usize, Failure>,
) -> Result<(Digest, u64), Failure> {
    let (mut hash, mut length) = (Hash::new(like), 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = read(&mut buffer)?;
        if count == 0 {
            return Ok((hash.finish(), length));
        }
        hash.update(&buffer[..count]);
        length += count as u64;
    }
}

impl<'d> Part<'d> {
    pub(super) fn open(
        mut writer: Box<dyn Writer + 'd>,
        file: &ListedFile,
        keep_going: &(dyn Fn() -> Result<(), Failure> + Sync),
    ) -> Result<Self, Failure> {
        let mut length = writer.resumed();
        if length > file.size {
            writer.truncate(0)?;
            length = 0;
        }
        let mut hash = Hash::new(&file.digest);
        let mut buffer = if length > 0 { vec![0; CHUNK] } else { Vec::new() };
        let mut at = 0;
        while at < length {
            keep_going()?;
            let left = usize::try_from(length - at).unwrap_or(CHUNK).min(CHUNK);
            let count = writer.read_back(&mut buffer[..left], at)?;
            if count == 0 {
                return Err(Failure::changed(
                    "changed",
                    "a temporary file became shorter while it was read back",
                ));
            }
            hash.update(&buffer[..count]);
            at += count as u64;
        }
        Ok(Self { writer, hash, length, size: file.size })
    }

    /// Bytes that came so far.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Throws away what came.
    pub fn restart(&mut self) -> Result<(), Failure> {
        self.writer.truncate(0)?;
        self.length = 0;
        self.hash = match self.hash {
            Hash::Blake3(_) => Hash::Blake3(Box::default()),
            Hash::Sha256(_) => Hash::Sha256(Sha256::new()),
        };
        Ok(())
    }

    /// Adds what came. Fails if there is more than the file has by its list.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.length + bytes.len() as u64 > self.size {
            self.restart()?;
            let message = format!("more than the {} bytes came that the manifest tells of", self.size);
            return Err(Failure::new(FailureKind::Invalid, Fault::Remote, "size", message));
        }
        self.writer.write(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Gives what came its name in the folder that it was opened in. For stores that keep nothing under a temporary name.
    pub fn commit(self, file: &ListedFile, fsync: bool) -> Result<(), Failure> {
        let name = file.path.split().map(|(_, name)| name.to_vec()).unwrap_or_default();
        self.writer.commit(&name, super::stamp(file).as_ref(), fsync)
    }

    /// Whether what came is what it should be. If it is not, it is thrown away, and the failure names both digests.
    pub fn finish(&mut self, file: &ListedFile) -> Result<(), Failure> {
        let found = self.hash.finish();
        if self.length == self.size && found == file.digest {
            return Ok(());
        }
        let length = self.length;
        self.restart()?;
        let message = format!(
            "{:?} is not what the manifest says: its {length} bytes have {found}, and {} bytes with {} are wanted; \
             have the source's manifest made anew",
            file.path.to_text(),
            self.size,
            file.digest
        );
        Err(Failure::new(FailureKind::Invalid, Fault::Remote, "digest", message))
    }
}
