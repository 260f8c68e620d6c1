//! Links and other traps on the target, and in the library.

use std::{os::unix::fs::symlink, os::unix::net::UnixListener};

use syncline_domain::{RelPath, operation::OperationState};

use crate::harness::*;

#[test]
fn a_link_in_place_of_a_folder_is_never_followed() {
    let world = World::new(1);
    put(world.library().join("a/b/file"), "x");
    put(world.library().join("c"), "c");
    let outside = world.folder("outside");
    put(outside.join("b/precious"), "precious");
    symlink(&outside, world.target(0).join("a")).unwrap();
    // Both were made within one tick of the clock, as a rule.
    set_time(world.library(), 77);
    let mut declarations = world.mirror();
    declarations.prunes.clear();
    let outcome = world.sync(&declarations);
    assert_eq!(
        outcome.lines(OperationState::Failed),
        ["Copy a/b/file", "CreateFolder a", "CreateFolder a/b"]
    );
    assert!(outcome.failure("a/b/file").message.contains("symbolic link"), "{}", outcome.failure("a/b/file"));
    assert_eq!(outcome.lines(OperationState::Done).last().unwrap(), "Touch ");
    assert!(world.target(0).join("c").exists(), "the rest of the stage goes on");
    // Where pruning is allowed the link goes as a link, and what it led to stays.
    world.sync(&world.mirror()).assert_done();
    world.assert_mirrored();
    assert_eq!(std::fs::read(outside.join("b/precious")).unwrap(), b"precious");
    assert_eq!(std::fs::read_dir(outside.join("b")).unwrap().count(), 1);
}

#[test]
fn a_folder_that_becomes_a_link_in_mid_run_leads_nowhere() {
    let world = World::new(1);
    for number in 0..2_000 {
        put(world.library().join(format!("a/{number}")), "x");
    }
    let outside = world.folder("outside");
    std::fs::create_dir(&outside).unwrap();
    let (target, aside) = (world.target(0), world.folder("aside"));
    let once = std::sync::Once::new();
    let to = outside.clone();
    let recorder = Recorder {
        on_finished: Some(Box::new(move |count| {
            if count > 200 && target.join("a/1").exists() {
                once.call_once(|| {
                    std::fs::rename(target.join("a"), &aside).unwrap();
                    symlink(&to, target.join("a")).unwrap();
                });
            }
        })),
        ..Recorder::default()
    };
    let outcome = world.sync_with(&world.mirror(), &Default::default(), recorder);
    assert!(outcome.results[0].counts.failed > 0);
    assert_eq!(std::fs::read_dir(outside).unwrap().count(), 0);
}

#[test]
fn a_link_or_pipe_in_place_of_a_file_is_replaced() {
    let world = World::new(1);
    put(world.library().join("a"), "a");
    put(world.library().join("b"), "b");
    put(world.folder("outside"), "precious");
    symlink(world.folder("outside"), world.target(0).join("a")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, world.target(0).join("b"), rustix::fs::Mode::RUSR).unwrap();
    let mut declarations = world.mirror();
    declarations.prunes.clear();
    assert_eq!(world.planned(&declarations)[..2], ["Update a", "Update b"]);
    world.sync(&declarations).assert_done();
    world.assert_mirrored();
    assert_eq!(std::fs::read(world.folder("outside")).unwrap(), b"precious");
}

#[test]
fn a_folder_in_place_of_a_file_goes_only_where_pruning_covers_it() {
    let world = World::new(1);
    put(world.library().join("a"), "a");
    put(world.target(0).join("a/b/c"), "c");
    let mut careful = world.mirror();
    careful.prunes.clear();
    let outcome = world.sync(&careful);
    assert!(outcome.failure("a").message.contains("folder"), "{}", outcome.failure("a"));
    careful = world.mirror();
    careful.prunes[0].keep = vec!["a/b/*".to_owned()];
    assert_eq!(world.sync(&careful).results[0].counts.failed, 1);
    assert!(world.target(0).join("a/b/c").exists());
    world.sync(&world.mirror()).assert_done();
    world.assert_mirrored();
    std::fs::remove_file(world.target(0).join("a")).unwrap();
    std::fs::create_dir(world.target(0).join("a")).unwrap();
    careful.prunes.clear();
    world.sync(&careful).assert_done();
    assert!(world.target(0).join("a").is_file(), "an empty one is in nobody's way");
}

#[test]
fn links_and_special_files_of_the_library_are_passed_over_and_told() {
    let world = World::new(2);
    put(world.library().join("a/file"), "x");
    put(world.folder("outside/secret"), "secret");
    symlink(world.folder("outside"), world.library().join("a/folder link")).unwrap();
    symlink(world.folder("outside/secret"), world.library().join("a/file link")).unwrap();
    let _socket = UnixListener::bind(world.library().join("a/socket")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, world.library().join("pipe"), rustix::fs::Mode::RUSR).unwrap();
    let outcome = world.sync(&world.mirror());
    outcome.assert_done();
    let mut told = outcome.passed_over.clone();
    told.sort();
    assert_eq!(
        told,
        [
            "library a/file link symbolic link",
            "library a/folder link symbolic link",
            "library a/socket special file",
            "library pipe special file",
        ]
    );
    assert_eq!(outcome.results[1].counts.passed_over, 4);
    assert_eq!(std::fs::read_dir(world.target(0).join("a")).unwrap().count(), 1);
}

#[test]
fn the_stores_own_folder_is_never_copied_nor_removed() {
    let world = World::new(1);
    put(world.library().join(".syncline/junk"), "x");
    put(world.target(0).join(".syncline/own"), "own");
    world.sync(&world.mirror()).assert_done();
    assert!(!world.target(0).join(".syncline/junk").exists());
    assert!(world.target(0).join(".syncline/own").exists());
    let listed = world.sources[0].list(&RelPath::root(), None).unwrap().next(10).unwrap();
    assert_eq!(listed, []);
    // A file of that name is a file as any other, but for a root.
    put(world.library().join("sub/.syncline"), "x");
    let mut lifted = world.mirror();
    lifted.trees[0].folder = path("sub");
    assert!(world.planned(&lifted).iter().all(|line| line == "Touch "));
    world.sync(&world.mirror()).assert_done();
    assert!(world.target(0).join("sub/.syncline").exists());
    std::fs::remove_file(world.library().join("sub/.syncline")).unwrap();
    world.sync(&world.mirror()).assert_done();
    world.assert_mirrored();
}

#[test]
fn mounted_file_systems_below_a_target_are_not_entered() {
    require_root();
    let world = World::new(1);
    put(world.library().join("declared/file"), "x");
    let mounted = Mounted::new(world.target(0).join("stranger"), "size=1m");
    put(mounted.0.join("precious"), "precious");
    let declared = Mounted::new(world.target(0).join("declared"), "size=1m");
    let outcome = world.sync(&world.mirror());
    assert_eq!(outcome.failure("stranger").code, "mount-point");
    assert_eq!(outcome.failure("declared/file").code, "mount-point");
    assert!(mounted.0.join("precious").exists());
    assert_eq!(std::fs::read_dir(&declared.0).unwrap().count(), 0);
}
