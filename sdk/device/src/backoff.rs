//! How long to stay away from a server that cannot be reached.

use std::time::Duration;

/// The first wait, at most.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(300);

/// Waits that double, each drawn anew from nothing to its length: devices that lost a server together come back apart.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The server answered.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait. `share` is drawn from 0 to 1. What the server asked for is the least, and spread likewise.
    pub fn next(&mut self, share: f64, asked: Option<Duration>) -> Duration {
        let most = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let share = share.clamp(0.0, 1.0);
        match asked {
            Some(asked) => asked + asked.min(LONGEST).mul_f64(share / 2.0),
            None => most.mul_f64(share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..11).map(|_| backoff.next(1.0, None).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        backoff.reset();
        assert_eq!(backoff.next(0.5, None), Duration::from_millis(500));
    }

    #[test]
    fn what_the_server_asks_for_is_the_least() {
        let asked = Duration::from_secs(30);
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(0.0, Some(asked)), asked);
        assert_eq!(backoff.next(1.0, Some(asked)), Duration::from_secs(45));
    }
}
