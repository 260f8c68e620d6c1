//! One contact of one device: a message in, an answer out.
//!
//! [`Engine::answer_device`] is the way for every message over either transport, [`Engine::speak_to_device`] what the server
//! says unasked. In between:
//!
//! * `enrol`: whoever comes with an enrolment token
//! * `facts`: what the agent says of itself and what it can do
//! * `order`: numbers of messages, gaps and twins
//! * `observe`: what a message says about deliveries
//! * `offer`: the documents, and whether to send them
//! * `items`: our own capability; of that, `tasks` and `activation`
//! * `log`: what passed, as messages for who looks at the device
//!
//! That a device was here is durable before it is answered.

mod activation;
mod enrol;
mod facts;
mod items;
mod log;
mod observe;
mod offer;
pub(super) mod order;
mod tasks;

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use syncline_domain::{
    Name,
    device::{
        Delivery, DeliveryState, Device, DeviceState, Observation, Publication, Scope, SyncKind, agent,
        enrolment::{CredentialState, EnrolmentToken},
        operation::SyncOutcome,
        spread,
        user::User,
    },
    event::NewEvent,
    ids::DeviceId,
    log::LogLevel,
};
use syncline_protocol::{
    InstanceUid,
    items::{CAPABILITY, Items},
    opamp::{
        AgentIdentification, AgentToServer, CustomCapabilities, ServerCapabilities, ServerErrorResponseType,
        ServerToAgent, ServerToAgentFlags,
    },
};
use syncline_store::{Accepted, Contact, DeliveryKey, Error as StoreError, Page, Seen, UserFilter};

use super::quiet::Calm;
use crate::{Engine, Result};

use items::next_contact_item;
pub(super) use order::Heard;
use order::Order;

/// Where an agent speaks to this server.
#[derive(Debug, Clone)]
pub struct Link {
    /// The URL that it is told to come to, of the transport that it uses.
    pub endpoint: String,
}

/// The answer to a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What is said.
    pub message: ServerToAgent,
    /// The device, once it is known by a credential of its own.
    pub device: Option<DeviceId>,
}

/// Who presents a bearer token that is good for something.
#[derive(Debug, Clone)]
pub struct Presented(Who);

impl Presented {
    /// The device, if it is the credential of one.
    pub fn device(&self) -> Option<DeviceId> {
        match &self.0 {
            Who::Token(_) => None,
            Who::Device(device, _) => Some(*device),
        }
    }
}

#[derive(Debug, Clone)]
enum Who {
    Token(EnrolmentToken),
    /// A device, by a credential of this age; `None` if it is one that stays.
    Device(DeviceId, Option<Timestamp>),
}

/// What a device presented, and where it came to.
#[derive(Clone, Copy)]
struct Login<'a> {
    bearer: &'a str,
    /// Since when it has this credential, if it is one that is rotated.
    since: Option<Timestamp>,
    link: &'a Link,
}

/// A contact while it is being answered.
struct Turn<'a> {
    device: Device,
    uid: InstanceUid,
    message: &'a AgentToServer,
    order: Order,
    now: Timestamp,
    items: Option<Items>,
    deliveries: Vec<(Name, Delivery)>,
    answer: ServerToAgent,
    /// How often the device comes.
    period: Duration,
    /// The device asked for a synchronisation.
    asked: bool,
    /// A user was activated on it just now, and that is published.
    activated: bool,
}

impl Engine {
    /// Answers a message of whoever presented this token just now.
    pub async fn answer_device(
        &self,
        presented: Presented,
        bearer: &str,
        link: &Link,
        message: &AgentToServer,
    ) -> Result<Answer> {
        let uid = match message.uid() {
            Ok(uid) => uid,
            Err(error) => return Ok(refused(message, error.to_string())),
        };
        let (device, since) = match presented.0 {
            Who::Device(device, since) => (device, since),
            Who::Token(token) => match self.enrol(&token, bearer, link, uid, message).await? {
                enrol::Enrolled::Answered(answer) => return Ok(*answer),
                enrol::Enrolled::Device(device) => (device, None),
            },
        };
        let login = Login { bearer, since, link };
        let device = self.db().device(device).await?;
        if let Some(answer) = self.refuse(&device, uid, message).await? {
            return Ok(answer);
        }
        match read_items(message) {
            Ok(items) => self.contact(device, uid, login, message, items).await,
            Err(why) => Ok(refused(message, why)),
        }
    }

