//! Full disks, targets that cannot be written or go away, files that change meanwhile.

use std::{
    path::PathBuf,
    sync::{
        Arc, Once,
        atomic::{AtomicU64, Ordering},
    },
};

use syncline_domain::{FailureKind, operation::OperationState};
use syncline_files::Target;

use crate::harness::*;

/// A world whose target `t0` is a small file system of its own.
fn on_small(options: &str) -> (World, Mounted) {
    let mut world = World::new(2);
    let mounted = Mounted::new(world.folder("small"), options);
    world.targets[0] = Target { name: name("t0"), store: Arc::new(open("t0", &mounted.0)) };
    (world, mounted)
}

#[test]
fn a_disk_that_is_too_small_is_refused_before_anything_is_written() {
    let (world, small) = on_small("size=1m");
    for number in 0..20 {
        put(world.library().join(format!("f{number}")), vec![1; 100_000]);
    }
    let outcome = world.sync(&world.mirror());
    let failure = outcome.results[0].failure.as_ref().unwrap();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Limit, "no-space"));
    assert!(failure.message.contains("2000000"), "{failure}");
    assert_eq!(std::fs::read_dir(&small.0).unwrap().count(), 1, "only the mark");
    assert_eq!((outcome.results[1].failure.as_ref(), outcome.results[1].counts.copied), (None, 20));
}

#[test]
fn a_disk_that_fills_up_in_mid_run_ends_that_target_alone() {
    let (world, small) = on_small("size=4m");
    for number in 0..20 {
        put(world.library().join(format!("f{number:02}")), vec![1; 100_000]);
    }
    put(small.0.join("stranger"), "x");
    let (full, once) = (small.0.join("filler"), Once::new());
    let recorder = Recorder {
        on_finished: None,
        ..Recorder::hooked(move |asked| {
            if asked > 12 {
                once.call_once(|| std::fs::write(&full, vec![1; 3_300_000]).unwrap_or(()));
            }
            Ok(())
        })
    };
    let outcome = world.sync_with(&world.mirror(), &Default::default(), recorder);
    let failure = outcome.results[0].failure.as_ref().unwrap();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Limit, "no-space"));
    assert!(small.0.join("stranger").exists());
    assert_eq!(temporary_files(&small.0), Vec::<PathBuf>::new());
    for file in std::fs::read_dir(&small.0).unwrap().map(|entry| entry.unwrap()) {
        if file.file_name().to_str().unwrap().starts_with('f') && file.file_name() != "filler" {
            assert_eq!(file.metadata().unwrap().len(), 100_000, "{file:?}");
        }
    }
    assert_eq!(outcome.results[1].counts.copied, 20);
    std::fs::remove_file(small.0.join("filler")).unwrap();
    world.sync(&world.mirror()).assert_done();
    assert_same(&world.library(), &small.0);
}

#[test]
fn a_read_only_target_says_so() {
    let (world, small) = on_small("size=4m");
    put(world.library().join("file"), "x");
    run(std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(&small.0));
    let outcome = world.sync(&world.mirror());
    let failure = outcome.results[0].failure.as_ref().unwrap();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Denied, "read-only"));
    assert!(failure.message.contains("t0"), "{failure}");
    assert_eq!(outcome.results[1].counts.copied, 1);
}

#[test]
fn a_target_that_goes_away_in_mid_run_is_not_made_anew() {
    let world = World::new(2);
    for number in 0..2_000 {
        put(world.library().join(format!("d{}/{number}", number % 9)), "x");
    }
    let (root, away, once) = (world.target(0), world.folder("away"), Once::new());
    let recorder = Recorder {
        on_finished: Some(Box::new(move |count| {
            if count > 500 {
                once.call_once(|| std::fs::rename(&root, &away).unwrap());
            }
        })),
        ..Recorder::default()
    };
    let outcome = world.sync_with(&world.mirror(), &Default::default(), recorder);
    let failure = outcome.results[0].failure.as_ref().unwrap();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Unavailable, "vanished"));
    assert!(!world.target(0).exists(), "nothing is made where it was");
    assert!(outcome.lines(OperationState::Skipped).len() > 100);
    assert_eq!(outcome.results[1].counts.copied, 2_000);
    // It comes back, and the next run ends the work.
    std::fs::rename(world.folder("away"), world.target(0)).unwrap();
    world.sync(&world.mirror()).assert_done();
    world.assert_mirrored();
}

