//! A limit on bytes a second.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use syncline_domain::Failure;

/// Lets at most so many bytes a second pass, over all threads, with at most a tenth of a second's worth at once.
pub(crate) struct Rate {
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
    piece: u32,
}

impl Rate {
    /// Longest sleep before `keep_going` is asked again.
    const PATIENCE: Duration = Duration::from_millis(100);

    /// `bytes_per_second` is at least 1; more than 4 GiB count as that.
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        let most =
            NonZeroU32::new(u32::try_from(bytes_per_second).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
        let piece = NonZeroU32::new(most.get() / 10).unwrap_or(NonZeroU32::MIN);
        let limiter = RateLimiter::direct(Quota::per_second(most).allow_burst(piece));
        Self { limiter, clock: DefaultClock::default(), piece: piece.get() }
    }

    /// Waits until `bytes` may pass.
    pub(crate) fn admit(
        &self,
        bytes: u64,
        keep_going: &dyn Fn() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut left = bytes;
        while left > 0 {
            let piece = u32::try_from(left).unwrap_or(u32::MAX).min(self.piece);
            let Some(cells) = NonZeroU32::new(piece) else { break };
            match self.limiter.check_n(cells) {
                // A piece is never larger than the burst, so the outer error cannot be; it would only mean "let it pass".
                Ok(Ok(())) | Err(_) => left -= u64::from(piece),
                Ok(Err(not_until)) => {
                    let wait = not_until.wait_time_from(self.clock.now());
                    std::thread::sleep(wait.min(Self::PATIENCE));
                    keep_going()?;
                }
            }
        }
        Ok(())
    }
}