    /// Who presents a token: looked up for each message, so that one that was revoked ends at once. `None`: it is good for
    /// nothing. A credential that is presented for the first time is the one in use from here on.
    pub async fn authenticate_device(&self, bearer: &str) -> Result<Option<Presented>> {
        Ok(self.who(bearer).await?.map(Presented))
    }

    async fn who(&self, bearer: &str) -> Result<Option<Who>> {
        if let Some(credential) = self.db().credential_by_secret(bearer).await? {
            let since = (!credential.lasting).then_some(credential.created_at);
            let known = Who::Device(credential.device, since);
            if credential.state == CredentialState::Current {
                return Ok(Some(known));
            }
            return match self.db().accept_credential(credential.id).await {
                Ok(Accepted::TokenEnded) => Ok(None),
                Ok(Accepted::Known) => Ok(Some(known)),
                Ok(Accepted::First) => {
                    // The one before it is over with this.
                    self.inner.devices.quiet.forget([credential.device]);
                    self.publish(Publication::of(Scope::Devices(vec![credential.device]))).await?;
                    Ok(Some(known))
                }
                // It was replaced or revoked between two looks at it.
                Err(StoreError::Conflict(_)) => Ok(None),
                Err(error) => Err(error.into()),
            };
        }
        Ok(self.db().enrolment_token_by_secret(bearer).await?.map(Who::Token))
    }

    /// Whoever is not to be looked after: decommissioned, quarantined, or seen in two places by this very message.
    async fn refuse(
        &self,
        device: &Device,
        uid: InstanceUid,
        message: &AgentToServer,
    ) -> Result<Option<Answer>> {
        let leaving = message.agent_disconnect.is_some();
        match device.state {
            DeviceState::Enrolled if !self.inner.devices.heard.is_twin(device.id, uid, leaving) => {
                return Ok(None);
            }
            DeviceState::Enrolled => {
                let why = "two processes speak for it in turn: the machine was cloned";
                let event =
                    NewEvent::new("device.quarantined", "system", "A device was seen in two places at once")
                        .level(LogLevel::Warn);
                self.db().quarantine_device(device.id, why, event).await?;
            }
            DeviceState::Quarantined => {}
            state => return Ok(Some(refused(message, format!("the device is {state}: enrol it anew")))),
        }
        let why =
            "the device was seen in two places at once: enrol each machine anew with a token of its own";
        Ok(Some(refused(message, why.to_owned())))
    }

    async fn contact(
        &self,
        mut device: Device,
        uid: InstanceUid,
        login: Login<'_>,
        message: &AgentToServer,
        items: Option<Items>,
    ) -> Result<Answer> {
        let now = self.clock().now();
        let begun = self.inner.devices.quiet.begin(device.id);
        let last = self.db().last_sequence(device.id).await?;
        let order = order::order(last, uid, message.sequence_num);
        let news = self.take_facts(&mut device, message).await?;
        let deliveries = self.db().deliveries_of(device.id).await?;
        let mut turn = Turn {
            device,
            uid,
            message,
            order,
            now,
            items,
            deliveries,
            answer: answer_of(message),
            period: self.config().devices.period,
            asked: false,
            activated: false,
        };
        if turn.needs_everything() {
            turn.answer.flags |= u64::from(ServerToAgentFlags::REPORT_FULL_STATE);
        }
        self.take_items(&mut turn).await?;
        if news || turn.asked {
            self.publish(Publication::of(Scope::Devices(vec![turn.device.id]))).await?;
        }
        if news || turn.asked || turn.activated {
            turn.device = self.db().device(turn.device.id).await?;
            turn.deliveries = self.db().deliveries_of(turn.device.id).await?;
        }
        turn.period = self.period_of(&turn.deliveries).await?;
        self.observe(&mut turn).await?;
        self.offer(&mut turn).await?;
        self.offer_settings(&mut turn, login).await?;
        let calm = self.conclude_contact(&mut turn).await?;
        if let Some(calm) = calm {
            self.inner.devices.quiet.remember(login.bearer, calm, begun);
        }
        Ok(Answer { device: Some(turn.device.id), message: turn.answer })
    }

