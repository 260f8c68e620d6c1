//! `ldap`: speaking with the directory servers that an administrator granted. What connects and binds is a
//! [`DirectoryConnector`] of the host's, so that no credentials come here; what a plugin may say on that connection is
//! decided in [`requests`], and whether it has read all there is, in [`reading`].

mod reading;
mod requests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use syncline_domain::{
    Failure, FailureKind, Fault, Name,
    directory::message::{BadMessage, Message, Operation, parse, split},
    plugin::Capability,
};
use wasmtime::component::Resource;

use self::{
    reading::{Pending, Place, Reading},
    requests::{Request, vet},
};
use super::{Label, Refusal, labels, not_granted, stores};
use crate::{
    bindings::directory_sync::syncline::plugin::ldap::{Host, HostSession, Milliseconds, Source},
    call::{Call, grants},
    host::{DirectoryConnector, DirectorySession},
};

/// The interface, as grants call it.
pub(crate) const INTERFACE: &str = "ldap";
/// The label of a source that tells a distinguished name below which it is read.
const BASE: &str = "base";

/// Most sessions at a time.
const SESSIONS: usize = 8;
/// Most connections in a run: each one is a bind, and may be counted against an account.
const CONNECTIONS: usize = 1_000;
/// Most searches of a session without a result so far.
const SEARCHES: usize = 1_000;
/// Bytes that a plugin may ask for at a time.
const RECEIVE: std::ops::RangeInclusive<usize> = (64 << 10)..=(1 << 20);
/// Most bytes of a referral.
const REFERRAL: usize = 4 << 10;

/// What became of a search whose session the plugin ended.
const LEFT: &str = "had no result when the plugin ended the session";
/// What became of a search whose session ended otherwise.
const CUT: &str = "was cut off: its connection ended before it had a result";

/// A directory source that a sync binds.
#[derive(Clone)]
pub struct BoundDirectory {
    /// What an administrator calls it.
    pub name: Name,
    /// What it is, for the plugin: names and values. Each `base` is a distinguished name below which it is read.
    pub labels: Vec<Label>,
    /// Connects to it.
    pub connector: Arc<dyn DirectoryConnector>,
}

/// The directory sources of this call, and what was read from them.
#[derive(Default)]
pub(crate) struct LdapContext {
    granted: bool,
    sources: Vec<BoundDirectory>,
    sessions: usize,
    connections: usize,
    /// By source, and by referral where one was followed: what will not be tried again in this run, since a server that refuses
    /// credentials may lock the account if it is asked again and again.
    refused: BTreeMap<(Name, String), Failure>,
    reading: Reading,
}

/// A bound connection, behind a handle.
pub struct OpenSession {
    place: Arc<Place>,
    source: Name,
    server: String,
    /// None once it is over.
    connection: Option<Box<dyn DirectorySession>>,
    /// Searches without a result so far, by message id.
    pending: HashMap<u32, Pending>,
}

impl LdapContext {
    /// Of what a sync binds, what `allowed` covers.
    pub(crate) fn new(mut sources: Vec<BoundDirectory>, allowed: &[Capability]) -> Self {
        let grants = grants(allowed, INTERFACE);
        let granted = grants.clone().next().is_some();
        sources.retain(|source| grants.clone().any(|grant| stores::names(grant, &source.name)));
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        for source in &mut sources {
            source.labels.sort();
        }
        Self { granted, sources, ..Self::default() }
    }

    /// What says that not all was read.
    pub(crate) fn incomplete(&self) -> Option<String> {
        self.reading.incomplete()
    }

    /// The source of this name, whether or not there is such a source elsewhere.
    fn bound(&self, name: &str) -> Result<BoundDirectory, Failure> {
        if !self.granted {
            return Err(not_granted(INTERFACE));
        }
        let found = self.sources.iter().find(|source| source.name.as_str() == name);
        found.cloned().ok_or_else(|| {
            let name: String = name.chars().take(Name::MAX).collect();
            Failure::denied(
                "not-granted",
                format!(
                    "{name:?} is not among the directory sources that this sync gives to the plugin: an operator can bind it, \
                     and an administrator can widen the grant of `ldap`"
                ),
            )
        })
    }

