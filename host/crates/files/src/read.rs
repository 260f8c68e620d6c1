//! Reading a source: what plugins see of it.
//!
//! * [`Source::list`]: a listing in batches, sorted by whole paths
//! * [`Source::info`]: one file
//! * [`Source::reader`]: ranges of files, which notices a file that changes between two calls

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use syncline_domain::{Failure, FailureKind, Fault, RelPath, declaration::Blake3};

use crate::{
    digests::{self, Digests, KnownDigest},
    errors,
    store::{Dir, EntryKind, Meta, Names, Reader, Source, Store},
};

/// A regular file of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it is in the source.
    pub path: RelPath,
    /// In bytes.
    pub size: u64,
    /// Modification time, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// BLAKE3 of the content, where it was asked for.
    pub digest: Option<Blake3>,
}

impl Source {
    /// Lists the regular files below `folder`, at every depth, sorted by the bytes of the whole path.
    ///
    /// With `memory` each file has its digest; what is not known is read, and remembered. Fails `not-found` if the
    /// folder is missing.
    pub fn list(
        &self,
        folder: &RelPath,
        memory: Option<Arc<dyn Digests + Send + Sync>>,
    ) -> Result<Listing, Failure> {
        let mut listing = Listing {
            source: self.clone(),
            memory,
            stack: Vec::new(),
            ready: VecDeque::new(),
            skipped: 0,
            odd: Vec::new(),
            over: false,
        };
        let dir = self.store.named_dir(&self.locate(folder))?;
        listing.enter(folder.clone(), dir.as_ref())?;
        Ok(listing)
    }

    /// One regular file, with its digest if asked for. Fails `not-found`, and `unsupported` for anything else.
    pub fn info(&self, path: &RelPath, memory: Option<&dyn Digests>) -> Result<SourceFile, Failure> {
        let full = self.locate(path);
        let (folder, name) = full.split().ok_or_else(|| no_file(self, path))?;
        let dir = self.store.named_dir(&folder)?;
        let meta = match dir.stat(name)? {
            Some(meta) if meta.kind == EntryKind::File => meta,
            Some(_) => return Err(no_file(self, path)),
            None => {
                self.store.check()?;
                return Err(missing(self, path));
            }
        };
        let digest = match memory {
            None => None,
            Some(memory) => Some(self.digest(memory, &folder, name, &meta)?),
        };
        Ok(SourceFile { path: path.clone(), size: meta.size, mtime_ns: meta.mtime_ns, digest })
    }

    /// Reads ranges of files.
    pub fn reader(&self) -> SourceReader {
        SourceReader { source: self.clone(), seen: HashMap::new(), open: None }
    }

    fn digest(
        &self,
        memory: &dyn Digests,
        folder: &RelPath,
        name: &[u8],
        meta: &Meta,
    ) -> Result<Blake3, Failure> {
        let mut known = digests::recall(memory, self.store.name(), folder);
        let same =
            |one: &&KnownDigest| one.name == name && (one.size, one.mtime_ns) == (meta.size, meta.mtime_ns);
        if let Some(one) = known.iter().find(same) {
            return Ok(one.digest);
        }
        let read = hash_file(self.store.as_ref(), folder, name, &|| Ok(()))?;
        known.retain(|one| one.name != name);
        known.push(KnownDigest {
            name: name.to_vec(),
            size: read.meta.size,
            mtime_ns: read.meta.mtime_ns,
            digest: read.digest,
        });
        known.sort_by(|a, b| a.name.cmp(&b.name));
        digests::remember(memory, self.store.name(), vec![(folder.clone(), digests::encode(&known))]);
        Ok(read.digest)
    }
}

fn missing(source: &Source, path: &RelPath) -> Failure {
    let message = format!("source {}: there is no file at {}", source.name, errors::place(path));
    Failure::new(FailureKind::NotFound, Fault::Remote, "not-found", message)
}

fn no_file(source: &Source, path: &RelPath) -> Failure {
    let message = format!("source {}: {} is not a regular file", source.name, errors::place(path));
    Failure::new(FailureKind::Unsupported, Fault::Remote, "not-a-file", message)
}

