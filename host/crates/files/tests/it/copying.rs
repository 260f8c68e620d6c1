//! The ordinary road: what stands in the library comes to stand on the targets, and then nothing is left to do.

use std::{
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    sync::atomic::Ordering,
};

use syncline_domain::{operation::OperationKind, run::Counts};

use crate::harness::*;

fn fill(world: &World) {
    let library = world.library();
    put(library.join("a/one"), "1");
    put(library.join("a/b/two"), "22");
    put(library.join("empty file"), "");
    put(library.join("script"), "#!");
    put(library.join("a.b"), "between a and a/b");
    std::fs::create_dir_all(library.join("empty/folder")).unwrap();
    set_mode(library.join("script"), 0o6755);
    set_mode(library.join("a/b"), 0o750);
    set_mode(library.join("a/one"), 0o400);
    for (seconds, at) in (1_000_000_000..).zip(["a/one", "a/b/two", "script", "a/b", "a", "empty/folder", ""])
    {
        set_time(library.join(at), seconds);
    }
}

#[test]
fn targets_become_what_the_library_is_with_times_and_modes_and_empty_folders() {
    let world = World::new(3);
    fill(&world);
    let outcome = world.sync_with(&world.mirror(), &full(), Recorder::default());
    outcome.assert_done();
    world.assert_mirrored();
    let expected = Counts { copied: 5, bytes: 22, folders: 5, ..Counts::default() };
    assert_eq!(outcome.results[0].counts, expected);
    assert_eq!(outcome.bytes, 3 * 22);
    assert!(
        outcome
            .operations
            .iter()
            .filter(|one| one.kind == OperationKind::Copy)
            .all(|one| one.digest.is_some())
    );
    let mode = std::fs::metadata(world.target(1).join("script")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o6755);
    assert!(world.diff(&world.mirror()).iter().all(|diff| diff.as_ref().unwrap().is_empty()));
}

#[test]
fn a_first_fill_is_told_and_a_later_difference_is_not_one() {
    let world = World::new(1);
    fill(&world);
    let size = world.diff(&world.mirror())[0].as_ref().unwrap().size();
    assert!(size.first_fill);
    assert_eq!((size.changes, size.declared, size.deletes, size.removable), (5, 5, 0, 0));
    world.sync(&world.mirror()).assert_done();
    std::fs::remove_file(world.target(0).join("script")).unwrap();
    put(world.target(0).join("a/stranger"), "x");
    let size = world.diff(&world.mirror())[0].as_ref().unwrap().size();
    assert!(!size.first_fill);
    assert_eq!((size.changes, size.declared, size.deletes, size.removable), (1, 5, 1, 5));
}

#[test]
fn repairs_are_what_a_preview_says_and_nothing_more() {
    let world = World::new(1);
    fill(&world);
    world.sync(&world.mirror()).assert_done();
    let target = world.target(0);
    std::fs::remove_file(target.join("a/b/two")).unwrap();
    put(target.join("empty file"), "not empty");
    put(target.join("new/deep/stranger"), "x");
    set_mode(target.join("script"), 0o644);
    let planned = world.planned(&world.mirror());
    let mut sorted = planned.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "Copy a/b/two",
            "Remove new/deep/stranger",
            "RemoveFolder new",
            "RemoveFolder new/deep",
            "Touch ",
            "Touch a/b",
            "Touch script",
            "Update empty file",
        ]
    );
    let outcome = world.sync(&world.mirror());
    outcome.assert_done();
    assert_eq!(outcome.operations.len(), planned.len());
    let counts = outcome.results[0].counts;
    assert_eq!((counts.copied, counts.updated, counts.removed, counts.unchanged), (1, 2, 1, 2));
    world.assert_mirrored();
}