    /// What the message says about deliveries.
    async fn observe(&self, turn: &mut Turn<'_>) -> Result<()> {
        let offer = match &turn.message.remote_config_status {
            Some(_) => Some(self.documents_of(&turn.deliveries).await?),
            None => None,
        };
        let wanted = self.wanted_bodies(turn).await?;
        let seen = observe::seen(turn, offer.as_ref(), &wanted);
        let (before, states) = (applied(&turn.deliveries), log::states(&turn.deliveries));
        self.step(turn, seen).await?;
        self.log_report(turn, &states).await?;
        // What is in force is asked for once, when a document was applied just now.
        let news = applied(&turn.deliveries).difference(&before).next().is_some();
        let device = &turn.device.abilities;
        if news && device.reports_effective && !device.speaks_items && turn.message.effective_config.is_none()
        {
            turn.answer.flags |= u64::from(ServerToAgentFlags::REPORT_FULL_STATE);
        }
        Ok(())
    }

    /// Takes deliveries of the device a step.
    async fn step(&self, turn: &mut Turn<'_>, seen: Vec<(Name, Observation)>) -> Result<()> {
        if seen.is_empty() {
            return Ok(());
        }
        let device = turn.device.id;
        let seen: Vec<_> = seen
            .into_iter()
            .map(|(application, observation)| Seen { key: DeliveryKey { device, application }, observation })
            .collect();
        for (key, delivery) in self.db().observe_deliveries(&seen, &self.config().devices.deadlines).await? {
            if let Some((_, known)) = turn.deliveries.iter_mut().find(|(name, _)| *name == key.application) {
                *known = delivery;
            }
        }
        Ok(())
    }

    /// Writes down that the device was here, and what that ends. What is known of it, if nothing is outstanding.
    async fn conclude_contact(&self, turn: &mut Turn<'_>) -> Result<Option<Calm>> {
        let device = turn.device.id;
        let settled = turn.deliveries.iter().all(|(_, delivery)| delivery.state.is_end());
        let failed = turn.deliveries.iter().find(|(_, one)| one.state == DeliveryState::Failed);
        let failure = failed
            .map(|(name, one)| format!("{name}: {}", one.error.as_deref().unwrap_or("its delivery failed")));
        let mut open = self.db().outstanding(device).await?;
        let mut synced = None;
        if settled {
            let mut forced = open.syncs && self.conclude_syncs(turn, failure.as_deref()).await?;
            if open.messages && self.answer_sync_requests(turn, failure.is_none()).await? {
                forced = true;
            }
            synced = Some(if forced { SyncKind::Forced } else { SyncKind::Periodic });
            if open.users {
                self.conclude_users(turn, failure.as_deref()).await?;
            }
        }
        // An answer to a request is one more.
        open.messages |= synced == Some(SyncKind::Forced);
        let told = self.add_items(turn, open).await?;
        let ours = turn.device.abilities.speaks_items;
        let synced = synced.filter(|_| failure.is_none());
        let says = turn.answer.flags != 0
            || turn.answer.remote_config.is_some()
            || turn.answer.connection_settings.is_some()
            || turn.answer.agent_identification.is_some();
        let calm = Calm {
            device,
            uid: turn.uid,
            capabilities: turn.message.capabilities,
            ours,
            period: turn.period,
            synced: failure.is_none().then_some(SyncKind::Periodic),
            until: self.quiet_until(turn.now),
        };
        self.db().record_contact(Contact { synced, ..self.presence(&calm, turn.message, turn.now) }).await?;
        Ok((settled && !told && !says).then_some(calm))
    }

