//! Devices' own credentials: hashes, of which one is in use and up to two are offered.

use jiff::Timestamp;
use syncline_domain::{
    device::{
        DeviceState,
        enrolment::{Credential, CredentialState, MAX_CANDIDATES},
    },
    event::NewEvent,
    ids::{CredentialId, DeviceId, EnrolmentTokenId},
    log::LogLevel,
};

use super::{enrolment, registry, status};
use crate::{
    db::{Db, Tx},
    dialect::sql,
    error::{Error, OrNotFound, Result},
    row::Row,
    tokens,
};

macro_rules! columns {
    () => {
        "id, device, state, lasting, token, created_at, first_used_at"
    };
}

/// What credentials of devices begin with, so that scanners for leaked secrets can tell them.
const PREFIX: &str = "syd_";

/// What became of a credential that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It was in use before: nothing changed.
    Known,
    /// This was its first use: it is the one in use now, and the older ones are over.
    First,
    /// The enrolment token that it came of ended before this first use: the credential is revoked.
    TokenEnded,
}

impl Db {
    /// Offers a device another credential, for rotation. Of more than two offers the oldest is over. The text is given this
    /// once.
    pub async fn issue_candidate(&self, device: DeviceId) -> Result<String> {
        let mut tx = self.begin().await?;
        must_be_managed(&mut tx, device).await?;
        let text = add_candidate(&mut tx, device, None, false, self.now()).await?;
        tx.commit().await?;
        Ok(text)
    }

    /// Makes a token for one device whose agent takes no credential over the protocol: it stays the device's credential. The
    /// text is given this once.
    pub async fn issue_lasting_credential(&self, device: DeviceId, event: NewEvent) -> Result<String> {
        let mut tx = self.begin().await?;
        must_be_managed(&mut tx, device).await?;
        let text = add_candidate(&mut tx, device, None, true, self.now()).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(text)
    }

    /// The credential of this text, if it is valid: one indexed read.
    pub async fn credential_by_secret(&self, text: &str) -> Result<Option<Credential>> {
        // A token for one device can have stayed its credential.
        if !text.starts_with(PREFIX) && !text.starts_with(enrolment::PREFIX) {
            return Ok(None);
        }
        let query = sql(concat!(
            "SELECT ",
            columns!(),
            " FROM device_credentials WHERE hash = $1 AND state IN ('candidate', 'current')"
        ));
        let row = query.bind(tokens::hash(text)).row(&mut self.read().await?).await?;
        row.as_ref().map(parse).transpose()
    }

