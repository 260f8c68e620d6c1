use proptest::prelude::*;

use super::*;

/// An element with a length in as many bytes as it needs.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u32::try_from(content.len()).unwrap() {
        short @ 0..=0x7f => bytes.push(short.to_le_bytes()[0]),
        long => {
            bytes.push(0x84);
            bytes.extend(long.to_be_bytes());
        }
    }
    bytes.extend(content);
    bytes
}

fn message(id: u8, tag: u8, body: &[u8], rest: &[u8]) -> Vec<u8> {
    element(0x30, &[&element(0x02, &[id]), &element(tag, body), rest].concat())
}

fn search(base: &str, size_limit: u8, rest: &[u8]) -> Vec<u8> {
    let body = [
        element(0x04, base.as_bytes()),
        element(0x0a, &[2]),
        element(0x0a, &[0]),
        element(0x02, &[size_limit]),
        element(0x02, &[0]),
        element(0x01, &[0]),
        element(0x87, b"objectClass"),
        element(0x30, &element(0x04, b"mail")),
    ];
    message(7, 0x63, &body.concat(), rest)
}

fn done(code: &[u8], rest: &[u8]) -> Vec<u8> {
    let body = [element(0x0a, code), element(0x04, b""), element(0x04, "zu groß".as_bytes())].concat();
    message(7, 0x65, &[&body, rest].concat(), b"")
}

/// Controls: one that nobody knows, then this one.
fn controls(oid: &[u8], value: &[u8]) -> Vec<u8> {
    let control = |oid: &[u8], value: &[u8]| {
        element(0x30, &[element(0x04, oid), element(0x01, &[0xff]), element(0x04, value)].concat())
    };
    element(0xa0, &[control(b"1.2.3", b"x"), control(oid, value)].concat())
}

fn paging(size: u8, cookie: &[u8]) -> Vec<u8> {
    controls(PAGING, &element(0x30, &[element(0x02, &[size]), element(0x04, cookie)].concat()))
}

fn dirsync(flag: &[u8]) -> Vec<u8> {
    let value = [element(0x02, flag), element(0x02, &[0]), element(0x04, b"cookie")];
    controls(DIRSYNC, &element(0x30, &value.concat()))
}

#[test]
fn a_search_and_how_it_ended() {
    let bytes = search("dc=example", 0, &paging(100, b"next"));
    let request = parse(&bytes).unwrap();
    assert_eq!((request.id, request.operation, request.extra), (7, Operation::SearchRequest, &b""[..]));
    let about = request.search().unwrap();
    assert_eq!((about.base, about.scope), (&b"dc=example"[..], 2));
    assert_eq!(request.paging().unwrap(), Some(Paging { size: 100, cookie: b"next" }));
    // Limits and controls tell no searches apart.
    assert_eq!(parse(&search("dc=example", 9, b"")).unwrap().search(), Ok(about));

    let bytes = done(&[0x10, 0x00], &element(0xa3, &element(0x04, b"ldap://b/")));
    let outcome = parse(&bytes).unwrap().outcome().unwrap();
    assert_eq!((outcome.code, outcome.diagnostic.as_ref()), (4_096, "zu groß"));
    assert_eq!(outcome.referrals, [b"ldap://b/"]);
    assert_eq!(parse(&bytes).unwrap().paging(), Ok(None));

    let bytes = message(9, 0x73, &[element(0x04, b"ldap://b/"), element(0x04, b"ldap://c/")].concat(), b"");
    assert_eq!(parse(&bytes).unwrap().references().unwrap(), [b"ldap://b/", b"ldap://c/"]);
    assert_eq!(parse(&message(9, 0x50, &[1, 4], b"")).unwrap().abandoned(), Ok(260));
}

