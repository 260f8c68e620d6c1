//! Subscriptions and activation codes of users.

use jiff::Timestamp;
use syncline_domain::{
    device::{
        DeviceState,
        user::{ActivationCode, User},
    },
    event::NewEvent,
    ids::{ActivationCodeId, DeviceId, SubscriptionId, UserId},
};

use super::{registry, users};
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

    /// Activates the user of a code on a device, which can be another than before. `None` if the code is unknown, used or over.
    pub async fn activate(&self, code: &str, device: DeviceId, event: NewEvent) -> Result<Option<User>> {
        let now = self.now();
        let mut tx = self.begin().await?;
        let found = registry::lock(&mut tx, device).await?;
        if found.state != DeviceState::Enrolled {
            return Err(Error::Conflict(format!("device {device} is {}: enrol it first", found.state)));
        }
        let query = sql("UPDATE activation_codes SET used_at = $2
            WHERE hash = $1 AND used_at IS NULL AND expires_at > $2
            RETURNING id, user_id, created_at, expires_at, used_at");
        let row = query.bind(hash(code)).bind(now).row(&mut tx).await?;
        let Some(code) = row.as_ref().map(parse).transpose()? else { return Ok(None) };
        refuse_without_subscription(&users::find(&mut tx, code.user).await?, now)?;
        let query = sql("UPDATE users SET device = $2, activated_at = $3, changed_at = $3, failure = NULL,
                revision = revision + 1
            WHERE id = $1");
        self.change_user(&mut tx, code.user, query.bind(code.user).bind(device).bind(now)).await?;
        finish(tx, code.user, event.device(device)).await.map(Some)
    }

    /// Codes of a user, newest first.
    pub async fn activation_codes(&self, user: UserId) -> Result<Vec<ActivationCode>> {
        let query = sql("SELECT id, user_id, created_at, expires_at, used_at FROM activation_codes
            WHERE user_id = $1 ORDER BY id DESC");
        query.bind(user).rows(&mut self.read().await?).await?.iter().map(parse).collect()
    }
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
