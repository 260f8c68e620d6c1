//! Enrolment tokens, and the first contact of a device that has one.
//!
//! A token is used up when the credential that a device was given for it is first accepted (`credentials.rs`), not at
//! first contact: answers get lost, and the device then comes again with the same token.

use jiff::Timestamp;
use syncline_domain::{
    device::{
        Abilities, Device, DeviceState,
        enrolment::{Admits, EnrolmentToken},
        record::Facts,
    },
    event::NewEvent,
    ids::{DeviceId, EnrolmentTokenId},
};

use super::{credentials, groups, registry};
use crate::{
    db::{Db, Tx},
    dialect::sql,
    error::{Error, OrNotFound, Result},
    row::Row,
    tokens,
};

macro_rules! columns {
    () => {
        "id, name, group_path, device, single_use, created_at, created_by, expires_at, uses, ended_at"
    };
}

/// What enrolment tokens begin with, so that scanners for leaked secrets can tell them.
pub(crate) const PREFIX: &str = "sye_";

/// An enrolment token to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEnrolmentToken {
    /// What it is for.
    pub name: String,
    /// Whom it lets in.
    pub admits: Admits,
    /// Whether one device uses it up. A token for one device is so anyway.
    pub single_use: bool,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What a device says of itself when it comes with an enrolment token.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEnrolment {
    /// The process that speaks for it (in hexadecimal): by this a repeat is recognised.
    pub instance_uid: String,
    /// What to call it: its host name, say. A device that was registered keeps its name.
    pub name: String,
    /// Its facts; `None` if it did not say what it is. A new device is made of nothing less: whoever has its credential already
    /// may have said more under the token before.
    pub facts: Option<Facts>,
    /// What its agent can do.
    pub abilities: Abilities,
}

/// A device that is getting in.
#[derive(Debug, Clone, PartialEq)]
pub struct Enrolling {
    /// The device, still `registered`.
    pub device: Device,
    /// Its own credential, a candidate: given this once.
    pub credential: String,
}

impl Db {
    /// Makes an enrolment token. The text is given this once.
    pub async fn create_enrolment_token(
        &self,
        new: &NewEnrolmentToken,
        event: NewEvent,
    ) -> Result<(EnrolmentToken, String)> {
        let text = tokens::random(PREFIX);
        let now = self.now();
        let mut tx = self.begin().await?;
        let (group, device) = match &new.admits {
            Admits::Group(group) => {
                groups::must_exist(&mut tx, group).await?;
                (Some(group.as_str()), None)
            }
            Admits::Device(device) => {
                let found = registry::find(&mut tx, *device).await?;
                refuse_decommissioned(&found)?;
                (None, Some(*device))
            }
        };
        let query = sql(concat!(
            "INSERT INTO enrolment_tokens (hash, ",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, NULL) RETURNING ",
            columns!()
        ));
        let query = query
            .bind(tokens::hash(&text))
            .bind(EnrolmentTokenId::new(now))
            .bind(&new.name)
            .bind(group)
            .bind(device)
            .bind(new.single_use || device.is_some())
            .bind(now)
            .bind(&event.actor)
            .bind(new.expires_at);
        let row = query.row(&mut tx).await?;
        let record = parse(&row.ok_or(Error::Database(sqlx::Error::RowNotFound))?)?;
        tx.event(event);
        tx.commit().await?;
        Ok((record, text))
    }

    /// All enrolment tokens, those that ended included, newest first.
    pub async fn enrolment_tokens(&self) -> Result<Vec<EnrolmentToken>> {
        let query = sql(concat!("SELECT ", columns!(), " FROM enrolment_tokens ORDER BY id DESC"));
        query.rows(&mut self.read().await?).await?.iter().map(parse).collect()
    }

    /// The token of this text, unless it is unknown, used up, revoked or over.
    pub async fn enrolment_token_by_secret(&self, text: &str) -> Result<Option<EnrolmentToken>> {
        if !text.starts_with(PREFIX) {
            return Ok(None);
        }
        let query = sql(concat!(
            "SELECT ",
            columns!(),
            " FROM enrolment_tokens WHERE hash = $1 AND ended_at IS NULL AND expires_at > $2"
        ));
        let query = query.bind(tokens::hash(text)).bind(self.now());
        query.row(&mut self.read().await?).await?.as_ref().map(parse).transpose()
    }

    /// Ends a token. Devices that came with it and whose own credential was not accepted yet get no further.
    pub async fn revoke_enrolment_token(&self, id: EnrolmentTokenId, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        let query = sql("UPDATE enrolment_tokens SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL");
        if query.bind(id).bind(self.now()).execute(&mut tx).await? == 0 {
            return Err(Error::not_found("valid enrolment token", id));
        }
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }

    /// Takes in a device that came with a token, and gives it a credential of its own. The same process that comes again
    /// with the same token is the same device, with a second candidate. [`Error::Exists`] if it comes twice at once: one of
    /// the two is answered, the other has to be repeated. None if this process is not known and did not say what it is.
    pub async fn enrol(&self, token: EnrolmentTokenId, new: &NewEnrolment) -> Result<Option<Enrolling>> {
        let mut tx = self.begin().await?;
        let token = find_valid(&mut tx, token, self.now()).await?;
        let device = match &token.admits {
            Admits::Device(id) => *id,
            Admits::Group(group) => match repeated(&mut tx, token.id, &new.instance_uid).await? {
                Some(id) => id,
                None if new.facts.is_none() => return Ok(None),
                None => {
                    let id = DeviceId::new(self.now());
                    registry::insert(&mut tx, id, &new.name, group, self.now()).await?;
                    id
                }
            },
        };
        let known = registry::find(&mut tx, device).await?;
        refuse_decommissioned(&known)?;
        let query =
            sql("UPDATE devices SET enrolling_with = $2, instance_uid = $3, facts = $4, abilities = $5
            WHERE id = $1");
        let query = query.bind(device).bind(token.id).bind(&new.instance_uid);
        let facts = new.facts.as_ref().unwrap_or(&known.facts);
        let written = query.bind_json(facts).bind_json(&new.abilities).execute(&mut tx).await;
        written.map_err(|error| error.or_exists("enrolment under way of process", &new.instance_uid))?;
        let credential =
            credentials::add_candidate(&mut tx, device, Some(token.id), false, self.now()).await?;
        let device = registry::find(&mut tx, device).await?;
        tx.commit().await?;
        Ok(Some(Enrolling { device, credential }))
    }
}

