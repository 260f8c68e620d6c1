//! One simulated device.

use std::{sync::Arc, time::Duration};

use syncline_device::{
    apply::Found,
    backoff::Backoff,
    client::{
        Client, Todo,
        settings::{self, Verdict},
    },
    clock::Clock,
    net::{Connection, Failure},
    state::credential::Credential,
};
use syncline_protocol::{
    hash::document_digest,
    items::{Application, ApplicationState, Body, Hello, SyncOutcome, SyncResult},
    opamp::{
        AgentDescription, AgentRemoteConfig, ConnectionSettingsStatuses, KeyValue, RemoteConfigStatus,
        RemoteConfigStatuses,
    },
};
use tokio::time::{Instant, sleep, sleep_until};

use super::Fleet;

/// A device, in some kilobytes.
pub struct Device {
    fleet: Arc<Fleet>,
    number: u32,
    credential: Credential,
    client: Client,
    clock: Clock,
    backoff: Backoff,
    period: Duration,
    next: Instant,
    /// When the message was said that has no answer yet.
    said: Option<Instant>,
    /// The hash of the offer that was applied, until an answer came to its report.
    reporting: Option<Vec<u8>>,
}

fn draw() -> [u8; 16] {
    uuid::Uuid::new_v4().into_bytes()
}

impl Device {
    /// The device of this number.
    pub fn new(fleet: Arc<Fleet>, number: u32) -> Self {
        let clock = Clock::system();
        let hello = Hello { run_id: draw().to_vec(), ..Hello::default() };
        let description = AgentDescription {
            identifying_attributes: vec![
                KeyValue::new("service.name", "syncline-agent"),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            ],
            non_identifying_attributes: vec![
                KeyValue::new("host.name", format!("simulated-{number:06}")),
                KeyValue::new("os.type", "linux"),
            ],
        };
        Self {
            credential: Credential::enrolment(fleet.endpoint.clone(), &fleet.token),
            client: Client::new(clock.clone(), Box::new(draw), hello, description),
            period: fleet.period,
            next: Instant::now(),
            backoff: Backoff::default(),
            said: None,
            reporting: None,
            clock,
            number,
            fleet,
        }
    }

    /// Connects again and again, until the simulation ends or the server refuses the device.
    pub async fn live(mut self) {
        loop {
            let asked = match self.converse().await {
                Ok(()) => continue,
                Err(Failure::Refused(_)) if self.credential.candidate.is_some() => {
                    self.credential.give_up();
                    continue;
                }
                Err(failure @ Failure::Refused(_)) => {
                    self.fleet.figures.failed(self.number, &failure.to_string());
                    return;
                }
                Err(failure) => {
                    self.fleet.figures.failed(self.number, &failure.to_string());
                    if let Failure::Later(_, asked) = failure { asked } else { None }
                }
            };
            sleep(self.backoff.next(rand::random(), asked)).await;
        }
    }

    /// One connection. Ends well where a new credential is to be used.
    async fn converse(&mut self) -> Result<(), Failure> {
        let fleet = self.fleet.clone();
        let login = self.credential.login().clone();
        let mut connection = {
            // The simulation ends before the semaphore is closed.
            let _place = fleet.room.acquire().await;
            fleet.connector.open(&login, fleet.how, self.client.instance()).await?
        };
        self.client.connected();
        self.next = Instant::now() + self.period.mul_f64(rand::random());
        let first = self.client.message().unwrap_or_else(|| self.client.heartbeat());
        self.say(&mut connection, &first).await?;
        loop {
            while let Some(message) = self.client.message() {
                self.say(&mut connection, &message).await?;
            }
            tokio::select! {
                said = connection.receive() => {
                    if self.answered(said?)? {
                        connection.close().await;
                        return Ok(());
                    }
                }
                () = sleep_until(self.next) => {
                    self.next = Instant::now() + self.period;
                    let message = self.client.heartbeat();
                    self.say(&mut connection, &message).await?;
                }
            }
        }
    }

