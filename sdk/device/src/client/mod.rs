//! What the agent says and what it makes of the answers: OpAMP's client, without input or output.
//!
//! * It is told what happened: [`Client::connected`], [`Client::receive`], [`Client::found`], [`Client::queue`] ...
//! * It is asked what to say: [`Client::message`] while there is something new, [`Client::heartbeat`] when there need not be.
//! * What an answer asks for comes as [`Todo`]s; whoever does them stores first and calls [`Client::acknowledge`] then.
//!
//! Parts of the state are said when they changed (section "Agent Status Compression"), and again when the connection broke
//! before an answer came. Items are said again on each connection until the server has acknowledged them.

mod receive;
pub mod settings;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use syncline_protocol::{
    InstanceUid,
    items::{Applications, Body, CAPABILITY, Hello, Id, Item, Items},
    opamp::{
        AgentCapabilities, AgentDescription, AgentToServer, ConnectionSettingsStatus, CustomCapabilities,
        EffectiveConfig, RemoteConfigStatus,
    },
};

pub use receive::Todo;

use crate::{apply::Found, clock::Clock};

/// What this agent can do.
pub const CAPABILITIES: AgentCapabilities = AgentCapabilities::REPORTS_STATUS
    .with(AgentCapabilities::ACCEPTS_REMOTE_CONFIG)
    .with(AgentCapabilities::REPORTS_EFFECTIVE_CONFIG)
    .with(AgentCapabilities::ACCEPTS_OPAMP_CONNECTION_SETTINGS)
    .with(AgentCapabilities::REPORTS_REMOTE_CONFIG)
    .with(AgentCapabilities::REPORTS_HEARTBEAT)
    .with(AgentCapabilities::REPORTS_CONNECTION_SETTINGS_STATUS);

/// Ids of items that came, to pass over them when they come again.
const SEEN: usize = 1_000;

/// Bytes of items in one message.
const ITEMS_LIMIT: usize = syncline_protocol::items::RECOMMENDED_LIMIT / 2;

/// Draws ids; tests have another one.
pub type Draw = Box<dyn FnMut() -> [u8; 16] + Send>;

/// Parts of the state that are said when they changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Parts {
    description: bool,
    effective: bool,
    status: bool,
    settings: bool,
    custom: bool,
}

impl Parts {
    const ALL: Self = Self { description: true, effective: true, status: true, settings: true, custom: true };

    const fn or(self, other: Self) -> Self {
        Self {
            description: self.description || other.description,
            effective: self.effective || other.effective,
            status: self.status || other.status,
            settings: self.settings || other.settings,
            custom: self.custom || other.custom,
        }
    }

    fn any(self) -> bool {
        self != Self::default()
    }
}

/// An item that waits for its acknowledgement.
#[derive(Debug)]
struct Waiting {
    item: Item,
    /// Whether it was said on this connection.
    said: bool,
}

/// The agent's side of the conversation with the server.
pub struct Client {
    instance: InstanceUid,
    sequence: u64,
    clock: Clock,
    draw: Draw,
    hello: Hello,
    description: AgentDescription,
    found: Found,
    settings: Option<ConnectionSettingsStatus>,
    /// To be said.
    changed: Parts,
    /// Said, and not answered yet.
    unanswered: Parts,
    items: Vec<Waiting>,
    /// The item that has the states of the applications.
    report: Option<Id>,
    acknowledge: Vec<Id>,
    seen: VecDeque<Id>,
    /// The server has our capability.
    server_has_items: bool,
}

impl Client {
    /// A client for one run of the agent.
    pub fn new(clock: Clock, mut draw: Draw, hello: Hello, description: AgentDescription) -> Self {
        let instance = InstanceUid::new(draw());
        Self {
            instance,
            sequence: 0,
            clock,
            draw,
            hello,
            description,
            found: Found::default(),
            settings: None,
            changed: Parts::ALL,
            unanswered: Parts::default(),
            items: Vec::new(),
            report: None,
            acknowledge: Vec::new(),
            seen: VecDeque::new(),
            server_has_items: false,
        }
    }

    /// The process, for the header of HTTP.
    pub const fn instance(&self) -> InstanceUid {
        self.instance
    }

    /// A new connection: what was not answered on the last one is said again, after who speaks.
    pub fn connected(&mut self) {
        self.changed = self.changed.or(self.unanswered);
        self.unanswered = Parts::default();
        self.items.retain(|waiting| !matches!(waiting.item.body, Some(Body::Hello(_))));
        for waiting in &mut self.items {
            waiting.said = false;
        }
        let hello = Hello { clock_unix_ms: self.clock.now(), ..self.hello.clone() };
        let item = self.item(Body::Hello(hello));
        self.items.insert(0, Waiting { item, said: false });
    }

