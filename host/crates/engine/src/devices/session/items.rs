//! Our own capability: items in both directions.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use syncline_domain::{
    device::{
        message::{ACTIVATION_RESULT, Direction, Message, MessageOutcome, NOTICE, SYNC_REQUEST, SYNC_RESULT},
        spread,
    },
    ids::{DeviceId, MessageId},
};
use syncline_protocol::items::{
    ActivationResult, Body, Id, Item, Items, NextContact, Notice, Severity, SyncOutcome, SyncResult,
};
use syncline_store::{NewMessage, Outstanding};
use uuid::Uuid;

use super::{Turn, log::Entry};
use crate::{Engine, Result};

/// Messages that are sent in one answer.
const MOST: u32 = 32;
/// Most characters of a title and a text that are kept of a device.
pub(super) const MOST_TITLE: usize = 200;
pub(super) const MOST_TEXT: usize = 16 << 10;

impl Engine {
    /// Takes in what the device says, and what it has received.
    pub(super) async fn take_items(&self, turn: &mut Turn<'_>) -> Result<()> {
        let Some(items) = turn.items.clone() else { return Ok(()) };
        let received: Vec<_> = items.acknowledged().map(|id| MessageId(Uuid::from(id))).collect();
        if !received.is_empty() {
            self.db().acknowledge_messages(turn.device.id, &received).await?;
        }
        for item in &items.items {
            let Ok(id) = item.parsed_id() else { continue };
            match &item.body {
                Some(Body::SyncRequest(request)) => {
                    let summary = first(&request.reason, MOST_TITLE);
                    let details = json!({ "sync_id": hex::encode(&request.sync_id), "reason": summary });
                    let outcome = MessageOutcome::Waiting;
                    turn.asked |= self.keep(turn, id, SYNC_REQUEST, summary, details, outcome).await?;
                }
                Some(Body::Notice(notice)) => {
                    let summary = first(&notice.title, MOST_TITLE);
                    let details = json!({
                        "severity": severity_word(notice.severity()),
                        "title": summary,
                        "text": first(&notice.text, MOST_TEXT),
                        "details": notice.details.iter().take(100)
                            .map(|(name, text)| (first(name, MOST_TITLE), Value::from(first(text, MOST_TEXT))))
                            .collect::<serde_json::Map<_, _>>(),
                        "sent_unix_ms": item.sent_unix_ms,
                    });
                    self.keep(turn, id, NOTICE, summary, details, MessageOutcome::Received).await?;
                }
                Some(Body::TaskResult(result)) => self.take_task_result(turn, result).await?,
                Some(Body::Activation(activation)) => {
                    turn.activated |= self.take_activation(turn, activation).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// False if the message was kept before.
    async fn keep(
        &self,
        turn: &Turn<'_>,
        id: Id,
        kind: &'static str,
        summary: String,
        details: Value,
        outcome: MessageOutcome,
    ) -> Result<bool> {
        let id = MessageId(Uuid::from(id));
        let direction = Direction::FromDevice;
        self.log(turn, Entry { id, direction, kind, summary, details, outcome }).await
    }

    /// The device has what it should have, or has failed: tells it what became of the synchronisations that it asked for.
    /// True if there was one.
    pub(super) async fn answer_sync_requests(&self, turn: &Turn<'_>, well: bool) -> Result<bool> {
        if !turn.device.abilities.speaks_items {
            return Ok(false);
        }
        let waiting = self.db().waiting_messages(turn.device.id, MOST).await?;
        let mut asked = Vec::new();
        for message in waiting.iter().filter(|one| one.direction == Direction::FromDevice) {
            let outcome = if well { "synchronised" } else { "failed" };
            let answer = NewMessage {
                kind: SYNC_RESULT.to_owned(),
                summary: format!("The synchronisation that the device asked for: {outcome}"),
                details: json!({ "sync_id": message.details["sync_id"], "outcome": outcome }),
                expires_at: None,
            };
            self.db().send_message(&[turn.device.id], &answer, None).await?;
            asked.push(message.id);
        }
        if asked.is_empty() {
            return Ok(false);
        }
        self.db().acknowledge_messages(turn.device.id, &asked).await?;
        Ok(true)
    }

    /// Puts what waits for the device into the answer, acknowledges what it said, and tells it when to come back. True if there
    /// is more to it than that last.
    pub(super) async fn add_items(&self, turn: &mut Turn<'_>, open: Outstanding) -> Result<bool> {
        if !turn.device.abilities.speaks_items {
            if open.tasks {
                self.refuse_tasks(turn).await?;
            }
            return Ok(false);
        }
        let mut waiting = Vec::new();
        if open.messages {
            waiting = self.db().waiting_messages(turn.device.id, MOST).await?;
        }
        let to_device = waiting.iter().filter(|one| one.direction == Direction::ToDevice);
        let mut items: Vec<_> = to_device.filter_map(item).collect();
        if open.tasks {
            items.extend(self.tasks_for(turn).await?);
        }
        let said = turn.items.iter().flat_map(|items| &items.items);
        let received: Vec<_> = said.map(|item| item.id.clone()).collect();
        let told = !items.is_empty();
        // Unasked, only what waits is a reason to speak. Who only says what it has received is not told anything that it would
        // say that it received: that would go on for ever.
        let only_received = turn.items.as_ref().is_some_and(|items| items.items.is_empty());
        if (turn.message.capabilities != 0 && !only_received) || told {
            items.push(next_contact_item(turn.device.id, turn.period, turn.now));
        }
        let items = Items { items, received };
        if !items.is_empty() {
            turn.answer.custom_message = Some(items.to_custom());
        }
        Ok(told)
    }
}

/// Tells a device of ours when to come back.
pub(super) fn next_contact_item(device: DeviceId, period: Duration, now: Timestamp) -> Item {
    let next = spread::next_contact(device, period, now);
    let contact = NextContact {
        delay_ms: next.duration_since(now).as_millis().max(0).try_into().unwrap_or(u64::MAX),
        period_ms: period.as_millis().try_into().unwrap_or(u64::MAX),
    };
    Item::new(Id::new(rand::random()), unix_ms(now), Body::NextContact(contact))
}

/// A message as an item; `None` for a kind that devices are not told.
fn item(message: &Message) -> Option<Item> {
    let text = |name: &str| message.details[name].as_str().unwrap_or_default().to_owned();
    let body = match message.kind.as_str() {
        NOTICE => Body::Notice(Notice {
            severity: severity(&text("severity")).into(),
            title: text("title"),
            text: text("text"),
            details: [("from".to_owned(), text("from"))].into(),
        }),
        SYNC_RESULT => {
            let outcome = match text("outcome").as_str() {
                "synchronised" => SyncOutcome::Synchronised,
                _ => SyncOutcome::Failed,
            };
            let sync_id = hex::decode(text("sync_id")).ok()?;
            Body::SyncResult(SyncResult { sync_id, outcome: outcome.into() })
        }
        ACTIVATION_RESULT => Body::ActivationResult(ActivationResult {
            // It answers the attempt of this id.
            activation_id: Id::from(message.id.answer().0).to_vec(),
            activated: message.details["activated"] == true,
            text: text("text"),
        }),
        _ => return None,
    };
    Some(Item::new(Id::from(message.id.0), unix_ms(message.at), body))
}

fn severity(word: &str) -> Severity {
    match word {
        "warning" => Severity::Warning,
        "error" => Severity::Error,
        "critical" => Severity::Critical,
        _ => Severity::Info,
    }
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Unspecified | Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
        Severity::Critical => "critical",
    }
}

pub(super) fn unix_ms(at: Timestamp) -> u64 {
    at.as_millisecond().max(0).unsigned_abs()
}

pub(super) fn first(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
