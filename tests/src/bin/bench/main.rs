//! `make bench`: Syncline beside `cp`, `rsync` and `rclone`, and a sandboxed plugin beside the same code compiled natively, in
//! one run, in turns, several times.
//!
//! Measured is the whole road as an operator takes it: started through the API, plugin in the sandbox, journal, digests and
//! verification on. Every destination is compared with its source by `rsync -anci` afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program for people at a terminal"
)]

mod bed;
mod cases;
mod contacts;
mod dead;
mod directory;
mod figures;
mod fleet;
mod load;
mod sandbox;

use std::path::PathBuf;

use bed::Bed;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut repetitions = 5;
    let mut files = 100_000;
    let mut devices = 10_000;
    let mut people = 100_000;
    let mut only = Vec::new();
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok());
        match argument.as_str() {
            "--repetitions" => repetitions = number().unwrap_or(repetitions),
            "--devices" => devices = number().unwrap_or(devices),
            "--people" => people = number().unwrap_or(people),
            "--files" => files = number().unwrap_or(files),
            case => only.push(case.to_owned()),
        }
    }
    let wanted = |case: &str| only.is_empty() || only.iter().any(|one| one == case);
    println!(
        "# Benchmarks\n\nAs printed by `make bench`. Measured is the whole road as an operator takes it: started through the"
    );
    println!(
        "API, plugin in the sandbox, journal, digests and verification on; every destination is compared with its"
    );
    println!("source afterwards.\n\n{}", figures::machine());
    for (place, folder) in [("tmpfs", PathBuf::from("/dev/shm")), ("disk", std::env::temp_dir())] {
        if !wanted(place) && !only.iter().all(|one| one != "tmpfs" && one != "disk") {
            continue;
        }
        let bed = Bed::new(&folder, repetitions);
        println!("\n## {place} ({repetitions} repetitions, in turns; median seconds, best in brackets)\n");
        if wanted("many") {
            cases::many_files(&bed, files);
        }
        if wanted("fan-out") {
            cases::fan_out(&bed, files / 5, 8);
        }
        if wanted("dead") {
            dead::some_away(&bed, files / 1_000, 200, 20);
        }
        if wanted("large") {
            cases::one_large_file(&bed, 1 << 30);
        }
        if wanted("memory") && place == "tmpfs" {
            cases::memory(&bed, files * 10);
        }
    }
    if wanted("sandbox") {
        sandbox::resolve(repetitions);
    }
    if wanted("directory") {
        directory::import(people, repetitions.min(3));
    }
    if wanted("fleet") {
        fleet::fleet(devices);
    }
    if wanted("contacts") {
        contacts::no_change(repetitions);
    }
}