    /// Ends the forced synchronisations that wait for the device. True if it ended one.
    async fn conclude_syncs(&self, turn: &mut Turn<'_>, failure: Option<&str>) -> Result<bool> {
        let outcome = if failure.is_some() { SyncOutcome::Failed } else { SyncOutcome::Synchronised };
        let (device, tells) = (turn.device.id, turn.tells_of_itself());
        let concluded = self.db().conclude_syncs_of(device, turn.now, (outcome, failure), tells).await?;
        self.log_synced(turn, &concluded.ended, outcome, failure).await?;
        if concluded.asked {
            // Drift is looked for before such a synchronisation is over, and an agent that polls was not asked yet.
            turn.answer.flags |= u64::from(ServerToAgentFlags::REPORT_FULL_STATE);
            self.log_sync_request(turn).await?;
        }
        Ok(!concluded.ended.is_empty())
    }

    /// That a device is here now.
    pub(super) fn presence(&self, calm: &Calm, message: &AgentToServer, now: Timestamp) -> Contact {
        let patience = calm.period * self.config().devices.silent_periods;
        Contact {
            device: calm.device,
            at: now,
            next: self.next_contact(calm.device, calm.ours, calm.period, now),
            silent_after: now.checked_add(patience).unwrap_or(Timestamp::MAX),
            synced: calm.synced,
            instance_uid: *calm.uid.as_bytes(),
            sequence: message.sequence_num,
        }
    }

    /// The answer to a message without content, with nothing to be told.
    pub(super) fn quiet_answer(&self, calm: &Calm, message: &AgentToServer, now: Timestamp) -> Answer {
        let mut answer = answer_of(message);
        if calm.ours {
            let items =
                Items { items: vec![next_contact_item(calm.device, calm.period, now)], received: Vec::new() };
            answer.custom_message = Some(items.to_custom());
        }
        Answer { message: answer, device: Some(calm.device) }
    }

    /// The device has what was published before it came, or has failed: so it is with its users.
    async fn conclude_users(&self, turn: &Turn<'_>, failure: Option<&str>) -> Result<()> {
        let device = turn.device.id;
        let filter = UserFilter { device: Some(device), ..UserFilter::default() };
        let users = self.db().users(&filter, &Page::first(100)).await?.items;
        if users.is_empty() {
            return Ok(());
        }
        let unresolved = match failure {
            // Only these words hide or show that.
            None if matches!(turn.device.status.state.as_str(), "failed" | "registered") => {
                self.db().resolve_failures_of(device).await?
            }
            _ => Vec::new(),
        };
        let unresolved = unresolved.first();
        let unresolved =
            unresolved.map(|(name, why, _)| format!("{name} could not be worked out: {}", why.message));
        let failure = failure.or(unresolved.as_deref());
        let is_stale = |user: &User| {
            let published = user.server_synced_at.filter(|at| *at <= turn.now);
            published > user.device_synced_at || user.failure.as_deref() != failure
        };
        if users.iter().any(is_stale) {
            self.db().users_synced_by(device, turn.now, failure).await?;
        }
        Ok(())
    }

    /// When a device is expected next: ours are told exactly, others have an interval.
    fn next_contact(&self, device: DeviceId, ours: bool, period: Duration, now: Timestamp) -> Timestamp {
        if ours {
            return spread::next_contact(device, period, now);
        }
        now.checked_add(self.interval_of(device, period)).unwrap_or(Timestamp::MAX)
    }

    fn interval_of(&self, device: DeviceId, period: Duration) -> Duration {
        spread::interval(device, period, self.config().devices.spread_percent)
    }

    /// How often a device comes: as its own policy says, else as the server is set.
    async fn period_of(&self, deliveries: &[(Name, Delivery)]) -> Result<Duration> {
        let own = deliveries.iter().find(|(name, _)| name.as_str() == agent::APPLICATION);
        if let Some(digest) = own.and_then(|(_, delivery)| delivery.wanted.digest()) {
            let document = self.document(digest).await?;
            if let Some(period) = agent::period(&document.body) {
                return Ok(period);
            }
        }
        Ok(self.config().devices.period)
    }

