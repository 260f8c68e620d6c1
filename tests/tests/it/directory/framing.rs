//! What comes over a connection, byte for byte.

use std::time::Duration;

use syncline_domain::{FailureKind, directory::Security};
use syncline_ldap::Session;
use syncline_tests::directory::{
    certificates::Authority,
    ldif::READER,
    misbehaving::{Behaviour, Misbehaving},
    scripted::{Scripted, Step},
    slapd::{Options, Slapd},
};

use super::{connect::BOUND, directory, refused, source};

const LONG: Duration = Duration::from_secs(10);

/// SearchResultDone to message 7.
const DONE: [u8; 14] = [0x30, 0x0c, 2, 1, 7, 0x65, 7, 0x0a, 1, 0, 4, 0, 4, 0];

/// A session whose server sends these pieces after a bind, and then `last`.
async fn session(pieces: &[&[u8]], last: Option<Step>) -> Session {
    let begin = [Step::Read, Step::Write(BOUND.to_vec())];
    let pieces = pieces.iter().map(|piece| Step::Write(piece.to_vec()));
    let steps: Vec<Step> = begin.into_iter().chain(pieces).chain(last).collect();
    let server = Scripted::start(&steps).address();
    directory(&source(Security::Plain, None, &[&server]), READER.1).connect().await.unwrap()
}

#[tokio::test]
async fn messages_come_whole_however_they_were_cut() {
    let three = DONE.repeat(3);
    let mut session = session(&[&three[..1], &three[1..20], &three[20..]], Some(Step::Listen)).await;
    let mut came = Vec::new();
    while came.len() < three.len() {
        let messages = session.receive(64 << 10, LONG).await.unwrap();
        assert_eq!(messages.len() % DONE.len(), 0);
        came.extend(messages);
    }
    assert_eq!(came, three);
}

#[tokio::test]
async fn waiting_ends_in_time_and_loses_nothing() {
    let begin = [Step::Read, Step::Write([&BOUND[..], &DONE[..5]].concat())];
    let end = [Step::Read, Step::Write(DONE[5..].to_vec()), Step::Listen];
    let server = Scripted::start(&[&begin[..], &end].concat()).address();
    let mut session =
        directory(&source(Security::Plain, None, &[&server]), READER.1).connect().await.unwrap();
    for _ in 0..3 {
        let failure = session.receive(64 << 10, Duration::from_millis(20)).await.unwrap_err();
        refused(&failure, FailureKind::Unavailable, "timeout", &[&server, "while the connection stands"]);
    }
    // Dropped in the middle of waiting, as where a run is cancelled.
    tokio::select! {
        biased;
        _ = session.receive(64 << 10, LONG) => panic!("nothing has come"),
        () = tokio::task::yield_now() => {}
    }
    session.send(&DONE).await.unwrap();
    assert_eq!(session.receive(64 << 10, LONG).await.unwrap(), DONE);
}

#[tokio::test]
async fn what_is_no_message_ends_the_session() {
    for (pieces, last, kind, code, part) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            Some(Step::Listen),
            FailureKind::Invalid,
            "framing",
            "no LDAP",
        ),
        (&[0x30, 0x80, 1], Some(Step::Listen), FailureKind::Invalid, "framing", "indefinite"),
        (&[0x30, 0x84, 0x80, 0, 0, 0], Some(Step::Listen), FailureKind::Limit, "message-size", "4 MiB"),
        (&DONE[..6], None, FailureKind::Unavailable, "closed", "6 bytes into a message"),
        (&[], None, FailureKind::Unavailable, "closed", "closed the connection"),
    ] {
        let mut session = session(&[pieces], last).await;
        let failure = session.receive(64 << 10, LONG).await.unwrap_err();
        refused(&failure, kind, code, &[part, session.server()]);
        let failure = session.receive(64 << 10, LONG).await.unwrap_err();
        refused(&failure, FailureKind::Unavailable, "closed", &["is over"]);
    }
}

#[tokio::test]
async fn what_comes_before_a_message_that_is_none_is_given_out_first() {
    let mut session = session(&[&[&DONE[..], b"nonsense"].concat()], Some(Step::Listen)).await;
    assert_eq!(session.receive(64 << 10, LONG).await.unwrap(), DONE);
    let failure = session.receive(64 << 10, LONG).await.unwrap_err();
    refused(&failure, FailureKind::Invalid, "framing", &["no LDAP"]);
}

#[tokio::test]
async fn nothing_that_came_before_tls_is_believed_after_it() {
    let authority = Authority::new("Example authority");
    // ExtendedResponse with success, and with it a bind's answer that nobody asked for yet.
    let agreed = [0x30, 0x0c, 2, 1, 1, 0x78, 7, 0x0a, 1, 0, 4, 0, 4, 0];
    let steps = [Step::Read, Step::Write([agreed, BOUND].concat()), Step::Listen];
    let server = Scripted::start(&steps).address();
    let source = source(Security::Starttls, Some(&authority.pem()), &[&server]);
    let failure = directory(&source, READER.1).connect().await.unwrap_err();
    refused(&failure, FailureKind::Unavailable, "tls", &["14 bytes came", "before TLS"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_security_for_a_port_says_which_is_right() {
    let authority = Authority::new("Example authority");
    let identity = Some(authority.issue(&["127.0.0.1"]));
    let server = Slapd::start(&Options { identity, ..Options::default() });
    let connect = async |security, address: String| {
        let source = source(security, Some(&authority.pem()), &[&address]);
        directory(&source, READER.1).connect().await.unwrap_err()
    };
    let failure = connect(Security::Ldaps, server.plain()).await;
    refused(&failure, FailureKind::Unavailable, "tls", &[&server.plain(), "without TLS"]);
    let failure = connect(Security::Plain, server.ldaps()).await;
    refused(&failure, FailureKind::Unavailable, "connect", &[&server.ldaps(), "with this security"]);
    let failure = connect(Security::Starttls, server.ldaps()).await;
    refused(&failure, FailureKind::Unavailable, "tls", &[&server.ldaps(), "`ldaps`"]);
    let other = Misbehaving::start(Vec::new());
    let failure = connect(Security::Starttls, other.address()).await;
    refused(&failure, FailureKind::Unavailable, "tls", &["protocolError (2)", "`ldaps`"]);
}

#[tokio::test]
async fn a_bind_that_is_not_answered_ends_in_time() {
    let server = Misbehaving::start(Vec::new());
    server.behave(Behaviour::SilentBind);
    let mut source = source(Security::Plain, None, &[&server.address()]);
    source.connect_timeout_s = 1;
    let failure = directory(&source, READER.1).connect().await.unwrap_err();
    refused(&failure, FailureKind::Unavailable, "connect", &["bind did not end within 1 s"]);
}

#[tokio::test]
async fn a_notice_of_disconnection_in_answer_to_a_bind_is_told() {
    let mut notice = vec![0x30, 0x2e, 2, 1, 0, 0x78, 0x29, 0x0a, 1, 0x34, 4, 0, 4, 10];
    notice.extend(b"going down");
    notice.extend([0x8a, 0x16]);
    notice.extend(b"1.3.6.1.4.1.1466.20036");
    let server = Scripted::start(&[Step::Read, Step::Write(notice), Step::Listen]).address();
    let failure =
        directory(&source(Security::Plain, None, &[&server]), READER.1).connect().await.unwrap_err();
    refused(&failure, FailureKind::Unavailable, "connect", &["unavailable (52)", "going down"]);
}
