//! Doing what the server's answers ask for.

use std::{collections::BTreeMap, time::Duration};

use syncline_protocol::{
    items::{ActivationResult, Body, Id, NextContact, Notice, SyncOutcome, SyncResult},
    opamp::{
        AgentRemoteConfig, ConnectionSettingsOffers, ConnectionSettingsStatuses, RemoteConfigStatus,
        RemoteConfigStatuses, ServerToAgent,
    },
};
use tokio::time::Instant;

use super::{Agent, End, SyncEnd, outcome, period, work::Done};
use crate::{
    apply::Offer,
    client::{
        Todo,
        settings::{self, Verdict},
    },
    clock::millis,
    error::{Error, Result},
    net::{Connection, Failure},
    state::{
        messages::{self, Direction, Message},
        outbox,
    },
};

/// A server can ask to be left alone or called again; not for so long, or so often, that the device is lost or it a burden.
const LONGEST: Duration = Duration::from_secs(86_400);

impl Agent {
    /// Takes an answer. Says if the connection is to end.
    pub(super) async fn answered(&mut self, said: ServerToAgent, transport: &str) -> Result<Option<End>> {
        for todo in self.client.receive(said) {
            if let Some(end) = self.one(todo, transport).await? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    async fn one(&mut self, todo: Todo, transport: &str) -> Result<Option<End>> {
        match todo {
            Todo::Accepted => return self.accepted(transport),
            Todo::Apply(offer) => self.offered(&offer)?,
            Todo::Settings(offer) => return self.settings(&offer),
            Todo::Look => {
                // What is said then is what is there, and not what was there at the last look.
                self.looking = true;
                self.start_work();
            }
            Todo::Acknowledged { ids, report } => {
                outbox::forget(&self.worker.state, &ids)?;
                if report && self.work.is_none() {
                    self.worker.forget_withdrawn()?;
                }
            }
            Todo::Sync(id, request) => {
                self.client.acknowledge(id);
                if !self.asked.contains(&request.sync_id) {
                    self.note(
                        Direction::Received,
                        "sync",
                        "The server asks for a sync",
                        &request.reason,
                        id,
                    )?;
                    self.asked.push(request.sync_id);
                }
                self.start_work();
            }
            Todo::Synced(id, result) => self.synced(id, &result)?,
            Todo::Notice(id, notice) => self.notice(id, notice)?,
            Todo::NextContact(next) => self.next_contact(next),
            Todo::Task(id, task) => {
                let (action, result) = (task.action.clone(), self.worker.clone().perform(task).await?);
                let outcome = format!("{:?} {}", result.outcome(), result.text);
                self.note(Direction::Received, "task", &action, outcome.trim(), id)?;
                // The result has the id of the task: however often that comes, there is one answer.
                let result_id = Id::try_from(result.task_id.as_slice()).unwrap_or(id);
                let now = self.worker.clock.now();
                self.keep(syncline_protocol::items::Item::new(result_id, now, Body::TaskResult(result)))?;
                self.client.acknowledge(id);
            }
            Todo::Activated(id, result) => self.activated(id, &result)?,
            Todo::Later(asked) => return Ok(Some(End::Failed(Failure::Later(503, asked)))),
            Todo::Rejected(why) => {
                return Ok(Some(End::Failed(Failure::Broken(format!(
                    "the server did not take the message: {why}"
                )))));
            }
        }
        Ok(None)
    }

    /// The credential that was shown is good.
    fn accepted(&mut self, transport: &str) -> Result<Option<End>> {
        self.backoff.reset();
        if self.credential.candidate.is_some() {
            self.credential.promote();
            self.credential.save(&self.worker.state)?;
            let hash = self.credential.settings_hash.clone();
            self.client.settled(settings::status(&hash, ConnectionSettingsStatuses::Applied, ""));
            tracing::info!("the device's own credential is in use");
        }
        let now = self.worker.clock.now();
        self.contact.answered(transport, now);
        self.contact.next_contact = now + millis(self.next_contact.saturating_duration_since(Instant::now()));
        self.contact.save(&self.worker.state)?;
        let over = self.until_enrolled && !self.credential.enrolling && self.credential.candidate.is_none();
        Ok(over.then_some(End::Enrolled))
    }

    fn offered(&mut self, offer: &AgentRemoteConfig) -> Result<()> {
        match Offer::accept(&self.worker.state, offer) {
            Ok(_) => {
                self.start_work();
                Ok(())
            }
            Err(Error::Offer(why)) => {
                tracing::warn!("an offer of documents was not taken: {why}");
                self.client.refuse(RemoteConfigStatus {
                    last_remote_config_hash: offer.config_hash.clone(),
                    status: RemoteConfigStatuses::Failed.into(),
                    error_message: why,
                });
                Ok(())
            }
            Err(other) => Err(other),
        }
    }

    fn settings(&mut self, offer: &ConnectionSettingsOffers) -> Result<Option<End>> {
        let verdict = settings::consider(&mut self.credential, offer);
        if verdict == Verdict::Nothing {
            return Ok(None);
        }
        self.credential.save(&self.worker.state)?;
        if !self.exact {
            self.period = period(&self.worker.config, &self.credential);
            self.next_contact = self.next_contact.min(Instant::now() + self.period);
        }
        match verdict {
            Verdict::Nothing => Ok(None),
            Verdict::InUse => {
                self.client.settled(settings::status(&offer.hash, ConnectionSettingsStatuses::Applied, ""));
                Ok(None)
            }
            Verdict::Try => Ok(Some(End::Reconnect)),
            Verdict::Refused(why) => {
                tracing::warn!("an offer of connection settings was not taken: {why}");
                self.client.settled(settings::status(&offer.hash, ConnectionSettingsStatuses::Failed, &why));
                Ok(None)
            }
        }
    }

    pub(super) fn give_up_candidate(&mut self, why: &str) -> Result<()> {
        self.credential.give_up();
        self.credential.save(&self.worker.state)?;
        self.refuse_settings(why);
        Ok(())
    }

    pub(super) fn refuse_settings(&mut self, why: &str) {
        let hash = self.credential.settings_hash.clone();
        self.client.settled(settings::status(&hash, ConnectionSettingsStatuses::Failed, why));
    }

    fn next_contact(&mut self, next: NextContact) {
        self.exact = true;
        self.next_contact = Instant::now() + Duration::from_millis(next.delay_ms).min(LONGEST);
        if next.period_ms > 0 {
            self.period = Duration::from_millis(next.period_ms).clamp(Duration::from_secs(1), LONGEST);
        }
        let delay = millis(self.next_contact.saturating_duration_since(Instant::now()));
        self.contact.next_contact = self.worker.clock.now() + delay;
    }

    fn synced(&mut self, id: Id, result: &SyncResult) -> Result<()> {
        self.client.acknowledge(id);
        let end = match result.outcome() {
            SyncOutcome::Synchronised => {
                self.contact.last_sync = self.worker.clock.now();
                self.contact.save(&self.worker.state)?;
                SyncEnd::Synchronised
            }
            SyncOutcome::Refused => SyncEnd::Failed("the server refuses: not now, or too often".to_owned()),
            SyncOutcome::Failed | SyncOutcome::Unspecified => {
                SyncEnd::Failed("not everything could be applied: see `syncline-agent status`".to_owned())
            }
        };
        for at in (0..self.local.len()).rev() {
            if self.local[at].id == result.sync_id {
                // Who asked may have gone.
                let _ = self.local.swap_remove(at).answer.send(end.clone());
            }
        }
        Ok(())
    }

    fn notice(&mut self, id: Id, notice: Notice) -> Result<()> {
        let mut details: BTreeMap<String, String> = notice.details.clone();
        details.insert("text".to_owned(), notice.text.clone());
        let message = Message {
            at: self.worker.clock.now(),
            direction: Direction::Received,
            kind: "notice".to_owned(),
            title: notice.title.clone(),
            outcome: format!("{:?}", notice.severity()).to_lowercase(),
            details,
            id: hex::encode(id.as_bytes()),
        };
        messages::add(&self.worker.state, &message)?;
        self.client.acknowledge(id);
        Ok(())
    }

    fn activated(&mut self, id: Id, result: &ActivationResult) -> Result<()> {
        let name = hex::encode(&result.activation_id);
        let record = (result.activated, result.text.clone());
        self.worker.state.write(&format!("activation-{name}.json"), &record)?;
        self.note(Direction::Received, "activation", "Activation", &result.text, id)?;
        self.client.acknowledge(id);
        Ok(())
    }

    fn note(&self, direction: Direction, kind: &str, title: &str, outcome: &str, id: Id) -> Result<()> {
        let message = Message {
            at: self.worker.clock.now(),
            direction,
            kind: kind.to_owned(),
            title: title.to_owned(),
            outcome: outcome.to_owned(),
            details: BTreeMap::new(),
            id: hex::encode(id.as_bytes()),
        };
        messages::add(&self.worker.state, &message)
    }

    /// The work is done while a connection stands: what was found before is said first.
    pub(super) async fn worked(
        &mut self,
        done: Result<Done>,
        connection: &mut Connection,
    ) -> Result<Option<End>> {
        self.looking = false;
        for drift in done.iter().flat_map(|done| &done.drift) {
            self.client.found(drift.clone());
            if let Some(message) = self.client.message()
                && let Some(end) = self.say(connection, message).await
            {
                return Ok(Some(end));
            }
        }
        self.take_done(done);
        if self.again {
            self.start_work();
            return Ok(None);
        }
        let asked = std::mem::take(&mut self.asked);
        for sync_id in asked {
            let outcome = outcome(&self.client);
            if outcome == SyncOutcome::Synchronised {
                self.contact.last_sync = self.worker.clock.now();
            }
            let item = self.client.item(Body::SyncResult(SyncResult { sync_id, outcome: outcome.into() }));
            self.keep(item)?;
        }
        Ok(None)
    }

    pub(super) fn take_done(&mut self, done: Result<Done>) {
        match done {
            Ok(done) => {
                if let Err(error) = self.note_changes(&done) {
                    tracing::warn!("the messages of this device cannot be kept: {error}");
                }
                self.client.found(done.after);
            }
            // The records of the agent cannot be read or written: it says so, and tries again at the next contact.
            Err(error) => tracing::error!("documents could not be applied: {error}"),
        }
    }

    /// What the device tells the server of its applications is also told to who looks at the device.
    fn note_changes(&self, done: &Done) -> Result<()> {
        for now in &done.after.applications {
            let before = self.client.applications().iter().find(|before| before.name == now.name);
            if before.is_none_or(|before| {
                (before.state, &before.document_digest) != (now.state, &now.document_digest)
            }) {
                let message = Message {
                    at: self.worker.clock.now(),
                    direction: Direction::Sent,
                    kind: "report".to_owned(),
                    title: format!("{}: {:?}", now.name, now.state()).to_lowercase(),
                    outcome: now.error.clone(),
                    details: [("digest".to_owned(), hex::encode(&now.document_digest))].into(),
                    id: String::new(),
                };
                messages::add(&self.worker.state, &message)?;
            }
        }
        Ok(())
    }
}
