//! Whatever the library is and whatever somebody did to a target: after a sync both are the same, and what was to be kept
//! stands as it was.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use syncline_domain::RelPath;

use crate::harness::*;

#[derive(Debug, Clone)]
enum Thing {
    File(Vec<u8>, u32, u64),
    Folder,
    Link(String),
    Pipe,
}

fn thing() -> impl Strategy<Value = Thing> {
    prop_oneof![
        6 => (proptest::collection::vec(any::<u8>(), 0..40), prop_oneof![Just(0o644), Just(0o600), Just(0o755)], 0..50_u64)
            .prop_map(|(content, mode, time)| Thing::File(content, mode, time)),
        2 => Just(Thing::Folder),
        1 => prop_oneof![Just("/"), Just("a"), Just(".."), Just("nowhere")].prop_map(|to| Thing::Link(to.to_owned())),
        1 => Just(Thing::Pipe),
    ]
}

fn place() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-c]|a\\.b", 1..4).prop_map(|names| names.join("/"))
}

fn things() -> impl Strategy<Value = Vec<(String, Thing)>> {
    proptest::collection::vec((place(), thing()), 0..14)
}

/// Puts a thing, in place of whatever is in its way.
fn make(root: &Path, at: &str, thing: &Thing) {
    let mut here = root.to_owned();
    let names: Vec<&str> = at.split('/').collect();
    for name in &names[..names.len() - 1] {
        here.push(name);
        if !here.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            clear(&here);
            std::fs::create_dir(&here).unwrap();
        }
    }
    here.push(names[names.len() - 1]);
    clear(&here);
    match thing {
        Thing::File(content, mode, time) => {
            std::fs::write(&here, content).unwrap();
            set_mode(&here, *mode);
            set_time(&here, 1_000_000 + time);
        }
        Thing::Folder => std::fs::create_dir(&here).unwrap(),
        Thing::Link(to) => std::os::unix::fs::symlink(to, &here).unwrap(),
        Thing::Pipe => rustix::fs::mkfifoat(rustix::fs::CWD, &here, rustix::fs::Mode::RUSR).unwrap(),
    }
}

fn clear(path: &Path) {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path).unwrap(),
        Ok(_) => std::fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// Links and pipes of the library are passed over: what is to arrive is the rest.
fn without_odd(root: &Path) {
    let odd: Vec<PathBuf> = walk(root)
        .into_iter()
        .filter(|path| !path.symlink_metadata().is_ok_and(|meta| meta.is_dir() || meta.is_file()))
        .collect();
    for path in odd {
        std::fs::remove_file(path).unwrap();
    }
}

fn walk(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                todo.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

/// Everything below a folder with its content, as far as `of` takes the path.
fn state(root: &Path, of: impl Fn(&str) -> bool) -> Vec<(String, Option<Vec<u8>>)> {
    let mut all: Vec<_> = walk(root)
        .into_iter()
        .map(|path| {
            let content = path.symlink_metadata().unwrap().is_file().then(|| std::fs::read(&path).unwrap());
            (path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), content)
        })
        .filter(|(path, _)| of(path))
        .collect();
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mirror_is_a_mirror_whatever_stood_there(library in things(), first in things(), later in things()) {
        let world = World::new(2);
        for (at, thing) in &library {
            make(&world.library(), at, thing);
        }
        for (at, thing) in &first {
            make(&world.target(0), at, thing);
        }
        world.sync(&world.mirror()).assert_done();
        for (at, thing) in &later {
            make(&world.target(1), at, thing);
        }
        world.sync_with(&world.mirror(), &full(), Recorder::default()).assert_done();
        for diff in world.diff(&world.mirror()) {
            let diff = diff.unwrap();
            prop_assert!(diff.is_empty(), "{:?}", diff.operations().collect::<Vec<_>>());
        }
        // Times of folders in the library change with this: it is the last look.
        let times: Vec<_> = walk(&world.library()).into_iter().filter(|path| path.is_dir() && !path.is_symlink())
            .map(|path| (path.clone(), path.metadata().unwrap().modified().unwrap())).collect();
        let root = world.library().metadata().unwrap().modified().unwrap();
        without_odd(&world.library());
        for (path, time) in times.into_iter().chain([(world.library(), root)]) {
            std::fs::File::open(path).unwrap().set_modified(time).unwrap();
        }
        world.assert_mirrored();
    }

    #[test]
    fn pruning_touches_nothing_that_is_kept_or_outside(library in things(), target in things()) {
        let world = World::new(1);
        for (at, thing) in &library {
            make(&world.library(), at, thing);
        }
        for (at, thing) in &target {
            make(&world.target(0), at, thing);
        }
        let mut declarations = world.mirror();
        declarations.trees[0].at = path("a/in");
        declarations.prunes[0].folder = path("a");
        declarations.prunes[0].keep = vec!["b/**".to_owned(), "*.b".to_owned()];
        let kept = |at: &str| {
            let below = at.strip_prefix("a/");
            !at.starts_with(".syncline") && at != "a"
                && below.is_none_or(|below| below.starts_with("b/") || below.ends_with(".b") && !below.contains('/')
                    || below.starts_with("a.b/"))
        };
        let before = state(&world.target(0), kept);
        world.sync(&declarations);
        let after = state(&world.target(0), kept);
        prop_assert_eq!(before, after);
    }

    #[test]
    fn filters_take_what_their_globs_say(library in things(), wanted in "[a-c*?/]{1,5}") {
        let world = World::new(1);
        for (at, thing) in &library {
            make(&world.library(), at, thing);
        }
        let mut declarations = world.mirror();
        declarations.trees[0].including = vec![wanted.clone()];
        declarations.trees[0].excluding = vec!["**/b".to_owned()];
        let Ok(glob) = globset::GlobBuilder::new(&wanted).literal_separator(true).build() else { return Ok(()) };
        let glob = glob.compile_matcher();
        world.sync(&declarations).assert_done();
        let is_file = |root: &Path, at: &str| root.join(at).symlink_metadata().unwrap().is_file();
        let own = |at: &str| !at.starts_with(".syncline");
        let expected: Vec<String> = state(&world.library(), own).into_iter().map(|(at, _)| at)
            .filter(|at| is_file(&world.library(), at) && glob.is_match(at) && RelPath::new(at.as_str()).unwrap().names().last() != Some(b"b"))
            .collect();
        let found: Vec<String> = state(&world.target(0), own).into_iter().map(|(at, _)| at)
            .filter(|at| is_file(&world.target(0), at))
            .collect();
        prop_assert_eq!(expected, found);
    }
}
