//! What the sandbox asks of the rest of the host. It knows no database and no file system: whoever calls it brings these.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use syncline_domain::{
    Failure, RelPath,
    directory::{Entry, EntryId, Membership, Rejection},
    log::{LogLevel, LogLine},
    run::PluginProgress,
};
use tokio::sync::watch;

/// A store or collection that a plugin may read.
#[async_trait]
pub trait SourceReader: Send + Sync {
    /// Opens it. Fails with kind `unavailable` if it is not there.
    async fn open(&self) -> Result<Box<dyn SourceHandle>, Failure>;
}

/// An open source. What `wit/stores.wit` says of a `store` is what this has to do; paths are checked already.
#[async_trait]
pub trait SourceHandle: Send {
    /// Lists the regular files below a folder, at every depth, sorted by path. With `digests`, each with its digest.
    async fn files(&mut self, folder: &RelPath, digests: bool) -> Result<Box<dyn Listing>, Failure>;

    /// Looks at one regular file.
    async fn info(&mut self, path: &RelPath, digest: bool) -> Result<FileInfo, Failure>;

    /// Reads at most `length` bytes (1 MiB or less) from `offset`: shorter only at the end of the file. Fails with kind
    /// `changed` if the file is not the one first read through this handle.
    async fn read(&mut self, path: &RelPath, offset: u64, length: u32) -> Result<Vec<u8>, Failure>;
}

/// A listing under way.
#[async_trait]
pub trait Listing: Send {
    /// The next files, at most `max` (4,096 or less); none at the end.
    async fn next(&mut self, max: usize) -> Result<Vec<FileInfo>, Failure>;

    /// How many things were passed over so far.
    fn skipped(&self) -> u64;
}

/// A regular file of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Where it is in the source. One that is not UTF-8 is passed over for the plugin, which could not name it.
    pub path: RelPath,
    /// In bytes.
    pub size: u64,
    /// When it was last changed.
    pub modified: Timestamp,
    /// `blake3:` and hexadecimal digits; only where it was asked for and can be had.
    pub digest: Option<String>,
}

/// A directory source that a plugin may read.
#[async_trait]
pub trait DirectoryConnector: Send + Sync {
    /// Connects to the first of its servers that answers, and binds. Fails as `connect` in wit/ldap.wit does.
    async fn connect(&self) -> Result<Box<dyn DirectorySession>, Failure>;

    /// Connects to the server that a referral (an LDAP URL) names, and binds. Fails as `follow` in wit/ldap.wit does.
    async fn follow(&self, referral: &str) -> Result<Box<dyn DirectorySession>, Failure>;
}

/// A bound connection to a directory server. Dropping it closes it.
#[async_trait]
pub trait DirectorySession: Send {
    /// `host:port` of the server that answered, as the administrator wrote it.
    fn server(&self) -> &str;

    /// Sends whole LDAPMessages that were looked at already. Fails with kind `unavailable` and code `closed`.
    async fn send(&mut self, messages: &[u8]) -> Result<(), Failure>;

    /// The next whole LDAPMessages, one after the other: at least one, and as many as have come and fit in `max_bytes`; a
    /// larger one comes alone, up to 4 MiB. Waits no longer than `wait`, and can be dropped while it waits without
    /// losing anything. Fails as `receive` in wit/ldap.wit does.
    async fn receive(&mut self, max_bytes: usize, wait: Duration) -> Result<Vec<u8>, Failure>;
}

/// A web source that a plugin may ask.
#[async_trait]
pub trait WebConnector: Send + Sync {
    /// One exchange with what was vetted already, not repeated. Fails as `send` in wit/http.wit does, and with code `secret`
    /// where the answer holds a secret of the source.
    async fn send(&self, request: WebRequest) -> Result<WebAnswer, Failure>;
}

/// What a plugin asks a web source for.
#[derive(Debug, Clone)]
pub struct WebRequest {
    /// `GET`, `HEAD`, or one that was granted for this URL.
    pub method: String,
    /// At or below the source's own.
    pub url: url::Url,
    /// Names and values, none of them the host's own.
    pub headers: Vec<(String, String)>,
    /// What the host has to put in.
    pub secrets: Vec<WebSecret>,
    /// What is sent.
    pub body: Option<Vec<u8>>,
    /// For all of it.
    pub timeout: Duration,
    /// Most bytes of the answer's body.
    pub max_bytes: usize,
}

