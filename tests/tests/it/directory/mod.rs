//! Directories: connections to real servers, and to one that misbehaves.

mod connect;
mod framing;
mod imports;
mod misbehaving;
mod report;
mod samba;
mod scim;

use std::time::Duration;

use bytes::BytesMut;
use ldap3_proto::{
    LdapCodec, LdapFilter,
    control::LdapControl,
    proto::{
        LdapDerefAliases, LdapMsg, LdapOp, LdapResult, LdapSearchRequest, LdapSearchResultEntry,
        LdapSearchScope,
    },
};
use syncline_domain::{
    Failure, FailureKind,
    directory::{
        Security, SourceSpec,
        message::{parse, split},
    },
};
use syncline_ldap::{Directory, Password, Session};
use syncline_tests::directory::ldif;
use tokio_util::codec::{Decoder as _, Encoder as _};
use zeroize::Zeroizing;

/// A source with these servers, that binds as the reader of [`ldif`].
fn source(security: Security, authority: Option<&str>, servers: &[&str]) -> SourceSpec {
    SourceSpec {
        servers: servers.iter().map(|server| (*server).to_owned()).collect(),
        url: None,
        security,
        certificate_authorities: authority.map(str::to_owned),
        bind_as: Some(ldif::READER.0.to_owned()),
        secret: None,
        kind: syncline_domain::directory::DirectoryKind::Auto,
        bases: Vec::new(),
        referrals: Vec::new(),
        connect_timeout_s: 10,
        description: String::new(),
    }
}

/// The source with a password.
fn directory(source: &SourceSpec, password: &str) -> Directory {
    Directory::new(source, Some(self::password(password))).unwrap()
}

fn password(text: &str) -> Password {
    Password::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
}

/// Connects as the reader, and fails like this. The failure names each of `parts`.
#[track_caller]
fn refused(failure: &Failure, kind: FailureKind, code: &str, parts: &[&str]) {
    assert_eq!((failure.kind, failure.code.as_str()), (kind, code), "{failure}");
    for part in parts {
        assert!(failure.message.contains(part), "{part:?} is not in: {failure}");
    }
}

/// A plugin's side of a session, as far as these tests need one.
struct Client {
    session: Session,
    id: i32,
}

impl Client {
    fn new(session: Session) -> Self {
        Self { session, id: 0 }
    }

    /// Sends a search below `base`.
    async fn ask(
        &mut self,
        base: &str,
        attributes: &[&str],
        control: Option<LdapControl>,
    ) -> Result<(), Failure> {
        self.id += 1;
        let search = LdapSearchRequest {
            base: base.to_owned(),
            scope: LdapSearchScope::Subtree,
            aliases: LdapDerefAliases::Never,
            sizelimit: 0,
            timelimit: 0,
            typesonly: false,
            filter: LdapFilter::Present("objectClass".to_owned()),
            attrs: attributes.iter().map(|name| (*name).to_owned()).collect(),
        };
        let message = LdapMsg {
            msgid: self.id,
            op: LdapOp::SearchRequest(search),
            ctrl: control.into_iter().collect(),
        };
        let mut bytes = BytesMut::new();
        LdapCodec::default().encode(message, &mut bytes).unwrap();
        self.session.send(&bytes).await
    }

    /// All that is answered to it.
    async fn answer(&mut self) -> Result<Answer, Failure> {
        let mut answer = Answer::default();
        loop {
            let bytes = self.session.receive(64 << 10, Duration::from_secs(10)).await?;
            for message in split(&bytes) {
                let bytes = message.unwrap();
                let decoded = LdapCodec::new(Some(4 << 20), None).decode(&mut BytesMut::from(bytes));
                let message = decoded.unwrap().unwrap();
                match message.op {
                    LdapOp::SearchResultEntry(entry) => answer.entries.push(entry),
                    LdapOp::SearchResultReference(reference) => answer.references.extend(reference.uris),
                    LdapOp::SearchResultDone(result) => {
                        assert_eq!(message.msgid, self.id);
                        answer.cookie = message.ctrl.into_iter().find_map(|control| match control {
                            LdapControl::SimplePagedResults { cookie, .. } => Some(cookie),
                            _ => None,
                        });
                        // The codec reads past referrals.
                        let outcome = parse(bytes).unwrap().outcome().unwrap();
                        let referral =
                            outcome.referrals.iter().map(|url| String::from_utf8_lossy(url).into_owned());
                        answer.result = Some(LdapResult { referral: referral.collect(), ..result });
                        return Ok(answer);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// Sends a search, and takes all that is answered.
    async fn search(&mut self, base: &str, attributes: &[&str]) -> Result<Answer, Failure> {
        self.ask(base, attributes, None).await?;
        self.answer().await
    }

    /// One page of a search.
    async fn page(&mut self, base: &str, attributes: &[&str], cookie: &[u8]) -> Result<Answer, Failure> {
        let control = LdapControl::SimplePagedResults { size: 1_000, cookie: cookie.to_vec() };
        self.ask(base, attributes, Some(control)).await?;
        self.answer().await
    }
}

/// What a search was answered.
#[derive(Debug, Default)]
struct Answer {
    entries: Vec<LdapSearchResultEntry>,
    references: Vec<String>,
    result: Option<LdapResult>,
    cookie: Option<Vec<u8>>,
}
