//! A library, some targets, and the road from declarations to a result.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use syncline_domain::{
    Failure, Name, RelPath,
    declaration::*,
    ids::StoreId,
    operation::{Operation, OperationState},
    run::TargetResult,
    sync::{Compare, Verify},
};
use syncline_files::*;

/// Folders that are gone when it is dropped.
pub struct World {
    pub place: tempfile::TempDir,
    pub sources: Vec<Source>,
    pub targets: Vec<Target>,
    pub memory: Memory,
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn path(bytes: impl AsRef<[u8]>) -> RelPath {
    RelPath::new(bytes.as_ref()).unwrap()
}

fn id() -> StoreId {
    // Any time will do: the rest of an id is random.
    StoreId::new(jiff::Timestamp::UNIX_EPOCH)
}

/// Adopts and opens a folder.
pub fn open(called: &str, folder: &Path) -> FolderStore {
    let id = FolderStore::adopt(folder, id()).unwrap();
    FolderStore::open(name(called), folder, id, FolderOptions::default()).unwrap()
}

impl World {
    /// A source `library` and so many targets `t0`, `t1`, …
    pub fn new(targets: usize) -> Self {
        Self::at(Path::new("/tmp"), targets)
    }

    pub fn at(folder: &Path, targets: usize) -> Self {
        let place = tempfile::tempdir_in(folder).unwrap();
        let mut world = Self { place, sources: Vec::new(), targets: Vec::new(), memory: Memory::default() };
        world.add_source("library");
        for number in 0..targets {
            let called = format!("t{number}");
            std::fs::create_dir(world.folder(&called)).unwrap();
            let store = Arc::new(open(&called, &world.folder(&called)));
            world.targets.push(Target { name: name(&called), store });
        }
        world
    }

    /// Makes a folder a store of its own, whatever it stands in.
    pub fn adopt(&self, folder: &Path) {
        FolderStore::adopt(folder, id()).unwrap();
    }

    pub fn add_source(&mut self, called: &str) {
        std::fs::create_dir(self.folder(called)).unwrap();
        let store = Arc::new(open(called, &self.folder(called)));
        self.sources.push(Source { name: name(called), store, prefix: RelPath::root() });
    }

    pub fn folder(&self, called: &str) -> PathBuf {
        self.place.path().join(called)
    }

    pub fn library(&self) -> PathBuf {
        self.folder("library")
    }

    pub fn target(&self, number: usize) -> PathBuf {
        self.folder(&format!("t{number}"))
    }

    pub fn all(&self) -> Targets {
        self.targets.iter().map(|target| target.name.clone()).collect()
    }

    /// The whole library to the root of all targets, and nothing else.
    pub fn mirror(&self) -> FileDeclarations {
        FileDeclarations {
            trees: vec![self.tree("", "", 0)],
            prunes: vec![DeclaredPrune { targets: self.all(), folder: RelPath::root(), keep: vec![] }],
            ..FileDeclarations::default()
        }
    }

    pub fn tree(&self, folder: &str, at: &str, stage: u8) -> DeclaredTree {
        DeclaredTree {
            targets: self.all(),
            at: path(at),
            source: name("library"),
            folder: path(folder),
            including: vec![],
            excluding: vec![],
            stage,
        }
    }

    pub fn expand(&self, declarations: &FileDeclarations) -> Result<Intent, Failure> {
        expand(declarations, &self.sources, &Context::new(&Unobserved))
    }

    pub fn diff(&self, declarations: &FileDeclarations) -> Vec<Result<TargetDiff, Failure>> {
        self.diff_by(declarations, Compare::Quick)
    }

    pub fn diff_by(
        &self,
        declarations: &FileDeclarations,
        compare: Compare,
    ) -> Vec<Result<TargetDiff, Failure>> {
        let context = Context::new(&Unobserved);
        let intent = self.expand(declarations).unwrap();
        let options = DiffOptions { compare, mtime_tolerance_ns: 0, digests: &self.memory };
        diff(&intent, &self.targets, &options, &context).into_iter().map(|(_, diff)| diff).collect()
    }

