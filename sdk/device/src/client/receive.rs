//! What an answer of the server asks for.

use std::time::Duration;

use syncline_protocol::{
    InstanceUid,
    items::{
        ActivationResult, Body, CAPABILITY, Id, Item, Items, NextContact, Notice, RECOMMENDED_LIMIT,
        SyncRequest, SyncResult, Task,
    },
    opamp::{
        AgentRemoteConfig, ConnectionSettingsOffers, ErrorDetails, ServerErrorResponse,
        ServerErrorResponseType, ServerToAgent, ServerToAgentFlags,
    },
};

use super::{Client, Parts};

/// Something to do because the server said so. Those with an id are acknowledged with [`Client::acknowledge`] once stored.
#[derive(Debug, PartialEq)]
pub enum Todo {
    /// The server took the message: the credential is good.
    Accepted,
    /// Take these documents.
    Apply(AgentRemoteConfig),
    /// Use these settings for connections.
    Settings(Box<ConnectionSettingsOffers>),
    /// Look at the files anew, and say what is there.
    Look,
    /// These were received by the server: nobody need keep them.
    Acknowledged {
        /// Items that are over.
        ids: Vec<Id>,
        /// Whether the states of the applications were among them.
        report: bool,
    },
    /// Bring the device up to date now.
    Sync(Id, SyncRequest),
    /// What became of a sync that this device asked for.
    Synced(Id, SyncResult),
    /// Something for people.
    Notice(Id, Notice),
    /// When to come back.
    NextContact(NextContact),
    /// Run an action.
    Task(Id, Task),
    /// What became of an activation.
    Activated(Id, ActivationResult),
    /// The server has too much to do: come back then, or when the agent sees fit.
    Later(Option<Duration>),
    /// The server did not take the message.
    Rejected(String),
}

impl Client {
    /// Takes what the server said.
    pub fn receive(&mut self, said: ServerToAgent) -> Vec<Todo> {
        if let Some(error) = said.error_response {
            return vec![self.refused(error)];
        }
        let other = said.uid().is_ok_and(|uid| uid != self.instance);
        if other {
            return vec![Todo::Rejected("the answer is for another process".to_owned())];
        }
        self.unanswered = Parts::default();
        let mut todos = vec![Todo::Accepted];
        if let Some(uid) = said
            .agent_identification
            .and_then(|it| InstanceUid::try_from(it.new_instance_uid.as_slice()).ok())
        {
            self.instance = uid;
        }
        if let Some(custom) = said.custom_capabilities {
            self.server_has_items = custom.has(CAPABILITY);
        }
        if ServerToAgentFlags(said.flags).contains(ServerToAgentFlags::REPORT_FULL_STATE) {
            self.changed = Parts::ALL;
            self.report_applications();
            todos.push(Todo::Look);
        }
        todos.extend(said.remote_config.map(Todo::Apply));
        match said.custom_message.map(|message| Items::from_custom(&message, RECOMMENDED_LIMIT)) {
            Some(Ok(Some(items))) => self.take(items, &mut todos),
            Some(Err(error)) => tracing::warn!("items of the server are passed over: {error}"),
            Some(Ok(None)) | None => {}
        }
        // Last, since it can end this connection.
        todos.extend(said.connection_settings.map(Box::new).map(Todo::Settings));
        todos
    }

    fn refused(&mut self, error: ServerErrorResponse) -> Todo {
        // It says the same again where that makes sense: on the next connection, or when it is asked for all.
        self.changed = self.changed.or(std::mem::take(&mut self.unanswered));
        match (error.kind(), error.details) {
            (ServerErrorResponseType::Unavailable, Some(ErrorDetails::RetryInfo(info))) => {
                Todo::Later(Some(Duration::from_nanos(info.retry_after_nanoseconds)))
            }
            (ServerErrorResponseType::Unavailable, None) => Todo::Later(None),
            _ => Todo::Rejected(error.error_message.chars().take(500).collect()),
        }
    }

    fn take(&mut self, items: Items, todos: &mut Vec<Todo>) {
        let ids: Vec<Id> = items.acknowledged().collect();
        if !ids.is_empty() {
            let over = |item: &Item| item.parsed_id().is_ok_and(|id| ids.contains(&id));
            self.items.retain(|waiting| !over(&waiting.item));
            let report = self.report.is_some_and(|report| ids.contains(&report));
            if report {
                self.report = None;
            }
            todos.push(Todo::Acknowledged { ids, report });
        }
        for item in items.items {
            let Ok(id) = item.parsed_id() else { continue };
            if self.seen.contains(&id) {
                self.acknowledge(id);
                continue;
            }
            match item.body {
                Some(Body::SyncRequest(request)) => todos.push(Todo::Sync(id, request)),
                Some(Body::SyncResult(result)) => todos.push(Todo::Synced(id, result)),
                Some(Body::Notice(notice)) => todos.push(Todo::Notice(id, notice)),
                Some(Body::NextContact(next)) => todos.push(Todo::NextContact(next)),
                Some(Body::Task(task)) => todos.push(Todo::Task(id, task)),
                Some(Body::ActivationResult(result)) => todos.push(Todo::Activated(id, result)),
                // Of a later version, or nothing that a server says: over with the acknowledgement.
                Some(Body::Hello(_) | Body::Applications(_) | Body::TaskResult(_) | Body::Activation(_))
                | None => {
                    self.acknowledge(id);
                }
            }
        }
    }
}
