//! Contacts as bytes: a version, then 65 bytes each. JSON would cost more than the rest of a commit.

use jiff::Timestamp;
use syncline_domain::{device::SyncKind, ids::DeviceId};

use super::presence::Contact;

/// The first byte of all that are written so.
const VERSION: u8 = 1;

/// Device, three times, kind of synchronisation, process, number.
const SIZE: usize = 16 + 3 * 8 + 1 + 16 + 8;

pub(crate) fn encode(contacts: &[Contact]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + contacts.len() * SIZE);
    bytes.push(VERSION);
    for contact in contacts {
        bytes.extend_from_slice(contact.device.0.as_bytes());
        for time in [contact.at, contact.next, contact.silent_after] {
            bytes.extend_from_slice(&time.as_microsecond().to_le_bytes());
        }
        bytes.push(match contact.synced {
            None => 0,
            Some(SyncKind::Periodic) => 1,
            Some(SyncKind::Forced) => 2,
        });
        bytes.extend_from_slice(&contact.instance_uid);
        bytes.extend_from_slice(&contact.sequence.to_le_bytes());
    }
    bytes
}

/// The error says what is wrong with the bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Contact>, String> {
    let Some((&VERSION, rest)) = bytes.split_first() else {
        return Err(format!("contacts begin with version {VERSION}, not with {:?}", bytes.first()));
    };
    let (contacts, left) = rest.as_chunks::<SIZE>();
    if !left.is_empty() {
        return Err(format!("{} bytes follow the last contact", left.len()));
    }
    contacts.iter().map(|one| decode_one(one)).collect()
}

fn decode_one(mut bytes: &[u8]) -> Result<Contact, String> {
    let rest = &mut bytes;
    let device = DeviceId(uuid::Uuid::from_bytes(take(rest)?));
    let mut times = [Timestamp::UNIX_EPOCH; 3];
    for time in &mut times {
        let micros = i64::from_le_bytes(take(rest)?);
        *time = Timestamp::from_microsecond(micros).map_err(|error| error.to_string())?;
    }
    let synced = match take(rest)? {
        [0] => None,
        [1] => Some(SyncKind::Periodic),
        [2] => Some(SyncKind::Forced),
        [other] => return Err(format!("{other} is no kind of synchronisation")),
    };
    let [at, next, silent_after] = times;
    let (instance_uid, sequence) = (take(rest)?, u64::from_le_bytes(take(rest)?));
    Ok(Contact { device, at, next, silent_after, synced, instance_uid, sequence })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (first, after) = rest.split_first_chunk::<N>().ok_or("a contact is cut off")?;
    *rest = after;
    Ok(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            all in proptest::collection::vec((any::<u128>(), 0_i64..1 << 50, 0_u8..3, any::<[u8; 16]>(), any::<u64>()), 0..9),
        ) {
            let contacts: Vec<_> = all.into_iter().map(|(id, at, kind, instance_uid, sequence)| Contact {
                device: DeviceId(uuid::Uuid::from_u128(id)),
                at: Timestamp::from_microsecond(at).unwrap(),
                next: Timestamp::from_microsecond(at + 1).unwrap(),
                silent_after: Timestamp::from_microsecond(at + 2).unwrap(),
                synced: [None, Some(SyncKind::Periodic), Some(SyncKind::Forced)][usize::from(kind)],
                instance_uid,
                sequence,
            }).collect();
            prop_assert_eq!(decode(&encode(&contacts)).unwrap(), contacts);
        }

        #[test]
        fn damage_is_told_and_never_a_crash(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
