//! Many servers of which some are away: the others must be up to date as soon as without those.

use std::{fs, path::PathBuf};

use crate::{
    bed::{Bed, remove},
    cases::fill,
    figures::Figures,
};

/// `servers` registered, `away` of them not mounted, beside the others alone.
pub fn some_away(bed: &Bed, count: usize, servers: usize, away: usize) {
    let library = bed.fresh("library");
    fill(&library, count);
    let (without, with) = ("without those", "with servers that are away");
    let mut figures = Figures::default();
    for turn in 0..bed.repetitions {
        for (tool, first) in [(without, away), (with, 0)] {
            let name = format!("dead{turn}-{first}");
            let targets: Vec<PathBuf> =
                (first..servers).map(|number| bed.fresh(&format!("server{number}"))).collect();
            bed.sync(&name, &library, &targets);
            let gone = away.saturating_sub(first);
            for target in &targets[..gone] {
                // The mount point stands there, empty.
                fs::remove_dir_all(target).unwrap();
                fs::create_dir(target).unwrap();
            }
            let state = if gone > 0 { "partial" } else { "succeeded" };
            let (time, run) = bed.run_to(&name, state);
            assert_eq!(run["counts"]["copied"], (servers - away) * count, "{run:#}");
            figures.note(tool, time);
            bed.forget(&name, targets.len());
            for target in &targets {
                remove(target);
            }
        }
    }
    remove(&library);
    let title = format!("{servers} servers of which {away} are away, {count} files of 5 KB each");
    figures.print(&title, with, without, 1.2);
}
