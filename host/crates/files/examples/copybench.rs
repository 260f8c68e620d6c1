//! Times the crate beside `cp -a` and `rsync -a`: `cargo run --release -p syncline-files --example copybench [FOLDERS [FILES
//! [BYTES [PLACE]]]]`. Needs `cp` and `rsync`; writes below PLACE (`/dev/shm`) and cleans up.

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use syncline_domain::{
    Name, RelPath,
    declaration::{DeclaredPrune, DeclaredTree, FileDeclarations},
    ids::StoreId,
    sync::Compare,
};
use syncline_files::*;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[allow(clippy::print_stdout, reason = "a benchmark tells what it measured")]
fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (folders, files, bytes) = (number(0, 1_000)?, number(1, 100)?, number(2, 5_000)?);
    let place = tempfile::tempdir_in(arguments.get(3).map_or("/dev/shm", String::as_str))?;
    let source = place.path().join("source");
    fill(&source, folders, files, bytes)?;
    let (copied, mirrored) = (place.path().join("cp"), place.path().join("rsync"));
    std::fs::create_dir(&mirrored)?;
    for round in 0..3 {
        let cp = timed(Command::new("cp").arg("-a").arg(&source).arg(&copied))?;
        std::fs::remove_dir_all(&copied)?;
        let target = place.path().join(format!("ours{round}"));
        std::fs::create_dir(&target)?;
        let (ours, count) = sync(&source, &target)?;
        let slash = |path: &Path| format!("{}/", path.display());
        let rsync = |to: &Path| {
            let exclude = "--exclude=/.syncline";
            timed(Command::new("rsync").args(["-a", "--delete", exclude]).args([slash(&source), slash(to)]))
        };
        rsync(&mirrored)?;
        let again = rsync(&mirrored)?;
        let (unchanged, nothing) = sync(&source, &target)?;
        println!(
            "first copy of {count} operations: {ours:?}, cp -a {cp:?}: {:.2}; nothing changed ({nothing}): {unchanged:?}, rsync -a {again:?}: {:.2}",
            ours.as_secs_f64() / cp.as_secs_f64(),
            unchanged.as_secs_f64() / again.as_secs_f64(),
        );
        std::fs::remove_dir_all(&target)?;
    }
    Ok(())
}

fn fill(source: &Path, folders: usize, files: usize, bytes: usize) -> Outcome<()> {
    let mut content = vec![0; bytes];
    for folder in 0..folders {
        let folder = source.join(format!("folder-{folder:05}"));
        std::fs::create_dir_all(&folder)?;
        for file in 0..files {
            if let Some(first) = content.first_mut() {
                *first = u8::try_from(file % 251)?;
            }
            std::fs::write(folder.join(format!("file-{file:06}.bin")), &content)?;
        }
    }
    Ok(())
}

fn timed(command: &mut Command) -> Outcome<Duration> {
    let begun = Instant::now();
    let status = command.status()?;
    if !status.success() {
        return Err(format!("{command:?}: {status}").into());
    }
    Ok(begun.elapsed())
}

/// The whole road but for the plugin: declare, compare, apply with verification.
fn sync(source: &Path, target: &Path) -> Outcome<(Duration, u64)> {
    let open = |called: &str, folder: &Path| -> Outcome<Arc<FolderStore>> {
        let id = FolderStore::adopt(folder, StoreId::new(jiff::Timestamp::UNIX_EPOCH))?;
        Ok(Arc::new(FolderStore::open(called.parse()?, folder, id, FolderOptions::default())?))
    };
    let source =
        Source { name: "library".parse()?, store: open("library", source)?, prefix: RelPath::root() };
    let target = Target { name: "t".parse()?, store: open("t", target)? };
    let targets: std::collections::BTreeSet<Name> = [target.name.clone()].into();
    let tree = DeclaredTree {
        targets: targets.clone(),
        at: RelPath::root(),
        source: source.name.clone(),
        folder: RelPath::root(),
        including: vec![],
        excluding: vec![],
        stage: 0,
    };
    let prune = DeclaredPrune { targets, folder: RelPath::root(), keep: vec![] };
    let declarations =
        FileDeclarations { trees: vec![tree], prunes: vec![prune], ..FileDeclarations::default() };
    let begun = Instant::now();
    let context = Context::new(&Unobserved);
    let intent = expand(&declarations, &[source], &context)?;
    let options = DiffOptions { compare: Compare::Quick, mtime_tolerance_ns: 0, digests: &NoDigests };
    let diffs = diff(&intent, &[target], &options, &context);
    let diffs = diffs.into_iter().map(|(_, diff)| diff).collect::<Result<Vec<_>, _>>()?;
    let count = diffs.iter().map(TargetDiff::len).sum();
    for result in apply(&intent, diffs, &ApplyOptions::default(), &NoDigests, &context) {
        if let Some(failure) = result.failure {
            return Err(failure.into());
        }
    }
    Ok((begun.elapsed(), count))
}