    /// The difference of the first target, as lines `kind path`.
    pub fn planned(&self, declarations: &FileDeclarations) -> Vec<String> {
        let diff = self.diff(declarations).remove(0).unwrap();
        assert_eq!(diff.operations().count() as u64, diff.len());
        diff.operations().map(|operation| line(&operation)).collect()
    }

    pub fn sync(&self, declarations: &FileDeclarations) -> Outcome {
        self.sync_with(declarations, &ApplyOptions::default(), Recorder::default())
    }

    /// Declares, compares, applies; checks that each planned operation was told exactly once.
    pub fn sync_with(
        &self,
        declarations: &FileDeclarations,
        options: &ApplyOptions,
        recorder: Recorder,
    ) -> Outcome {
        let context = Context::new(&recorder);
        let intent = expand(declarations, &self.sources, &context).unwrap();
        let compare = DiffOptions { compare: Compare::Quick, mtime_tolerance_ns: 0, digests: &self.memory };
        let diffs: Vec<TargetDiff> = diff(&intent, &self.targets, &compare, &context)
            .into_iter()
            .filter_map(|(_, diff)| diff.ok())
            .collect();
        let key = |one: &Operation| (one.target.clone(), one.path.clone(), format!("{:?}", one.kind));
        let mut planned: Vec<_> =
            diffs.iter().flat_map(|diff| diff.operations().map(|one| key(&one))).collect();
        let results = apply(&intent, diffs, options, &self.memory, &context);
        let operations = recorder.operations.into_inner();
        let mut told: Vec<_> = operations.iter().map(key).collect();
        planned.sort();
        told.sort();
        assert_eq!(planned, told, "each planned operation is told exactly once");
        assert!(operations.iter().all(|one| one.state != OperationState::Planned));
        let passed_over = recorder.passed_over.into_inner();
        Outcome { results, operations, passed_over, bytes: recorder.bytes.into_inner() }
    }

    /// Every target is what `rsync` would make of the library.
    pub fn assert_mirrored(&self) {
        for number in 0..self.targets.len() {
            assert_same(&self.library(), &self.target(number));
        }
    }
}

/// `rsync` finds nothing to do.
pub fn assert_same(source: &Path, target: &Path) {
    let slash = |path: &Path| format!("{}/", path.display());
    let output = Command::new("rsync")
        .args(["-anci", "--delete", "--exclude=/.syncline"])
        .args([slash(source), slash(target)])
        .output()
        .unwrap();
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // Links and special files are passed over, which rsync would copy: -a is asked for what it does with the rest.
    let left: Vec<&str> =
        told.lines().filter(|line| !line.contains("L+++") && !line.contains("S+++")).collect();
    assert!(left.is_empty(), "rsync would do: {left:#?}");
    assert_eq!(temporary_files(target), Vec::<PathBuf>::new());
}

pub fn temporary_files(target: &Path) -> Vec<PathBuf> {
    let Ok(listed) = std::fs::read_dir(target.join(".syncline/tmp")) else { return Vec::new() };
    listed.map(|entry| entry.unwrap().path()).collect()
}

/// What became of a sync.
pub struct Outcome {
    pub results: Vec<TargetResult>,
    pub operations: Vec<Operation>,
    pub passed_over: Vec<String>,
    pub bytes: u64,
}

pub fn line(operation: &Operation) -> String {
    format!("{:?} {}", operation.kind, operation.path)
}

impl Outcome {
    /// Nothing failed, anywhere.
    #[track_caller]
    pub fn assert_done(&self) -> &Self {
        let failed: Vec<_> = self.operations.iter().filter(|one| one.state != OperationState::Done).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        for result in &self.results {
            assert_eq!((&result.failure, result.counts.failed), (&None, 0), "{}", result.target);
        }
        self
    }

    pub fn lines(&self, state: OperationState) -> Vec<String> {
        let mut lines: Vec<String> =
            self.operations.iter().filter(|one| one.state == state).map(line).collect();
        lines.sort();
        lines
    }