/// A listing under way. Made by [`Source::list`].
pub struct Listing {
    source: Source,
    memory: Option<Arc<dyn Digests + Send + Sync>>,
    /// What is left to do, the next at the end: files that were looked at, folders still to be entered.
    stack: Vec<Step>,
    ready: VecDeque<SourceFile>,
    skipped: u64,
    odd: Vec<(RelPath, &'static str)>,
    over: bool,
}

enum Step {
    File(SourceFile),
    Folder(RelPath),
}

impl Listing {
    /// The next files, at most `max`; none at the end. After a failure the listing is over and must not be taken as whole.
    pub fn next(&mut self, max: usize) -> Result<Vec<SourceFile>, Failure> {
        while self.ready.len() < max.max(1) && !self.over {
            match self.stack.pop() {
                Some(Step::File(file)) => self.ready.push_back(file),
                Some(Step::Folder(folder)) => {
                    let dir = self.source.store.dir(&self.source.locate(&folder));
                    if let Err(failure) = dir.and_then(|dir| self.enter(folder, dir.as_ref())) {
                        self.over = true;
                        self.stack.clear();
                        self.ready.clear();
                        return Err(failure);
                    }
                }
                None => {
                    self.over = true;
                    // A share that was unmounted meanwhile looks like one from which files were removed.
                    self.source.store.check()?;
                }
            }
        }
        let count = self.ready.len().min(max.max(1));
        Ok(self.ready.drain(..count).collect())
    }

    /// How many things were passed over so far: special files, links, names that are not Unicode, folders that are stores.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Those that were passed over since the last call, as paths of the source, with what they are.
    pub fn take_passed_over(&mut self) -> Vec<(RelPath, &'static str)> {
        std::mem::take(&mut self.odd)
    }

    fn enter(&mut self, folder: RelPath, dir: &dyn Dir) -> Result<(), Failure> {
        let full = dir.path().clone();
        let mut names = Names::default();
        dir.names(&mut names)?;
        if names.of_a_store() {
            self.pass_over(folder, errors::NESTED);
            return Ok(());
        }
        let mut known: HashMap<Vec<u8>, KnownDigest> = HashMap::new();
        if let Some(memory) = &self.memory {
            let recalled = digests::recall(memory.as_ref(), self.source.store.name(), &full);
            known.extend(recalled.into_iter().map(|one| (one.name.clone(), one)));
        }
        let mut learnt = false;
        let mut steps: Vec<Step> = Vec::with_capacity(names.len());
        for (name, _) in names.iter() {
            let path = folder.join_name(name);
            if std::str::from_utf8(name).is_err() {
                self.pass_over(path, "name that is not Unicode");
                continue;
            }
            let Some(meta) = dir.stat(name)? else { continue };
            match meta.kind {
                EntryKind::Folder => steps.push(Step::Folder(path)),
                EntryKind::File => {
                    let mut file =
                        SourceFile { path, size: meta.size, mtime_ns: meta.mtime_ns, digest: None };
                    if self.memory.is_some() {
                        learnt |= complete(&mut file, dir.open(name)?.as_mut(), name, &mut known)?;
                    }
                    steps.push(Step::File(file));
                }
                odd => self.pass_over(path, odd.as_str()),
            }
        }
        if let (true, Some(memory)) = (learnt, &self.memory) {
            known.retain(|name, _| names.iter().any(|(own, _)| own == name));
            let mut files: Vec<KnownDigest> = known.into_values().collect();
            files.sort_by(|a, b| a.name.cmp(&b.name));
            digests::remember(
                memory.as_ref(),
                self.source.store.name(),
                vec![(full, digests::encode(&files))],
            );
        }
        // In whole paths a folder's name counts with the '/' behind it; the next step is the last one.
        steps.sort_by(|a, b| b.key().cmp(a.key()));
        self.stack.append(&mut steps);
        Ok(())
    }

    fn pass_over(&mut self, path: RelPath, what: &'static str) {
        self.skipped += 1;
        self.odd.push((path, what));
    }
}

impl Step {
    fn key(&self) -> impl Iterator<Item = u8> + '_ {
        let (path, end) = match self {
            Self::File(file) => (&file.path, None),
            Self::Folder(path) => (path, Some(b'/')),
        };
        path.as_bytes().iter().copied().chain(end)
    }
}

