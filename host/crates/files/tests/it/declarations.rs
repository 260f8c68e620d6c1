//! How declarations count together.

use std::sync::Arc;

use syncline_domain::declaration::*;

use crate::harness::*;

fn file(world: &World, at: &str, source: &str) -> DeclaredFiles {
    let file =
        DeclaredFile { path: path(at), source: name("library"), source_path: path(source), digest: None };
    DeclaredFiles { targets: world.all(), files: vec![file], stage: 0 }
}

fn content(world: &World, at: &str, bytes: &[u8]) -> DeclaredContent {
    DeclaredContent { targets: world.all(), path: path(at), bytes: Arc::from(bytes), stage: 0 }
}

fn library(targets: usize) -> World {
    let world = World::new(targets);
    put(world.library().join("a/one"), "one");
    put(world.library().join("a/two"), "two");
    put(world.library().join("b/one"), "other");
    world
}

#[track_caller]
fn conflict(world: &World, declarations: &FileDeclarations, says: &[&str]) {
    let failure = world.expand(declarations).err().expect("a conflict");
    assert_eq!(failure.code, "conflict", "{failure}");
    for word in says {
        assert!(failure.message.contains(word), "{word} is not in: {failure}");
    }
}

#[test]
fn a_single_file_or_content_takes_the_place_of_what_a_tree_has() {
    let world = library(1);
    let mut declarations = world.mirror();
    declarations.files.push(file(&world, "a/one", "b/one"));
    declarations.contents.push(content(&world, "a/two", b"made"));
    world.sync(&declarations).assert_done();
    assert_eq!(std::fs::read(world.target(0).join("a/one")).unwrap(), b"other");
    assert_eq!(std::fs::read(world.target(0).join("a/two")).unwrap(), b"made");
    assert!(world.planned(&declarations).is_empty());
}

#[test]
fn other_differences_at_one_path_are_a_conflict_that_names_both() {
    let world = library(1);
    let trees = |one: (&str, &str), other: (&str, &str)| FileDeclarations {
        trees: vec![world.tree(one.0, one.1, 0), world.tree(other.0, other.1, 0)],
        ..FileDeclarations::default()
    };
    conflict(&world, &trees(("a", "x"), ("b", "x")), &["x/one", "a/one", "b/one", "library"]);
    let mut singles = FileDeclarations::default();
    singles.files.push(file(&world, "x", "a/one"));
    singles.files.push(file(&world, "x", "a/two"));
    conflict(&world, &singles, &["\"x\"", "a/one", "a/two"]);
    singles.files.truncate(1);
    singles.contents.push(content(&world, "x", b"made"));
    conflict(&world, &singles, &["made by the plugin"]);
    // A file where another needs a folder.
    singles.contents[0].path = path("x/below");
    conflict(&world, &singles, &["folder"]);
    let mut in_tree = world.mirror();
    in_tree.contents.push(content(&world, "a", b"made"));
    conflict(&world, &in_tree, &["folder"]);
}

#[test]
fn the_same_twice_is_one_and_two_targets_never_conflict() {
    let world = library(2);
    let mut declarations = world.mirror();
    declarations.trees.push(world.tree("", "", 0));
    declarations.trees.push(world.tree("a", "a", 3));
    declarations.files.push(file(&world, "a/one", "a/one"));
    declarations.files.push(file(&world, "a/one", "a/one"));
    declarations.contents.push(content(&world, "c", b"same"));
    declarations.contents.push(content(&world, "c", b"same"));
    world.sync(&declarations).assert_done();
    let mut apart = FileDeclarations::default();
    for (target, bytes) in [("t0", b"for t0"), ("t1", b"for t1")] {
        let one = DeclaredContent { targets: [name(target)].into(), ..content(&world, "own", bytes) };
        apart.contents.push(one);
    }
    world.sync(&apart).assert_done();
    assert_eq!(std::fs::read(world.target(1).join("own")).unwrap(), b"for t1");
}