    /// What is said to a connected device unasked: what waits for it, and, with `full`, that it is to report everything.
    /// `None`: nothing.
    pub async fn speak_to_device(
        &self,
        device: DeviceId,
        uid: InstanceUid,
        full: bool,
    ) -> Result<Option<ServerToAgent>> {
        let device = self.db().device(device).await?;
        if device.state != DeviceState::Enrolled {
            return Ok(None);
        }
        let message = AgentToServer { instance_uid: uid.to_vec(), ..AgentToServer::default() };
        let mut turn = Turn {
            deliveries: self.db().deliveries_of(device.id).await?,
            device,
            uid,
            message: &message,
            order: Order::Next,
            now: self.clock().now(),
            items: None,
            answer: ServerToAgent { instance_uid: uid.to_vec(), ..ServerToAgent::default() },
            period: self.config().devices.period,
            asked: false,
            activated: false,
        };
        turn.period = self.period_of(&turn.deliveries).await?;
        if full {
            turn.answer.flags |= u64::from(ServerToAgentFlags::REPORT_FULL_STATE);
            self.log_sync_request(&turn).await?;
        }
        self.offer(&mut turn).await?;
        let open = self.db().outstanding(turn.device.id).await?;
        self.add_items(&mut turn, open).await?;
        let answer = turn.answer;
        let says = answer.flags != 0 || answer.remote_config.is_some() || answer.custom_message.is_some();
        Ok(says.then_some(answer))
    }
}

impl Turn<'_> {
    /// Whether the device tells of what it holds: an agent that could tell of drift, and only says that it is here, is asked
    /// first. Ours looks before each contact.
    fn tells_of_itself(&self) -> bool {
        let (message, abilities) = (self.message, &self.device.abilities);
        let tells = message.agent_description.is_some()
            || message.remote_config_status.is_some()
            || message.effective_config.is_some();
        tells || abilities.speaks_items || !abilities.reports_effective
    }

    /// Whether something may have been lost: a full message settles that, whatever its number.
    fn needs_everything(&self) -> bool {
        let whole = self.message.agent_description.is_some();
        let unknown = self.device.facts.is_empty();
        !whole && (unknown || matches!(self.order, Order::Gap | Order::Other))
    }
}

fn applied(deliveries: &[(Name, Delivery)]) -> BTreeSet<Name> {
    let done = deliveries.iter().filter(|(_, one)| one.state == DeliveryState::Applied);
    done.map(|(name, _)| name.clone()).collect()
}

fn read_items(message: &AgentToServer) -> Result<Option<Items>, String> {
    match &message.custom_message {
        Some(custom) => Items::from_custom(custom, syncline_protocol::items::RECOMMENDED_LIMIT)
            .map_err(|error| error.to_string()),
        None => Ok(None),
    }
}

/// An answer without content.
fn answer_of(message: &AgentToServer) -> ServerToAgent {
    let capabilities = ServerCapabilities::ACCEPTS_STATUS
        | ServerCapabilities::OFFERS_REMOTE_CONFIG
        | ServerCapabilities::ACCEPTS_EFFECTIVE_CONFIG
        | ServerCapabilities::OFFERS_CONNECTION_SETTINGS;
    let custom = message.custom_capabilities.as_ref();
    let custom = custom.map(|_| CustomCapabilities { capabilities: vec![CAPABILITY.to_owned()] });
    let new_uid = message.requests_instance_uid().then(|| {
        let mut bytes: [u8; InstanceUid::LENGTH] = rand::random();
        // Version 4 of RFC 9562.
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        AgentIdentification::new(InstanceUid::new(bytes))
    });
    ServerToAgent {
        instance_uid: message.instance_uid.clone(),
        capabilities: u64::from(capabilities),
        custom_capabilities: custom,
        agent_identification: new_uid,
        ..ServerToAgent::default()
    }
}

/// An answer to a message that makes no sense, or comes from where nothing is taken.
fn refused(message: &AgentToServer, why: String) -> Answer {
    let uid = message.instance_uid.clone();
    Answer { message: ServerToAgent::error(uid, ServerErrorResponseType::BadRequest, why), device: None }
}
