//! `stores`: reading the sources that an administrator bound to the sync. What really reads is a
//! [`SourceReader`](crate::SourceReader) of the host's; here is what a plugin may ask of it.

use std::{collections::VecDeque, sync::Arc};

use syncline_domain::{Failure, Name, RelPath, plugin::Capability};
use wasmtime::component::Resource;

use super::{BATCH, Label, Refusal, labels, not_granted, path};
use crate::{
    bindings::syncline::plugin::{
        file_types,
        stores::{Host, HostListing, HostStore, Source},
    },
    call::{Call, grants},
    host::{FileInfo, Listing, SourceHandle, SourceReader},
    limits::Limit,
};

/// The interface, as grants call it.
pub(crate) const INTERFACE: &str = "stores";
/// Most bytes of one read.
const READ: u32 = 1 << 20;
/// What a file costs of a call's bytes beside its path and digest.
const FILE_INFO: usize = 48;

/// A source that a sync binds.
#[derive(Clone)]
pub struct BoundSource {
    /// What the sync calls it.
    pub name: Name,
    /// What it is, for the plugin: names and values.
    pub labels: Vec<Label>,
    /// Reads it.
    pub reader: Arc<dyn SourceReader>,
}

/// The sources of this call.
#[derive(Default)]
pub(crate) struct StoresContext {
    granted: bool,
    sources: Vec<BoundSource>,
}

impl StoresContext {
    /// Of what a sync binds, what `allowed` covers.
    pub(crate) fn new(mut sources: Vec<BoundSource>, allowed: &[Capability]) -> Self {
        let grants = grants(allowed, INTERFACE);
        let granted = grants.clone().next().is_some();
        sources.retain(|source| grants.clone().any(|grant| names(grant, &source.name)));
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        for source in &mut sources {
            source.labels.sort();
        }
        Self { granted, sources }
    }

    /// The source of this name, whether or not there is such a store elsewhere.
    fn bound(&self, name: &str) -> Result<Arc<dyn SourceReader>, Failure> {
        if !self.granted {
            return Err(not_granted(INTERFACE));
        }
        let found = self.sources.iter().find(|source| source.name.as_str() == name);
        found.map(|source| Arc::clone(&source.reader)).ok_or_else(|| {
            let name: String = name.chars().take(Name::MAX).collect();
            Failure::denied(
                "source",
                format!(
                    "{name:?} is not among the sources that this sync gives to the plugin: an operator can bind it, and an \
                     administrator can widen the grant of `stores`"
                ),
            )
        })
    }
}

/// Whether a grant is about this name.
pub(crate) fn names(grant: &Capability, name: &Name) -> bool {
    grant.names.as_ref().is_none_or(|names| names.contains(name))
}

/// An open source, behind a handle.
pub struct OpenStore {
    handle: Box<dyn SourceHandle>,
}

/// A listing under way, behind a handle.
pub struct OpenListing {
    listing: Box<dyn Listing>,
    /// Was read and did not fit into one call.
    rest: VecDeque<file_types::FileInfo>,
    /// Names that are not Unicode.
    unnameable: u64,
    over: Option<Result<(), Failure>>,
}

impl OpenListing {
    /// The next files, at most `max`, that fit into `bytes`. Empty only at the end.
    async fn next(&mut self, max: usize, bytes: usize) -> Result<Vec<file_types::FileInfo>, Failure> {
        while self.rest.is_empty() {
            match &self.over {
                Some(Ok(())) => return Ok(Vec::new()),
                Some(Err(failure)) => return Err(failure.clone()),
                None => self.refill(max).await,
            }
        }
        let mut batch = Vec::with_capacity(self.rest.len().min(max));
        let mut left = bytes;
        while let Some(first) = self.rest.front()
            && batch.len() < max
        {
            let costs = FILE_INFO + first.path.len() + first.digest.as_ref().map_or(0, String::len);
            // The first always goes, so that a listing never stands still: the engine's own limit judges it.
            if costs > left && !batch.is_empty() {
                break;
            }
            left = left.saturating_sub(costs);
            batch.extend(self.rest.pop_front());
        }
        Ok(batch)
    }

    async fn refill(&mut self, max: usize) {
        match self.listing.next(max).await {
            Ok(files) if files.is_empty() => self.over = Some(Ok(())),
            Ok(files) => {
                let all = files.len();
                self.rest.extend(files.into_iter().filter_map(file_info));
                self.unnameable += all.saturating_sub(self.rest.len()) as u64;
            }
            Err(failure) => self.over = Some(Err(failure)),
        }
    }
}

/// As the guest gets it; none if it could not name it.
fn file_info(file: FileInfo) -> Option<file_types::FileInfo> {
    let path = file.path.as_utf8()?.to_owned();
    let modified = file.modified.as_millisecond();
    Some(file_types::FileInfo { path, size: file.size, modified, digest: file.digest })
}

/// A file's path: not the root.
fn file_path(text: String) -> Result<RelPath, Failure> {
    let path = path(text)?;
    if path.is_root() {
        return Err(Failure::plugin(
            "path",
            "the empty path is the source's root, which is no file: name a file",
        ));
    }
    Ok(path)
}

impl Host for Call {
    async fn sources(&mut self) -> wasmtime::Result<Vec<Source>> {
        self.begin()?;
        let source = |source: &BoundSource| Source {
            name: source.name.as_str().to_owned(),
            labels: labels(&source.labels),
        };
        Ok(self.stores.sources.iter().map(source).collect())
    }