    /// What there is to say; `None` if all was said.
    pub fn message(&mut self) -> Option<AgentToServer> {
        let items = self.server_has_items
            && (!self.acknowledge.is_empty() || self.items.iter().any(|waiting| !waiting.said));
        if self.changed.any() || items { Some(self.heartbeat()) } else { None }
    }

    /// A message whether there is something to say or not.
    pub fn heartbeat(&mut self) -> AgentToServer {
        self.sequence += 1;
        let parts = std::mem::take(&mut self.changed);
        self.unanswered = self.unanswered.or(parts);
        let custom = || CustomCapabilities { capabilities: vec![CAPABILITY.to_owned()] };
        let items = self.next_items();
        AgentToServer {
            instance_uid: self.instance.to_vec(),
            sequence_num: self.sequence,
            capabilities: CAPABILITIES.into(),
            agent_description: parts.description.then(|| self.description.clone()),
            effective_config: parts
                .effective
                .then(|| EffectiveConfig { config_map: Some(self.found.effective.clone()) }),
            remote_config_status: self.found.status.clone().filter(|_| parts.status),
            connection_settings_status: self.settings.clone().filter(|_| parts.settings),
            custom_capabilities: parts.custom.then(custom),
            custom_message: Some(items).filter(|items| !items.is_empty()).map(|items| items.to_custom()),
            ..AgentToServer::default()
        }
    }

    /// Items for one message; what has no room goes with the next one.
    fn next_items(&mut self) -> Items {
        use prost::Message as _;
        let mut items = Items::default();
        if !self.server_has_items {
            return items;
        }
        items.received = std::mem::take(&mut self.acknowledge).into_iter().map(Id::to_vec).collect();
        let mut size = 0;
        for waiting in self.items.iter_mut().filter(|waiting| !waiting.said) {
            size += waiting.item.encoded_len();
            if size > ITEMS_LIMIT && !items.items.is_empty() {
                break;
            }
            waiting.said = true;
            items.items.push(waiting.item.clone());
        }
        items
    }

    /// How the applications stand now.
    pub fn found(&mut self, found: Found) {
        if found == self.found {
            return;
        }
        self.changed.effective |= found.effective != self.found.effective;
        self.changed.status |= found.status != self.found.status;
        let applications = found.applications != self.found.applications;
        self.found = found;
        if applications {
            self.report_applications();
        }
    }

    /// Says the states of all applications, in place of those that were not acknowledged yet.
    pub fn report_applications(&mut self) {
        let old = self.report.take();
        self.items.retain(|waiting| waiting.item.parsed_id().ok() != old || old.is_none());
        let body = Body::Applications(Applications { applications: self.found.applications.clone() });
        let item = self.item(body);
        self.report = item.parsed_id().ok();
        self.items.push(Waiting { item, said: false });
    }

    /// How the applications stood when that was last said.
    pub fn applications(&self) -> &[syncline_protocol::items::Application] {
        &self.found.applications
    }

    /// What became of the last offer of documents, as it was said last.
    pub const fn status(&self) -> Option<&RemoteConfigStatus> {
        self.found.status.as_ref()
    }

    /// What describes the device, if it is not what was said.
    pub fn describe(&mut self, description: AgentDescription) {
        if description != self.description {
            self.description = description;
            self.changed.description = true;
        }
    }

    /// An offer of documents that was refused as a whole.
    pub fn refuse(&mut self, status: RemoteConfigStatus) {
        self.found.status = Some(status);
        self.changed.status = true;
    }

    /// What became of an offer of connection settings.
    pub fn settled(&mut self, status: ConnectionSettingsStatus) {
        // A server that offers the same again and again is told once.
        if self.settings.as_ref() != Some(&status) {
            self.settings = Some(status);
            self.changed.settings = true;
        }
    }

    /// Makes an item of something to say; its id stays with it.
    pub fn item(&mut self, body: Body) -> Item {
        Item::new(Id::new((self.draw)()), self.clock.now(), body)
    }

    /// Says an item until it is acknowledged.
    pub fn queue(&mut self, item: Item) {
        if !self.items.iter().any(|waiting| waiting.item.id == item.id) {
            self.items.push(Waiting { item, said: false });
        }
    }

    /// What an item asked for is stored or done: the server need not send it again.
    pub fn acknowledge(&mut self, id: Id) {
        if !self.acknowledge.contains(&id) {
            self.acknowledge.push(id);
        }
        if !self.seen.contains(&id) {
            self.seen.push_back(id);
            if self.seen.len() > SEEN {
                self.seen.pop_front();
            }
        }
    }
}