    /// The failure of the operation at this path.
    #[track_caller]
    pub fn failure(&self, at: &str) -> &Failure {
        let failures =
            self.operations.iter().filter(|one| one.path == path(at)).filter_map(|one| one.failure.as_ref());
        failures.into_iter().next().unwrap_or_else(|| panic!("nothing failed at {at}"))
    }
}

type Hook = Box<dyn Fn(u64) -> Result<(), Failure> + Sync + Send>;

/// Keeps what it is told, and can act or stop at the n-th time that it is asked whether to go on.
#[derive(Default)]
pub struct Recorder {
    pub operations: Mutex<Vec<Operation>>,
    pub passed_over: Mutex<Vec<String>>,
    pub bytes: AtomicU64,
    pub asked: AtomicU64,
    pub hook: Option<Hook>,
    /// Acts when operations end, with their number so far.
    pub on_finished: Option<Box<dyn Fn(usize) + Sync + Send>>,
}

impl Recorder {
    pub fn hooked(hook: impl Fn(u64) -> Result<(), Failure> + Sync + Send + 'static) -> Self {
        Self { hook: Some(Box::new(hook)), ..Self::default() }
    }
}

impl Observer for Recorder {
    fn keep_going(&self) -> Result<(), Failure> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        self.hook.as_ref().map_or(Ok(()), |hook| hook(asked))
    }

    fn bytes(&self, written: u64) {
        self.bytes.fetch_add(written, Ordering::SeqCst);
    }

    fn finished(&self, operations: Vec<Operation>) {
        let mut all = self.operations.lock();
        all.extend(operations);
        let count = all.len();
        drop(all);
        if let Some(act) = &self.on_finished {
            act(count);
        }
    }

    fn passed_over(&self, store: &Name, path: &RelPath, what: &str) {
        self.passed_over.lock().push(format!("{store} {path} {what}"));
    }
}

/// A memory of digests that counts what it is asked.
#[derive(Default)]
pub struct Memory {
    pub blobs: Mutex<BTreeMap<(Name, RelPath), Vec<u8>>>,
    pub loads: AtomicU64,
}

impl Digests for Memory {
    fn load(&self, store: &Name, folder: &RelPath) -> Result<Option<Vec<u8>>, Failure> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(self.blobs.lock().get(&(store.clone(), folder.clone())).cloned())
    }

    fn save(&self, store: &Name, folders: Vec<(RelPath, Vec<u8>)>) -> Result<(), Failure> {
        self.blobs.lock().extend(folders.into_iter().map(|(folder, blob)| ((store.clone(), folder), blob)));
        Ok(())
    }
}

/// A store that counts what is read from it.
pub struct Counting {
    pub inner: Arc<dyn Store>,
    pub read: Arc<AtomicU64>,
    /// Whether no file of it can be opened: root can open whatever a file's mode forbids.
    pub refuses: bool,
}

impl Counting {
    /// Puts one before the library.
    pub fn library(world: &mut World) -> Arc<AtomicU64> {
        Self::before(&mut world.sources[0].store)
    }

    /// Puts one before a target.
    pub fn target(world: &mut World, number: usize) -> Arc<AtomicU64> {
        Self::before(&mut world.targets[number].store)
    }

    fn before(store: &mut Arc<dyn Store>) -> Arc<AtomicU64> {
        let read = Arc::new(AtomicU64::new(0));
        *store = Arc::new(Self { inner: Arc::clone(store), read: Arc::clone(&read), refuses: false });
        read
    }

    /// Lets no file of a target be opened.
    pub fn refuse(world: &mut World, number: usize) {
        let inner = Arc::clone(&world.targets[number].store);
        world.targets[number].store = Arc::new(Self { inner, read: Arc::default(), refuses: true });
    }
}

