//! What holds for any bytes at all that are read as LDAPMessages.

use std::collections::BTreeSet;

use syncline_domain::directory::message::{BadMessage, Frames, MAX_MESSAGE, Operation, parse, split};

/// Panics where something does not hold. Answers in how many different ways the messages were read: a word for each.
pub fn hold(bytes: &[u8]) -> BTreeSet<String> {
    let mut ways = BTreeSet::new();
    let mut good = Vec::new();
    let mut bad = None;
    for part in split(bytes) {
        assert!(bad.is_none(), "it goes on after a fault");
        match part {
            Ok(message) => {
                assert!(
                    message.len() <= MAX_MESSAGE && !message.is_empty(),
                    "a message of {}",
                    message.len()
                );
                good.extend_from_slice(message);
                ways.extend(ways_of(message));
            }
            Err(fault) => {
                ways.insert(format!("split {}", kind(&fault)));
                bad = Some(fault);
            }
        }
    }
    assert!(bytes.starts_with(&good), "what was read is not what was given");
    assert!(bad.is_some() || good.len() == bytes.len(), "something was passed over");
    // However the bytes come, the same messages come out of them, and then the same fault or a wait for more.
    for piece in [1, 7, bytes.len().max(1)] {
        let (messages, fault, waiting) = in_pieces(bytes, piece);
        assert!(messages == good, "in pieces of {piece} other messages come out");
        match (&bad, fault) {
            (Some(BadMessage::Truncated), None) => assert!(waiting > 0, "the rest is lost"),
            (expected, found) => assert_eq!(*expected, found, "in pieces of {piece}"),
        }
    }
    ways
}

fn in_pieces(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<BadMessage>, usize) {
    let (mut frames, mut messages) = (Frames::default(), Vec::new());
    for piece in bytes.chunks(piece) {
        frames.feed(piece);
        loop {
            match frames.take(64) {
                Ok(Some(some)) => messages.extend(some),
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault), frames.waiting()),
            }
        }
    }
    (messages, None, frames.waiting())
}

/// In which ways the parts of a message are read, without what differs from one to the next.
fn ways_of(bytes: &[u8]) -> Vec<String> {
    let message = match parse(bytes) {
        Ok(message) => message,
        Err(fault) => return vec![kind(&fault)],
    };
    // A part of it is never a whole one.
    assert!(parse(&bytes[..bytes.len() - 1]).is_err(), "a message without its last byte is one");
    // Each is asked of every message, and counts where it belongs.
    let outcome = told(message.outcome(), |outcome| format!("{} referrals", outcome.referrals.len().min(2)));
    let search = told(message.search(), |search| format!("scope {}", search.scope.min(3)));
    let abandoned = told(message.abandoned(), |_| String::new());
    let references = told(message.references(), |urls| format!("{} URLs", urls.len().min(2)));
    let paging = told(message.paging(), |paging| paging.map_or("no", |_| "pages").to_owned());
    let changes = told(message.changes(), |changes| format!("{changes:?}"));
    let more = told(message.has_more(), |more| more.to_string());
    let parts = match message.operation {
        Operation::SearchRequest => vec![search, paging, changes],
        Operation::SearchResultDone => vec![outcome, more],
        Operation::SearchResultReference => vec![references],
        Operation::AbandonRequest => vec![abandoned],
        _ => vec![String::new()],
    };
    parts.into_iter().map(|part| format!("{} {part}", message.operation)).collect()
}

fn told<T>(result: Result<T, BadMessage>, good: impl FnOnce(T) -> String) -> String {
    result.map_or_else(|fault| kind(&fault), |value| format!("({})", good(value)))
}

/// Which fault it is, without the number in it.
fn kind(fault: &BadMessage) -> String {
    match fault {
        BadMessage::Missing(_) | BadMessage::Number(_) => format!("{fault:?}"),
        _ => format!("{fault:?}").split('(').next().unwrap_or_default().to_owned(),
    }
}
