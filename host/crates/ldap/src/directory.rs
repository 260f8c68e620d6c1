//! A directory source: several servers that hold the same.

use std::time::Duration;

use syncline_domain::{
    Failure, FailureKind,
    directory::{Security, SourceSpec},
};

use crate::{
    bind::Identity,
    connect::{Approach, Terms},
    password::Password,
    referral::Referral,
    server::Server,
    session::Session,
    tls::Trust,
    wire::Wire,
};

/// Most servers of a source.
const SERVERS: usize = 16;

/// A directory source, ready to be connected to.
#[derive(Debug)]
pub struct Directory {
    pub(crate) servers: Vec<Server>,
    referrals: Vec<Server>,
    pub(crate) bases: Vec<String>,
    security: Security,
    trust: Option<Trust>,
    identity: Identity,
    time: Duration,
}

impl Directory {
    /// Reads what an administrator set. `password` is the value of the secret that it names. Where TLS is used without
    /// authorities of its own, those of the system are read from their files.
    ///
    /// Fails with kind `invalid`, and names what is wrong.
    pub fn new(spec: &SourceSpec, password: Option<Password>) -> Result<Self, Failure> {
        let servers = servers("servers", &spec.servers)?;
        if servers.is_empty() {
            return Err(Failure::settings(
                "servers",
                "servers: name at least one, such as \"dc1.example.com:636\"",
            ));
        }
        if !(1..=120).contains(&spec.connect_timeout_s) {
            let message =
                format!("connect_timeout_s: {} is not from 1 to 120 seconds", spec.connect_timeout_s);
            return Err(Failure::settings("connect-timeout", message));
        }
        let given = spec.certificate_authorities.as_deref().map(Trust::of_pem).transpose()?;
        let trust = match (spec.security, given) {
            (Security::Plain, given) => given,
            (_, Some(given)) => Some(given),
            (_, None) => Some(Trust::of_system()?),
        };
        Ok(Self {
            servers,
            referrals: self::servers("referrals", &spec.referrals)?,
            bases: spec.bases.clone(),
            security: spec.security,
            trust,
            identity: identity(spec, password)?,
            time: Duration::from_secs(spec.connect_timeout_s.into()),
        })
    }

    /// Connects to the first of its servers that answers, and binds. Fails as `connect` in wit/ldap.wit does. One failure
    /// tells of all servers; it can be tried again if that may help at any of them.
    pub async fn connect(&self) -> Result<Session, Failure> {
        let mut failures: Vec<Failure> = Vec::new();
        for server in &self.servers {
            match Approach::new(server, self.terms(self.security)).connect().await {
                Ok(wire) => return Ok(Session::new(server, wire)),
                // The next server would say the same, and count one more wrong password.
                Err(failure) if failure.code == "credentials" => return Err(failure),
                Err(failure) => {
                    tracing::warn!(%server, code = failure.code, "a directory server cannot be had: {failure}");
                    failures.push(failure);
                }
            }
        }
        Err(together(failures))
    }

    /// Connects to the server that a referral (an LDAP URL) names, and binds with the source's credentials. Never with less
    /// security than the source's: for `ldap://` with StartTLS, unless the source is plain.
    ///
    /// Fails as `connect`, and with kind `denied` and code `referral` if the source does not name that server.
    pub async fn follow(&self, referral: &str) -> Result<Session, Failure> {
        let asked = Referral::parse(referral).map_err(|error| Failure::denied("referral", error))?;
        let server = self.referrals.iter().find(|server| **server == asked.server).ok_or_else(|| {
            let server = &asked.server;
            let message = format!(
                "a referral leads to {server}, which the source does not name: add \"{server}\" to its referrals if it is \
                 to be followed there"
            );
            Failure::denied("referral", message)
        })?;
        let security = match (asked.ldaps, self.security) {
            (true, _) => Security::Ldaps,
            (false, Security::Plain) => Security::Plain,
            (false, _) => Security::Starttls,
        };
        if security == Security::Ldaps && self.trust.is_none() {
            let message = format!(
                "a referral leads to {server} with TLS, and the source is plain: set its certificate_authorities to those \
                 that vouch for that server"
            );
            return Err(Failure::denied("certificate", message));
        }
        let wire: Wire = Approach::new(server, self.terms(security)).connect().await?;
        Ok(Session::new(server, wire))
    }

    /// What the source's own servers are connected to with.
    pub(crate) fn own_terms(&self) -> Terms<'_> {
        self.terms(self.security)
    }

    fn terms(&self, security: Security) -> Terms<'_> {
        Terms { security, trust: self.trust.as_ref(), identity: &self.identity, time: self.time }
    }
}

fn servers(field: &str, texts: &[String]) -> Result<Vec<Server>, Failure> {
    if texts.len() > SERVERS {
        return Err(Failure::settings(field, format!("{field}: {} are more than {SERVERS}", texts.len())));
    }
    let parsed = texts.iter().map(|text| Server::parse(text));
    parsed.collect::<Result<_, _>>().map_err(|error| Failure::settings(field, format!("{field}: {error}")))
}

fn identity(spec: &SourceSpec, password: Option<Password>) -> Result<Identity, Failure> {
    match (&spec.bind_as, password) {
        (Some(name), _) if name.trim().is_empty() => {
            Err(Failure::settings("bind-as", "bind_as: it is empty; leave it out to bind as nobody"))
        }
        (Some(name), Some(password)) => Ok(Some((name.clone(), password))),
        (None, None) => Ok(None),
        (Some(name), None) => Err(Failure::settings(
            "secret",
            format!("bind_as is {name:?}: name the secret with its password, too"),
        )),
        (None, Some(_)) => {
            Err(Failure::settings("bind-as", "a secret is named: set bind_as to whose password it is"))
        }
    }
}

/// One failure for several servers.
fn together(mut failures: Vec<Failure>) -> Failure {
    let which = failures.iter().position(|failure| failure.kind == FailureKind::Unavailable).unwrap_or(0);
    if failures.len() == 1 {
        return failures.remove(which);
    }
    let messages: Vec<&str> = failures.iter().map(|failure| failure.message.as_str()).collect();
    let message = format!("none of {} servers can be had. {}", failures.len(), messages.join(". "));
    match failures.get(which) {
        Some(first) => Failure::new(first.kind, first.fault, &first.code, message),
        None => Failure::settings("servers", "the source has no servers"),
    }
}
