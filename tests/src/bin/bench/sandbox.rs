//! What a fresh sandbox costs: `resolve` of the built-in plugin `device-policy`, beside the same code compiled natively.

use std::{collections::BTreeMap, path::Path, process::Command};

use syncline_tests::programs;

const REPETITIONS: &str = "20000";
const THREADS: &str = "2";

/// Figures of one number of settings, each the median of all turns.
#[derive(Default)]
struct Turns(BTreeMap<&'static str, Vec<f64>>);

impl Turns {
    fn note(&mut self, what: &'static str, figure: f64) {
        self.0.entry(what).or_default().push(figure);
    }

    fn median(&self, what: &str) -> f64 {
        let mut figures = self.0[what].clone();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }
}

/// Small and large documents, natively and in the sandbox, in turns.
pub fn resolve(repetitions: usize) {
    let package = programs::root().join("target/plugins/device-policy.wasm");
    let sandboxed = programs::root().join("target/release/examples/resolve");
    let native = programs::root().join("target/guests/release/examples/native");
    println!("\n## Sandbox ({repetitions} repetitions, in turns; medians)\n");
    println!("| settings | native us | sandbox us | more us | times | calls/s on 1 thread | on {THREADS} |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut verdicts = Vec::new();
    for settings in ["8", "60"] {
        let mut turns = Turns::default();
        for _ in 0..repetitions {
            turns.note("native", numbers(&native, &[settings, REPETITIONS])[0]);
            let found = numbers(&sandboxed, &[package.to_str().unwrap(), settings, REPETITIONS, THREADS]);
            turns.note("sandbox", found[0]);
            turns.note("both", found[1]);
        }
        let (native, sandbox) = (turns.median("native"), turns.median("sandbox"));
        let (one, both) = (1e6 / sandbox, turns.median("both"));
        let (more, times) = (sandbox - native, sandbox / native);
        println!(
            "| {settings} | {native:.1} | {sandbox:.1} | {more:.1} | {times:.1} | {one:.0} | {both:.0} |"
        );
        let (kept, budget) = match settings {
            "8" => (more <= 20.0, "at most 20 us more for 8 settings"),
            _ => (times <= 5.0, "at most 5 times for 60"),
        };
        verdicts.push(format!("{budget}: {}", verdict(kept)));
        verdicts
            .push(format!("{THREADS} threads faster than one, {settings} settings: {}", verdict(both > one)));
    }
    println!("\nBudgets: {}.\n", verdicts.join("; "));
}

fn verdict(kept: bool) -> &'static str {
    if kept { "kept" } else { "MISSED" }
}

fn numbers(program: &Path, arguments: &[&str]) -> Vec<f64> {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}
