//! What plugins see of a source.

use std::sync::{Arc, atomic::Ordering};

use syncline_domain::{FailureKind, RelPath};
use syncline_files::Source;

use crate::harness::*;

fn library() -> World {
    let world = World::new(0);
    for file in ["a/x", "a.b", "a/y/z", "a", "b/deep/er"].iter().filter(|file| **file != "a") {
        put(world.library().join(file), file);
    }
    world
}

fn all(source: &Source, folder: &str, batch: usize) -> Vec<String> {
    let mut listing = source.list(&path(folder), None).unwrap();
    let mut found = Vec::new();
    loop {
        let files = listing.next(batch).unwrap();
        if files.is_empty() {
            assert!(listing.next(batch).unwrap().is_empty());
            return found;
        }
        assert!(files.len() <= batch);
        found.extend(files.into_iter().map(|file| file.path.to_text()));
    }
}

#[test]
fn listings_are_sorted_by_whole_paths_in_batches_of_any_size() {
    let world = library();
    let source = &world.sources[0];
    for batch in [1, 2, 100] {
        assert_eq!(all(source, "", batch), ["a.b", "a/x", "a/y/z", "b/deep/er"]);
    }
    assert_eq!(all(source, "a", 10), ["a/x", "a/y/z"]);
    let part = Source { prefix: path("a"), ..source.clone() };
    assert_eq!(all(&part, "", 10), ["x", "y/z"]);
    assert_eq!(source.list(&path("missing"), None).err().unwrap().kind, FailureKind::NotFound);
}

#[test]
fn what_is_no_file_or_no_unicode_is_counted_and_told() {
    use std::os::unix::ffi::OsStrExt;
    let world = library();
    std::os::unix::fs::symlink("x", world.library().join("a/link")).unwrap();
    put(world.library().join(std::ffi::OsStr::from_bytes(b"\xff")), "x");
    let mut listing = world.sources[0].list(&RelPath::root(), None).unwrap();
    assert_eq!(listing.next(100).unwrap().len(), 4);
    assert_eq!(listing.skipped(), 2);
    let told: Vec<&str> = listing.take_passed_over().into_iter().map(|(_, what)| what).collect();
    assert_eq!(told, ["name that is not Unicode", "symbolic link"]);
}

#[test]
fn digests_are_read_once_and_remembered() {
    let mut world = library();
    let read = Counting::library(&mut world);
    let memory = Arc::new(std::mem::take(&mut world.memory));
    let source = &world.sources[0];
    for expected in [3 + 3 + 5 + 9, 0] {
        let before = read.load(Ordering::SeqCst);
        let files = source.list(&RelPath::root(), Some(memory.clone())).unwrap().next(100).unwrap();
        assert_eq!(files[0].digest, Some(*blake3::hash(b"a.b").as_bytes()));
        assert_eq!(read.load(Ordering::SeqCst) - before, expected);
    }
    assert!(source.info(&path("a/x"), Some(memory.as_ref())).unwrap().digest.is_some());
    put(world.library().join("a/x"), "changed");
    let info = source.info(&path("a/x"), Some(memory.as_ref())).unwrap();
    assert_eq!((info.size, info.digest), (7, Some(*blake3::hash(b"changed").as_bytes())));
    assert_eq!(source.info(&path("a/x"), None).unwrap().digest, None);
    assert_eq!(source.info(&path("a"), None).unwrap_err().kind, FailureKind::Unsupported);
    assert_eq!(source.info(&path("a/none"), None).unwrap_err().kind, FailureKind::NotFound);
}

#[test]
fn ranges_end_where_the_file_ends_and_a_change_between_two_calls_shows() {
    let world = library();
    let mut reader = world.sources[0].reader();
    assert_eq!(reader.read(&path("a/y/z"), 1, 100).unwrap(), b"/y/z");
    assert_eq!(reader.read(&path("a/y/z"), 1, 2).unwrap(), b"/y");
    assert_eq!(reader.read(&path("a/y/z"), 5, 10).unwrap(), b"");
    assert_eq!(reader.read(&path("a/x"), 0, 10).unwrap(), b"a/x");
    put(world.library().join("a/y/z"), "changed");
    assert_eq!(reader.read(&path("a/y/z"), 0, 10).unwrap_err().kind, FailureKind::Changed);
    std::os::unix::fs::symlink("/etc/passwd", world.library().join("link")).unwrap();
    assert_eq!(reader.read(&path("link"), 0, 10).unwrap_err().kind, FailureKind::Unsupported);
    std::os::unix::fs::symlink("/etc", world.library().join("folder")).unwrap();
    assert!(reader.read(&path("folder/passwd"), 0, 10).is_err());
}
