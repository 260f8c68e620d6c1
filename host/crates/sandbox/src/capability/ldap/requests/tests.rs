use proptest::prelude::*;

use super::*;

/// An element, its length in as many bytes as asked for.
fn element(tag: u8, octets: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let length = match octets {
        0 => vec![length[3]],
        octets => [&[0x80 | octets], &length[4 - usize::from(octets)..]].concat(),
    };
    [&[tag], &length[..], content].concat()
}

fn search() -> Vec<u8> {
    let body = [
        element(0x04, 0, b"dc=x"),
        element(0x0a, 0, &[2]),
        element(0x0a, 0, &[0]),
        element(0x02, 0, &[0]),
        element(0x02, 0, &[0]),
        element(0x01, 0, &[0]),
        element(0x87, 0, b"objectClass"),
        element(0x30, 0, b""),
    ];
    element(0x63, 0, &body.concat())
}

fn message(operation: &[u8]) -> Vec<u8> {
    element(0x30, 4, &[&element(0x02, 0, &[1]), operation].concat())
}

fn hr() -> Name {
    "hr".parse().unwrap()
}

/// How a simpler reader, as servers have them, finds the operation of each message: heads alone, nothing checked.
fn operations(mut bytes: &[u8]) -> Vec<u8> {
    fn open(bytes: &[u8]) -> (&[u8], &[u8]) {
        let octets = if bytes[1] < 0x80 { 0 } else { usize::from(bytes[1] & 0x7f) };
        let length = match octets {
            0 => usize::from(bytes[1]),
            _ => bytes[2..2 + octets].iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)),
        };
        bytes[2 + octets..].split_at(length)
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (content, rest) = open(bytes);
        found.push(open(content).1[0]);
        bytes = rest;
    }
    found
}

#[test]
fn controls_pass_and_anything_beside_them_does_not() {
    let control = element(0x30, 0, &element(0x04, 0, b"1.2.840.113556.1.4.1339"));
    let with = message(&[search(), element(0xa0, 0, &control)].concat());
    assert!(vet(&with, &hr()).is_ok());
    let Err(Refusal::Failure(failure)) = vet(&message(&[search(), element(0x8a, 0, b"x")].concat()), &hr())
    else {
        panic!("it passed")
    };
    assert_eq!(failure.code, "framing");
    assert!(vet(&message(&search()).repeat(30_000), &hr()).is_err());
}

/// Requests of all kinds, written in all lengths of lengths, and changed in places.
fn sent() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![Just(search()[2..].to_vec()), prop::collection::vec(any::<u8>(), 0..20)];
    let operation = prop_oneof![
        Just(search()),
        (any::<u8>(), 0_u8..5, body).prop_map(|(tag, octets, body)| element(tag, octets, &body)),
        prop::sample::select(vec![0x42, 0x50, 0x4a, 0x66, 0x7f]).prop_map(|tag| element(tag, 0, &[1])),
    ];
    let whole = (1_u8..5, operation, any::<bool>()).prop_map(|(octets, operation, controls)| {
        let controls = if controls { element(0xa0, 0, b"") } else { Vec::new() };
        element(0x30, octets, &[&element(0x02, 0, &[1]), &operation[..], &controls].concat())
    });
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (prop::collection::vec(whole, 1..4), changes).prop_map(|(parts, changes)| {
        let mut bytes = parts.concat();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    /// Whatever passes is what another reader too takes for reading: one request for each of the host's.
    #[test]
    fn nothing_but_reading_passes_for_any_reader(bytes in sent()) {
        if let Ok(requests) = vet(&bytes, &hr()) {
            let operations = operations(&bytes);
            prop_assert_eq!(operations.len(), requests.len());
            for (operation, request) in operations.into_iter().zip(requests) {
                let tag = match request {
                    Request::Search(_) => 0x63,
                    Request::Abandon(_) => 0x50,
                    Request::Unbind => 0x42,
                };
                prop_assert_eq!(operation, tag);
            }
        }
    }
}
