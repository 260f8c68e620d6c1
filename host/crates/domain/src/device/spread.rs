//! Contacts spread over time, so that a hundred thousand devices do not come in the same second.
//!
//! All of it follows from the device's id: the same on every node, after every restart.

use std::time::Duration;

use jiff::Timestamp;

use crate::ids::DeviceId;

/// A number that is spread evenly over ids, whatever bits of an id are random (the first ones of a UUIDv7 are its time).
fn mixed(device: DeviceId, salt: u64) -> u64 {
    let (high, low) = device.0.as_u64_pair();
    [high, low].into_iter().fold(salt, |state, word| {
        let mut x = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    })
}

/// `value` times a number from 0 (included) to 1 (excluded) that is the device's own.
fn share(device: DeviceId, salt: u64, value: u64) -> u64 {
    let product = u128::from(mixed(device, salt)) * u128::from(value);
    u64::try_from(product >> 64).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The device's place in each period, from 0 (included) to `period` (excluded).
pub fn phase(device: DeviceId, period: Duration) -> Duration {
    Duration::from_millis(share(device, 1, millis(period)))
}

/// The first moment after `now` at the device's own phase of a `period`: `period` away at most.
pub fn next_contact(device: DeviceId, period: Duration, now: Timestamp) -> Timestamp {
    let period = i64::try_from(millis(period).max(1)).unwrap_or(i64::MAX);
    let phase = i64::try_from(share(device, 1, period.unsigned_abs())).unwrap_or(0);
    let at = now.as_millisecond();
    let wait = period - (at - phase).rem_euclid(period);
    at.checked_add(wait).and_then(|next| Timestamp::from_millisecond(next).ok()).unwrap_or(Timestamp::MAX)
}

/// The interval for a device that can be told nothing but an interval: `period`, longer or shorter by up to `percent`.
pub fn interval(device: DeviceId, period: Duration, percent: u8) -> Duration {
    let period = millis(period);
    let most = period / 100 * u64::from(percent.min(100));
    Duration::from_millis(period - most + share(device, 2, 2 * most + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn ten_thousand_ids_of_one_moment_fill_every_minute_alike() {
        let mut minutes = [0_u32; 60];
        for number in 0..10_000_u128 {
            let device = DeviceId(Uuid::from_u128((0x0190_0000_0000_7000 << 64) | number));
            minutes[usize::try_from(phase(device, HOUR).as_secs() / 60).unwrap()] += 1;
        }
        assert!(minutes.iter().all(|&count| (100..240).contains(&count)), "{minutes:?}");
    }

    proptest! {
        #[test]
        fn the_phase_is_stable_and_the_next_contact_within_a_period(
            id: u128, at in 0_i64..4_000_000_000_000, period in 1_u64..100_000_000,
        ) {
            let (device, period) = (DeviceId(Uuid::from_u128(id)), Duration::from_millis(period));
            let now = Timestamp::from_millisecond(at).unwrap();
            let next = next_contact(device, period, now);
            prop_assert!(next > now && next <= now + period);
            prop_assert_eq!(next_contact(device, period, next), next + period);
            prop_assert!(phase(device, period) < period);
        }

        #[test]
        fn an_interval_stays_within_its_bounds(id: u128, percent in 0_u8..=100) {
            let device = DeviceId(Uuid::from_u128(id));
            let interval = interval(device, HOUR, percent);
            let most = HOUR * u32::from(percent) / 100;
            prop_assert!(interval >= HOUR - most && interval <= HOUR + most);
        }
    }
}