    /// To be asked before each connection. `referral` is empty for a source's own servers.
    fn may_connect(&self, source: &Name, referral: &str) -> Result<(), Failure> {
        if self.sessions >= SESSIONS {
            let message = format!("{SESSIONS} sessions are open: drop one before connecting again");
            return Err(Failure::plugin_limit("sessions", message));
        }
        if self.connections >= CONNECTIONS {
            let message = format!(
                "more than {CONNECTIONS} connections in a run: keep sessions open and use them again"
            );
            return Err(Failure::plugin_limit("connections", message));
        }
        let refused = |failure: &&Failure| failure.code == "credentials";
        let same_account =
            self.refused.iter().filter(|((name, _), _)| name == source).map(|(_, failure)| failure);
        let same_place = self.refused.get(&(source.clone(), referral.to_owned()));
        match same_place.or_else(|| same_account.clone().find(refused)) {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    /// What came of connecting.
    fn connected(
        &mut self,
        source: BoundDirectory,
        referral: String,
        outcome: Result<Box<dyn DirectorySession>, Failure>,
    ) -> Result<OpenSession, Failure> {
        self.connections += 1;
        let connection = outcome.inspect_err(|failure| {
            if failure.kind == FailureKind::Denied {
                self.refused.insert((source.name.clone(), referral.clone()), failure.clone());
            }
        })?;
        if !referral.is_empty() {
            self.reading.followed(&referral);
        }
        self.sessions += 1;
        let bases =
            source.labels.into_iter().filter(|(name, _)| name == BASE).map(|(_, base)| base).collect();
        Ok(OpenSession {
            place: Arc::new(Place { source: source.name.as_str().to_owned(), referral, bases }),
            source: source.name,
            server: connection.server().to_owned(),
            connection: Some(connection),
            pending: HashMap::new(),
        })
    }
}

impl OpenSession {
    fn connection(&mut self) -> Result<&mut Box<dyn DirectorySession>, Failure> {
        let closed = || {
            Failure::unavailable("closed", format!("the session with {} is over: connect again", self.server))
        };
        match &mut self.connection {
            Some(connection) => Ok(connection),
            None => Err(closed()),
        }
    }

    /// It is over, and with it what had no answer yet. `why` goes on a sentence about that.
    fn end(&mut self, why: &'static str, reading: &mut Reading) {
        self.connection = None;
        self.pending.drain().for_each(|(_, pending)| reading.lost(&pending, why));
    }

    /// Notes what is about to be sent.
    fn note(&mut self, requests: Vec<Request<'_>>, reading: &mut Reading) -> Result<(), Failure> {
        let searches = requests.iter().filter(|request| matches!(request, Request::Search(_))).count();
        if self.pending.len() + searches > SEARCHES {
            let message =
                format!("{SEARCHES} searches of a session have no result yet: receive before sending more");
            return Err(Failure::plugin_limit("searches", message));
        }
        for request in requests {
            match request {
                Request::Search(asked) if self.pending.contains_key(&asked.id) => {
                    let message = format!(
                        "the plugin sent two searches with the message id {} to the directory {}, and the first has no result \
                         yet; its author has to give each its own",
                        asked.id, self.source
                    );
                    return Err(Failure::plugin("framing", message));
                }
                Request::Search(asked) => {
                    let pending = reading.asked(&asked, &self.place);
                    self.pending.insert(asked.id, pending);
                }
                Request::Abandon(id) => {
                    if let Some(pending) = self.pending.remove(&id) {
                        reading.abandoned(&pending);
                    }
                }
                Request::Unbind => {}
            }
        }
        Ok(())
    }

    /// Looks at what came.
    fn read(&mut self, bytes: &[u8], reading: &mut Reading) -> Result<(), BadMessage> {
        for message in split(bytes) {
            self.answer(&parse(message?)?, reading)?;
        }
        Ok(())
    }

    fn answer(&mut self, message: &Message<'_>, reading: &mut Reading) -> Result<(), BadMessage> {
        // Of an abandoned search there can be answers under way still.
        let Some(pending) = self.pending.get_mut(&message.id) else { return Ok(()) };
        match message.operation {
            Operation::SearchResultEntry => pending.entry(),
            Operation::SearchResultReference => pending.reference(&message.references()?),
            Operation::SearchResultDone => {
                let (outcome, has_more) = (message.outcome()?, message.has_more()?);
                if let Some(pending) = self.pending.remove(&message.id) {
                    reading.answered(pending, &outcome, has_more);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// What was received is no LDAP: the server's fault.
fn garbled(server: &str, bad: &BadMessage) -> Failure {
    let message = format!(
        "the directory server {server} sent what is no LDAP: {bad}; check that the port is one of a directory server and that \
         nothing on the way changes what is sent"
    );
    Failure::new(FailureKind::Invalid, Fault::Remote, "framing", message)
}

impl Host for Call {
    async fn sources(&mut self) -> wasmtime::Result<Vec<Source>> {
        self.begin()?;
        let source = |source: &BoundDirectory| Source {
            name: source.name.as_str().to_owned(),
            labels: labels(&source.labels),
        };
        Ok(self.ldap.sources.iter().map(source).collect())
    }

    async fn connect(&mut self, source: String) -> Result<Resource<OpenSession>, Refusal> {
        self.begin()?;
        let source = self.ldap.bound(&source)?;
        self.ldap.may_connect(&source.name, "")?;
        let outcome = source.connector.connect().await;
        let session = self.ldap.connected(source, String::new(), outcome)?;
        self.hold_session(session)
    }

    async fn follow(&mut self, source: String, referral: String) -> Result<Resource<OpenSession>, Refusal> {
        self.begin()?;
        let source = self.ldap.bound(&source)?;
        if referral.is_empty() || referral.len() > REFERRAL {
            let message =
                format!("a referral of {} bytes: it is an LDAP URL of 1 to {REFERRAL}", referral.len());
            return Err(Failure::plugin("referral", message).into());
        }
        self.ldap.may_connect(&source.name, &referral)?;
        let outcome = source.connector.follow(&referral).await;
        let session = self.ldap.connected(source, referral, outcome)?;
        self.hold_session(session)
    }
}

impl Call {
    fn hold_session(&mut self, session: OpenSession) -> Result<Resource<OpenSession>, Refusal> {
        self.hold(session).map_err(|limit| {
            self.ldap.sessions -= 1;
            limit.failure(None).into()
        })
    }
}

impl HostSession for Call {
    async fn server(&mut self, session: Resource<OpenSession>) -> wasmtime::Result<String> {
        self.begin()?;
        Ok(self.table.get(&session)?.server.clone())
    }

    async fn send(&mut self, session: Resource<OpenSession>, messages: Vec<u8>) -> Result<(), Refusal> {
        self.begin()?;
        let session = self.table.get_mut(&session)?;
        let reading = &mut self.ldap.reading;
        session.connection()?;
        let noted = vet(&messages, &session.source).and_then(|requests| {
            let unbinds = matches!(requests.last(), Some(Request::Unbind));
            session.note(requests, reading)?;
            Ok(unbinds)
        });
        let sent = match noted {
            Ok(unbinds) => {
                session.connection()?.send(&messages).await.map(|()| unbinds).map_err(Refusal::from)
            }
            Err(refusal) => Err(refusal),
        };
        match sent {
            Ok(false) => Ok(()),
            Ok(true) => {
                session.end(LEFT, reading);
                Ok(())
            }
            Err(refusal) => {
                // Sending too much at once has sent nothing, and can be done better.
                if !matches!(&refusal, Refusal::Failure(failure) if failure.kind == FailureKind::Limit) {
                    session.end(CUT, reading);
                }
                Err(refusal)
            }
        }
    }

    async fn receive(
        &mut self,
        session: Resource<OpenSession>,
        max_bytes: u32,
        wait: Milliseconds,
    ) -> Result<Vec<u8>, Refusal> {
        self.begin()?;
        let max = max_bytes as usize;
        if !RECEIVE.contains(&max) {
            let message =
                format!("asked to receive {max} bytes: ask for {} to {}", RECEIVE.start(), RECEIVE.end());
            return Err(Failure::plugin("max-bytes", message).into());
        }
        self.carry(max)?;
        let session = self.table.get_mut(&session)?;
        let reading = &mut self.ldap.reading;
        let received = session.connection()?.receive(max, Duration::from_millis(wait.into())).await;
        let looked_at = received.and_then(|bytes| {
            session.read(&bytes, reading).map_err(|bad| garbled(&session.server, &bad))?;
            Ok(bytes)
        });
        match looked_at {
            Ok(bytes) => {
                self.carry(bytes.len())?;
                Ok(bytes)
            }
            Err(failure) => {
                if failure.code != "timeout" {
                    session.end(CUT, reading);
                }
                Err(failure.into())
            }
        }
    }

    async fn drop(&mut self, session: Resource<OpenSession>) -> wasmtime::Result<()> {
        let mut session = self.table.delete(session)?;
        session.end(LEFT, &mut self.ldap.reading);
        self.ldap.sessions = self.ldap.sessions.saturating_sub(1);
        Ok(())
    }
}
