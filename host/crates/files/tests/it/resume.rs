//! Large files go on where an earlier attempt stopped; stopping leaves no half file anywhere.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use syncline_domain::{Failure, FailureKind, operation::OperationState};

use crate::harness::*;

const MIB: usize = 1_024 * 1_024;

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Stops when so many bytes were read from the library.
fn stop_after(read: &Arc<AtomicU64>, bytes: usize) -> Recorder {
    let read = Arc::clone(read);
    Recorder::hooked(move |_| {
        if read.load(Ordering::SeqCst) >= bytes as u64 {
            return Err(Failure::stopped("cancelled", "the run is cancelled"));
        }
        Ok(())
    })
}

#[test]
fn a_large_file_is_read_on_from_where_it_stopped() {
    let mut world = World::new(2);
    let content = noise(20 * MIB + 17);
    put(world.library().join("large"), &content);
    let read = Counting::library(&mut world);
    let outcome = world.sync_with(&world.mirror(), &Default::default(), stop_after(&read, 12 * MIB));
    assert_eq!(outcome.lines(OperationState::Skipped).len(), 4);
    assert_eq!(outcome.results[0].failure.as_ref().unwrap().kind, FailureKind::Stopped);
    assert!(!world.target(0).join("large").exists(), "no half file under its name");
    assert_eq!(temporary_files(&world.target(0)).len(), 1);
    read.store(0, Ordering::SeqCst);
    let outcome = world.sync_with(&world.mirror(), &full(), Recorder::default());
    outcome.assert_done();
    assert_eq!(read.load(Ordering::SeqCst) as usize, 8 * MIB + 17);
    assert_eq!(outcome.bytes as usize, 2 * (8 * MIB + 17));
    assert_eq!(std::fs::read(world.target(1).join("large")).unwrap(), content);
    world.assert_mirrored();
}

#[test]
fn a_large_file_that_the_kernel_copies_goes_on_where_it_stopped_too() {
    let world = World::new(2);
    let content = noise(20 * MIB + 17);
    put(world.library().join("large"), &content);
    let temporary = world.target(1).join(".syncline/tmp");
    let stop = Recorder::hooked(move |_| {
        let files = std::fs::read_dir(&temporary).into_iter().flatten().flatten();
        let written: u64 = files.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
        if written < 12 * MIB as u64 {
            return Ok(());
        }
        Err(Failure::stopped("cancelled", "the run is cancelled"))
    });
    let outcome = world.sync_with(&world.mirror(), &Default::default(), stop);
    assert_eq!(outcome.results[0].failure.as_ref().unwrap().kind, FailureKind::Stopped);
    assert_eq!(temporary_files(&world.target(0)).len(), 1);
    let outcome = world.sync_with(&world.mirror(), &full(), Recorder::default());
    outcome.assert_done();
    assert_eq!(outcome.bytes as usize, 2 * (8 * MIB + 17));
    for number in 0..2 {
        assert!(std::fs::read(world.target(number).join("large")).unwrap() == content);
    }
    world.assert_mirrored();
}

#[test]
fn a_large_file_goes_to_targets_on_other_file_systems_from_the_same_read() {
    let content = noise(12 * MIB + 17);
    for elsewhere in 0..3 {
        let mut world = World::new(3);
        put(world.library().join("large"), &content);
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        world.targets[elsewhere].store = Arc::new(open(&format!("t{elsewhere}"), memory.path()));
        world.sync(&world.mirror()).assert_done();
        for number in 0..3 {
            let folder = if number == elsewhere { memory.path().into() } else { world.target(number) };
            assert!(std::fs::read(folder.join("large")).unwrap() == content, "{elsewhere} {number}");
        }
        // Compared are digests: of what is there, and the one that was made while it was copied.
        for diff in world.diff_by(&world.mirror(), syncline_domain::sync::Compare::Full) {
            assert_eq!(diff.unwrap().len(), 0, "{elsewhere}");
        }
    }
}