#[test]
fn a_server_that_has_more_says_so() {
    let more = |controls: &[u8]| {
        let bytes =
            message(7, 0x65, &[element(0x0a, &[0]), element(4, b""), element(4, b"")].concat(), controls);
        parse(&bytes).unwrap().has_more()
    };
    assert_eq!(more(b""), Ok(false));
    assert_eq!(more(&paging(0, b"")), Ok(false));
    assert_eq!(more(&paging(0, b"next")), Ok(true));
    assert_eq!(more(&dirsync(&[0])), Ok(false));
    assert_eq!(more(&dirsync(&[1])), Ok(true));
    assert_eq!(more(&dirsync(&[0xff, 0, 0, 0, 0])), Ok(true));
    assert_eq!(more(&controls(DIRSYNC, b"")), Err(BadMessage::Missing("value of the DirSync control")));
    let changes = |controls: &[u8]| parse(&search("", 0, controls)).unwrap().changes();
    assert_eq!(changes(&paging(9, b"")), Ok(Changes::No));
    assert_eq!(changes(&controls(SYNC, b"")), Ok(Changes::Sync));
    assert_eq!(changes(&dirsync(&[0])), Ok(Changes::DirSync));
}

#[test]
fn what_is_no_message_says_why() {
    let check = |bytes: &[u8], why: BadMessage| {
        assert_eq!(parse(bytes).map(drop), Err(why), "{bytes:02x?}");
    };
    check(b"", BadMessage::Truncated);
    check(b"GET / HTTP/1.1\r\n", BadMessage::Truncated);
    check(&[0x31, 0], BadMessage::NoMessage(0x31));
    check(&[0x30, 0], BadMessage::Missing("message id"));
    check(&[0x30, 0x80, 0, 0], BadMessage::Indefinite);
    check(&[0x30, 0x84, 0x80, 0, 0, 0], BadMessage::TooLarge(1 << 31));
    check(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], BadMessage::TooLarge(0xffff_ffff));
    check(&[0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], BadMessage::LengthOctets(8));
    check(&[0x30, 0xff], BadMessage::LengthOctets(0x7f));
    check(&[0x30, 3, 2, 1], BadMessage::Truncated);
    check(&[0x30, 5, 2, 1, 1, 0x42, 1], BadMessage::Truncated);
    check(&[0x30, 3, 2, 1, 1], BadMessage::Missing("operation"));
    check(&[0x30, 5, 2, 1, 0xff, 0x42, 0], BadMessage::Number("message id"));
    check(&[0x30, 9, 2, 5, 1, 0, 0, 0, 0, 0x42, 0], BadMessage::Number("message id"));
    check(&[0x30, 4, 2, 0, 0x42, 0], BadMessage::Number("message id"));
    check(&[0x30, 5, 2, 1, 1, 0x42, 0, 0x30], BadMessage::Trailing(1));
    check(&[0x30, 5, 2, 1, 1, 0x43, 0], BadMessage::Operation(0x43));
    // The number 6 of a modify request, in the form for numbers from 31 up.
    check(&[0x30, 6, 2, 1, 1, 0x7f, 6, 0], BadMessage::LongTag);
    // A second element that does not end where the message does.
    check(&[0x30, 7, 2, 1, 1, 0x42, 0, 0x8a, 9], BadMessage::Truncated);
}

#[test]
fn a_message_of_the_largest_size_passes_and_a_larger_one_does_not() {
    let fits = message(1, 0x64, &vec![0; MAX_MESSAGE - 15], b"");
    assert_eq!(fits.len(), MAX_MESSAGE);
    assert!(parse(&fits).is_ok());
    let mut frames = Frames::default();
    frames.feed(&fits);
    assert_eq!(frames.take(1).unwrap().unwrap().len(), MAX_MESSAGE);

    let larger = message(1, 0x64, &vec![0; MAX_MESSAGE - 14], b"");
    frames.feed(&larger[..6]);
    assert!(matches!(frames.take(1), Err(BadMessage::TooLarge(_))));
    assert!(matches!(split(&larger).next(), Some(Err(BadMessage::TooLarge(_)))));
}

#[test]
fn a_length_is_refused_before_what_it_is_about_has_come() {
    for head in [&[0x30, 0x84, 0x80, 0, 0, 0][..], &[0x30, 0x80], &[0x30, 0x85], &[0x16, 3, 1]] {
        let mut frames = Frames::default();
        frames.feed(&message(1, 0x42, b"", b""));
        frames.feed(head);
        // What came before it is still given out.
        assert_eq!(frames.take(1 << 20).unwrap().unwrap().len(), 7);
        assert!(frames.take(1 << 20).is_err(), "{head:02x?}");
        assert_eq!(frames.waiting(), head.len());
    }
}

