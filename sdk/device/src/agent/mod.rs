//! The agent at work: connections to the server, and what their answers ask for.
//!
//! * [`Agent::run`]: for as long as the device is on.
//! * [`Agent::enrol`]: until the server has accepted the device's own credential.
//! * [`Handle`]: asks the running agent for a sync, or to stop.
//! * [`Contact`]: when it last spoke with the server.

mod answer;
mod asked;
mod contact;
mod work;

use std::{sync::Arc, time::Duration};

use syncline_protocol::{InstanceUid, items::SyncOutcome, opamp::AgentToServer};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

pub use contact::Contact;
use work::{Done, Worker};

use crate::{
    apply::command::System,
    backoff::Backoff,
    client::Client,
    clock::Clock,
    config::{Config, Transport},
    error::{Error, Result},
    facts,
    net::{Connection, Connector, Failure, TIMEOUT},
    state::{StateFolder, credential::Credential, outbox},
};

/// A sync that someone on the device asked for gets no answer in this time.
const SYNC_TIMEOUT: Duration = Duration::from_secs(90);

/// How long a refused credential is not shown again, at most.
const REFUSED: Duration = Duration::from_secs(600);

/// Asks the running agent for something.
#[derive(Debug)]
pub enum Request {
    /// Bring the device up to date now.
    Sync(oneshot::Sender<SyncEnd>),
    /// Close the connection, and end.
    Stop,
}

/// How a sync ended that someone on the device asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncEnd {
    /// The device has what it should have.
    Synchronised,
    /// It has not, and why.
    Failed(String),
}

/// Where requests go.
pub type Handle = mpsc::Sender<Request>;

/// Why a conversation ended.
enum End {
    /// The agent is to stop.
    Stop,
    /// A new credential is to be used.
    Reconnect,
    /// The device's own credential was accepted.
    Enrolled,
    /// The network, or the server.
    Failed(Failure),
}

/// A sync that waits for its result.
struct LocalSync {
    id: Vec<u8>,
    until: Instant,
    /// The server may not have our capability: then a contact is all that there is.
    answer: oneshot::Sender<SyncEnd>,
}

/// The agent.
pub struct Agent {
    worker: Arc<Worker>,
    credential: Credential,
    connector: Connector,
    client: Client,
    requests: mpsc::Receiver<Request>,
    backoff: Backoff,
    contact: Contact,
    /// Contacts that are due.
    next_contact: Instant,
    period: Duration,
    /// Told by the server, to the millisecond: goes before the heartbeat interval.
    exact: bool,
    work: Option<JoinHandle<Result<Done>>>,
    /// The server wants to know how the files are: nothing is said before they were looked at.
    looking: bool,
    /// There is more to do once the work is done.
    again: bool,
    /// Syncs that the server asked for and that wait for the work.
    asked: Vec<Vec<u8>>,
    local: Vec<LocalSync>,
    /// Since when an answer is missing.
    waiting: Option<Instant>,
    until_enrolled: bool,
}

impl Agent {
    /// An agent on its state folder.
    pub fn new(config: Config, state: StateFolder, clock: Clock) -> Result<(Self, Handle)> {
        let no_credential =
            || Error::Config("this device is not enrolled: run `syncline-agent enrol` first".to_owned());
        let credential = Credential::load(&state)?.ok_or_else(no_credential)?;
        let run = draw();
        state.write_bytes("run", hex::encode(run).as_bytes())?;
        let connector = Connector::new(&config)?;
        let description = facts::description(&config, InstanceUid::new(run));
        let mut client = Client::new(clock.clone(), Box::new(draw), facts::hello(run), description);
        for item in outbox::load(&state)? {
            client.queue(item);
        }
        let (handle, requests) = mpsc::channel(16);
        let period = period(&config, &credential);
        let contact = Contact::load(&state)?.unwrap_or_default();
        let worker = Arc::new(Worker { config, state, clock, commands: Box::new(System) });
        let agent = Self {
            worker,
            credential,
            connector,
            client,
            requests,
            backoff: Backoff::default(),
            contact,
            next_contact: Instant::now() + period,
            period,
            exact: false,
            work: None,
            looking: false,
            again: false,
            asked: Vec::new(),
            local: Vec::new(),
            waiting: None,
            until_enrolled: false,
        };
        Ok((agent, handle))
    }