    /// A credential that was presented and found valid is accepted. Its first use makes it the one in use, ends the others,
    /// uses up the enrolment token that it came of, and enrols the device: all of it or nothing.
    pub async fn accept_credential(&self, id: CredentialId) -> Result<Accepted> {
        let mut tx = self.begin().await?;
        let device = lock_device_of(&mut tx, id).await?;
        let query = sql(concat!("SELECT ", columns!(), " FROM device_credentials WHERE id = $1"));
        let credential = parse(&query.bind(id).row(&mut tx).await?.or_not_found("credential", id)?)?;
        match credential.state {
            CredentialState::Current => return Ok(Accepted::Known),
            CredentialState::Candidate => {}
            CredentialState::Old | CredentialState::Revoked => {
                return Err(Error::Conflict(format!(
                    "credential {id} is {}: enrol the device anew",
                    credential.state
                )));
            }
        }
        let now = self.now();
        if let Some(token) = credential.token
            && !enrolment::use_up(&mut tx, token, now).await?
        {
            set_state(&mut tx, id, CredentialState::Candidate, CredentialState::Revoked).await?;
            tx.event(ended(device));
            tx.commit().await?;
            return Ok(Accepted::TokenEnded);
        }
        let query = sql("UPDATE device_credentials SET state = 'old'
            WHERE device = $1 AND id <> $2 AND state IN ('candidate', 'current')");
        query.bind(device).bind(id).execute(&mut tx).await?;
        let query = sql("UPDATE device_credentials SET state = 'current', first_used_at = $2
            WHERE id = $1 AND state = 'candidate'");
        if query.bind(id).bind(now).execute(&mut tx).await? != 1 {
            return Err(Error::Stale { what: "credential", name: id.to_string() });
        }
        enrolled(&mut tx, device, credential.token.is_some() || credential.lasting, now).await?;
        tx.commit().await?;
        Ok(Accepted::First)
    }

    /// Credentials of a device, newest first, those that are over included.
    pub async fn credentials(&self, device: DeviceId) -> Result<Vec<Credential>> {
        let query = sql(concat!(
            "SELECT ",
            columns!(),
            " FROM device_credentials WHERE device = $1 ORDER BY id DESC"
        ));
        query.bind(device).rows(&mut self.read().await?).await?.iter().map(parse).collect()
    }

    /// Takes all credentials of a device back. Gives how many were valid.
    pub async fn revoke_credentials(&self, device: DeviceId, event: NewEvent) -> Result<u64> {
        let mut tx = self.begin().await?;
        registry::lock(&mut tx, device).await?;
        let revoked = revoke_all(&mut tx, device).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(revoked)
    }
}

/// Makes a candidate, and ends the oldest ones where there are more than two now. The device's row must be held.
pub(crate) async fn add_candidate(
    tx: &mut Tx,
    device: DeviceId,
    token: Option<EnrolmentTokenId>,
    lasting: bool,
    now: Timestamp,
) -> Result<String> {
    let text = tokens::random(PREFIX);
    let query = sql(concat!(
        "INSERT INTO device_credentials (hash, ",
        columns!(),
        ") VALUES ($1, $2, $3, 'candidate', $4, $5, $6, NULL)"
    ));
    let query = query.bind(tokens::hash(&text)).bind(CredentialId::new(now)).bind(device);
    query.bind(lasting).bind(token).bind(now).execute(tx).await?;
    let query = sql("UPDATE device_credentials SET state = 'old' WHERE device = $1 AND state = 'candidate'
        AND id NOT IN (SELECT id FROM device_credentials WHERE device = $1 AND state = 'candidate'
            ORDER BY created_at DESC, id DESC LIMIT $2)");
    let most = i64::try_from(MAX_CANDIDATES).map_err(Error::encode)?;
    query.bind(device).bind(most).execute(tx).await?;
    Ok(text)
}

/// Makes the text of a token that is used up the credential in use of a device, whose row must be held.
pub(crate) async fn keep_token(
    tx: &mut Tx,
    device: DeviceId,
    token: EnrolmentTokenId,
    text: &str,
    now: Timestamp,
) -> Result<()> {
    let query = sql("UPDATE device_credentials SET state = 'old'
        WHERE device = $1 AND state IN ('candidate', 'current')");
    query.bind(device).execute(tx).await?;
    let query = sql(concat!(
        "INSERT INTO device_credentials (hash, ",
        columns!(),
        ") VALUES ($1, $2, $3, 'current', $4, $5, $6, $6)"
    ));
    let query = query.bind(tokens::hash(text)).bind(CredentialId::new(now)).bind(device);
    query.bind(true).bind(token).bind(now).execute(tx).await?;
    enrolled(tx, device, true, now).await
}

pub(crate) async fn revoke_all(tx: &mut Tx, device: DeviceId) -> Result<u64> {
    let query = sql("UPDATE device_credentials SET state = 'revoked'
        WHERE device = $1 AND state IN ('candidate', 'current')");
    query.bind(device).execute(tx).await
}

/// The device of a credential, held until the transaction ends: what changes its credentials goes one after the other.
async fn lock_device_of(tx: &mut Tx, id: CredentialId) -> Result<DeviceId> {
    let row = sql("SELECT device FROM device_credentials WHERE id = $1").bind(id).row(tx).await?;
    let device = row.or_not_found("credential", id)?.of("device_credentials", "device").parse("device")?;
    registry::lock(tx, device).await?;
    Ok(device)
}

async fn must_be_managed(tx: &mut Tx, device: DeviceId) -> Result<()> {
    registry::lock(tx, device).await?;
    let device = registry::find(tx, device).await?;
    if device.state == DeviceState::Decommissioned {
        return Err(Error::Conflict(format!(
            "device {} is decommissioned: it gets no credential",
            device.id
        )));
    }
    Ok(())
}

async fn set_state(tx: &mut Tx, id: CredentialId, from: CredentialState, to: CredentialState) -> Result<()> {
    let query = sql("UPDATE device_credentials SET state = $3 WHERE id = $1 AND state = $2");
    if query.bind(id).bind(from.as_str()).bind(to.as_str()).execute(tx).await? != 1 {
        return Err(Error::Stale { what: "credential", name: id.to_string() });
    }
    Ok(())
}

/// The device is in. One that was quarantined gets out by a credential that a person handed out for it (`anew`), not by a
/// rotation.
async fn enrolled(tx: &mut Tx, device: DeviceId, anew: bool, now: Timestamp) -> Result<()> {
    let query =
        sql("UPDATE devices SET state = 'enrolled', reason = NULL, enrolled_at = $2, enrolling_with = NULL
        WHERE id = $1 AND (state = 'registered' OR (state = 'quarantined' AND $3))");
    if query.bind(device).bind(now).bind(anew).execute(tx).await? == 1 {
        status::refresh(tx, &[device], now).await?;
        let told = "The device's own credential was accepted: it is enrolled.";
        tx.event(NewEvent::new("device.enrolled", "system", told).device(device));
    }
    Ok(())
}

fn ended(device: DeviceId) -> NewEvent {
    let told =
        "A device came with the credential of an enrolment token that has ended meanwhile: it was refused.";
    NewEvent::new("device.refused", "system", told).level(LogLevel::Warn).device(device)
}

fn parse(row: &Row) -> Result<Credential> {
    let row = row.of("device_credentials", "id");
    Ok(Credential {
        id: row.parse("id")?,
        device: row.parse("device")?,
        state: row.word("state")?,
        lasting: row.get("lasting")?,
        token: row.parse_opt("token")?,
        created_at: row.time("created_at")?,
        first_used_at: row.time_opt("first_used_at")?,
    })
}
