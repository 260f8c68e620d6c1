//! Times of several tools, and the table of them.

use std::{collections::BTreeMap, time::Duration};

/// Times of several tools at one job.
#[derive(Debug, Default)]
pub struct Figures {
    times: BTreeMap<String, Vec<Duration>>,
}

impl Figures {
    /// Notes a time.
    pub fn note(&mut self, tool: &str, time: Duration) {
        self.times.entry(tool.to_owned()).or_default().push(time);
    }

    /// The middle one of a tool's times, in seconds.
    pub fn median(&self, tool: &str) -> f64 {
        let mut times = self.times[tool].clone();
        times.sort();
        times[times.len() / 2].as_secs_f64()
    }

    fn best(&self, tool: &str) -> f64 {
        self.times[tool].iter().min().map_or(f64::NAN, Duration::as_secs_f64)
    }

    /// Prints a table, ratios to `peer`, and whether `ours` keeps within `budget` times of it.
    pub fn print(&self, title: &str, ours: &str, peer: &str, budget: f64) {
        println!("### {title}\n\n| tool | median s (best) | of {peer} |\n| --- | --- | --- |");
        let base = self.median(peer);
        for tool in self.times.keys() {
            let median = self.median(tool);
            println!("| {tool} | {median:.3} ({:.3}) | {:.2} |", self.best(tool), median / base);
        }
        let ratio = self.median(ours) / base;
        let verdict = if ratio <= budget { "kept" } else { "MISSED" };
        println!("\nBudget: {ours} at most {budget} of {peer}: {ratio:.2}, {verdict}.\n");
    }
}

/// The middle one.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// What this was measured on.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cpu = value(&read("/proc/cpuinfo"), "model name");
    let memory = value(&read("/proc/meminfo"), "MemTotal");
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("Machine: {cores} cores ({cpu}), {memory} memory, Linux {}", kernel.trim())
}
