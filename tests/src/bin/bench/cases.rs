//! What is measured. Each case prints its table.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use syncline_tests::tree::assert_same;

use crate::{
    bed::{Bed, command, own_clock, remove},
    figures::Figures,
};

const OURS: &str = "syncline";

/// `count` files of 5 KB in folders of a hundred.
pub fn fill(folder: &Path, count: usize) {
    let bytes: Vec<u8> = (0..5_000_u32 + 256).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    for number in 0..count {
        let below = folder.join(format!("d{:05}", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&below).unwrap();
        }
        let from = number % 256;
        fs::write(below.join(format!("file{number:07}.bin")), &bytes[from..from + 5_000]).unwrap();
    }
}

fn slash(path: &Path) -> PathBuf {
    path.join("")
}

fn rclone(from: &Path, to: &Path) -> Duration {
    command("rclone", &["sync", "--quiet", "--metadata", "--transfers", "8", "--checkers", "8"], &[from, to])
}

/// A first sync of many small files, and one where nothing changed.
pub fn many_files(bed: &Bed, count: usize) {
    let library = bed.fresh("library");
    fill(&library, count);
    let mut first = Figures::default();
    let mut again = Figures::default();
    for turn in 0..bed.repetitions {
        let name = format!("many{turn}");
        let ours = bed.fresh("ours");
        bed.sync(&name, &library, std::slice::from_ref(&ours));
        first.note(OURS, bed.run(&name).0);
        assert_same(&library, &ours);
        let (wall, run) = bed.run(&name);
        again.note(OURS, own_clock(&run));
        again.note("syncline, with request and polling", wall);
        bed.forget(&name, 1);
        remove(&ours);

        let copy = bed.path("copy");
        first.note("cp -a", command("cp", &["-a"], &[&library, &copy]));
        remove(&copy);

        let rsynced = bed.path("rsynced");
        let both = [slash(&library), slash(&rsynced)];
        first.note("rsync -a", command("rsync", &["-a"], &[&both[0], &both[1]]));
        again.note("rsync -a", command("rsync", &["-a"], &[&both[0], &both[1]]));
        remove(&rsynced);

        let rcloned = bed.path("rcloned");
        first.note("rclone sync", rclone(&library, &rcloned));
        again.note("rclone sync", rclone(&library, &rcloned));
        remove(&rcloned);
    }
    remove(&library);
    first.print(&format!("First sync of {count} files of 5 KB"), OURS, "cp -a", 0.8);
    again.print(
        &format!("Sync of {count} unchanged files (syncline: the run's own clock)"),
        OURS,
        "rsync -a",
        0.5,
    );
}

/// A first sync to several servers, against rsyncs side by side.
pub fn fan_out(bed: &Bed, count: usize, servers: usize) {
    let library = bed.fresh("library");
    fill(&library, count);
    let mut figures = Figures::default();
    for turn in 0..bed.repetitions {
        let name = format!("fan{turn}");
        let targets: Vec<PathBuf> = (0..servers).map(|number| bed.fresh(&format!("ours{number}"))).collect();
        bed.sync(&name, &library, &targets);
        figures.note(OURS, bed.run(&name).0);
        for target in &targets {
            assert_same(&library, target);
        }
        bed.forget(&name, servers);
        targets.iter().for_each(|target| remove(target));
        for side_by_side in [1, 2, 8] {
            figures.note(
                &format!("{side_by_side} rsync -a side by side"),
                rsyncs(bed, &library, servers, side_by_side),
            );
        }
    }
    remove(&library);
    let peers = [1, 2, 8].map(|number| format!("{number} rsync -a side by side"));
    let best = peers.iter().min_by(|a, b| figures.median(a).total_cmp(&figures.median(b))).unwrap();
    figures.print(&format!("First sync of {count} files of 5 KB to {servers} servers"), OURS, best, 0.6);
}

fn rsyncs(bed: &Bed, library: &Path, servers: usize, side_by_side: usize) -> Duration {
    let targets: Vec<PathBuf> = (0..servers).map(|number| bed.path(&format!("rsynced{number}"))).collect();
    let begun = Instant::now();
    for group in targets.chunks(side_by_side) {
        std::thread::scope(|scope| {
            for target in group {
                scope.spawn(|| command("rsync", &["-a"], &[&slash(library), &slash(target)]));
            }
        });
    }
    let time = begun.elapsed();
    targets.iter().for_each(|target| remove(target));
    time
}

/// One large file.
pub fn one_large_file(bed: &Bed, size: usize) {
    let library = bed.fresh("library");
    let block: Vec<u8> = (0..1_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut file = fs::File::create(library.join("large.bin")).unwrap();
    for _ in 0..size >> 20 {
        file.write_all(&block).unwrap();
    }
    drop(file);
    let mut figures = Figures::default();
    for turn in 0..bed.repetitions {
        let name = format!("large{turn}");
        let ours = bed.fresh("ours");
        bed.sync(&name, &library, std::slice::from_ref(&ours));
        figures.note(OURS, bed.run(&name).0);
        bed.forget(&name, 1);
        remove(&ours);
        let copy = bed.fresh("copy");
        figures.note(
            "cp",
            command("cp", &["--reflink=auto"], &[&library.join("large.bin"), &copy.join("large.bin")]),
        );
        remove(&copy);
        let rsynced = bed.fresh("rsynced");
        figures.note("rsync -a", command("rsync", &["-a"], &[&slash(&library), &slash(&rsynced)]));
        remove(&rsynced);
    }
    remove(&library);
    figures.print(&format!("One file of {} MiB", size >> 20), OURS, "cp", 1.2);
}

/// Memory for a first sync of very many files.
pub fn memory(bed: &Bed, count: usize) {
    let library = bed.fresh("library");
    for number in 0..count {
        let below = library.join(format!("d{:05}", number / 1_000));
        if number % 1_000 == 0 {
            fs::create_dir_all(&below).unwrap();
        }
        fs::File::create(below.join(format!("file{number:07}.bin"))).unwrap();
    }
    let ours = bed.fresh("ours");
    bed.sync("memory", &library, std::slice::from_ref(&ours));
    let before = bed.peak_memory();
    let (time, _) = bed.run("memory");
    let grown = bed.peak_memory().saturating_sub(before);
    bed.forget("memory", 1);
    let each = grown / count as u64;
    let verdict = if each <= 200 { "kept" } else { "MISSED" };
    println!("### Memory of the server at {count} files\n");
    println!("First sync in {:.1} s; the server's peak grew by {} MiB.", time.as_secs_f64(), grown >> 20);
    println!("\nBudget: at most 200 bytes a file: {each}, {verdict}.\n");
    remove(&library);
    remove(&ours);
}
