//! What of a list stands already.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use syncline_domain::{
    Failure, RelPath,
    refresh::{Digest, ListedFile},
};

use super::{Intake, part::digest_of};
use crate::{
    digests::{self, KnownDigest},
    errors,
    read::SourceFile,
    store::RESERVED,
};

/// Where digests of a folder's files are remembered. Those that are no BLAKE3 have a place beside, below a name that no folder
/// of a store has.
pub(super) fn key(folder: &RelPath, sha256: bool) -> RelPath {
    if sha256 {
        RelPath::root().join_name(RESERVED).join_name(b"sha256").join(folder)
    } else {
        folder.clone()
    }
}

/// What a collection lacks of a list.
#[derive(Debug, Default)]
pub struct Lack {
    /// Numbers of the listed files that have to come, and whether another content stands there.
    pub missing: Vec<(usize, bool)>,
    /// Files that are as listed.
    pub unchanged: u64,
    /// Files that stand there and are not listed.
    pub unlisted: Vec<SourceFile>,
    /// Files that stand there.
    pub standing: u64,
    /// Where contents stand that are listed, by their digest.
    pub places: HashMap<Digest, RelPath>,
}

impl Intake<'_> {
    /// Compares the list (sorted by path) with what stands. Files of the right size whose digest is not known are read.
    /// `scanned` is told of files that were looked at.
    pub fn look(&self, listed: &[ListedFile], scanned: &dyn Fn(u64)) -> Result<Lack, Failure> {
        self.store().check()?;
        let standing = self.standing_files(scanned)?;
        let mut lack = Lack { standing: standing.len() as u64, ..Lack::default() };
        let mut known = Known { intake: self, folder: None, learnt: Vec::new() };
        let mut claimed = HashSet::new();
        for (number, file) in listed.iter().enumerate() {
            (self.keep_going)()?;
            match standing.get(&file.path) {
                None => lack.missing.push((number, false)),
                Some(there) => {
                    claimed.insert(&file.path);
                    if there.size == file.size && known.is(file, there)? {
                        lack.unchanged += 1;
                        lack.places.entry(file.digest).or_insert_with(|| file.path.clone());
                    } else {
                        lack.missing.push((number, true));
                    }
                }
            }
        }
        self.remember(known.learnt);
        lack.unlisted = standing.values().filter(|file| !claimed.contains(&file.path)).cloned().collect();
        lack.unlisted.sort_by(|a, b| a.path.cmp(&b.path));
        self.known_elsewhere(listed, &mut lack);
        Ok(lack)
    }

    /// All files of the collection. One whose folder is not there yet has none.
    fn standing_files(&self, scanned: &dyn Fn(u64)) -> Result<HashMap<RelPath, SourceFile>, Failure> {
        const BATCH: usize = 1_000;
        let mut listing = match self.to.list(&RelPath::root(), None) {
            Err(failure) if errors::is_missing(&failure) => {
                // The store itself is there, or it would be no empty collection.
                self.store().check()?;
                return Ok(HashMap::new());
            }
            listing => listing?,
        };
        let mut found = HashMap::new();
        loop {
            (self.keep_going)()?;
            let files = listing.next(BATCH)?;
            if files.is_empty() {
                return Ok(found);
            }
            scanned(files.len() as u64);
            found.extend(files.into_iter().map(|file| (file.path.clone(), file)));
        }
    }

    /// Unlisted files whose content is wanted under another name, as far as their digests are known.
    fn known_elsewhere(&self, listed: &[ListedFile], lack: &mut Lack) {
        let wanted: HashSet<Digest> = lack.missing.iter().map(|(number, _)| listed[*number].digest).collect();
        let mut folders: HashMap<RelPath, Arc<[KnownDigest]>> = HashMap::new();
        for sha256 in [false, true] {
            folders.clear();
            if !wanted.iter().any(|digest| matches!(digest, Digest::Sha256(_)) == sha256) {
                continue;
            }
            for file in &lack.unlisted {
                let Some((folder, name)) = self.to.locate(&file.path).split().map(|(f, n)| (f, n.to_vec()))
                else {
                    continue;
                };
                let known = folders.entry(folder).or_insert_with_key(|folder| {
                    digests::recall(self.digests, self.store().name(), &key(folder, sha256)).into()
                });
                let same = |one: &&KnownDigest| {
                    one.name == name && (one.size, one.mtime_ns) == (file.size, file.mtime_ns)
                };
                if let Some(one) = known.iter().find(same) {
                    let digest = if sha256 { Digest::Sha256(one.digest) } else { Digest::Blake3(one.digest) };
                    if wanted.contains(&digest) {
                        lack.places.entry(digest).or_insert_with(|| file.path.clone());
                    }
                }
            }
        }
    }
}

/// Digests of the folder that is looked at, from the memory or by reading.
struct Known<'i, 'a> {
    intake: &'i Intake<'a>,
    folder: Option<(RelPath, bool, HashMap<Vec<u8>, KnownDigest>)>,
    learnt: Vec<(RelPath, bool, KnownDigest)>,
}

impl Known<'_, '_> {
    fn is(&mut self, file: &ListedFile, there: &SourceFile) -> Result<bool, Failure> {
        let (folder, name) = self.intake.place(&file.path)?;
        let sha256 = matches!(file.digest, Digest::Sha256(_));
        if self.folder.as_ref().is_none_or(|(at, kind, _)| (at, *kind) != (&folder, sha256)) {
            let store = self.intake.store().name();
            let known = digests::recall(self.intake.digests, store, &key(&folder, sha256));
            let by_name = known.into_iter().map(|one| (one.name.clone(), one)).collect();
            self.folder = Some((folder.clone(), sha256, by_name));
        }
        let known = self.folder.as_ref().and_then(|(_, _, known)| known.get(&name));
        if let Some(one) = known.filter(|one| (one.size, one.mtime_ns) == (there.size, there.mtime_ns)) {
            return Ok(one.digest == *file.digest.bytes());
        }
        let mut reader = self.intake.store().dir(&folder)?.open(&name)?;
        let (found, length) = digest_of(&file.digest, |buffer| {
            (self.intake.keep_going)()?;
            reader.read(buffer)
        })?;
        let meta = reader.meta()?;
        if (meta.size, meta.mtime_ns) == (there.size, there.mtime_ns) && length == meta.size {
            let one = KnownDigest { name, size: meta.size, mtime_ns: meta.mtime_ns, digest: *found.bytes() };
            self.learnt.push((folder, sha256, one));
        }
        Ok(found == file.digest && length == file.size)
    }
}
