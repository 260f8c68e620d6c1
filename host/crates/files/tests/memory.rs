//! How much memory a million files take, from declaring to the difference of a first fill. A binary of its own, so that
//! what the process holds is what this test made.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use syncline_domain::{
    Failure, FailureKind, Fault, Name, RelPath,
    declaration::{DeclaredPrune, DeclaredTree, FileDeclarations},
};
use syncline_files::*;

const FOLDERS: u64 = 1_000;
const FILES: u64 = 1_000;
const ALLOWED: u64 = 200;

/// A store that makes its files up: as many as asked for, or none.
struct MadeUp {
    name: Name,
    folders: u64,
    looks: AtomicU64,
}

impl MadeUp {
    fn new(name: &str, folders: u64) -> Arc<Self> {
        Arc::new(Self { name: name.parse().unwrap(), folders, looks: AtomicU64::new(0) })
    }
}

struct MadeUpDir {
    path: RelPath,
    folders: u64,
}

fn meta(kind: EntryKind, size: u64) -> Meta {
    Meta { kind, mode: 0o644, size, mtime_ns: 1_700_000_000_123_456_789, device: 1, inode: 1 }
}

fn no() -> Failure {
    Failure::new(FailureKind::Unsupported, Fault::Host, "made-up", "this store has nothing to read or write")
}

impl Store for MadeUp {
    fn name(&self) -> &Name {
        &self.name
    }
    fn identity(&self) -> Vec<u8> {
        self.name.as_str().as_bytes().to_vec()
    }
    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }
    fn still_there(&self) -> Result<(), Failure> {
        Ok(())
    }
    fn dir(&self, path: &RelPath) -> Result<Box<dyn Dir>, Failure> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(MadeUpDir { path: path.clone(), folders: self.folders }))
    }
    fn free_bytes(&self) -> Result<Option<u64>, Failure> {
        Ok(None)
    }
    fn prepare(&self, _keep: &HashSet<String>) -> Result<u64, Failure> {
        Err(no())
    }
    fn admit(&self, _bytes: u64, _keep_going: &dyn Fn() -> Result<(), Failure>) -> Result<(), Failure> {
        Ok(())
    }
}

impl Dir for MadeUpDir {
    fn path(&self) -> &RelPath {
        &self.path
    }
    fn meta(&self) -> Result<Meta, Failure> {
        Ok(meta(EntryKind::Folder, 0))
    }
    fn names(&self, into: &mut Names) -> Result<(), Failure> {
        into.clear();
        let (count, what) =
            if self.path.is_root() { (self.folders, "folder") } else { (FILES, "some-package") };
        for number in 0..count {
            into.push(format!("{what}-{number:06}.bin").as_bytes(), None);
        }
        Ok(())
    }
    fn stat(&self, _name: &[u8]) -> Result<Option<Meta>, Failure> {
        if self.folders == 0 {
            return Ok(None);
        }
        let kind = if self.path.is_root() { EntryKind::Folder } else { EntryKind::File };
        Ok(Some(meta(kind, 5_000)))
    }
    fn open(&self, _name: &[u8]) -> Result<Box<dyn Reader>, Failure> {
        Err(no())
    }
    fn create_folder(&self, _name: &[u8], _mode: u16) -> Result<(), Failure> {
        Err(no())
    }
    fn write(&self, _temp: &TempName) -> Result<Box<dyn Writer + '_>, Failure> {
        Err(no())
    }
    fn stamp(&self, _name: &[u8], _stamp: &Stamp) -> Result<(), Failure> {
        Err(no())
    }
    fn remove(&self, _name: &[u8], _folder: bool) -> Result<(), Failure> {
        Err(no())
    }
    fn sync(&self) -> Result<(), Failure> {
        Err(no())
    }
}

/// A line of what the system says of this process, in bytes.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find_map(|one| one.strip_prefix(line)).unwrap();
    found.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

#[test]
fn a_million_files_take_at_most_200_bytes_each() {
    let source = Source {
        name: "library".parse().unwrap(),
        store: MadeUp::new("library", FOLDERS),
        prefix: RelPath::root(),
    };
    let target = Target { name: "t".parse().unwrap(), store: MadeUp::new("t", 0) };
    let targets = [target.name.clone()].into();
    let declarations = FileDeclarations {
        trees: vec![DeclaredTree {
            targets,
            at: RelPath::root(),
            source: source.name.clone(),
            folder: RelPath::root(),
            including: vec![],
            excluding: vec![],
            stage: 0,
        }],
        prunes: vec![DeclaredPrune {
            targets: [target.name.clone()].into(),
            folder: RelPath::new("x").unwrap(),
            keep: vec![],
        }],
        ..FileDeclarations::default()
    };
    let before = memory("VmRSS:");
    let context = Context::new(&Unobserved);
    let intent = expand(&declarations, &[source], &context).unwrap();
    let options = DiffOptions {
        compare: syncline_domain::sync::Compare::Quick,
        mtime_tolerance_ns: 0,
        digests: &NoDigests,
    };
    let mut diffs = diff(&intent, &[target], &options, &context);
    let diff = diffs.remove(0).1.unwrap();
    let files = FOLDERS * FILES;
    assert_eq!(diff.len(), files + FOLDERS);
    assert_eq!(diff.operations().count() as u64, diff.len());
    let peak = memory("VmHWM:") - before;
    assert!(peak <= ALLOWED * files, "{} bytes a file, {ALLOWED} are allowed", peak / files);
    println!("{} bytes a file at most", peak / files);
}
