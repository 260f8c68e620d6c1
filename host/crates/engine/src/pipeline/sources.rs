//! What a plugin sees of the stores that it may read: the read side of `files`, off the threads that answer requests.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use syncline_domain::{Failure, RelPath};
use syncline_files::{Digests, Source, SourceFile, digests};
use syncline_sandbox::{FileInfo, Listing, SourceHandle, SourceReader};

use crate::{places::blocking, worker::Control};

/// The memory of digests, shared with the threads that need it.
pub(crate) type Memory = Arc<dyn Digests + Send + Sync>;

/// A source that a plugin may open.
pub(crate) struct PluginSource {
    source: Source,
    memory: Memory,
    control: Arc<Control>,
}

impl PluginSource {
    /// A source, read for as long as `control` lets the attempt go on.
    pub fn new(source: Source, memory: Memory, control: Arc<Control>) -> Self {
        Self { source, memory, control }
    }
}

#[async_trait]
impl SourceReader for PluginSource {
    async fn open(&self) -> Result<Box<dyn SourceHandle>, Failure> {
        self.control.keep_going()?;
        let store = Arc::clone(&self.source.store);
        off(move || store.check()).await?;
        let reader = Some(self.source.reader());
        let (source, memory) = (self.source.clone(), Arc::clone(&self.memory));
        Ok(Box::new(Open { source, memory, control: Arc::clone(&self.control), reader }))
    }
}

struct Open {
    source: Source,
    memory: Memory,
    control: Arc<Control>,
    /// Away while a read is under way.
    reader: Option<syncline_files::SourceReader>,
}

#[async_trait]
impl SourceHandle for Open {
    async fn files(&mut self, folder: &RelPath, digests: bool) -> Result<Box<dyn Listing>, Failure> {
        self.control.keep_going()?;
        let (source, folder) = (self.source.clone(), folder.clone());
        let memory = digests.then(|| Arc::clone(&self.memory));
        let listing = off(move || source.list(&folder, memory)).await?;
        Ok(Box::new(Files { listing: Some(listing), skipped: 0, control: Arc::clone(&self.control) }))
    }

    async fn info(&mut self, path: &RelPath, digest: bool) -> Result<FileInfo, Failure> {
        self.control.keep_going()?;
        let (source, path, memory) = (self.source.clone(), path.clone(), Arc::clone(&self.memory));
        let file = off(move || {
            let memory: Option<&dyn Digests> = if digest { Some(memory.as_ref()) } else { None };
            source.info(&path, memory)
        });
        Ok(told(file.await?))
    }

    async fn read(&mut self, path: &RelPath, offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        self.control.keep_going()?;
        let mut reader = self.reader.take().unwrap_or_else(|| self.source.reader());
        let path = path.clone();
        let (reader, read) = off(move || {
            let read = reader.read(&path, offset, length as usize);
            Ok((reader, read))
        })
        .await?;
        self.reader = Some(reader);
        read
    }
}

struct Files {
    /// Away while the next files are read, and after a failure: the listing is over then.
    listing: Option<syncline_files::Listing>,
    skipped: u64,
    control: Arc<Control>,
}

#[async_trait]
impl Listing for Files {
    async fn next(&mut self, max: usize) -> Result<Vec<FileInfo>, Failure> {
        self.control.keep_going()?;
        let Some(mut listing) = self.listing.take() else {
            return Err(Failure::changed(
                "listing-over",
                "this listing failed before: it is over, begin another",
            ));
        };
        let (listing, files) = off(move || {
            let files = listing.next(max)?;
            Ok((listing, files))
        })
        .await?;
        self.skipped = listing.skipped();
        self.listing = Some(listing);
        Ok(files.into_iter().map(told).collect())
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}

async fn off<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    blocking(work).await.map_err(crate::Error::into_failure)
}

fn told(file: SourceFile) -> FileInfo {
    // Times beyond year 9999 are a file system's nonsense; the file is told all the same.
    let modified = Timestamp::from_nanosecond(file.mtime_ns.into()).unwrap_or(Timestamp::MAX);
    FileInfo { path: file.path, size: file.size, modified, digest: file.digest.as_ref().map(digests::text) }
}
