//! A store inside the folder of another is left alone by syncs of the outer one.

use syncline_domain::{RelPath, declaration::DeclaredContent};

use crate::harness::*;

#[test]
fn a_store_inside_a_target_is_neither_entered_nor_removed() {
    let world = World::new(1);
    put(world.library().join("file"), "x");
    for inner in ["inner", "stranger/inner"] {
        put(world.target(0).join(inner).join("precious"), "precious");
        world.adopt(&world.target(0).join(inner));
    }
    put(world.target(0).join("stranger/goes"), "x");
    let outcome = world.sync(&world.mirror());
    outcome.assert_done();
    for inner in ["inner", "stranger/inner"] {
        assert!(world.target(0).join(inner).join("precious").exists(), "{inner}");
        assert!(world.target(0).join(inner).join(".syncline/store.json").exists(), "{inner}");
    }
    assert!(!world.target(0).join("stranger/goes").exists());
    let mut told = outcome.passed_over.clone();
    told.sort();
    assert_eq!(told, ["t0 inner store of its own", "t0 stranger/inner store of its own"]);
    assert!(world.planned(&world.mirror()).is_empty());
    // Nor by a prune that names it, or a folder in it.
    for folder in ["inner", "stranger/inner", "stranger"] {
        let mut prune = world.mirror();
        prune.trees.clear();
        prune.prunes[0].folder = path(folder);
        assert!(world.planned(&prune).is_empty(), "{folder}");
    }
    put(world.target(0).join("inner/below/x"), "x");
    let mut prune = world.mirror();
    prune.trees.clear();
    prune.prunes[0].folder = path("inner/below");
    assert!(world.planned(&prune).is_empty());
}

#[test]
fn what_is_declared_in_a_store_inside_a_target_fails_and_changes_nothing() {
    for pruned in [true, false] {
        let world = World::new(1);
        put(world.library().join("inner/file"), "x");
        put(world.library().join("other"), "x");
        set_time(world.library().join("inner"), 77);
        put(world.target(0).join("inner/precious"), "precious");
        world.adopt(&world.target(0).join("inner"));
        let time = || world.target(0).join("inner").metadata().unwrap().modified().unwrap();
        let before = time();
        let mut declarations = world.mirror();
        if !pruned {
            declarations.prunes.clear();
        }
        let outcome = world.sync(&declarations);
        assert_eq!(outcome.failure("inner/file").code, "nested-store");
        assert!(world.target(0).join("other").exists());
        assert!(world.target(0).join("inner/precious").exists());
        assert!(!world.target(0).join("inner/file").exists());
        assert_eq!(time(), before);
    }
}

#[test]
fn a_file_that_should_stand_where_a_store_does_fails() {
    let world = World::new(1);
    put(world.library().join("inner"), "x");
    put(world.target(0).join("inner/precious"), "precious");
    world.adopt(&world.target(0).join("inner"));
    let outcome = world.sync(&world.mirror());
    assert_eq!(outcome.failure("inner").code, "not-a-file");
    assert!(world.target(0).join("inner/precious").exists());
}

#[test]
fn a_store_inside_a_source_is_not_read_into() {
    let world = World::new(1);
    put(world.library().join("a/file"), "x");
    put(world.library().join("a/inner/below/secret"), "secret");
    world.adopt(&world.library().join("a/inner"));
    for including in [vec![], vec!["**".to_owned()]] {
        let mut declarations = world.mirror();
        declarations.trees[0].including = including;
        let outcome = world.sync(&declarations);
        outcome.assert_done();
        assert_eq!(outcome.passed_over, ["library a/inner store of its own"]);
        assert_eq!(outcome.results[0].counts.passed_over, 1);
        assert!(world.target(0).join("a/file").exists());
        assert!(!world.target(0).join("a/inner").exists());
    }
    let mut listing = world.sources[0].list(&RelPath::root(), None).unwrap();
    let files: Vec<RelPath> = listing.next(10).unwrap().into_iter().map(|file| file.path).collect();
    assert_eq!((files, listing.skipped()), (vec![path("a/file")], 1));
    // What is named in it is refused, and never an empty folder.
    for folder in ["a/inner", "a/inner/below"] {
        let mut declarations = world.mirror();
        declarations.trees[0].folder = path(folder);
        assert_eq!(world.expand(&declarations).err().unwrap().code, "nested-store", "{folder}");
        assert_eq!(world.sources[0].list(&path(folder), None).err().unwrap().code, "nested-store");
    }
    let secret = path("a/inner/below/secret");
    assert_eq!(world.sources[0].info(&secret, None).unwrap_err().code, "nested-store");
    assert_eq!(world.sources[0].reader().read(&secret, 0, 9).unwrap_err().code, "nested-store");
}

#[test]
fn nothing_is_declared_that_would_make_a_folder_look_like_a_store() {
    let world = World::new(1);
    let mut declarations = world.mirror();
    declarations.contents.push(DeclaredContent {
        targets: world.all(),
        path: path("sub/.syncline/store.json"),
        bytes: b"{}".as_slice().into(),
        stage: 0,
    });
    assert_eq!(world.expand(&declarations).err().unwrap().code, "path");
}
