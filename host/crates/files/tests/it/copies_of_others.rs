//! Files that somebody else put on a target: what has the right content is not copied again.

use std::{os::unix::fs::MetadataExt, sync::atomic::Ordering};

use syncline_domain::sync::Compare;

use crate::harness::*;

const SIZE: usize = 3_000_000;

/// A library of two files, and a target on which DFS Replication has put both, at times of its own. Their digests are known,
/// as they are from any sync before.
fn replicated() -> World {
    let mut world = World::new(2);
    put(world.library().join("a/large"), vec![7; SIZE]);
    put(world.library().join("small"), "small");
    set_time(world.library().join("a/large"), 1_000_000_000);
    set_time(world.library().join("small"), 1_000_000_001);
    let other = world.targets.pop().unwrap();
    world.sync(&world.mirror()).assert_done();
    world.targets = vec![other];
    for file in ["a/large", "small"] {
        put(world.target(1).join(file), std::fs::read(world.library().join(file)).unwrap());
        set_time(world.target(1).join(file), 1_200_000_000);
    }
    set_mode(world.target(1).join("small"), 0o600);
    world
}

#[test]
fn what_is_there_already_is_known_by_its_digest_and_only_its_times_are_mended() {
    for compare in [Compare::Quick, Compare::Full] {
        let mut world = replicated();
        let (from_library, from_target) = (Counting::library(&mut world), Counting::target(&mut world, 0));
        let there = |world: &World| std::fs::metadata(world.target(1).join("a/large")).unwrap().ino();
        let before = there(&world);
        let diff = world.diff_by(&world.mirror(), compare).remove(0).unwrap();
        let mut lines: Vec<String> = diff.operations().map(|one| line(&one)).collect();
        lines.retain(|line| line.contains("large") || line.contains("small"));
        assert_eq!(lines, ["Touch small", "Touch a/large"], "{compare:?}");
        assert_eq!(diff.bytes(), 0);
        assert_eq!(from_library.load(Ordering::SeqCst), 0, "its digests are known");
        assert_eq!(from_target.load(Ordering::SeqCst), SIZE as u64 + 5, "each byte there is read once");

        let outcome = world.sync(&world.mirror());
        outcome.assert_done();
        assert_eq!((outcome.bytes, outcome.results[0].counts.bytes), (0, 0), "nothing is written");
        assert_eq!(outcome.results[0].counts.updated, 2);
        assert_eq!(from_library.load(Ordering::SeqCst), 0);
        assert_eq!(there(&world), before, "it is the file that was put there");
        assert_same(&world.library(), &world.target(1));
        // From now on a look at the times is enough.
        let read = from_target.load(Ordering::SeqCst);
        assert!(world.planned(&world.mirror()).is_empty());
        assert_eq!(from_target.load(Ordering::SeqCst), read);
    }
}

#[test]
fn what_has_the_right_size_and_another_content_is_copied_whatever_its_time_says() {
    let world = replicated();
    let mut other = vec![7; SIZE];
    other[SIZE - 1] = 8;
    put(world.target(1).join("a/large"), &other);
    set_time(world.target(1).join("a/large"), 1_200_000_000);
    let outcome = world.sync(&world.mirror());
    outcome.assert_done();
    assert_eq!(outcome.bytes, SIZE as u64);
    assert_same(&world.library(), &world.target(1));
}

#[test]
fn a_library_whose_digests_nobody_knows_is_read_once_for_that() {
    let mut world = replicated();
    world.memory = Memory::default();
    let read = Counting::library(&mut world);
    let outcome = world.sync(&world.mirror());
    outcome.assert_done();
    assert_eq!((outcome.bytes, read.load(Ordering::SeqCst)), (0, SIZE as u64 + 5));
}

#[test]
fn what_cannot_be_read_there_is_copied() {
    let mut world = replicated();
    Counting::refuse(&mut world, 0);
    let diff = world.diff(&world.mirror()).remove(0).unwrap();
    assert_eq!(diff.bytes(), SIZE as u64 + 5);
}
