//! Stages, and the inventories that later ones publish.

use std::{os::unix::ffi::OsStrExt, sync::atomic::Ordering};

use syncline_domain::{
    declaration::*,
    operation::{OperationKind, OperationState},
};

use crate::harness::*;

fn with_inventory(world: &World) -> FileDeclarations {
    let mut declarations = world.mirror();
    declarations.trees[0].at = path("files");
    declarations.inventories.push(DeclaredInventory {
        targets: world.all(),
        path: path("files/manifest.json"),
        folder: path("files"),
        stage: 2,
    });
    declarations
}

fn listed(files: &[(&str, &str)]) -> String {
    let line = |(at, content): &(&str, &str)| {
        let digest = blake3::hash(content.as_bytes()).to_hex();
        format!("{{\"path\":{at:?},\"size\":{},\"blake3\":\"{digest}\"}}", content.len())
    };
    let lines: Vec<String> = files.iter().map(line).collect();
    format!("{{\"files\":[\n{}\n]}}\n", lines.join(",\n"))
}

#[test]
fn an_inventory_lists_what_stands_with_the_digests_of_the_copy() {
    let mut world = World::new(3);
    put(world.library().join("a/x"), "x");
    put(world.library().join("a.b"), "dot");
    put(world.library().join("z"), "zzz");
    let read = Counting::library(&mut world);
    let declarations = with_inventory(&world);
    world.sync(&declarations).assert_done();
    let manifest = || std::fs::read_to_string(world.target(2).join("files/manifest.json")).unwrap();
    assert_eq!(manifest(), listed(&[("a.b", "dot"), ("a/x", "x"), ("z", "zzz")]));
    assert_eq!(read.load(Ordering::SeqCst), 7, "nothing is read once more for it");
    assert!(world.planned(&declarations).is_empty());
    // One file changes: that file and the inventory are copied, nothing else is read.
    put(world.library().join("z"), "yyyy");
    let mut planned = world.planned(&declarations);
    planned.retain(|line| !line.starts_with("Touch"));
    assert_eq!(planned, ["Update files/manifest.json", "Update files/z"]);
    world.sync(&declarations).assert_done();
    assert_eq!(manifest(), listed(&[("a.b", "dot"), ("a/x", "x"), ("z", "yyyy")]));
    assert_eq!(read.load(Ordering::SeqCst), 7 + 4);
    // A damaged inventory is found by its content.
    let good = manifest();
    let file = world.target(2).join("files/manifest.json");
    std::fs::write(&file, good.replace('a', "b")).unwrap();
    world.sync(&declarations).assert_done();
    assert_eq!(manifest(), good);
}

#[test]
fn without_a_memory_the_source_is_read_once_for_all() {
    let mut world = World::new(3);
    put(world.library().join("x"), "12345");
    world.sync(&with_inventory(&world)).assert_done();
    world.memory.blobs.lock().clear();
    std::fs::remove_file(world.target(1).join("files/manifest.json")).unwrap();
    let read = Counting::library(&mut world);
    world.sync(&with_inventory(&world)).assert_done();
    assert_eq!(read.load(Ordering::SeqCst), 5);
    assert!(world.target(1).join("files/manifest.json").exists());
}

