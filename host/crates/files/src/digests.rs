//! Digests that the host remembers, as one blob for each folder of a store.
//!
//! A remembered digest holds while size and modification time of the file are as they were. The memory only saves work:
//! a blob that is missing, or that this version cannot read, costs reading the files once more and nothing else.

use syncline_domain::{Failure, Name, RelPath, declaration::Blake3};

/// A memory of digests. Called from several threads, only where a digest is needed or was learnt.
pub trait Digests: Sync {
    /// The blob last saved for this folder alone, if any.
    fn load(&self, store: &Name, folder: &RelPath) -> Result<Option<Vec<u8>>, Failure>;

    /// Keeps blobs, in place of those saved before for the same folders.
    fn save(&self, store: &Name, folders: Vec<(RelPath, Vec<u8>)>) -> Result<(), Failure>;
}

/// A memory that remembers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDigests;

impl Digests for NoDigests {
    fn load(&self, _store: &Name, _folder: &RelPath) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }

    fn save(&self, _store: &Name, _folders: Vec<(RelPath, Vec<u8>)>) -> Result<(), Failure> {
        Ok(())
    }
}

/// A file of a folder whose digest is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDigest {
    /// Its name in the folder.
    pub name: Vec<u8>,
    /// Size that the digest belongs to.
    pub size: u64,
    /// Modification time that the digest belongs to, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// BLAKE3 of its content.
    pub digest: Blake3,
}

/// First byte of a blob: how the rest is to be read.
const VERSION: u8 = 1;
/// Bytes of an entry besides its name.
const FIXED: usize = 1 + 8 + 8 + 32;

/// The blob for these files. Entries: length of the name (1 byte), name, size, time (8 bytes each, little-endian), digest.
pub fn encode(files: &[KnownDigest]) -> Vec<u8> {
    let length: usize = files.iter().map(|file| FIXED + file.name.len()).sum();
    let mut blob = Vec::with_capacity(1 + length);
    blob.push(VERSION);
    for file in files {
        let Ok(length) = u8::try_from(file.name.len()) else { continue };
        blob.push(length);
        blob.extend_from_slice(&file.name);
        blob.extend_from_slice(&file.size.to_le_bytes());
        blob.extend_from_slice(&file.mtime_ns.to_le_bytes());
        blob.extend_from_slice(&file.digest);
    }
    blob
}

/// The files of a blob; none of them if it is of another version or damaged.
pub fn decode(blob: &[u8]) -> Vec<KnownDigest> {
    let Some((&VERSION, mut rest)) = blob.split_first() else { return Vec::new() };
    let mut files = Vec::with_capacity(rest.len() / (FIXED + 12));
    while !rest.is_empty() {
        let Some(file) = take(&mut rest) else { return Vec::new() };
        files.push(file);
    }
    files
}

fn take(rest: &mut &[u8]) -> Option<KnownDigest> {
    let (&length, after) = rest.split_first()?;
    let (name, after) = after.split_at_checked(usize::from(length))?;
    let (size, after) = after.split_first_chunk::<8>()?;
    let (time, after) = after.split_first_chunk::<8>()?;
    let (digest, after) = after.split_first_chunk::<32>()?;
    *rest = after;
    Some(KnownDigest {
        name: name.to_vec(),
        size: u64::from_le_bytes(*size),
        mtime_ns: i64::from_le_bytes(*time),
        digest: *digest,
    })
}

/// As operations and plugins have it: `blake3:` and hexadecimal.
pub fn text(digest: &Blake3) -> String {
    format!("blake3:{}", blake3::Hash::from_bytes(*digest).to_hex())
}

/// [`Digests::load`], where a memory that does not answer only means more reading.
pub(crate) fn recall(memory: &dyn Digests, store: &Name, folder: &RelPath) -> Vec<KnownDigest> {
    match memory.load(store, folder) {
        Ok(blob) => blob.map_or_else(Vec::new, |blob| decode(&blob)),
        Err(failure) => {
            tracing::warn!(%store, %folder, %failure, "known digests could not be loaded; files are read instead");
            Vec::new()
        }
    }
}

/// [`Digests::save`], where a memory that does not answer only means more reading next time.
pub(crate) fn remember(memory: &dyn Digests, store: &Name, folders: Vec<(RelPath, Vec<u8>)>) {
    if folders.is_empty() {
        return;
    }
    if let Err(failure) = memory.save(store, folders) {
        tracing::warn!(%store, %failure, "digests could not be saved; files will be read again when asked for");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blobs_give_back_what_went_in(
            files in proptest::collection::vec((proptest::collection::vec(1u8..=255, 1..=255), any::<u64>(), any::<i64>()), 0..20)
        ) {
            let files: Vec<KnownDigest> = files
                .into_iter()
                .map(|(name, size, mtime_ns)| KnownDigest { name, size, mtime_ns, digest: [7; 32] })
                .collect();
            prop_assert_eq!(decode(&encode(&files)), files);
        }

        #[test]
        fn damaged_blobs_are_no_digests_and_no_panic(mut blob in proptest::collection::vec(any::<u8>(), 0..200)) {
            decode(&blob);
            blob.insert(0, VERSION);
            decode(&blob);
        }
    }
}