#[test]
fn messages_come_together_as_far_as_they_fit() {
    let one = message(1, 0x42, b"", b"");
    let mut frames = Frames::default();
    frames.feed(&one.repeat(5));
    frames.feed(&one[..3]);
    assert_eq!(frames.take(one.len() * 3 - 1).unwrap().unwrap(), one.repeat(2));
    assert_eq!(frames.take(1).unwrap().unwrap(), one);
    assert_eq!(frames.take(1 << 20).unwrap().unwrap(), one.repeat(2));
    assert_eq!(frames.take(1 << 20), Ok(None));
    assert_eq!(frames.waiting(), 3);
    frames.feed(&one[3..]);
    assert_eq!(frames.take(1 << 20).unwrap().unwrap(), one);
    assert_eq!(frames.waiting(), 0);
}

#[test]
fn a_piece_that_ends_within_a_message_says_so() {
    let one = message(1, 0x42, b"", b"");
    let bytes = [&one[..], &one[..4]].concat();
    let parts: Vec<_> = split(&bytes).collect();
    assert_eq!(parts, [Ok(&one[..]), Err(BadMessage::Truncated)]);
}

/// Messages as they are, and some that were changed in places.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![
        Just(search("dc=example,dc=com", 0, &paging(100, b"cookie"))),
        Just(done(&[4], &element(0xa3, &element(0x04, b"ldap://b/")))),
        (any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(id, tag, body)| message(id, tag, &body, b"")),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::collection::vec(whole, 0..6), changes).prop_map(|(parts, changes)| {
        let mut bytes = parts.concat();
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

/// All that comes out, and whether it ended in a fault.
fn drain(frames: &mut Frames, max: usize) -> (Vec<u8>, Option<BadMessage>) {
    let mut all = Vec::new();
    loop {
        match frames.take(max) {
            Ok(Some(messages)) => all.extend(messages),
            Ok(None) => return (all, None),
            Err(bad) => return (all, Some(bad)),
        }
    }
}

proptest! {
    /// However a stream is cut into pieces, the same comes out of it.
    #[test]
    fn pieces_do_not_matter(stream in streams(), piece in 1_usize..50, max in 1_usize..400) {
        let mut at_once = Frames::default();
        at_once.feed(&stream);
        let (whole, bad) = drain(&mut at_once, 1 << 20);

        let (mut frames, mut all, mut failed) = (Frames::default(), Vec::new(), None);
        for bytes in stream.chunks(piece) {
            frames.feed(bytes);
            let (messages, bad) = drain(&mut frames, max);
            all.extend(messages);
            failed = bad;
            if failed.is_some() {
                break;
            }
        }
        prop_assert_eq!(&all, &whole);
        prop_assert_eq!(failed, bad.clone());
        prop_assert!(stream.starts_with(&whole));

        let parts: Vec<_> = split(&stream).collect();
        let good: Vec<u8> = parts.iter().flatten().copied().flatten().copied().collect();
        prop_assert_eq!(good, whole);
        prop_assert_eq!(parts.iter().any(Result::is_err), bad.is_some() || at_once.waiting() > 0);
    }

    /// Whatever the bytes: an answer, and one that lies within them.
    #[test]
    fn nothing_panics(stream in streams()) {
        for part in split(&stream).flatten() {
            let Ok(message) = parse(part) else { continue };
            let _ = (message.outcome(), message.search(), message.abandoned());
            let _ = (message.references(), message.changes(), message.has_more());
        }
        let _ = parse(&stream);
    }

    /// A message cut short is never taken for a whole one.
    #[test]
    fn a_part_of_a_message_is_none(cut in any::<prop::sample::Index>()) {
        let whole = search("dc=example", 0, &paging(100, b"cookie"));
        let part = &whole[..cut.index(whole.len())];
        prop_assert!(parse(part).is_err());
        let mut frames = Frames::default();
        frames.feed(part);
        prop_assert_eq!(frames.take(1 << 20), Ok(None));
    }
}