#[test]
fn trees_share_folders_whose_newest_time_counts() {
    let world = library(1);
    put(world.library().join("b/deep/x"), "x");
    put(world.library().join("a/deep/y"), "y");
    std::fs::remove_file(world.library().join("b/one")).unwrap();
    set_time(world.library().join("a/deep"), 2_000_000_000);
    set_time(world.library().join("b/deep"), 1_000_000_000);
    let both = |first: &str, second: &str| FileDeclarations {
        trees: vec![world.tree(first, "x", 0), world.tree(second, "x", 0)],
        ..FileDeclarations::default()
    };
    world.sync(&both("a", "b")).assert_done();
    let time = |folder: &str| std::fs::metadata(world.folder(folder)).unwrap().modified().unwrap();
    assert_eq!(time("t0/x/deep"), time("library/a/deep"));
    assert!(world.planned(&both("b", "a")).is_empty(), "their order does not matter");
}

#[test]
fn excluded_folders_are_not_entered_and_unneeded_ones_not_made() {
    let world = library(1);
    put(world.library().join("secret/deep/x"), "x");
    std::fs::create_dir(world.library().join("hollow")).unwrap();
    let mut declarations =
        FileDeclarations { trees: vec![world.tree("", "", 0)], ..FileDeclarations::default() };
    declarations.trees[0].excluding = vec!["secret/**".to_owned()];
    assert_eq!(
        world.planned(&declarations)[1..]
            .iter()
            .filter(|line| line.starts_with("Create"))
            .collect::<Vec<_>>(),
        ["CreateFolder b", "CreateFolder hollow"]
    );
    declarations.trees[0].including = vec!["**/two".to_owned()];
    world.sync(&declarations).assert_done();
    let mut names: Vec<_> =
        std::fs::read_dir(world.target(0)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".syncline", "a"]);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_read() {
    let world = library(1);
    let code = |declarations: &FileDeclarations| world.expand(declarations).err().expect("a refusal").code;
    let mut one = world.mirror();
    one.trees[0].at = path(".syncline/x");
    assert_eq!(code(&one), "path");
    let mut one = world.mirror();
    one.trees[0].including = vec!["[".to_owned()];
    assert_eq!(code(&one), "pattern");
    let mut one = world.mirror();
    one.trees[0].targets.clear();
    assert_eq!(code(&one), "targets");
    let mut one = world.mirror();
    one.trees[0].stage = 16;
    assert_eq!(code(&one), "stage");
    let mut one = world.mirror();
    one.trees[0].source = name("stranger");
    assert_eq!(code(&one), "source");
    let mut one = world.mirror();
    one.trees[0].folder = path("nowhere");
    assert_eq!(code(&one), "not-found");
    let mut one = world.mirror();
    one.files.push(file(&world, "x", "a/nowhere"));
    assert_eq!(code(&one), "not-found");
    let mut one = world.mirror();
    one.files.push(file(&world, "x", "a"));
    assert_eq!(code(&one), "not-a-file");
}

#[test]
fn only_the_declared_content_will_do() {
    let world = library(1);
    let mut declarations =
        FileDeclarations { files: vec![file(&world, "x", "a/one")], ..FileDeclarations::default() };
    declarations.files[0].files[0].digest = Some(*blake3::hash(b"one").as_bytes());
    world.sync(&declarations).assert_done();
    declarations.files[0].files[0].digest = Some(*blake3::hash(b"two").as_bytes());
    // The file that stands there is what the source has, and not what is wanted.
    let outcome = world.sync(&declarations);
    assert_eq!(outcome.failure("x").code, "digest");
    std::fs::remove_file(world.target(0).join("x")).unwrap();
    let outcome = world.sync(&declarations);
    assert_eq!(outcome.failure("x").code, "digest");
    assert!(!world.target(0).join("x").exists());
    assert_eq!(outcome.results[0].counts.failed, 1);
}

#[test]
fn nothing_declared_changes_nothing() {
    let world = library(1);
    put(world.target(0).join("stranger"), "x");
    let none = FileDeclarations::default();
    assert!(world.planned(&none).is_empty());
    let mut only_prune = world.mirror();
    only_prune.trees.clear();
    only_prune.prunes[0].folder = path("below");
    put(world.target(0).join("below/x/y"), "y");
    assert_eq!(world.planned(&only_prune), ["Remove below/x/y", "RemoveFolder below/x"]);
    world.sync(&only_prune).assert_done();
    assert!(world.target(0).join("below").exists() && world.target(0).join("stranger").exists());
}
