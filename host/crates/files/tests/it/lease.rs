//! A run that lost its lease leaves the targets to the run's new owner, at once and as they are.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Once,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use parking_lot::Mutex;
use syncline_domain::{Failure, Name, RelPath};
use syncline_files::{ApplyOptions, Dir, LEASE_LOST, Store};

use crate::harness::*;

/// A world with one of each change to make, on two targets.
fn world() -> World {
    let world = World::new(2);
    for number in 0..3 {
        put(world.library().join(format!("new/{number}")), "new");
    }
    put(world.library().join("old/updated"), "of another size");
    put(world.library().join("old/touched"), "x");
    put(world.library().join("large"), vec![7; 9_000_000]);
    set_time(world.library().join("old/touched"), 77);
    for folder in ["new", "old", ""] {
        set_time(world.library().join(folder), 88);
    }
    for number in 0..2 {
        put(world.target(number).join("old/updated"), "x");
        put(world.target(number).join("old/touched"), "x");
        set_time(world.target(number).join("old/touched"), 77);
        set_mode(world.target(number).join("old/touched"), 0o600);
        put(world.target(number).join("stranger/file"), "x");
    }
    world
}

type State = Vec<(PathBuf, SystemTime, Option<u64>)>;

/// All that stands there, with times, but for scratch files of this very attempt and the time of the folder they are in.
fn state(targets: &[PathBuf]) -> State {
    let mut found = Vec::new();
    let mut todo = targets.to_vec();
    while let Some(path) = todo.pop() {
        let meta = path.symlink_metadata().unwrap();
        let time =
            if path.ends_with(".syncline/tmp") { SystemTime::UNIX_EPOCH } else { meta.modified().unwrap() };
        if meta.is_dir() {
            todo.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let scratch = path.file_name().unwrap().to_str().unwrap().starts_with("s-");
        if !scratch {
            found.push((path, time, meta.is_file().then_some(meta.len())));
        }
    }
    found.sort();
    found
}

/// A file that the run's new owner is writing.
fn of_the_new_owner(target: &Path) -> PathBuf {
    target.join(".syncline/tmp/new-owner")
}

#[test]
fn whenever_the_lease_is_lost_nothing_is_touched_after_that() {
    let mut refused = 0;
    for at in 0.. {
        let world = world();
        let seen: Arc<Mutex<Option<State>>> = Arc::default();
        let targets = [world.target(0), world.target(1)];
        let (looked, noted) = (targets.clone(), Arc::clone(&seen));
        let recorder = Recorder::hooked(move |asked| {
            let mut noted = noted.lock();
            // Before applying begins nothing is touched anyway.
            let began = looked[1].join(".syncline/tmp").exists();
            if noted.is_none() && (asked < at || !began) {
                return Ok(());
            }
            if noted.is_none() {
                put(of_the_new_owner(&looked[0]), "x");
                *noted = Some(state(&looked));
            }
            Err(Failure::stopped(LEASE_LOST, "this node lost its lease on the run"))
        });
        let options = ApplyOptions { threads: 1, ..ApplyOptions::default() };
        world.sync_with(&world.mirror(), &options, recorder);
        let Some(before) = seen.lock().take() else { break };
        assert_eq!(before, state(&targets), "lost at question {at}");
        refused += 1;
    }
    assert!(refused > 30, "{refused}");
}

/// A store where looking and opening, which change nothing, can take so long that anything happens meanwhile.
struct Slow {
    inner: Arc<dyn Store>,
    meanwhile: Arc<dyn Fn() + Send + Sync>,
}

impl Slow {
    fn after<T>(&self, result: T) -> T {
        (self.meanwhile)();
        result
    }
}

impl Store for Slow {
    fn name(&self) -> &Name {
        self.inner.name()
    }
    fn identity(&self) -> Vec<u8> {
        self.inner.identity()
    }
    fn check(&self) -> Result<(), Failure> {
        self.after(self.inner.check())
    }
    fn still_there(&self) -> Result<(), Failure> {
        self.after(self.inner.still_there())
    }
    fn dir(&self, path: &RelPath) -> Result<Box<dyn Dir>, Failure> {
        self.after(self.inner.dir(path))
    }
    fn free_bytes(&self) -> Result<Option<u64>, Failure> {
        self.after(self.inner.free_bytes())
    }
    fn prepare(&self, keep: &HashSet<String>) -> Result<u64, Failure> {
        self.inner.prepare(keep)
    }
    fn admit(&self, bytes: u64, keep_going: &dyn Fn() -> Result<(), Failure>) -> Result<(), Failure> {
        self.inner.admit(bytes, keep_going)
    }
}

#[test]
fn a_lease_that_is_lost_while_a_target_is_opened_counts() {
    let mut refused = 0;
    for at in 0.. {
        let mut world = world();
        let targets = [world.target(0), world.target(1)];
        let opened = AtomicU64::new(0);
        let seen: Arc<Mutex<Option<State>>> = Arc::default();
        let (noted, looked) = (Arc::clone(&seen), targets.clone());
        let meanwhile: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            // Before applying begins nothing is touched anyway.
            let began = looked[1].join(".syncline/tmp").exists();
            if began && opened.fetch_add(1, Ordering::SeqCst) == at {
                put(of_the_new_owner(&looked[0]), "x");
                *noted.lock() = Some(state(&looked));
            }
        });
        for target in &mut world.targets {
            let inner = Arc::clone(&target.store);
            target.store = Arc::new(Slow { inner, meanwhile: Arc::clone(&meanwhile) });
        }
        let lost = Arc::clone(&seen);
        let recorder = Recorder::hooked(move |_| match *lost.lock() {
            Some(_) => Err(Failure::stopped(LEASE_LOST, "this node lost its lease on the run")),
            None => Ok(()),
        });
        let options = ApplyOptions { threads: 1, ..ApplyOptions::default() };
        world.sync_with(&world.mirror(), &options, recorder);
        let Some(before) = seen.lock().take() else { break };
        assert_eq!(before, state(&targets), "lost at opening {at}");
        refused += 1;
    }
    assert!(refused > 30, "{refused}");
}

