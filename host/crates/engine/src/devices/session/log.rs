//! What passes between the server and a device, as messages for who looks at the device: documents sent, and what changed by
//! what it reports. A contact that changes nothing leaves none.

use serde_json::{Value, json};
use syncline_domain::{
    Name,
    device::{
        Delivery, DeliveryState, Observation, Wanted,
        message::{Direction, Message, MessageOutcome, OFFER, REPORT, SYNC_REQUEST, SYNC_RESULT},
        operation::SyncOutcome,
    },
    ids::{MessageId, SyncOperationId},
};

use super::Turn;
use crate::{Engine, Result};

/// Applications that a summary names.
const NAMED: usize = 5;

/// A message to be written down.
pub(super) struct Entry {
    /// Its id.
    pub id: MessageId,
    /// Which way.
    pub direction: Direction,
    /// What it is.
    pub kind: &'static str,
    /// In one line.
    pub summary: String,
    /// All of it.
    pub details: Value,
    /// What became of it.
    pub outcome: MessageOutcome,
}

impl Engine {
    /// Writes a message down. False if there is one with its id already.
    pub(super) async fn log(&self, turn: &Turn<'_>, entry: Entry) -> Result<bool> {
        let Entry { id, direction, kind, summary, details, outcome } = entry;
        let message = Message {
            id,
            device: turn.device.id,
            direction,
            kind: kind.to_owned(),
            summary,
            details,
            at: turn.now,
            expires_at: None,
            outcome,
            outcome_at: turn.now,
        };
        Ok(self.db().keep_message(&message).await?)
    }

    /// Documents are sent, some of them for the first time or once more after their deadline.
    pub(super) async fn log_offer(
        &self,
        turn: &Turn<'_>,
        offered: &[(Name, Observation)],
        hash: &[u8],
    ) -> Result<()> {
        let new = turn.deliveries.iter().filter(|(name, _)| offered.iter().any(|(one, _)| one == name));
        let words: Vec<_> = new.map(|(name, one)| format!("{name} {}", version(one))).collect();
        if words.is_empty() {
            return Ok(());
        }
        let document = |(name, one): &(Name, Delivery)| json!({ "application": name, "version": one.wanted_version, "digest": one.wanted.digest() });
        let documents: Vec<_> = turn.deliveries.iter().map(document).collect();
        self.log(
            turn,
            Entry {
                id: MessageId::new(turn.now),
                direction: Direction::ToDevice,
                kind: OFFER,
                summary: listed("Documents sent", &words),
                details: json!({ "documents": documents, "config_hash": hex::encode(hash) }),
                outcome: MessageOutcome::Sent,
            },
        )
        .await
        .map(drop)
    }

    /// What the device says of its documents is news where a delivery is in another state by it.
    pub(super) async fn log_report(&self, turn: &Turn<'_>, before: &[(Name, DeliveryState)]) -> Result<()> {
        let state_before = |name: &Name| before.iter().find(|(one, _)| one == name).map(|(_, state)| *state);
        let news = turn.deliveries.iter().filter(|(name, one)| state_before(name) != Some(one.state));
        let news: Vec<_> = news.collect();
        if news.is_empty() {
            return Ok(());
        }
        let words: Vec<_> = news.iter().map(|(name, one)| format!("{name}: {}", one.state)).collect();
        let one = |(name, one): &&(Name, Delivery)| {
            json!({
                "application": name, "before": state_before(name), "state": one.state,
                "wanted_version": one.wanted_version, "held_version": one.held_version, "error": one.error,
            })
        };
        let applications: Vec<_> = news.iter().map(one).collect();
        self.log(
            turn,
            Entry {
                id: MessageId::new(turn.now),
                direction: Direction::FromDevice,
                kind: REPORT,
                summary: listed("Reported", &words),
                details: json!({ "applications": applications }),
                outcome: MessageOutcome::Received,
            },
        )
        .await
        .map(drop)
    }

    /// A connected device is asked to say all that it is and has.
    pub(super) async fn log_sync_request(&self, turn: &Turn<'_>) -> Result<()> {
        self.log(
            turn,
            Entry {
                id: MessageId::new(turn.now),
                direction: Direction::ToDevice,
                kind: SYNC_REQUEST,
                summary: "The server asks the device to synchronise".to_owned(),
                details: json!({}),
                outcome: MessageOutcome::Sent,
            },
        )
        .await
        .map(drop)
    }

    /// The device has ended synchronisations that were forced at the server.
    pub(super) async fn log_synced(
        &self,
        turn: &Turn<'_>,
        ended: &[SyncOperationId],
        outcome: SyncOutcome,
        why: Option<&str>,
    ) -> Result<()> {
        if ended.is_empty() {
            return Ok(());
        }
        self.log(
            turn,
            Entry {
                id: MessageId::new(turn.now),
                direction: Direction::FromDevice,
                kind: SYNC_RESULT,
                summary: format!("The synchronisation that the server asked for: {outcome}"),
                details: json!({ "operations": ended, "outcome": outcome, "reason": why }),
                outcome: MessageOutcome::Received,
            },
        )
        .await
        .map(drop)
    }
}

/// The states of deliveries, to be compared later.
pub(super) fn states(deliveries: &[(Name, Delivery)]) -> Vec<(Name, DeliveryState)> {
    deliveries.iter().map(|(name, delivery)| (name.clone(), delivery.state)).collect()
}

fn version(delivery: &Delivery) -> String {
    match delivery.wanted {
        Wanted::Document(_) => format!("v{}", delivery.wanted_version),
        Wanted::Withdrawn => "withdrawn".to_owned(),
    }
}

fn listed(what: &str, words: &[String]) -> String {
    let more = words.len().saturating_sub(NAMED);
    let named = words.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { format!("{what}: {named}") } else { format!("{what}: {named}, and {more} more") }
}