#[test]
fn names_that_are_not_unicode_and_the_longest_paths_arrive() {
    let world = World::new(1);
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe odd \n name");
    put(world.library().join(odd).join(odd), "odd");
    // 4,095 bytes below the library, which no single call of the system can take as an absolute path.
    let names: Vec<String> = (0..16).map(|n| format!("{n:0>254}")).collect();
    let mut folder = std::fs::File::open(world.library()).unwrap();
    for name in &names {
        rustix::fs::mkdirat(&folder, name.as_str(), rustix::fs::Mode::RWXU).unwrap();
        folder = std::fs::File::from(
            rustix::fs::openat(
                &folder,
                name.as_str(),
                rustix::fs::OFlags::DIRECTORY,
                rustix::fs::Mode::empty(),
            )
            .unwrap(),
        );
    }
    let deep = names.join("/");
    assert_eq!(deep.len(), 4_079);
    let last = "n".repeat(15);
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    let fd = rustix::fs::openat(&folder, last.as_str(), flags, rustix::fs::Mode::RUSR).unwrap();
    rustix::io::write(&fd, b"deep").unwrap();
    let outcome = world.sync_with(&world.mirror(), &full(), Recorder::default());
    outcome.assert_done();
    assert!(outcome.operations.iter().any(|one| one.path.as_bytes().len() == 4_095));
    assert!(world.target(0).join(odd).join(odd).exists());
    assert!(world.planned(&world.mirror()).is_empty());
    // And a mirror without them takes them away again.
    std::fs::remove_dir_all(world.library().join(&names[0])).unwrap();
    std::fs::remove_dir_all(world.library().join(odd)).unwrap();
    world.sync(&world.mirror()).assert_done();
    world.assert_mirrored();
}

#[test]
fn each_byte_of_a_source_is_read_once_for_all_targets() {
    let mut world = World::new(5);
    let content = vec![7; 300_000];
    for number in 0..20 {
        put(world.library().join(format!("f{number}")), &content);
    }
    put(world.library().join("large"), vec![9; 9_000_000]);
    let read = Counting::library(&mut world);
    // Two of the targets get a file more, so that they are declared apart from the others.
    let mut declarations = world.mirror();
    declarations.contents.push(syncline_domain::declaration::DeclaredContent {
        targets: [name("t1"), name("t3")].into(),
        path: path("extra"),
        bytes: b"extra".as_slice().into(),
        stage: 0,
    });
    world.sync(&declarations).assert_done();
    assert_eq!(read.load(Ordering::SeqCst), 20 * 300_000 + 9_000_000);
    for number in 0..5 {
        assert_eq!(std::fs::read(world.target(number).join("large")).unwrap(), vec![9; 9_000_000]);
    }
}

#[test]
fn a_comparison_by_content_finds_what_size_and_time_hide_and_reads_no_known_source() {
    let mut world = World::new(1);
    put(world.library().join("f"), "good");
    set_time(world.library().join("f"), 5);
    world.sync(&world.mirror()).assert_done();
    put(world.target(0).join("f"), "evil");
    set_time(world.target(0).join("f"), 5);
    assert!(world.planned(&world.mirror()).is_empty());
    let read = Counting::library(&mut world);
    let diff = world.diff_by(&world.mirror(), syncline_domain::sync::Compare::Full).remove(0).unwrap();
    assert_eq!(diff.operations().map(|one| line(&one)).collect::<Vec<_>>(), ["Update f"]);
    assert_eq!(read.load(Ordering::SeqCst), 0);
}

#[test]
fn a_limit_on_bytes_a_second_is_kept() {
    let world = World::new(1);
    put(world.library().join("f"), vec![1; 300_000]);
    let folder = world.target(0);
    let id = syncline_files::FolderStore::adopt(
        &folder,
        syncline_domain::ids::StoreId::new(jiff::Timestamp::UNIX_EPOCH),
    )
    .unwrap();
    let options = syncline_files::FolderOptions { bytes_per_second: Some(1_000_000) };
    let store = syncline_files::FolderStore::open(name("t0"), &folder, id, options).unwrap();
    let mut world = world;
    world.targets[0].store = std::sync::Arc::new(store);
    let begun = std::time::Instant::now();
    world.sync(&world.mirror()).assert_done();
    // 300 kB at 1 MB/s, of which a tenth of a second may pass at once.
    assert!(begun.elapsed().as_millis() >= 190, "{:?}", begun.elapsed());
}

#[test]
fn a_retry_takes_the_named_paths_and_the_folders_that_they_need() {
    let world = World::new(1);
    fill(&world);
    let mut diff = world.diff(&world.mirror()).remove(0).unwrap();
    diff.retain(|one| *one == path("a/b/two"));
    let lines: Vec<String> = diff.operations().map(|one| line(&one)).collect();
    assert_eq!(lines, ["CreateFolder a", "CreateFolder a/b", "Copy a/b/two"]);
}
