//! The connection test.

use syncline_domain::directory::{Security, SourceSpec, TestReport};
use syncline_tests::directory::{
    certificates::Authority,
    free_port,
    ldif::{self, BLIND, READER, SUFFIX},
    misbehaving::{self, Misbehaving},
    slapd::{Options, Slapd},
};

use super::{directory, source};

/// The report as text, with names for what is different each time.
async fn check(source: &SourceSpec, password: &str, bases: &[&str]) -> String {
    let bases: Vec<String> = bases.iter().map(|base| (*base).to_owned()).collect();
    text(source, &directory(source, password).test(&bases).await)
}

fn text(source: &SourceSpec, report: &TestReport) -> String {
    let mut text = format!("ok: {}\n", report.ok);
    for step in &report.steps {
        let mark = if step.ok { "well" } else { "FAILED" };
        text += &format!("{} {} {mark}: {}\n", step.server, step.step, step.message);
    }
    for facts in &report.servers {
        let named = [(facts.paging, "paging"), (facts.syncrepl, "syncrepl"), (facts.dirsync, "dirsync")];
        let has: Vec<&str> = named.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
        text += &format!("{}: {} {:?} {:?}\n", facts.server, facts.kind, facts.naming_contexts, has);
    }
    for (position, server) in source.servers.iter().enumerate() {
        text = text.replace(server, &format!("SERVER-{}", position + 1));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_well_is_told_step_by_step() {
    let authority = Authority::new("Example authority");
    let ldif = ldif::base() + &ldif::people(1..=100);
    let identity = Some(authority.issue(&["127.0.0.1"]));
    let server = Slapd::start(&Options { ldif, identity, ..Options::default() });
    let source = source(Security::Ldaps, Some(&authority.pem()), &[&server.ldaps()]);
    insta::assert_snapshot!(check(&source, READER.1, &[]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_well_says_what_to_do() {
    let authority = Authority::new("Example authority");
    let ldif = ldif::base() + &ldif::people(1..=10);
    let expired = Some(authority.issue_expired(&["127.0.0.1"]));
    let server = Slapd::start(&Options { ldif, identity: expired, ..Options::default() });
    let gone = format!("127.0.0.1:{}", free_port());
    let servers = [&gone, "169.254.169.254:389", &server.plain(), &server.plain()];

    let mut source = source(Security::Starttls, Some(&authority.pem()), &servers[..3]);
    let certificates = check(&source, READER.1, &[]).await;

    source = SourceSpec { security: Security::Plain, ..source };
    source.servers = servers[2..].iter().map(|server| (*server).to_owned()).collect();
    source.servers[1] = format!("localhost:{}", server.port);
    let password = check(&source, "hunter2", &[]).await;

    source.servers.pop();
    let bases = check(
        &source,
        READER.1,
        &[&format!("ou=nowhere,ou=people,{SUFFIX}"), "nonsense", &format!("ou=groups,{SUFFIX}")],
    )
    .await;

    source.bind_as = Some(BLIND.0.to_owned());
    let rights = check(&source, BLIND.1, &[]).await;
    insta::assert_snapshot!([certificates, password, bases, rights].join("\n"));
}

#[tokio::test]
async fn what_the_root_entry_says_is_told() {
    let server = Misbehaving::start(misbehaving::people(3));
    let mut source = source(Security::Plain, None, &[&server.address()]);
    source.bind_as = Some(misbehaving::READER.0.to_owned());
    insta::assert_snapshot!(check(&source, misbehaving::READER.1, &[]).await);
}

#[tokio::test]
async fn a_server_that_misbehaves_is_told_and_the_test_ends() {
    use misbehaving::Behaviour;
    let server = Misbehaving::start(misbehaving::people(3));
    let mut source = source(Security::Plain, None, &[&server.address()]);
    source.bind_as = Some(misbehaving::READER.0.to_owned());
    source.connect_timeout_s = 1;
    for (behaviour, part) in [
        (Behaviour::Endless, "is it a directory server?"),
        (Behaviour::HugeLength, "4 MiB"),
        (Behaviour::TruncatedBer, "cannot be read"),
        (Behaviour::Empty, "shows nothing"),
        (Behaviour::SilentBind, "within 1 s"),
        (Behaviour::Refer("ldap://elsewhere.example/".to_owned()), "ldap://elsewhere.example/"),
    ] {
        server.behave(behaviour);
        let report = directory(&source, misbehaving::READER.1).test(&[]).await;
        let last = report.steps.last().unwrap();
        assert!(!report.ok && !last.ok && last.message.contains(part), "{part}: {report:?}");
    }
}
