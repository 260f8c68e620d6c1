//! What was measured.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use serde_json::json;
use tokio::time::Instant;

/// Counts and times of all devices.
pub struct Figures {
    since: Instant,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    /// Microseconds from a message to its answer.
    answers: Vec<u32>,
    enrolled: u64,
    failures: u64,
    last_failure: String,
    /// By the hash of an offer.
    offers: BTreeMap<Vec<u8>, Offer>,
}

struct Offer {
    first: Instant,
    /// The same, in seconds from the beginning.
    seen: f64,
    devices: BTreeSet<u32>,
    /// When each device was verified, counted from the first sight of the offer.
    verified: Vec<Duration>,
}

impl Figures {
    /// Nothing yet.
    pub fn new(since: Instant) -> Self {
        Self { since, all: Mutex::default() }
    }

    fn with(&self, change: impl FnOnce(&mut All)) {
        // A count is as good after a panic elsewhere as before.
        change(&mut self.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// A message was answered.
    pub fn contact(&self, took: Duration) {
        self.with(|all| all.answers.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX)));
    }

    /// The credential of a device was accepted.
    pub fn enrolled(&self) {
        self.with(|all| all.enrolled += 1);
    }

    /// A connection failed.
    pub fn failed(&self, number: u32, why: &str) {
        self.with(|all| {
            all.failures += 1;
            all.last_failure = format!("device {number}: {why}");
        });
    }

    /// A device was offered documents.
    pub fn offered(&self, hash: &[u8]) {
        self.with(|all| {
            let fresh = || Offer {
                first: Instant::now(),
                seen: self.since.elapsed().as_secs_f64(),
                devices: BTreeSet::new(),
                verified: Vec::new(),
            };
            all.offers.entry(hash.to_vec()).or_insert_with(fresh);
        });
    }

    /// The server took a device's report that documents are in use.
    pub fn verified(&self, hash: &[u8], number: u32) {
        self.with(|all| {
            if let Some(offer) = all.offers.get_mut(hash)
                && offer.devices.insert(number)
            {
                offer.verified.push(offer.first.elapsed());
            }
        });
    }

    /// All of it, for people or programs.
    pub fn render(&self, devices: u32, json: bool) -> String {
        let mut text = String::new();
        self.with(|all| text = all.render(devices, self.since.elapsed(), json));
        text
    }
}

/// The value that so many per cent of the sorted ones do not exceed.
fn percentile<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

impl All {
    fn render(&mut self, devices: u32, took: Duration, json: bool) -> String {
        self.answers.sort_unstable();
        let ms = |percent| f64::from(percentile(&self.answers, percent)) / 1_000.0;
        let rate = self.answers.len() as f64 / took.as_secs_f64().max(0.001);
        let wanted = usize::try_from(devices).unwrap_or(usize::MAX);
        let offers: Vec<_> = self
            .offers
            .iter()
            .map(|(hash, offer)| {
                let at = |percent: usize| {
                    let needed = wanted.saturating_mul(percent).div_ceil(100).max(1);
                    offer.verified.get(needed - 1).map(Duration::as_secs_f64)
                };
                (hex::encode(hash), offer.seen, offer.verified.len(), [at(50), at(99), at(100)])
            })
            .collect();
        if json {
            let offers: Vec<_> = offers.iter().map(|(hash, first, verified, [half, most, every])| {
                json!({"hash": hash, "first_seconds": first, "verified": verified, "seconds_to_50": half, "seconds_to_99": most, "seconds_to_100": every})
            }).collect();
            return json!({
                "devices": devices, "enrolled": self.enrolled, "seconds": took.as_secs_f64(),
                "contacts": self.answers.len(), "contacts_per_second": rate,
                "answer_ms": {"p50": ms(50), "p90": ms(90), "p99": ms(99), "max": ms(100)},
                "failures": self.failures, "last_failure": self.last_failure, "offers": offers,
            })
            .to_string();
        }
        let mut lines = vec![
            format!("devices:    {devices}, {} enrolled", self.enrolled),
            format!("contacts:   {} in {:.1} s, {rate:.1}/s", self.answers.len(), took.as_secs_f64()),
            format!(
                "answers:    50 % {:.1} ms, 90 % {:.1} ms, 99 % {:.1} ms, longest {:.1} ms",
                ms(50),
                ms(90),
                ms(99),
                ms(100)
            ),
            format!("failures:   {} {}", self.failures, self.last_failure).trim_end().to_owned(),
        ];
        for (hash, _, verified, times) in offers {
            let [half, most, every] =
                times.map(|time| time.map_or("-".to_owned(), |time| format!("{time:.2} s")));
            lines.push(format!(
                "offer {}: {verified} verified; 50 % {half}, 99 % {most}, 100 % {every}",
                &hash[..hash.len().min(12)]
            ));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<u32> = (1..=100).collect();
        assert_eq!([1, 50, 99, 100].map(|percent| percentile(&sorted, percent)), [1, 50, 99, 100]);
        assert_eq!((percentile(&[7], 50), percentile::<u32>(&[], 99)), (7, 0));
    }

    #[test]
    fn a_device_counts_once_for_an_offer() {
        let figures = Figures::new(Instant::now());
        figures.offered(&[1]);
        for number in [0, 0, 1] {
            figures.verified(&[1], number);
        }
        figures.contact(Duration::from_millis(2));
        let shown = figures.render(2, true);
        assert!(shown.contains("\"verified\":2") && !shown.contains("\"seconds_to_100\":null"), "{shown}");
        assert!(figures.render(3, false).contains("100 % -"));
    }
}