#[test]
fn a_run_that_is_cancelled_leaves_its_targets_in_order() {
    let world = world();
    let (target, once) = (world.target(0), Once::new());
    let recorder = Recorder::hooked(move |_| {
        if target.join("new/1").exists() {
            once.call_once(|| put(target.join(".syncline/tmp/s-stale"), "x"));
            return Err(Failure::stopped("cancelled", "the run is being cancelled"));
        }
        Ok(())
    });
    let options = ApplyOptions { threads: 1, ..ApplyOptions::default() };
    world.sync_with(&world.mirror(), &options, recorder);
    assert!(temporary_files(&world.target(0)).iter().all(|path| !path.ends_with("s-stale")));
    let time = |folder: PathBuf| folder.metadata().unwrap().modified().unwrap();
    assert_eq!(time(world.target(0).join("new")), time(world.library().join("new")));
}

#[test]
fn a_lease_that_is_lost_after_the_run_was_cancelled_counts() {
    let world = world();
    let target = world.target(0);
    let asked_again = AtomicBool::new(false);
    let recorder = Recorder::hooked(move |_| {
        if !target.join("new/1").exists() {
            return Ok(());
        }
        put(of_the_new_owner(&target), "x");
        let code = if asked_again.swap(true, Ordering::SeqCst) { LEASE_LOST } else { "cancelled" };
        Err(Failure::stopped(code, "the run ends here"))
    });
    let options = ApplyOptions { threads: 1, ..ApplyOptions::default() };
    world.sync_with(&world.mirror(), &options, recorder);
    assert!(of_the_new_owner(&world.target(0)).exists());
}

#[test]
fn the_lease_is_asked_for_between_the_targets_of_one_file() {
    for size in [100, 9_000_000] {
        let world = World::new(3);
        put(world.library().join("file"), vec![1; size]);
        let target = world.target(0);
        let recorder = Recorder::hooked(move |_| match target.join("file").exists() {
            true => Err(Failure::stopped(LEASE_LOST, "this node lost its lease on the run")),
            false => Ok(()),
        });
        world.sync_with(&world.mirror(), &ApplyOptions::default(), recorder);
        let there = |number: usize| world.target(number).join("file").exists();
        assert_eq!([there(0), there(1), there(2)], [true, false, false], "{size} bytes");
    }
}