    async fn say(
        &mut self,
        connection: &mut Connection,
        message: &syncline_protocol::opamp::AgentToServer,
    ) -> Result<(), Failure> {
        self.said.get_or_insert_with(Instant::now);
        if let Some(status) = &message.remote_config_status
            && status.status() == RemoteConfigStatuses::Applied
        {
            self.reporting = Some(status.last_remote_config_hash.clone());
        }
        connection.send(message).await
    }

    /// Takes an answer. Says whether to connect anew.
    fn answered(&mut self, said: syncline_protocol::opamp::ServerToAgent) -> Result<bool, Failure> {
        if let Some(since) = self.said.take() {
            self.fleet.figures.contact(since.elapsed());
        }
        let mut anew = false;
        for todo in self.client.receive(said) {
            match todo {
                Todo::Accepted => self.accepted(),
                Todo::Apply(offer) => self.apply(&offer),
                Todo::Settings(offer) => anew |= self.settings(&offer),
                Todo::Sync(id, request) => {
                    self.client.acknowledge(id);
                    let result =
                        SyncResult { sync_id: request.sync_id, outcome: SyncOutcome::Synchronised.into() };
                    let item = self.client.item(Body::SyncResult(result));
                    self.client.queue(item);
                }
                Todo::NextContact(next) => {
                    self.next = Instant::now() + Duration::from_millis(next.delay_ms);
                    if next.period_ms > 0 {
                        self.period = Duration::from_millis(next.period_ms.max(1_000));
                    }
                }
                Todo::Notice(id, _) | Todo::Task(id, _) | Todo::Synced(id, _) | Todo::Activated(id, _) => {
                    self.client.acknowledge(id);
                }
                Todo::Look | Todo::Acknowledged { .. } => {}
                Todo::Later(asked) => return Err(Failure::Later(503, asked)),
                Todo::Rejected(why) => return Err(Failure::Broken(why)),
            }
        }
        Ok(anew)
    }

    fn accepted(&mut self) {
        self.backoff.reset();
        if self.credential.candidate.is_some() {
            self.credential.promote();
            self.fleet.figures.enrolled();
            let hash = self.credential.settings_hash.clone();
            self.client.settled(settings::status(&hash, ConnectionSettingsStatuses::Applied, ""));
        }
        if let Some(hash) = self.reporting.take() {
            self.fleet.figures.verified(&hash, self.number);
        }
    }

    fn settings(&mut self, offer: &syncline_protocol::opamp::ConnectionSettingsOffers) -> bool {
        let (status, error, anew) = match settings::consider(&mut self.credential, offer) {
            Verdict::Nothing => return false,
            Verdict::Try => return true,
            Verdict::InUse => (ConnectionSettingsStatuses::Applied, String::new(), false),
            Verdict::Refused(why) => (ConnectionSettingsStatuses::Failed, why, false),
        };
        if let Some(seconds) = self.credential.heartbeat.filter(|seconds| *seconds > 0) {
            self.period = Duration::from_secs(seconds);
        }
        self.client.settled(settings::status(&offer.hash, status, &error));
        anew
    }

    /// Every document is good, and in use at once.
    fn apply(&mut self, offer: &AgentRemoteConfig) {
        self.fleet.figures.offered(&offer.config_hash);
        let config = offer.config.clone().unwrap_or_default();
        let applied_at_unix_ms = self.clock.now();
        let applications = config.documents().map(|document| {
            let digest = document_digest(document.body).to_vec();
            Application {
                name: document.name.to_owned(),
                document_digest: digest.clone(),
                state: ApplicationState::Applied.into(),
                applied_at_unix_ms,
                digest_on_disk: digest,
                ..Application::default()
            }
        });
        let applications = applications.collect();
        let status = RemoteConfigStatus {
            last_remote_config_hash: offer.config_hash.clone(),
            status: RemoteConfigStatuses::Applied.into(),
            error_message: String::new(),
        };
        self.client.found(Found { applications, effective: config, status: Some(status) });
    }
}