#[test]
fn a_file_that_changes_while_it_is_copied_is_copied_again() {
    for (size, growth) in [(100, 1), (100, 5_000), (9_000_000, 1), (9_000_000, 3_000_000), (100, 9_000_000)] {
        let world = World::new(1);
        let file = world.library().join("file");
        put(&file, vec![1; size]);
        let (changing, times) = (file.clone(), AtomicU64::new(0));
        let expanded = std::sync::atomic::AtomicBool::new(false);
        let target = world.target(0);
        // Twice, after the source was walked: on the second and third question of copying.
        let recorder = Recorder::hooked(move |_| {
            expanded.store(
                expanded.load(Ordering::SeqCst) || target.join(".syncline/tmp").exists(),
                Ordering::SeqCst,
            );
            if expanded.load(Ordering::SeqCst) && times.fetch_add(1, Ordering::SeqCst) < 2 {
                let time = times.load(Ordering::SeqCst);
                std::fs::write(&changing, vec![2; size + growth * usize::try_from(time).unwrap()]).unwrap();
            }
            Ok(())
        });
        world.sync_with(&world.mirror(), &full(), recorder).assert_done();
        assert_same(&world.library(), &world.target(0));
        assert_eq!(std::fs::read(world.target(0).join("file")).unwrap(), vec![2; size + 2 * growth]);
    }
}

#[test]
fn a_file_that_grew_once_since_the_source_was_walked_is_copied_as_it_is_now() {
    for growth in [1, 2, 70_000] {
        let world = World::new(1);
        let file = world.library().join("file");
        put(&file, vec![1; 100]);
        let (changing, once, target) = (file.clone(), Once::new(), world.target(0));
        let recorder = Recorder::hooked(move |_| {
            if target.join(".syncline/tmp").exists() {
                once.call_once(|| std::fs::write(&changing, vec![2; 100 + growth]).unwrap());
            }
            Ok(())
        });
        world.sync_with(&world.mirror(), &full(), recorder).assert_done();
        assert_eq!(std::fs::read(world.target(0).join("file")).unwrap(), vec![2; 100 + growth]);
        assert_same(&world.library(), &world.target(0));
    }
}

#[test]
fn a_file_that_never_rests_fails_and_the_others_do_not() {
    let world = World::new(1);
    let file = world.library().join("log");
    put(&file, "x");
    put(world.library().join("other"), "y");
    let target = world.target(0);
    let count = AtomicU64::new(0);
    let recorder = Recorder::hooked(move |_| {
        if target.join(".syncline/tmp").exists() {
            let length = usize::try_from(count.fetch_add(1, Ordering::SeqCst)).unwrap();
            std::fs::write(&file, vec![1; length + 2]).unwrap();
        }
        Ok(())
    });
    let outcome = world.sync_with(&world.mirror(), &Default::default(), recorder);
    let failure = outcome.failure("log");
    assert_eq!(failure.kind, FailureKind::Changed);
    assert!(failure.message.contains("log"), "{failure}");
    assert!(!world.target(0).join("log").exists());
    assert!(world.target(0).join("other").exists());
    assert_eq!(outcome.results[0].failure, None);
}

#[test]
fn what_somebody_writes_over_a_copy_is_noticed() {
    let world = World::new(1);
    for number in 0..10 {
        put(world.library().join(format!("f{number}")), "good");
    }
    let target = world.target(0);
    let recorder = Recorder::hooked(move |_| {
        if target.join("f3").exists() {
            std::fs::write(target.join("f3"), "evil!").unwrap();
        }
        Ok(())
    });
    let outcome = world.sync_with(&world.mirror(), &Default::default(), recorder);
    assert_eq!(outcome.failure("f3").code, "verify");
    assert_eq!(outcome.results[0].counts.failed, 1 + outcome.lines(OperationState::Skipped).len() as u64);
}