#[test]
fn names_that_are_not_unicode_stand_in_it_escaped_and_earlier_inventories_too() {
    let world = World::new(1);
    put(world.library().join(std::ffi::OsStr::from_bytes(b"\xff\"")), "odd");
    let mut declarations = with_inventory(&world);
    let outer = DeclaredInventory {
        path: path("all.json"),
        folder: syncline_domain::RelPath::root(),
        stage: 3,
        ..declarations.inventories[0].clone()
    };
    declarations.inventories.push(outer);
    world.sync(&declarations).assert_done();
    let inner = std::fs::read_to_string(world.target(0).join("files/manifest.json")).unwrap();
    assert!(inner.contains(r#"{"path":"//\\xff\"","size":3,"#), "{inner}");
    let all = std::fs::read_to_string(world.target(0).join("all.json")).unwrap();
    assert_eq!(
        all,
        listed(&[("files/manifest.json", &inner), ("X", "odd")]).replace(r#""X""#, r#""//files/\\xff\"""#)
    );
    assert!(world.planned(&declarations).is_empty());
}

#[test]
fn where_a_stage_fails_that_target_gets_no_later_one_and_no_removal() {
    let world = World::new(2);
    put(world.library().join("a/x"), "x");
    put(world.library().join("y"), "y");
    // On t1 a file that is not to be removed stands where a folder should.
    let mut declarations = with_inventory(&world);
    declarations.prunes[0].folder = path("pruned");
    for number in 0..2 {
        put(world.target(number).join("pruned/stranger"), "x");
    }
    put(world.target(1).join("files/a"), "in the way");
    let outcome = world.sync(&declarations);
    assert_eq!((outcome.results[0].counts.failed, outcome.results[0].counts.removed), (0, 1));
    let of = |state| {
        let mut of: Vec<String> = outcome
            .operations
            .iter()
            .filter(|one| one.target == name("t1") && one.state == state && one.kind != OperationKind::Touch)
            .map(line)
            .collect();
        of.sort();
        of
    };
    assert_eq!(of(OperationState::Done), ["Copy files/y"]);
    assert_eq!(of(OperationState::Failed), ["Copy files/a/x", "CreateFolder files/a"]);
    assert_eq!(of(OperationState::Skipped), ["Copy files/manifest.json", "Remove pruned/stranger"]);
    assert!(outcome.failure("pruned/stranger").message.contains("failed"));
    assert!(!world.target(1).join("files/manifest.json").exists());
    assert!(world.target(1).join("pruned/stranger").exists());
}

#[test]
fn a_later_stage_begins_when_the_earlier_one_stands() {
    let world = World::new(1);
    for number in 0..300 {
        put(world.library().join(format!("first/{number}")), "x");
    }
    put(world.library().join("second/last"), "x");
    let mut declarations = FileDeclarations::default();
    declarations.trees.push(world.tree("second", "", 1));
    declarations.trees.push(world.tree("first", "first", 0));
    let target = world.target(0);
    let recorder = Recorder::hooked(move |_| {
        if target.join("last").exists() {
            assert_eq!(std::fs::read_dir(target.join("first")).unwrap().count(), 300);
        }
        Ok(())
    });
    world.sync_with(&declarations, &Default::default(), recorder).assert_done();
}

#[test]
fn equal_content_is_not_written_again() {
    let world = World::new(1);
    let mut declarations = FileDeclarations::default();
    declarations.contents.push(DeclaredContent {
        targets: world.all(),
        path: path("deep/er/made"),
        bytes: b"made".as_slice().into(),
        stage: 0,
    });
    world.sync(&declarations).assert_done();
    let file = world.target(0).join("deep/er/made");
    set_time(&file, 5);
    assert!(world.planned(&declarations).is_empty());
    std::fs::write(&file, "mode").unwrap();
    world.sync(&declarations).assert_done();
    assert_eq!(std::fs::read(&file).unwrap(), b"made");
}

#[test]
fn a_retry_that_leaves_files_out_writes_no_inventory_of_them() {
    let world = World::new(1);
    put(world.library().join("a"), "a");
    put(world.library().join("b"), "b");
    let mut declarations = world.mirror();
    declarations.prunes.clear();
    declarations.inventories.push(DeclaredInventory {
        targets: world.all(),
        path: path("manifest.json"),
        folder: syncline_domain::RelPath::root(),
        stage: 1,
    });
    let kept = |keep: &[&str]| {
        let mut diff = world.diff(&declarations).remove(0).unwrap();
        diff.retain(|one| keep.iter().any(|name| *one == path(name)));
        diff.operations()
            .filter(|one| one.kind == OperationKind::Copy)
            .map(|one| one.path)
            .collect::<Vec<_>>()
    };
    assert_eq!(kept(&["a", "manifest.json"]), [path("a")]);
    assert_eq!(kept(&["a", "b", "manifest.json"]), [path("a"), path("b"), path("manifest.json")]);
}
