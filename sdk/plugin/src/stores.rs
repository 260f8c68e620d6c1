//! Reading what an administrator bound as sources. There is no way to write.
//!
//! | you want | take |
//! | --- | --- |
//! | to know what is bound | [`sources`] |
//! | all files below a folder | [`Store::files`] |
//! | one whole small file | [`Store::read`] |
//! | a large file, part by part | [`Store::reader`] |
//!
//! A plugin that only says which files should stand where needs none of these: [`Tree`](crate::Tree) names them by
//! reference, and the host reads them once.

use std::{collections::VecDeque, io, time::SystemTime};

use crate::{
    Failure, Labels,
    clock::from_millis,
    failure::Result,
    raw::syncline::plugin::{file_types, stores},
};

/// Files asked for in one call.
const BATCH: u32 = 2_048;
/// Most bytes of one read.
const CHUNK: u32 = 1 << 20;

/// A bound source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// What an administrator says of it, such as `collection` = `patches`.
    pub labels: Labels,
}

impl Source {
    /// Open it.
    ///
    /// # Errors
    ///
    /// `unavailable`.
    pub fn open(&self) -> Result<Store> {
        Store::open(&self.name)
    }
}

/// So that a list of sources serves where names are asked for.
impl AsRef<str> for Source {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

/// All bound sources, sorted by name; the same at each call.
pub fn sources() -> Vec<Source> {
    let source = |raw: stores::Source| Source { name: raw.name, labels: raw.labels.into() };
    stores::sources().into_iter().map(source).collect()
}

/// A regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Path from the root of the store.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: SystemTime,
    /// `blake3:` and hexadecimal digits, where it was asked for and can be had.
    pub digest: Option<String>,
}

impl From<file_types::FileInfo> for FileInfo {
    fn from(raw: file_types::FileInfo) -> Self {
        Self { path: raw.path, size: raw.size, modified: from_millis(raw.modified), digest: raw.digest }
    }
}

/// An open source. Paths start at its root; links are not followed.
#[derive(Debug)]
pub struct Store(stores::Store);

impl Store {
    /// Open a source by its name.
    ///
    /// # Errors
    ///
    /// `denied` if the name is not bound, whether or not there is such a store; `unavailable`.
    pub fn open(name: &str) -> Result<Self> {
        Ok(Self(stores::open(name)?))
    }

    /// The regular files below a folder (`""` is the root), at every depth, sorted by the bytes of the whole path.
    ///
    /// # Errors
    ///
    /// `not-found` if the folder is missing; `unavailable`.
    pub fn files(&self, folder: &str) -> Result<Files> {
        Ok(Files::new(self.0.files(folder, false)?))
    }

    /// The same with each file's digest. Files whose digest is not known yet are read in full for that.
    ///
    /// # Errors
    ///
    /// As [`files`](Self::files).
    pub fn files_with_digests(&self, folder: &str) -> Result<Files> {
        Ok(Files::new(self.0.files(folder, true)?))
    }

    /// One regular file.
    ///
    /// # Errors
    ///
    /// `not-found`; `unsupported` if it is not a regular file; `unavailable`.
    pub fn info(&self, path: &str) -> Result<FileInfo> {
        Ok(self.0.info(path, false)?.into())
    }

    /// The same with its digest.
    ///
    /// # Errors
    ///
    /// As [`info`](Self::info).
    pub fn info_with_digest(&self, path: &str) -> Result<FileInfo> {
        Ok(self.0.info(path, true)?.into())
    }

    /// A whole file, if it is no larger than `limit` bytes.
    ///
    /// # Errors
    ///
    /// `invalid` if it is larger; `not-found`; `changed` if it changes meanwhile; `unavailable`.
    pub fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let piece = self.read_at(path, bytes.len() as u64, CHUNK)?;
            if piece.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&piece);
            if bytes.len() > limit {
                let message = format!("{path} is larger than the {limit} bytes that are expected of it");
                return Err(Failure::invalid(message).with_code("too-large"));
            }
        }
    }

    /// Up to `length` bytes, at most 1 MiB, from `offset`. Shorter only at the end of the file, empty past it.
    ///
    /// # Errors
    ///
    /// `not-found`; `changed` if the file is not the one first read through this store; `unavailable`.
    pub fn read_at(&self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        Ok(self.0.read(path, offset, length)?)
    }

    /// A file from its beginning to its end, as [`io::Read`]. Failures go through [`io::Error`] and come out of `?` as they
    /// were.
    pub fn reader(&self, path: &str) -> Reader<'_> {
        Reader { store: self, path: path.to_owned(), offset: 0, piece: Vec::new(), at: 0 }
    }
}

/// A listing under way: an iterator that ends after the last file, or after a failure. After a failure what came before it
/// must not be taken as whole.
#[derive(Debug)]
pub struct Files {
    listing: stores::Listing,
    waiting: VecDeque<FileInfo>,
    over: bool,
}

impl Files {
    fn new(listing: stores::Listing) -> Self {
        Self { listing, waiting: VecDeque::new(), over: false }
    }

    /// How many things were passed over so far: special files, links, names that are not Unicode. The run reports each.
    pub fn skipped(&self) -> u64 {
        self.listing.skipped()
    }
}

impl Iterator for Files {
    type Item = Result<FileInfo>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.waiting.is_empty() && !self.over {
            match self.listing.next(BATCH) {
                Ok(batch) => {
                    self.over = batch.is_empty();
                    self.waiting.extend(batch.into_iter().map(FileInfo::from));
                }
                Err(failure) => {
                    self.over = true;
                    return Some(Err(failure.into()));
                }
            }
        }
        self.waiting.pop_front().map(Ok)
    }
}

/// A file read part by part.
#[derive(Debug)]
pub struct Reader<'a> {
    store: &'a Store,
    path: String,
    offset: u64,
    piece: Vec<u8>,
    at: usize,
}

impl io::Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            self.piece = self.store.read_at(&self.path, self.offset, CHUNK)?;
            self.offset += self.piece.len() as u64;
            self.at = 0;
        }
        let read = io::Read::read(&mut &self.piece[self.at..], buffer)?;
        self.at += read;
        Ok(read)
    }
}
