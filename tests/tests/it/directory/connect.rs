//! Connecting to a real OpenLDAP.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    time::Duration,
};

use syncline_domain::{FailureKind, directory::Security};
use syncline_ldap::Directory;
use syncline_tests::directory::{
    certificates::{Authority, Identity},
    free_port,
    ldif::{self, READER, SUFFIX},
    misbehaving::Misbehaving,
    scripted::{Scripted, Step},
    slapd::{Options, Slapd},
};

use super::{Client, directory, password, refused, source};

/// BindResponse with success, to message 1.
pub(super) const BOUND: [u8; 14] = [0x30, 0x0c, 2, 1, 1, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0];

fn slapd(identity: Option<Identity>) -> Slapd {
    let ldif = ldif::base() + &ldif::people(1..=20);
    Slapd::start(&Options { ldif, identity, ..Options::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn ldaps_starttls_and_plain_lead_to_the_same_entries() {
    let authority = Authority::new("Example authority");
    let server = slapd(Some(authority.issue(&["localhost", "127.0.0.1"])));
    let by_name = |port: u16| format!("localhost:{port}");
    for (security, address) in [
        (Security::Ldaps, server.ldaps()),
        (Security::Ldaps, by_name(server.tls_port)),
        (Security::Starttls, server.plain()),
        (Security::Starttls, by_name(server.port)),
        (Security::Plain, server.plain()),
    ] {
        let source = source(security, Some(&authority.pem()), &[&address]);
        let mut client = Client::new(directory(&source, READER.1).connect().await.unwrap());
        assert_eq!(client.session.server(), address);
        let answer = client.search(&format!("ou=people,{SUFFIX}"), &["mail"]).await.unwrap();
        assert_eq!(answer.entries.len(), 21, "{security}");
    }
    // As nobody, too: what may be read then is the server's business.
    let mut nobody = source(Security::Plain, None, &[&server.plain()]);
    nobody.bind_as = None;
    assert!(Directory::new(&nobody, None).unwrap().connect().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_will_not_do_is_told_from_others() {
    let authority = Authority::new("Example authority");
    let other = Authority::new("Another authority");
    let good = authority.issue(&["127.0.0.1"]);
    for (identity, trusted, parts) in [
        (authority.issue_expired(&["127.0.0.1"]), &authority, &["has expired", "2021-02-03", "renew it"][..]),
        (authority.issue(&["ldap.example.org"]), &authority, &["for ldap.example.org", "not for 127.0.0.1"]),
        (
            authority.issue(&[]),
            &authority,
            &["does not count any more", "subject alternative name 127.0.0.1"],
        ),
        (good, &other, &["\"CN=Example authority\"", "add the certificate", "certificate_authorities"]),
        (authority.as_server(), &authority, &["it is an authority's own"]),
    ] {
        let server = slapd(Some(identity));
        for (security, address) in [(Security::Ldaps, server.ldaps()), (Security::Starttls, server.plain())] {
            let source = source(security, Some(&trusted.pem()), &[&address]);
            let failure = directory(&source, READER.1).connect().await.unwrap_err();
            refused(&failure, FailureKind::Denied, "certificate", &[&[address.as_str()], parts].concat());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_once() {
    let server = slapd(None);
    let next = Misbehaving::start(Vec::new());
    let source = source(Security::Plain, None, &[&server.plain(), &next.address()]);
    let directory = directory(&source, "hunter2");
    let failure = directory.connect().await.unwrap_err();
    let parts = [&server.plain(), READER.0, "invalidCredentials (49)", "set the secret anew"];
    refused(&failure, FailureKind::Denied, "credentials", &parts);
    assert_eq!(next.asked(), Vec::<&str>::new());
    assert!(!format!("{failure:?} {directory:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_server_is_taken_where_one_cannot_be_had() {
    let server = slapd(None);
    let closed = format!("127.0.0.1:{}", free_port());
    let silent = Scripted::start(&[Step::Listen]).address();
    let mut source = source(Security::Plain, None, &[&closed, &silent, &server.plain()]);
    source.connect_timeout_s = 1;
    let session = directory(&source, READER.1).connect().await.unwrap();
    assert_eq!(session.server(), server.plain());

    source.servers.pop();
    let failure = directory(&source, READER.1).connect().await.unwrap_err();
    let parts = ["none of 2 servers", &closed, "refused", &silent, "within 1 s"];
    refused(&failure, FailureKind::Unavailable, "connect", &parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_while_it_is_read_is_a_failure_and_no_end() {
    let ldif = ldif::base() + &ldif::people(1..=20_000);
    let mut server = Slapd::start(&Options { ldif, ..Options::default() });
    let source = source(Security::Plain, None, &[&server.plain()]);
    let mut client = Client::new(directory(&source, READER.1).connect().await.unwrap());
    client.ask(SUFFIX, &[], None).await.unwrap();
    client.session.receive(64 << 10, Duration::from_secs(10)).await.unwrap();
    server.kill();
    let failure = client.answer().await.unwrap_err();
    refused(&failure, FailureKind::Unavailable, "closed", &[&server.plain()]);
    for failure in [
        client.session.receive(64 << 10, Duration::from_secs(10)).await.unwrap_err(),
        client.ask(SUFFIX, &[], None).await.unwrap_err(),
    ] {
        refused(&failure, FailureKind::Unavailable, "closed", &["is over", "connect anew"]);
    }
    server.resume();
    assert!(directory(&source, READER.1).connect().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_referral_is_followed_to_servers_that_are_named_and_never_with_less_security() {
    let authority = Authority::new("Example authority");
    let server = slapd(Some(authority.issue(&["localhost", "127.0.0.1"])));
    let first = server.ldaps();
    let mut source = source(Security::Ldaps, Some(&authority.pem()), &[&first]);
    source.referrals = vec![format!("LOCALHOST:{}", server.port), server.ldaps()];
    let follow = async |referral: String| directory(&source, READER.1).follow(&referral).await;

    // `ldap:` leads to StartTLS: the server's own log is not asked, the certificate is.
    let session = follow(format!("ldap://localhost:{}/{SUFFIX}??sub", server.port)).await.unwrap();
    assert_eq!(session.server(), format!("LOCALHOST:{}", server.port));
    assert!(follow(format!("ldaps://127.0.0.1:{}", server.tls_port)).await.is_ok());

    let failure = follow(format!("ldap://127.0.0.1:{}/", server.port)).await.unwrap_err();
    refused(&failure, FailureKind::Denied, "referral", &[&server.plain(), "add", "referrals"]);
    let failure = follow("https://localhost/".to_owned()).await.unwrap_err();
    refused(&failure, FailureKind::Denied, "referral", &["neither ldap nor ldaps"]);

    // Without TLS there, the referral ends.
    let bare = slapd(None);
    let mut source = source.clone();
    source.referrals = vec![bare.plain()];
    let failure =
        directory(&source, READER.1).follow(&format!("ldap://{}/", bare.plain())).await.unwrap_err();
    refused(&failure, FailureKind::Unavailable, "tls", &["does not do StartTLS"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_connected_to_where_no_directory_stands() {
    for server in [
        "169.254.169.254:636",
        "0.0.0.0:389",
        "224.0.0.1:389",
        "255.255.255.255:389",
        "[fe80::1]:636",
        "[::]:389",
        "[::ffff:169.254.169.254]:80",
        "[64:ff9b::169.254.169.254]:80",
    ] {
        let source = source(Security::Plain, None, &[server]);
        let failure = directory(&source, READER.1).connect().await.unwrap_err();
        refused(&failure, FailureKind::Denied, "address", &[server, "nothing is ever connected to there"]);
    }
    let source = source(Security::Plain, None, &["nowhere.invalid:389"]);
    let failure = directory(&source, READER.1).connect().await.unwrap_err();
    refused(&failure, FailureKind::Unavailable, "resolve", &["nowhere.invalid", "check the name"]);
}

#[test]
fn a_session_that_is_dropped_unbinds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bind = [0; 4_096];
        assert!(stream.read(&mut bind).unwrap() > 0);
        stream.write_all(&BOUND).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let directory = directory(&source(Security::Plain, None, &[&address]), READER.1);
    drop(runtime.block_on(directory.connect()).unwrap());
    // Outside of a runtime there is nobody to say it; it closes all the same. Inside, it unbinds first.
    assert_eq!(server.join().unwrap(), Vec::<u8>::new());

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bind = [0; 4_096];
        assert!(stream.read(&mut bind).unwrap() > 0);
        stream.write_all(&BOUND).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest
    });
    let directory = self::directory(&source(Security::Plain, None, &[&address]), READER.1);
    runtime.block_on(async { drop(directory.connect().await.unwrap()) });
    let said = server.join().unwrap();
    assert_eq!(said[said.len() - 2..], [0x42, 0], "an unbind request");
}

#[test]
fn what_an_administrator_sets_wrongly_is_named() {
    let server = "dc1.example.org:636";
    let good = source(Security::Plain, None, &[server]);
    let mut sources = vec![
        (source(Security::Plain, None, &[]), "servers: name at least one"),
        (source(Security::Plain, None, &[server; 17]), "servers: 17 are more than 16"),
        (source(Security::Plain, None, &["ldaps://dc1.example.org"]), "leave out the scheme"),
        (source(Security::Ldaps, Some("none"), &[server]), "certificate_authorities: no certificate"),
    ];
    for (change, hint) in [(0, "0 is not from 1 to 120"), (121, "121 is not from 1 to 120")] {
        sources.push((
            syncline_domain::directory::SourceSpec { connect_timeout_s: change, ..good.clone() },
            hint,
        ));
    }
    let referrals = vec!["dc2".to_owned()];
    sources
        .push((syncline_domain::directory::SourceSpec { referrals, ..good.clone() }, "referrals: \"dc2\""));
    for (source, hint) in sources {
        let failure = Directory::new(&source, Some(password("x"))).unwrap_err();
        assert!(failure.message.contains(hint), "{hint}: {failure}");
        assert_eq!(failure.kind, FailureKind::Invalid);
    }
    let failure = Directory::new(&good, None).unwrap_err();
    assert!(failure.message.contains("name the secret"), "{failure}");
    let nobody = syncline_domain::directory::SourceSpec { bind_as: None, ..good };
    let failure = Directory::new(&nobody, Some(password("x"))).unwrap_err();
    assert!(failure.message.contains("set bind_as"), "{failure}");
}