#[test]
fn what_was_left_of_another_version_is_not_gone_on_with() {
    let mut world = World::new(1);
    put(world.library().join("large"), noise(16 * MIB));
    let read = Counting::library(&mut world);
    world.sync_with(&world.mirror(), &Default::default(), stop_after(&read, 10 * MIB));
    let mut content = noise(16 * MIB);
    content[0] ^= 1;
    put(world.library().join("large"), &content);
    set_time(world.library().join("large"), 77);
    world.sync_with(&world.mirror(), &full(), Recorder::default()).assert_done();
    assert_eq!(std::fs::read(world.target(0).join("large")).unwrap(), content);
    world.assert_mirrored();
}

#[test]
fn what_was_left_of_a_file_of_another_source_is_not_gone_on_with() {
    let mut world = World::new(1);
    world.add_source("other");
    let (ours, mut theirs) = (noise(16 * MIB), noise(16 * MIB));
    theirs[0] ^= 1;
    for (source, content) in [("library", &ours), ("other", &theirs)] {
        put(world.folder(source).join("large"), content);
        set_time(world.folder(source).join("large"), 77);
    }
    let read = Counting::library(&mut world);
    world.sync_with(&world.mirror(), &Default::default(), stop_after(&read, 10 * MIB));
    let mut from_other = world.mirror();
    from_other.trees[0].source = name("other");
    world.sync_with(&from_other, &full(), Recorder::default()).assert_done();
    assert!(std::fs::read(world.target(0).join("large")).unwrap() == theirs);
}

#[test]
fn what_was_left_of_a_file_that_was_replaced_is_not_gone_on_with() {
    let mut world = World::new(1);
    let mut content = noise(16 * MIB);
    put(world.library().join("large"), &content);
    set_time(world.library().join("large"), 77);
    let read = Counting::library(&mut world);
    world.sync_with(&world.mirror(), &Default::default(), stop_after(&read, 10 * MIB));
    // Size and time are those of the old file.
    content[0] ^= 1;
    put(world.library().join("new"), &content);
    set_time(world.library().join("new"), 77);
    std::fs::rename(world.library().join("new"), world.library().join("large")).unwrap();
    world.sync_with(&world.mirror(), &full(), Recorder::default()).assert_done();
    assert!(std::fs::read(world.target(0).join("large")).unwrap() == content);
    world.assert_mirrored();
}

#[test]
fn stale_temporary_files_go_from_a_target_that_needs_nothing() {
    let world = World::new(1);
    put(world.library().join("file"), "x");
    world.sync(&world.mirror()).assert_done();
    put(world.target(0).join(".syncline/tmp/s-old"), "junk");
    assert!(world.planned(&world.mirror()).is_empty());
    world.sync(&world.mirror()).assert_done();
    world.assert_mirrored();
}

#[test]
fn stale_temporary_files_go() {
    let world = World::new(1);
    put(world.library().join("file"), "x");
    put(world.target(0).join(".syncline/tmp/s-old"), "junk");
    put(world.target(0).join(".syncline/tmp/r-0123"), "junk");
    world.sync(&world.mirror()).assert_done();
    world.assert_mirrored();
}

#[test]
fn stopping_between_files_tells_the_rest_as_skipped_and_a_later_run_ends_it() {
    let world = World::new(2);
    for number in 0..1_000 {
        put(world.library().join(format!("d{}/{number}", number % 7)), noise(100));
    }
    std::fs::create_dir_all(world.target(0).join("stranger")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (seen, set) = (Arc::clone(&stop), Arc::clone(&stop));
    let recorder = Recorder {
        on_finished: Some(Box::new(move |count| set.store(count > 300, Ordering::SeqCst))),
        ..Recorder::hooked(move |_| match seen.load(Ordering::SeqCst) {
            true => Err(Failure::stopped("shutdown", "the host stops")),
            false => Ok(()),
        })
    };
    let outcome = world.sync_with(&world.mirror(), &Default::default(), recorder);
    let (done, skipped) = (outcome.lines(OperationState::Done), outcome.lines(OperationState::Skipped));
    assert!(!done.is_empty() && !skipped.is_empty());
    assert_eq!(outcome.lines(OperationState::Failed), Vec::<String>::new());
    assert!(world.target(0).join("stranger").exists(), "removals come last");
    assert_eq!(temporary_files(&world.target(0)), Vec::<std::path::PathBuf>::new());
    world.sync(&world.mirror()).assert_done();
    world.assert_mirrored();
}