    /// Works until it is told to stop.
    pub async fn run(mut self) -> Result<()> {
        // What a killed agent left half done is ended before anything else, with or without a server.
        let done = self.worker.clone().start().await?;
        self.client.found(done.after);
        loop {
            match self.converse().await? {
                End::Stop | End::Enrolled => return Ok(()),
                End::Reconnect => {}
                End::Failed(failure) => {
                    if self.stay_away(&failure).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Works until the server has accepted the device's own credential, or refuses the token.
    pub async fn enrol(mut self) -> Result<(), Failure> {
        self.until_enrolled = true;
        let broken = |error: Error| Failure::Broken(error.to_string());
        loop {
            match self.converse().await.map_err(broken)? {
                End::Stop | End::Enrolled => return Ok(()),
                End::Reconnect => {}
                End::Failed(failure @ Failure::Later(_, Some(_))) => {
                    self.stay_away(&failure).await.map_err(broken)?;
                }
                End::Failed(failure) if self.credential.candidate.is_none() => return Err(failure),
                End::Failed(failure) => {
                    self.stay_away(&failure).await.map_err(broken)?;
                }
            }
        }
    }

    /// One connection, from its first message to its end.
    async fn converse(&mut self) -> Result<End> {
        let login = self.credential.login().clone();
        let how = self.worker.config.transport;
        let opened = self.connector.open(&login, how, self.client.instance()).await;
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(Failure::NoWebSocket(why)) if how == Transport::Websocket => {
                return Ok(End::Failed(Failure::Broken(format!("WebSocket does not get through: {why}"))));
            }
            Err(failure) => return Ok(End::Failed(failure)),
        };
        self.looking = false;
        self.client.connected();
        self.client.describe(facts::description(&self.worker.config, self.client.instance()));
        self.waiting = None;
        let end = self.talk(&mut connection).await;
        if matches!(end, Ok(End::Stop | End::Reconnect | End::Enrolled)) {
            connection.close().await;
        }
        self.contact.connected = false;
        end
    }

    async fn talk(&mut self, connection: &mut Connection) -> Result<End> {
        // A connection begins with a message, whether there is something new or not.
        let first = self.client.message().unwrap_or_else(|| self.client.heartbeat());
        if let Some(end) = self.say(connection, first).await {
            return Ok(end);
        }
        loop {
            while !self.looking
                && let Some(message) = self.client.message()
            {
                if let Some(end) = self.say(connection, message).await {
                    return Ok(end);
                }
            }
            let silent = self.waiting.map_or_else(far, |since| since + TIMEOUT);
            let local = self.local.iter().map(|sync| sync.until).min().unwrap_or_else(far);
            tokio::select! {
                said = connection.receive() => match said {
                    Ok(said) => {
                        self.waiting = None;
                        if let Some(end) = self.answered(said, connection.name()).await? {
                            return Ok(end);
                        }
                    }
                    Err(failure) => return Ok(End::Failed(failure)),
                },
                done = finished(&mut self.work) => {
                    if let Some(end) = self.worked(done, connection).await? {
                        return Ok(end);
                    }
                }
                request = self.requests.recv() => if self.requested(request).await? {
                    return Ok(End::Stop);
                },
                () = sleep_until(self.next_contact) => {
                    self.next_contact = Instant::now() + self.period;
                    self.client.describe(facts::description(&self.worker.config, self.client.instance()));
                    let message = self.client.heartbeat();
                    if let Some(end) = self.say(connection, message).await {
                        return Ok(end);
                    }
                    self.start_work();
                }
                () = sleep_until(silent) => {
                    return Ok(End::Failed(Failure::Broken(format!("the server gave no answer within {} s", TIMEOUT.as_secs()))));
                }
                () = sleep_until(local) => self.give_up_local(),
            }
        }
    }

    async fn say(&mut self, connection: &mut Connection, message: AgentToServer) -> Option<End> {
        self.waiting.get_or_insert_with(Instant::now);
        connection.send(&message).await.err().map(End::Failed)
    }

    /// Waits until the server can be tried again. Says whether the agent is to stop.
    async fn stay_away(&mut self, failure: &Failure) -> Result<bool> {
        let asked = match failure {
            Failure::Refused(_) if self.credential.candidate.is_some() => {
                tracing::warn!(
                    "the server refuses the credential that it offered: the one before is used on"
                );
                self.give_up_candidate(&failure.to_string())?;
                return Ok(false);
            }
            Failure::Refused(_) => Some(REFUSED / 2),
            Failure::Later(_, asked) => *asked,
            Failure::NoWebSocket(_) | Failure::Broken(_) => {
                if self.credential.candidate.is_some() {
                    let given_up = self.credential.failed();
                    self.credential.save(&self.worker.state)?;
                    if given_up {
                        self.refuse_settings("no connection could be made with it");
                    }
                }
                None
            }
        };
        let wait = self.backoff.next(rand::random(), asked);
        tracing::warn!(wait_ms = crate::clock::millis(wait), "no contact with the server: {failure}");
        self.contact.failed(&failure.to_string(), self.worker.clock.now() + crate::clock::millis(wait));
        self.contact.save(&self.worker.state)?;
        for sync in self.local.drain(..) {
            // Who asked may have gone.
            let _ = sync.answer.send(SyncEnd::Failed(failure.to_string()));
        }
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => return Ok(false),
                done = finished(&mut self.work) => self.take_done(done),
                request = self.requests.recv() => match request {
                    // Someone wants it now: it is tried at once, unless the server itself asked for time.
                    Some(Request::Sync(answer)) if asked.is_none() => {
                        self.begin_local(answer)?;
                        return Ok(false);
                    }
                    Some(Request::Sync(answer)) => drop(answer.send(SyncEnd::Failed(failure.to_string()))),
                    Some(Request::Stop) | None => return Ok(true),
                },
            }
        }
    }

    fn start_work(&mut self) {
        if self.work.is_some() {
            self.again = true;
        } else {
            self.again = false;
            self.work = Some(tokio::spawn(self.worker.clone().start()));
        }
    }
}

/// How often to come while the server said nothing more exact.
fn period(config: &Config, credential: &Credential) -> Duration {
    match credential.heartbeat {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds.clamp(1, 86_400)),
        _ => Duration::from_secs(config.period),
    }
}

/// 16 bytes that nobody guesses.
fn draw() -> [u8; 16] {
    uuid::Uuid::new_v4().into_bytes()
}

/// Later than anything that is waited for.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(86_400 * 365)
}

/// The end of the work, if there is some.
async fn finished(work: &mut Option<JoinHandle<Result<Done>>>) -> Result<Done> {
    let Some(handle) = work else { return std::future::pending().await };
    let done = handle.await;
    *work = None;
    done.unwrap_or_else(|error| Err(Error::Config(format!("applying ended by itself: {error}"))))
}

/// What a report of the applications is worth as the result of a sync.
fn outcome(client: &Client) -> SyncOutcome {
    use syncline_protocol::opamp::RemoteConfigStatuses;
    match client.status().map(syncline_protocol::opamp::RemoteConfigStatus::status) {
        None | Some(RemoteConfigStatuses::Applied) => SyncOutcome::Synchronised,
        Some(_) => SyncOutcome::Failed,
    }
}
