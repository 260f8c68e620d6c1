//! `soak SECONDS FOLDER`: reads LDAPMessages out of random bytes and out of those in the folder, changed at random, for so long.
//! What is read in a way that no other input was is kept in the folder, and so is what breaks a property: then it ends with
//! a fault. `make soak` runs it.

#![allow(clippy::print_stdout, reason = "a program for people at a terminal")]

mod properties;

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};

/// Inputs stay short: what is to be found lies in the heads of elements.
const LONGEST: usize = 512;
/// Heads and bytes that have meant trouble to somebody.
const ODD: [&[u8]; 14] = [
    &[0x00],
    &[0x7f],
    &[0x80],
    &[0x81],
    &[0x84],
    &[0xff],
    &[0x1f],
    &[0x84, 0x7f, 0xff, 0xff, 0xff],
    &[0x84, 0x80, 0x00, 0x00, 0x00],
    &[0x84, 0xff, 0xff, 0xff, 0xff],
    &[0x83, 0x40, 0x00, 0x00],
    &[0x82, 0x00, 0x01],
    &[0x30, 0x00],
    &[0x30, 0x84, 0x00, 0x00, 0x00, 0x00],
];

struct Soak {
    random: SmallRng,
    inputs: Vec<Vec<u8>>,
    ways: BTreeSet<String>,
    folder: PathBuf,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(seconds), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: soak SECONDS FOLDER".into());
    };
    let (length, folder) = (Duration::from_secs(seconds.parse()?), PathBuf::from(folder));
    let seed = rand::rng().random();
    let mut soak =
        Soak { random: SmallRng::seed_from_u64(seed), inputs: Vec::new(), ways: BTreeSet::new(), folder };
    for entry in fs::read_dir(&soak.folder)? {
        let bytes = fs::read(entry?.path())?;
        soak.ways.extend(properties::hold(&bytes));
        soak.inputs.push(bytes);
    }
    println!("soak: seed {seed}, {} inputs, read in {} ways", soak.inputs.len(), soak.ways.len());
    let began = Instant::now();
    let mut tried = 0_u64;
    let mut slowest = Duration::ZERO;
    while began.elapsed() < length {
        let input = soak.next();
        let at = Instant::now();
        // The message of the panic is on the terminal by then.
        let Ok(ways) = catch_unwind(AssertUnwindSafe(|| properties::hold(&input))) else {
            println!("soak: a property does not hold for {}", soak.keep("broken", &input)?);
            return Ok(ExitCode::FAILURE);
        };
        slowest = slowest.max(at.elapsed());
        tried += 1;
        if !ways.is_subset(&soak.ways) {
            soak.ways.extend(ways);
            soak.keep("found", &input)?;
            soak.inputs.push(input);
        }
    }
    println!(
        "soak: {tried} inputs in {} s, read in {} ways, the slowest in {} us; all properties hold",
        began.elapsed().as_secs(),
        soak.ways.len(),
        slowest.as_micros()
    );
    Ok(ExitCode::SUCCESS)
}

impl Soak {
    fn next(&mut self) -> Vec<u8> {
        let mut input = match self.inputs.choose(&mut self.random) {
            Some(known) if self.random.random_ratio(31, 32) => known.clone(),
            _ => (0..self.random.random_range(0..64)).map(|_| self.random.random()).collect(),
        };
        for _ in 0..self.random.random_range(1..6) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.random.random_range(0..=input.len());
        let to = self.random.random_range(at..=input.len());
        match self.random.random_range(0..7) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..to)),
            2 => {
                let again = input[at..to].to_vec();
                input.splice(at..at, again);
            }
            3 => {
                let odd = ODD.choose(&mut self.random).copied().unwrap_or_default();
                let end = if self.random.random() { at } else { (at + odd.len()).min(input.len()) };
                input.splice(at..end, odd.iter().copied());
            }
            4 => {
                if let Some(other) = self.inputs.choose(&mut self.random) {
                    let from = self.random.random_range(0..=other.len());
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = if self.random.random() { self.random.random() } else { *byte ^ 1 << (at % 8) };
                }
            }
        }
    }

    /// Under a name that says what the input is made of.
    fn keep(&self, what: &str, input: &[u8]) -> Result<String, Box<dyn Error>> {
        // FNV-1a.
        let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let path = self.folder.join(format!("{what}-{hash:016x}"));
        fs::write(&path, input)?;
        Ok(path.display().to_string())
    }
}
