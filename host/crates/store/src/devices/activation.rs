//! Subscriptions and activation codes of users.

use jiff::Timestamp;
use serde_json::json;
use syncline_domain::{
    device::{
        DeviceState,
        activation::{Activation, MOST_WRONG, WRONG_WITHIN},
        message::{ACTIVATION, ACTIVATION_RESULT, Direction, Message, MessageOutcome},
        user::{ActivationCode, User},
    },
    event::NewEvent,
    ids::{ActivationCodeId, DeviceId, MessageId, SubscriptionId, UserId},
};

use super::{messages, registry, users};
use crate::{
    db::{Db, Tx},
    dialect::{Query, sql},
    error::{Error, Result},
    row::Row,
    tokens,
};

/// Digits that people do not take for each other (Crockford's base 32).
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Digits of a code: 100 bits, which cannot be guessed, and can still be typed.
const LENGTH: usize = 20;

/// A code that someone typed in on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewActivation {
    /// Of this attempt: what a repeat is recognised by.
    pub id: MessageId,
    /// The device.
    pub device: DeviceId,
    /// As it was typed.
    pub code: String,
}

/// What came of a code.
#[derive(Debug, Clone, PartialEq)]
pub struct Activated {
    /// How it ended.
    pub end: Activation,
    /// The other device that the user was on before.
    pub before: Option<DeviceId>,
}