/// Where a secret goes in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSecret {
    /// The header.
    pub header: String,
    /// What stands before the secret.
    pub prefix: String,
    /// Its name: one of the source's.
    pub secret: String,
}

/// What a web source answered.
#[derive(Debug, Clone)]
pub struct WebAnswer {
    /// Whatever it is.
    pub status: u16,
    /// Where it came from in the end.
    pub url: String,
    /// Names in lower case, without cookies.
    pub headers: Vec<(String, String)>,
    /// At most as long as was asked for.
    pub body: Vec<u8>,
}

/// Takes what a plugin declares of a directory: `desired-directory` in wit/, with lengths, counts and order checked. Must
/// not wait. What it refuses is told to the plugin.
pub trait DirectorySink: Send {
    /// These entries are as given, each in full.
    fn put(&mut self, entries: Vec<Entry>) -> Result<(), Failure>;

    /// Direct members of groups.
    fn put_members(&mut self, memberships: Vec<Membership>) -> Result<(), Failure>;

    /// These are there, unchanged. Fails with kind `invalid` and code `unknown` if one of them is not known.
    fn present(&mut self, ids: Vec<EntryId>) -> Result<(), Failure>;

    /// These are there no more.
    fn gone(&mut self, ids: Vec<EntryId>) -> Result<(), Failure>;

    /// These are there and cannot be taken over.
    fn reject(&mut self, rejections: Vec<Rejection>) -> Result<(), Failure>;

    /// The source was read to its end. Fails with kind `invalid` and code `empty` if nothing is there.
    fn complete(&mut self) -> Result<(), Failure>;
}

/// Whoever wants to have a sink back even where the call fails keeps a clone.
impl<S: DirectorySink> DirectorySink for Arc<Mutex<S>> {
    fn put(&mut self, entries: Vec<Entry>) -> Result<(), Failure> {
        self.lock().put(entries)
    }

    fn put_members(&mut self, memberships: Vec<Membership>) -> Result<(), Failure> {
        self.lock().put_members(memberships)
    }

    fn present(&mut self, ids: Vec<EntryId>) -> Result<(), Failure> {
        self.lock().present(ids)
    }

    fn gone(&mut self, ids: Vec<EntryId>) -> Result<(), Failure> {
        self.lock().gone(ids)
    }

    fn reject(&mut self, rejections: Vec<Rejection>) -> Result<(), Failure> {
        self.lock().reject(rejections)
    }

    fn complete(&mut self) -> Result<(), Failure> {
        self.lock().complete()
    }
}

/// Takes the lines that a plugin logs: they are safe to show, and within the limits.
pub trait LogSink: Send + Sync {
    /// Takes a line. Must not wait.
    fn line(&self, line: LogLine);

    /// Whether lines of this level are kept.
    fn enabled(&self, level: LogLevel) -> bool {
        let _ = level;
        true
    }
}

/// Takes what a plugin tells of its progress, at most 10 times a second.
pub trait ProgressSink: Send + Sync {
    /// Takes a position. Must not wait.
    fn report(&self, progress: PluginProgress);
}

/// For worlds that have no progress to tell of.
pub(crate) struct NoProgress;

impl ProgressSink for NoProgress {
    fn report(&self, _: PluginProgress) {}
}

/// Ends a call from outside: a cancelled run, a node that stops or has lost the run.
#[derive(Debug, Clone)]
pub struct StopSignal(Option<watch::Receiver<Option<Failure>>>);

/// The other end of a [`StopSignal`]. Dropped unused, it stops nothing.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<Option<Failure>>);

impl StopSignal {
    /// A signal, and what sets it off.
    pub fn new() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(None);
        (Stopper(sender), Self(Some(receiver)))
    }

    /// A signal that is never set off.
    pub fn never() -> Self {
        Self(None)
    }

    /// Why to stop, if it was set off.
    pub fn reason(&self) -> Option<Failure> {
        self.0.as_ref()?.borrow().clone()
    }

    /// Waits until it is set off and tells why; for ever if it never is.
    pub async fn stopped(&self) -> Failure {
        let mut receiver = self.0.clone();
        let reason = match &mut receiver {
            Some(receiver) => receiver.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone()),
            None => None,
        };
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }
}

impl Stopper {
    /// Sets the signal off. The first reason stays; best of kind `stopped`.
    pub fn stop(&self, reason: Failure) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(reason);
            first
        });
    }
}
