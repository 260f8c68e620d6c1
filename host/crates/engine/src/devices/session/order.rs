//! Numbers of messages: gaps in them, and two processes that speak in turn.

use std::collections::HashMap;

use parking_lot::Mutex;
use syncline_domain::ids::DeviceId;
use syncline_protocol::InstanceUid;
use syncline_store::LastSequence;

/// How a message follows the last one of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::devices) enum Order {
    /// It is the next one, or says no number.
    Next,
    /// It is the same one again.
    Repeated,
    /// Something is missing in between.
    Gap,
    /// Another process speaks, or the first ever.
    Other,
}

/// How a message with this number follows.
pub(in crate::devices) fn order(last: Option<LastSequence>, uid: InstanceUid, sequence: u64) -> Order {
    match last {
        _ if sequence == 0 => Order::Next,
        Some(last) if last.instance_uid != *uid.as_bytes() => Order::Other,
        Some(last) if sequence == last.sequence => Order::Repeated,
        Some(last) if Some(sequence) == last.sequence.checked_add(1) => Order::Next,
        Some(_) => Order::Gap,
        None => Order::Other,
    }
}

/// The process that speaks for each device, and the one before it.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<HashMap<DeviceId, (InstanceUid, Option<InstanceUid>)>>);

impl Heard {
    /// Whether a process speaks that another one has taken the place of: processes do not come back, so there are two.
    pub(super) fn is_twin(&self, device: DeviceId, uid: InstanceUid, leaving: bool) -> bool {
        let mut heard = self.0.lock();
        match heard.get(&device).copied() {
            Some((present, _)) if present == uid => false,
            // The last word of a process that has been replaced.
            Some((_, before)) if before == Some(uid) => {
                if !leaving {
                    heard.remove(&device);
                }
                !leaving
            }
            Some((present, _)) => {
                heard.insert(device, (uid, Some(present)));
                false
            }
            None => {
                heard.insert(device, (uid, None));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: InstanceUid = InstanceUid::new([1; 16]);
    const B: InstanceUid = InstanceUid::new([2; 16]);

    #[test]
    fn each_number_follows_the_one_before() {
        let last = |sequence| Some(LastSequence { instance_uid: [1; 16], sequence });
        for (known, uid, sequence, expected) in [
            (last(5), A, 6, Order::Next),
            (last(5), A, 5, Order::Repeated),
            (last(5), A, 7, Order::Gap),
            (last(5), A, 1, Order::Gap),
            (last(5), A, 0, Order::Next),
            (last(u64::MAX), A, 1, Order::Gap),
            (last(5), B, 6, Order::Other),
            (None, A, 1, Order::Other),
        ] {
            assert_eq!(order(known, uid, sequence), expected, "{known:?} {sequence}");
        }
    }

    #[test]
    fn a_process_that_comes_back_is_a_twin() {
        let (heard, device) = (Heard::default(), DeviceId(uuid::Uuid::from_u128(1)));
        assert!(!heard.is_twin(device, A, false));
        assert!(!heard.is_twin(device, B, false), "started anew");
        assert!(!heard.is_twin(device, A, true), "its last word");
        assert!(heard.is_twin(device, A, false));
        assert!(!heard.is_twin(DeviceId(uuid::Uuid::from_u128(2)), A, false));
    }
}