    async fn open(&mut self, name: String) -> Result<Resource<OpenStore>, Refusal> {
        self.begin()?;
        let reader = self.stores.bound(&name)?;
        let handle = reader.open().await?;
        self.hold(OpenStore { handle }).map_err(|limit| limit.failure(None).into())
    }
}

impl HostStore for Call {
    async fn files(
        &mut self,
        store: Resource<OpenStore>,
        folder: String,
        digests: bool,
    ) -> Result<Resource<OpenListing>, Refusal> {
        self.begin()?;
        let folder = path(folder)?;
        let listing = self.table.get_mut(&store)?.handle.files(&folder, digests).await?;
        let listing = OpenListing { listing, rest: VecDeque::new(), unnameable: 0, over: None };
        self.hold(listing).map_err(|limit| limit.failure(None).into())
    }

    async fn info(
        &mut self,
        store: Resource<OpenStore>,
        path: String,
        digest: bool,
    ) -> Result<file_types::FileInfo, Refusal> {
        self.begin()?;
        let path = file_path(path)?;
        let info = self.table.get_mut(&store)?.handle.info(&path, digest).await?;
        let odd = || Failure::host("sandbox", format!("asked about {path}, the host told of another file"));
        Ok(file_info(info).ok_or_else(odd)?)
    }

    async fn read(
        &mut self,
        store: Resource<OpenStore>,
        path: String,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, Refusal> {
        self.begin()?;
        let path = file_path(path)?;
        if length > READ {
            let message = format!("a read of {length} bytes: ask for at most {READ} at a time");
            return Err(Failure::plugin("length", message).into());
        }
        self.carry(length as usize)?;
        let bytes = self.table.get_mut(&store)?.handle.read(&path, offset, length).await?;
        if bytes.len() > length as usize {
            let message = format!("asked for {length} bytes of {path}, the host read {}", bytes.len());
            return Err(Failure::host("sandbox", message).into());
        }
        Ok(bytes)
    }

    async fn drop(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl HostListing for Call {
    async fn next(
        &mut self,
        listing: Resource<OpenListing>,
        max: u32,
    ) -> Result<Vec<file_types::FileInfo>, Refusal> {
        self.begin()?;
        if max == 0 {
            let message = "a listing was asked for 0 files, and the empty answer would look like its end: ask for 1 or more";
            return Err(Failure::plugin("max", message).into());
        }
        let bytes = usize::try_from(self.limits.call_bytes).unwrap_or(usize::MAX);
        let max = (max as usize).min(BATCH);
        let files = self.table.get_mut(&listing)?.next(max, bytes).await?;
        if files.len() == 1 && files[0].path.len() > bytes {
            return Err(Limit::CallBytes(self.limits.call_bytes).into());
        }
        Ok(files)
    }

    async fn skipped(&mut self, listing: Resource<OpenListing>) -> wasmtime::Result<u64> {
        self.begin()?;
        let listing = self.table.get(&listing)?;
        Ok(listing.listing.skipped() + listing.unnameable)
    }

    async fn drop(&mut self, listing: Resource<OpenListing>) -> wasmtime::Result<()> {
        self.table.delete(listing)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use jiff::Timestamp;

    use super::*;

    struct Fixed(VecDeque<Result<Vec<FileInfo>, Failure>>);

    #[async_trait]
    impl Listing for Fixed {
        async fn next(&mut self, _: usize) -> Result<Vec<FileInfo>, Failure> {
            self.0.pop_front().unwrap_or_else(|| Ok(Vec::new()))
        }

        fn skipped(&self) -> u64 {
            0
        }
    }

    fn listing(batches: impl IntoIterator<Item = Result<Vec<&'static [u8]>, Failure>>) -> OpenListing {
        let file = |path: &[u8]| FileInfo {
            path: RelPath::new(path).unwrap(),
            size: 1,
            modified: Timestamp::UNIX_EPOCH,
            digest: None,
        };
        let batches =
            batches.into_iter().map(|batch| batch.map(|paths| paths.into_iter().map(file).collect()));
        let listing = Box::new(Fixed(batches.collect()));
        OpenListing { listing, rest: VecDeque::new(), unnameable: 0, over: None }
    }

    async fn paths(listing: &mut OpenListing, max: usize, bytes: usize) -> Result<Vec<String>, Failure> {
        Ok(listing.next(max, bytes).await?.into_iter().map(|file| file.path).collect())
    }

    #[tokio::test]
    async fn a_batch_that_does_not_fit_comes_in_parts() {
        let mut listing = listing([Ok(vec![b"a".as_slice(), b"b", b"c"])]);
        assert_eq!(paths(&mut listing, 9, 2 * (FILE_INFO + 1)).await.unwrap(), ["a", "b"]);
        assert_eq!(paths(&mut listing, 9, 1).await.unwrap(), ["c"]);
        assert!(paths(&mut listing, 9, 1).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn names_that_are_not_unicode_are_no_end() {
        let mut listing = listing([Ok(vec![b"\xff".as_slice()]), Ok(vec![b"z"])]);
        assert_eq!(paths(&mut listing, 9, 1_000).await.unwrap(), ["z"]);
        assert_eq!(listing.unnameable, 1);
    }

    #[tokio::test]
    async fn a_failed_listing_stays_failed() {
        let gone = Failure::unavailable("gone", "the store is gone");
        let mut listing = listing([Ok(vec![b"a".as_slice()]), Err(gone.clone())]);
        assert_eq!(paths(&mut listing, 9, 1_000).await.unwrap(), ["a"]);
        assert_eq!(paths(&mut listing, 9, 1_000).await.unwrap_err(), gone);
        assert_eq!(paths(&mut listing, 9, 1_000).await.unwrap_err(), gone);
    }
}