impl Store for Counting {
    fn name(&self) -> &Name {
        self.inner.name()
    }
    fn identity(&self) -> Vec<u8> {
        self.inner.identity()
    }
    fn check(&self) -> Result<(), Failure> {
        self.inner.check()
    }
    fn still_there(&self) -> Result<(), Failure> {
        self.inner.still_there()
    }
    fn dir(&self, path: &RelPath) -> Result<Box<dyn Dir>, Failure> {
        let (inner, read) = (self.inner.dir(path)?, Arc::clone(&self.read));
        Ok(Box::new(CountingDir { inner, read, refuses: self.refuses }))
    }
    fn free_bytes(&self) -> Result<Option<u64>, Failure> {
        self.inner.free_bytes()
    }
    fn prepare(&self, keep: &std::collections::HashSet<String>) -> Result<u64, Failure> {
        self.inner.prepare(keep)
    }
    fn admit(&self, bytes: u64, keep_going: &dyn Fn() -> Result<(), Failure>) -> Result<(), Failure> {
        self.inner.admit(bytes, keep_going)
    }
}

struct CountingDir {
    inner: Box<dyn Dir>,
    read: Arc<AtomicU64>,
    refuses: bool,
}

impl Dir for CountingDir {
    fn path(&self) -> &RelPath {
        self.inner.path()
    }
    fn meta(&self) -> Result<Meta, Failure> {
        self.inner.meta()
    }
    fn names(&self, into: &mut Names) -> Result<(), Failure> {
        self.inner.names(into)
    }
    fn stat(&self, name: &[u8]) -> Result<Option<Meta>, Failure> {
        self.inner.stat(name)
    }
    fn open(&self, name: &[u8]) -> Result<Box<dyn Reader>, Failure> {
        if self.refuses {
            return Err(Failure::denied("permission", "this file cannot be opened"));
        }
        Ok(Box::new(CountingReader(self.inner.open(name)?, Arc::clone(&self.read))))
    }
    fn create_folder(&self, name: &[u8], mode: u16) -> Result<(), Failure> {
        self.inner.create_folder(name, mode)
    }
    fn write(&self, temp: &TempName) -> Result<Box<dyn Writer + '_>, Failure> {
        self.inner.write(temp)
    }
    fn stamp(&self, name: &[u8], stamp: &Stamp) -> Result<(), Failure> {
        self.inner.stamp(name, stamp)
    }
    fn remove(&self, name: &[u8], folder: bool) -> Result<(), Failure> {
        self.inner.remove(name, folder)
    }
    fn sync(&self) -> Result<(), Failure> {
        self.inner.sync()
    }
}

struct CountingReader(Box<dyn Reader>, Arc<AtomicU64>);

impl CountingReader {
    fn count(&self, read: Result<usize, Failure>) -> Result<usize, Failure> {
        read.inspect(|count| {
            self.1.fetch_add(*count as u64, Ordering::SeqCst);
        })
    }
}

impl Reader for CountingReader {
    fn meta(&self) -> Result<Meta, Failure> {
        self.0.meta()
    }
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        let read = self.0.read(into);
        self.count(read)
    }
    fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize, Failure> {
        self.count(self.0.read_at(into, offset))
    }
    fn seek(&mut self, offset: u64) -> Result<(), Failure> {
        self.0.seek(offset)
    }
}

/// Writes a file with all folders on the way to it.
pub fn put(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = path.as_ref();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A time that no file gets by itself.
pub fn set_time(path: impl AsRef<Path>, seconds: u64) {
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(seconds, 123_456_789);
    std::fs::File::open(path).unwrap().set_modified(time).unwrap();
}

pub fn set_mode(path: impl AsRef<Path>, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub fn full() -> ApplyOptions {
    ApplyOptions { verify: Verify::Full, fsync: true, ..ApplyOptions::default() }
}

/// Some tests need what only root can do (mounting a small file system). They fail where they cannot be run, since a test
/// that passes without having tested says something untrue.
pub fn require_root() {
    assert!(rustix::process::getuid().is_root(), "this test mounts file systems: run the tests as root");
}

/// A small file system of its own, unmounted when it is dropped.
pub struct Mounted(pub PathBuf);

impl Mounted {
    pub fn new(at: PathBuf, options: &str) -> Self {
        require_root();
        std::fs::create_dir_all(&at).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at));
        Self(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Already unmounted by some tests, and then this fails; the folder's own removal would show what is left.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

pub fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
