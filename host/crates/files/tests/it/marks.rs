//! The mark that tells a share from the folder it is mounted on.

use syncline_domain::{FailureKind, ids::StoreId};
use syncline_files::{FolderOptions, FolderStore, Store};

use crate::harness::*;

fn id(seconds: i64) -> StoreId {
    StoreId::new(jiff::Timestamp::from_second(seconds).unwrap())
}

#[test]
fn adopting_twice_keeps_the_mark_and_anew_replaces_it() {
    let place = tempfile::tempdir().unwrap();
    let first = FolderStore::adopt(place.path(), id(1)).unwrap();
    assert_eq!(FolderStore::adopt(place.path(), id(2)).unwrap(), first);
    let text = std::fs::read_to_string(place.path().join(".syncline/store.json")).unwrap();
    assert_eq!(text, format!("{{\"id\":\"{first}\"}}"));
    let anew = id(3);
    assert_eq!(FolderStore::adopt_anew(place.path(), anew).unwrap(), anew);
    let open = |id| FolderStore::open(name("s"), place.path(), id, FolderOptions::default());
    assert!(open(anew).is_ok());
    let failure = open(first).err().unwrap();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Unavailable, "mark"));
    assert!(failure.message.contains("adopt the folder anew"), "{failure}");
    std::fs::write(place.path().join(".syncline/store.json"), "{").unwrap();
    assert_eq!(open(anew).err().unwrap().code, "mark");
    assert_eq!(FolderStore::adopt(place.path(), id(4)).unwrap_err().code, "mark");
}

#[test]
fn what_is_no_folder_or_no_absolute_path_is_not_adopted() {
    let place = tempfile::tempdir().unwrap();
    put(place.path().join("file"), "x");
    for path in [place.path().join("file"), place.path().join("missing"), "relative".into()] {
        assert_eq!(FolderStore::adopt(&path, id(1)).unwrap_err().code, "path", "{path:?}");
    }
    assert!(!place.path().join("missing").exists());
}

#[test]
fn an_unmounted_share_is_unavailable_and_nothing_is_written_where_it_was() {
    require_root();
    let mut world = World::new(1);
    put(world.library().join("file"), "x");
    let mounted = Mounted::new(world.folder("share"), "size=10m");
    let store = open("share", &mounted.0);
    world.targets[0] = syncline_files::Target { name: name("t0"), store: std::sync::Arc::new(store.clone()) };
    world.sync(&world.mirror()).assert_done();
    let id = FolderStore::adopt(&mounted.0, id(9)).unwrap();
    let at = mounted.0.clone();
    drop(mounted);
    let failure = FolderStore::open(name("share"), &at, id, FolderOptions::default()).err().unwrap();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Unavailable, "mark"));
    // A store that was opened while it was mounted notices as well.
    assert_eq!(store.check().unwrap_err().code, "vanished");
    let failure = world.diff(&world.mirror()).remove(0).err().unwrap();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(std::fs::read_dir(&at).unwrap().count(), 0);
}

#[test]
fn a_library_that_is_not_there_is_never_an_empty_one() {
    let world = World::new(1);
    put(world.library().join("file"), "x");
    world.sync(&world.mirror()).assert_done();
    std::fs::rename(world.library(), world.folder("away")).unwrap();
    std::fs::create_dir(world.library()).unwrap();
    let failure = world.expand(&world.mirror()).err().unwrap();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains("library"), "{failure}");
}