impl Db {
    /// Takes in a device whose agent takes no credential over the protocol: the token for it alone that it came with is used up
    /// and stays its credential, under the same text. All others of the device are over.
    pub async fn enrol_lasting(
        &self,
        token: EnrolmentTokenId,
        text: &str,
        new: &NewEnrolment,
    ) -> Result<Device> {
        let now = self.now();
        let mut tx = self.begin().await?;
        let token = find_valid(&mut tx, token, now).await?;
        let Admits::Device(device) = token.admits else {
            return Err(Error::Conflict(format!(
                "the enrolment token {:?} is for a group, and this agent takes no credential of its own: make a token for one \
                 device",
                token.name
            )));
        };
        let known = registry::lock(&mut tx, device).await?;
        refuse_decommissioned(&known)?;
        use_up(&mut tx, token.id, now).await?;
        let query = sql("UPDATE devices SET instance_uid = $2, facts = $3, abilities = $4 WHERE id = $1");
        let query = query.bind(device).bind(&new.instance_uid);
        let facts = new.facts.as_ref().unwrap_or(&known.facts);
        query.bind_json(facts).bind_json(&new.abilities).execute(&mut tx).await?;
        credentials::keep_token(&mut tx, device, token.id, text, now).await?;
        let device = registry::find(&mut tx, device).await?;
        tx.commit().await?;
        Ok(device)
    }
}

fn refuse_decommissioned(device: &Device) -> Result<()> {
    if device.state == DeviceState::Decommissioned {
        return Err(Error::Conflict(format!(
            "device {} is decommissioned: register it anew, then enrol it",
            device.id
        )));
    }
    Ok(())
}

async fn repeated(tx: &mut Tx, token: EnrolmentTokenId, instance_uid: &str) -> Result<Option<DeviceId>> {
    let query = sql("SELECT id FROM devices WHERE enrolling_with = $1 AND instance_uid = $2
        ORDER BY id LIMIT 1 {for update}");
    let row = query.bind(token).bind(instance_uid).row(tx).await?;
    row.map(|row| row.of("devices", "id").parse("id")).transpose()
}

async fn find_valid(tx: &mut Tx, id: EnrolmentTokenId, now: Timestamp) -> Result<EnrolmentToken> {
    let query = sql(concat!(
        "SELECT ",
        columns!(),
        " FROM enrolment_tokens WHERE id = $1 AND ended_at IS NULL AND expires_at > $2"
    ));
    parse(&query.bind(id).bind(now).row(tx).await?.or_not_found("valid enrolment token", id)?)
}

/// Counts the use of a token whose device's own credential is accepted; ends it if that was its only use. False if the token
/// had ended before: another device was faster, or it was revoked.
pub(crate) async fn use_up(tx: &mut Tx, id: EnrolmentTokenId, now: Timestamp) -> Result<bool> {
    let query = sql("UPDATE enrolment_tokens
        SET uses = uses + 1, ended_at = CASE WHEN single_use THEN $2 ELSE NULL END
        WHERE id = $1 AND ended_at IS NULL");
    Ok(query.bind(id).bind(now).execute(tx).await? == 1)
}

fn parse(row: &Row) -> Result<EnrolmentToken> {
    let row = row.of("enrolment_tokens", "id");
    let device: Option<DeviceId> = row.parse_opt("device")?;
    Ok(EnrolmentToken {
        id: row.parse("id")?,
        name: row.get("name")?,
        admits: match device {
            Some(device) => Admits::Device(device),
            None => Admits::Group(row.parse("group_path")?),
        },
        single_use: row.get("single_use")?,
        created_at: row.time("created_at")?,
        created_by: row.get("created_by")?,
        expires_at: row.time("expires_at")?,
        uses: row.unsigned("uses")?,
        ended_at: row.time_opt("ended_at")?,
    })
}