impl Db {
    /// Issues a subscription to a user. One that stands is replaced; what was activated stays so.
    pub async fn issue_subscription(
        &self,
        user: UserId,
        expires_at: Option<Timestamp>,
        event: NewEvent,
    ) -> Result<User> {
        let now = self.now();
        let query = sql("UPDATE users SET subscription = $2, issued_at = $3, subscription_expires_at = $4,
                changed_at = $3, revision = revision + 1
            WHERE id = $1");
        let query = query.bind(user).bind(SubscriptionId::new(now)).bind(now).bind(expires_at);
        let mut tx = self.begin().await?;
        self.change_user(&mut tx, user, query).await?;
        finish(tx, user, event).await
    }

    /// Revokes a user's subscription, and with it the activation and all codes.
    pub async fn revoke_subscription(&self, user: UserId, event: NewEvent) -> Result<User> {
        let mut tx = self.begin().await?;
        if users::find(&mut tx, user).await?.subscription.is_none() {
            return Err(Error::Conflict(format!("user {user} has no subscription to be revoked")));
        }
        let query =
            sql("UPDATE users SET subscription = NULL, issued_at = NULL, subscription_expires_at = NULL,
                device = NULL, activated_at = NULL, changed_at = $2, revision = revision + 1
            WHERE id = $1");
        self.change_user(&mut tx, user, query.bind(user).bind(self.now())).await?;
        sql("DELETE FROM activation_codes WHERE user_id = $1").bind(user).execute(&mut tx).await?;
        finish(tx, user, event).await
    }

    async fn change_user(&self, tx: &mut Tx, user: UserId, query: Query) -> Result<()> {
        if query.execute(tx).await? == 0 {
            return Err(Error::not_found("user", user));
        }
        Ok(())
    }

    /// Makes an activation code for a user with a subscription; unused ones from before are over. The text is given this once:
    /// four groups of five digits, in which case and dashes do not matter.
    pub async fn create_activation_code(
        &self,
        user: UserId,
        expires_at: Timestamp,
        event: NewEvent,
    ) -> Result<(ActivationCode, String)> {
        let now = self.now();
        let mut tx = self.begin().await?;
        refuse_without_subscription(&users::find(&mut tx, user).await?, now)?;
        let query = sql("DELETE FROM activation_codes WHERE user_id = $1 AND used_at IS NULL");
        query.bind(user).execute(&mut tx).await?;
        let digits: [u8; LENGTH] = rand::random();
        let digits: Vec<_> = digits.iter().map(|byte| char::from(DIGITS[usize::from(byte % 32)])).collect();
        let text = digits.chunks(5).map(String::from_iter).collect::<Vec<_>>().join("-");
        let query = sql("INSERT INTO activation_codes (id, hash, user_id, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5) RETURNING id, user_id, created_at, expires_at, used_at");
        let query = query.bind(ActivationCodeId::new(now)).bind(hash(&text)).bind(user).bind(now);
        let row = query.bind(expires_at).row(&mut tx).await?;
        let code = parse(&row.ok_or(Error::Database(sqlx::Error::RowNotFound))?)?;
        tx.event(event);
        tx.commit().await?;
        Ok((code, text))
    }

    /// Takes an activation code that was typed in on a device, with the message that brings it and the one that answers it: all
    /// of that or nothing, so that a code is not used up without an answer. `None` for an attempt that was taken before: it has
    /// its answer, which goes out again if the device had it already.
    ///
    /// The device can be another than the one on which the user was before.
    pub async fn activate(
        &self,
        new: &NewActivation,
        event: impl FnOnce(&User) -> NewEvent,
    ) -> Result<Option<Activated>> {
        let now = self.now();
        let mut tx = self.begin().await?;
        let found = registry::lock(&mut tx, new.device).await?;
        if found.state != DeviceState::Enrolled {
            return Err(Error::Conflict(format!("device {} is {}: enrol it first", new.device, found.state)));
        }
        if has_message(&mut tx, new.device, new.id).await? {
            let query = sql("UPDATE messages SET outcome = 'waiting', outcome_at = $3
                WHERE device = $1 AND id = $2 AND outcome = 'acknowledged'");
            query.bind(new.device).bind(new.id.answer()).bind(now).execute(&mut tx).await?;
            tx.commit().await?;
            return Ok(None);
        }
        let (end, before) = if wrong_codes(&mut tx, new.device, now).await? >= i64::from(MOST_WRONG) {
            (Activation::TooMany, None)
        } else {
            use_code(&mut tx, new, now).await?
        };
        for message in both(new, &end, now) {
            messages::keep(&mut tx, &message, now).await?;
        }
        if let Activation::Activated(user) = &end {
            tx.event(event(user).device(new.device));
        }
        tx.commit().await?;
        Ok(Some(Activated { end, before }))
    }

    /// Codes of a user, newest first.
    pub async fn activation_codes(&self, user: UserId) -> Result<Vec<ActivationCode>> {
        let query = sql("SELECT id, user_id, created_at, expires_at, used_at FROM activation_codes
            WHERE user_id = $1 ORDER BY id DESC");
        query.bind(user).rows(&mut self.read().await?).await?.iter().map(parse).collect()
    }
}

/// Uses a code up, if it is good. With what came of it goes the device that its user was on before.
async fn use_code(
    tx: &mut Tx,
    new: &NewActivation,
    now: Timestamp,
) -> Result<(Activation, Option<DeviceId>)> {
    let query =
        sql("SELECT id, user_id, created_at, expires_at, used_at FROM activation_codes WHERE hash = $1");
    let row = query.bind(hash(&new.code)).row(tx).await?;
    let Some(code) = row.as_ref().map(parse).transpose()? else { return Ok((Activation::Unknown, None)) };
    if let Some(at) = code.used_at {
        return Ok((Activation::Used(at), None));
    }
    if code.expires_at <= now {
        return Ok((Activation::Expired(code.expires_at), None));
    }
    // The user first, then the code: as whoever revokes the subscription does.
    let user = users::lock(tx, code.user).await?;
    if !user.signs(now).subscribed {
        return Ok((Activation::NoSubscription(user.name), None));
    }
    let query = sql("UPDATE activation_codes SET used_at = $2 WHERE id = $1 AND used_at IS NULL");
    if query.bind(code.id).bind(now).execute(tx).await? == 0 {
        return Ok((Activation::Unknown, None));
    }
    let query = sql("UPDATE users SET device = $2, activated_at = $3, changed_at = $3, failure = NULL,
            revision = revision + 1
        WHERE id = $1");
    if query.bind(code.user).bind(new.device).bind(now).execute(tx).await? != 1 {
        return Err(Error::Stale { what: "user", name: code.user.to_string() });
    }
    let activated = users::find(tx, code.user).await?;
    Ok((Activation::Activated(Box::new(activated)), user.device.filter(|device| *device != new.device)))
}

async fn has_message(tx: &mut Tx, device: DeviceId, id: MessageId) -> Result<bool> {
    let query = sql("SELECT id FROM messages WHERE device = $1 AND id = $2");
    Ok(query.bind(device).bind(id).row(tx).await?.is_some())
}

/// How many wrong codes came from a device of late.
async fn wrong_codes(tx: &mut Tx, device: DeviceId, now: Timestamp) -> Result<i64> {
    let since = now.as_microsecond().saturating_sub(WRONG_WITHIN.saturating_mul(1_000_000));
    let query = sql("SELECT COUNT(*) FROM messages
        WHERE device = $1 AND at > $2 AND kind = $3 AND outcome = 'failed'");
    let row = query.bind(device).bind(since).bind(ACTIVATION).row(tx).await?;
    row.map_or(Ok(0), |row| row.number())
}

/// The message that brought the code, and its answer. The code itself is in neither.
fn both(new: &NewActivation, end: &Activation, now: Timestamp) -> [Message; 2] {
    let (text, activated) = (end.text(), end.is_activated());
    let details = json!({ "activation_id": new.id, "activated": activated, "text": text });
    let outcome = if activated { MessageOutcome::Received } else { MessageOutcome::Failed };
    let came = Message {
        id: new.id,
        device: new.device,
        direction: Direction::FromDevice,
        kind: ACTIVATION.to_owned(),
        summary: "An activation code was typed in on the device".to_owned(),
        details: details.clone(),
        at: now,
        expires_at: None,
        outcome,
        outcome_at: now,
    };
    let answer = Message {
        id: new.id.answer(),
        direction: Direction::ToDevice,
        kind: ACTIVATION_RESULT.to_owned(),
        summary: text,
        details,
        outcome: MessageOutcome::Waiting,
        ..came.clone()
    };
    [came, answer]
}

async fn finish(mut tx: Tx, user: UserId, event: NewEvent) -> Result<User> {
    let changed = users::find(&mut tx, user).await?;
    tx.event(event);
    tx.commit().await?;
    Ok(changed)
}

fn refuse_without_subscription(user: &User, now: Timestamp) -> Result<()> {
    if user.signs(now).subscribed {
        return Ok(());
    }
    Err(Error::Conflict(format!("user {} has no subscription that stands: issue one first", user.name)))
}

/// What is kept of a code, however it is typed: letters that look like digits are those digits.
fn hash(code: &str) -> String {
    let typed = code.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    });
    tokens::hash(&typed.collect::<String>())
}

fn parse(row: &Row) -> Result<ActivationCode> {
    let row = row.of("activation_codes", "id");
    Ok(ActivationCode {
        id: row.parse("id")?,
        user: row.parse("user_id")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        used_at: row.time_opt("used_at")?,
    })
}