/// Gives a file its digest. Whether it had to be read.
fn complete(
    file: &mut SourceFile,
    reader: &mut dyn Reader,
    name: &[u8],
    known: &mut HashMap<Vec<u8>, KnownDigest>,
) -> Result<bool, Failure> {
    if let Some(one) = known.get(name).filter(|one| (one.size, one.mtime_ns) == (file.size, file.mtime_ns)) {
        file.digest = Some(one.digest);
        return Ok(false);
    }
    let read = hash_open(reader, &|| Ok(()))?;
    (file.size, file.mtime_ns, file.digest) = (read.meta.size, read.meta.mtime_ns, Some(read.digest));
    let one =
        KnownDigest { name: name.to_vec(), size: file.size, mtime_ns: file.mtime_ns, digest: read.digest };
    known.insert(name.to_vec(), one);
    Ok(true)
}

/// Reads ranges of a source's files. Made by [`Source::reader`].
pub struct SourceReader {
    source: Source,
    /// Each file as it was when it was first read here.
    seen: HashMap<RelPath, Meta>,
    open: Option<(RelPath, Box<dyn Reader>)>,
}

impl SourceReader {
    /// Up to `length` bytes from `offset`: shorter only at the end of the file, empty past it.
    ///
    /// Fails `not-found`, and `changed` if the file is not the one first read here.
    pub fn read(&mut self, path: &RelPath, offset: u64, length: usize) -> Result<Vec<u8>, Failure> {
        let reader = match self.open.take() {
            Some((open, reader)) if open == *path => reader,
            _ => self.open(path)?,
        };
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let count = reader.read_at(&mut bytes[filled..], offset + filled as u64)?;
            if count == 0 {
                break;
            }
            filled += count;
        }
        bytes.truncate(filled);
        let now = reader.meta()?;
        let first = self.seen.entry(path.clone()).or_insert(now);
        if !first.same_file(&now) {
            let message =
                format!("source {}: {} changed while it was read", self.source.name, errors::place(path));
            return Err(Failure::changed("changed", message));
        }
        self.open = Some((path.clone(), reader));
        Ok(bytes)
    }

    fn open(&self, path: &RelPath) -> Result<Box<dyn Reader>, Failure> {
        let full = self.source.locate(path);
        let (folder, name) = full.split().ok_or_else(|| no_file(&self.source, path))?;
        let reader = self.source.store.named_dir(&folder).and_then(|dir| dir.open(name));
        let reader = reader.inspect_err(|failure| {
            tracing::debug!(source = %self.source.name, %path, %failure, "a plugin asked for a file that cannot be read");
        })?;
        if reader.meta()?.kind != EntryKind::File {
            return Err(no_file(&self.source, path));
        }
        Ok(reader)
    }
}

/// A file that was read to its end.
pub(crate) struct Hashed {
    pub(crate) digest: Blake3,
    pub(crate) meta: Meta,
}

/// How often a file that changes while it is read is read again.
pub(crate) const TRIES: u32 = 3;
/// Bytes read at once.
pub(crate) const CHUNK: usize = 1_024 * 1_024;

/// Reads a file for its digest, again if it changes meanwhile.
pub(crate) fn hash_file(
    store: &dyn Store,
    folder: &RelPath,
    name: &[u8],
    keep_going: &dyn Fn() -> Result<(), Failure>,
) -> Result<Hashed, Failure> {
    let dir = store.dir(folder)?;
    let mut tries = 1;
    loop {
        match hash_open(dir.open(name)?.as_mut(), keep_going) {
            Err(failure) if failure.kind == FailureKind::Changed && tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

/// Reads an open file from its beginning. Fails `changed` if it is not the same before and after.
pub(crate) fn hash_open(
    reader: &mut dyn Reader,
    keep_going: &dyn Fn() -> Result<(), Failure>,
) -> Result<Hashed, Failure> {
    let before = reader.meta()?;
    let mut hasher = blake3::Hasher::new();
    let capacity = usize::try_from(before.size.saturating_add(1)).unwrap_or(CHUNK).min(CHUNK);
    let mut buffer = vec![0; capacity];
    loop {
        keep_going()?;
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    let meta = reader.meta()?;
    if meta.kind != EntryKind::File || !meta.same_file(&before) || hasher.count() != meta.size {
        return Err(Failure::changed("changed", "a file changed while it was read for its digest"));
    }
    Ok(Hashed { digest: *hasher.finalize().as_bytes(), meta })
}
