//! A host around the sandbox: sources that answer from memory, a log that is kept.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use syncline_domain::{
    Failure, FailureKind, Fault, Name, RelPath,
    clock::SystemClock,
    ids::RunId,
    log::LogLine,
    plugin::{Capability, SandboxLimits},
    run::PluginProgress,
};
use syncline_sandbox::{
    Allocation, BoundSource, BoundTarget, FileInfo, FileSyncAnswer, FileSyncCall, Listing, LogSink, Plugin,
    ProgressSink, Sandbox, SandboxConfig, SourceHandle, SourceReader, StopSignal,
};
use tokio::sync::Notify;

pub const BOTH: [Allocation; 2] = [Allocation::Pooling, Allocation::OnDemand];

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn sandbox(allocation: Allocation) -> Sandbox {
    Sandbox::new(SandboxConfig { cache: None, allocation, concurrency: 2, clock: Arc::new(SystemClock) })
        .unwrap()
}

pub fn digest(package: &[u8]) -> String {
    format!("blake3:{}", blake3::hash(package).to_hex())
}

/// Loads a package that inspection accepts.
pub async fn load(sandbox: &Sandbox, package: &[u8]) -> Plugin {
    Sandbox::inspect(package).unwrap();
    load_unseen(sandbox, package).await.unwrap()
}

pub async fn load_unseen(sandbox: &Sandbox, package: &[u8]) -> Result<Plugin, Failure> {
    sandbox.load(&digest(package), || async { Ok(package.to_vec()) }).await
}

/// Keeps what it is told, and says when there is something.
#[derive(Default)]
pub struct Kept {
    pub lines: Mutex<Vec<LogLine>>,
    pub spoke: Notify,
}

impl LogSink for Kept {
    fn line(&self, line: LogLine) {
        self.lines.lock().push(line);
        self.spoke.notify_one();
    }
}

impl ProgressSink for Kept {
    fn report(&self, _: PluginProgress) {}
}

/// A source from memory. With `door`, opening waits until somebody opens it.
#[derive(Default)]
pub struct Memory {
    pub files: BTreeMap<&'static str, &'static str>,
    pub door: Option<Arc<Notify>>,
}

#[async_trait]
impl SourceReader for Memory {
    async fn open(&self) -> Result<Box<dyn SourceHandle>, Failure> {
        if let Some(door) = &self.door {
            door.notified().await;
        }
        Ok(Box::new(MemoryHandle(self.files.clone())))
    }
}

struct MemoryHandle(BTreeMap<&'static str, &'static str>);

impl MemoryHandle {
    fn file(&self, path: &RelPath) -> Result<&'static str, Failure> {
        let missing =
            || Failure::new(FailureKind::NotFound, Fault::Remote, "file", format!("{path} is not there"));
        self.0.get(path.as_utf8().unwrap()).copied().ok_or_else(missing)
    }
}

#[async_trait]
impl SourceHandle for MemoryHandle {
    async fn files(&mut self, _: &RelPath, _: bool) -> Result<Box<dyn Listing>, Failure> {
        Ok(Box::new(Nothing))
    }

    async fn info(&mut self, path: &RelPath, _: bool) -> Result<FileInfo, Failure> {
        let size = self.file(path)?.len() as u64;
        Ok(FileInfo { path: path.clone(), size, modified: Timestamp::UNIX_EPOCH, digest: None })
    }

    async fn read(&mut self, path: &RelPath, offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        let bytes = self.file(path)?.bytes();
        Ok(bytes.skip(usize::try_from(offset).unwrap()).take(length as usize).collect())
    }
}

struct Nothing;

#[async_trait]
impl Listing for Nothing {
    async fn next(&mut self, _: usize) -> Result<Vec<FileInfo>, Failure> {
        Ok(Vec::new())
    }

    fn skipped(&self) -> u64 {
        0
    }
}

pub fn grant(interface: &str, allow: &[&str]) -> Capability {
    Capability {
        capability: interface.to_owned(),
        names: None,
        allow: allow.iter().map(|one| (*one).to_owned()).collect(),
        reason: String::new(),
    }
}

/// A call with source `lib` and target `site`, everything granted.
pub fn call() -> FileSyncCall {
    FileSyncCall {
        run: RunId::new(Timestamp::UNIX_EPOCH),
        cursor: None,
        settings: "{}".to_owned(),
        allowed: vec![grant("stores", &[]), grant("desired-files", &["prune"])],
        limits: SandboxLimits::default(),
        allow_removal: true,
        sources: vec![BoundSource {
            name: name("lib"),
            labels: Vec::new(),
            reader: Arc::new(Memory { files: [("a.txt", "hello")].into(), door: None }),
        }],
        targets: vec![BoundTarget { name: name("site"), labels: Vec::new() }],
        log: Arc::new(Kept::default()),
        progress: Arc::new(Kept::default()),
        stop: StopSignal::never(),
    }
}

/// Runs a package once.
pub async fn run(sandbox: &Sandbox, package: &[u8], call: FileSyncCall) -> Result<FileSyncAnswer, Failure> {
    let plugin = load(sandbox, package).await;
    sandbox.declare_files(&plugin, call).await
}

/// A call that logs into the answer's second half.
pub fn logged() -> (FileSyncCall, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    (FileSyncCall { log: Arc::clone(&kept) as _, ..call() }, kept)
}

/// A package that was built beforehand, as `guests/hostile-policy` or `plugins/device-policy`.
pub fn built(what: &str) -> Vec<u8> {
    let path = format!("{}/../../../target/{what}.wasm", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}; run `make guests plugins` first"))
}
