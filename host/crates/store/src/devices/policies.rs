//! Policies and their versions. A version is never changed: going back is a new one with the content of an old one.

use syncline_domain::{
    Name,
    device::policy::{Place, Policy, PolicySpec, PolicyVersion},
    event::NewEvent,
    ids::PolicyId,
};

use super::{applications, groups, registry, selections};
use crate::{
    db::{Db, Tx},
    dialect::{Session, sql},
    error::{Error, OrNotFound, Result},
    page::{Listed, Page},
    row::{Columns, Row},
};

macro_rules! columns {
    () => {
        "id, application, place, at_place, priority, settings, locks, enabled, version, created_at, updated_at"
    };
}

/// A change of a policy that was read before.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyChange {
    /// The version that was read; it must still be the newest.
    pub from: u64,
    /// What the policy is to say. The application stays.
    pub spec: PolicySpec,
    /// Why, in a person's words.
    pub note: String,
}

impl Db {
    /// Makes a policy. Application and place must be there.
    pub async fn add_policy(&self, spec: &PolicySpec, note: &str, event: NewEvent) -> Result<Policy> {
        check(spec)?;
        let mut tx = self.begin().await?;
        applications::must_exist(&mut tx, &spec.application).await?;
        place_must_exist(&mut tx, &spec.place).await?;
        let id = PolicyId::new(self.now());
        let (place, at, priority) = split(&spec.place);
        let query = sql(concat!(
            "INSERT INTO policies (",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9)"
        ));
        let query = query.bind(id).bind(&spec.application).bind(place).bind(at).bind(priority);
        let query = query.bind_json(&spec.settings).bind_json(&spec.locks).bind(spec.enabled);
        query.bind(self.now()).execute(&mut tx).await?;
        let made = New { policy: id, version: 1, note, actor: &event.actor, restored_from: None };
        made.write(&mut tx, spec, self.now()).await?;
        let added = find(&mut tx, id).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(added)
    }

    /// Policies of an application, or all, in the order in which they were made.
    pub async fn policies(&self, application: Option<&Name>) -> Result<Vec<Policy>> {
        let query = sql(concat!("SELECT ", columns!(), " FROM policies WHERE TRUE"))
            .push_some(" AND application = $?", application)
            .push(" ORDER BY id");
        query.rows(&mut self.read().await?).await?.iter().map(parse).collect()
    }

    /// The policy of this id.
    pub async fn policy(&self, id: PolicyId) -> Result<Policy> {
        find(&mut self.read().await?, id).await
    }

    /// Changes a policy: a new version.
    pub async fn change_policy(
        &self,
        id: PolicyId,
        change: &PolicyChange,
        event: NewEvent,
    ) -> Result<Policy> {
        let mut tx = self.begin().await?;
        let policy = self.change(&mut tx, id, change, None, &event.actor).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(policy)
    }

    /// Brings the content of an old version back, as a new version. Its place must still be there.
    pub async fn roll_back_policy(
        &self,
        id: PolicyId,
        from: u64,
        to: u64,
        note: &str,
        event: NewEvent,
    ) -> Result<Policy> {
        let mut tx = self.begin().await?;
        let old = find_version(&mut tx, id, to).await?;
        let change = PolicyChange { from, spec: old.spec, note: note.to_owned() };
        let policy = self.change(&mut tx, id, &change, Some(to), &event.actor).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(policy)
    }

    async fn change(
        &self,
        tx: &mut Tx,
        id: PolicyId,
        change: &PolicyChange,
        restored_from: Option<u64>,
        actor: &str,
    ) -> Result<Policy> {
        let spec = &change.spec;
        check(spec)?;
        let known = find(tx, id).await?;
        if known.spec.application != spec.application {
            return Err(Error::Conflict(format!(
                "policy {id} is for application {}: make another for {}",
                known.spec.application, spec.application
            )));
        }
        place_must_exist(tx, &spec.place).await?;
        let (place, at, priority) = split(&spec.place);
        let query =
            sql("UPDATE policies SET place = $3, at_place = $4, priority = $5, settings = $6, locks = $7,
                enabled = $8, updated_at = $9, version = version + 1
            WHERE id = $1 AND version = $2");
        let query = query.bind(id).bind_u64(change.from).bind(place).bind(at).bind(priority);
        let query = query.bind_json(&spec.settings).bind_json(&spec.locks).bind(spec.enabled);
        if query.bind(self.now()).execute(tx).await? == 0 {
            return Err(Error::Stale { what: "policy", name: id.to_string() });
        }
        let made = New { policy: id, version: change.from + 1, note: &change.note, actor, restored_from };
        made.write(tx, spec, self.now()).await?;
        find(tx, id).await
    }

    /// Removes a policy with its versions. What devices should hold changes by that: it has to be published anew.
    pub async fn remove_policy(&self, id: PolicyId, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        if sql("DELETE FROM policies WHERE id = $1").bind(id).execute(&mut tx).await? == 0 {
            return Err(Error::not_found("policy", id));
        }
        tx.event(event);
        tx.commit().await?;
        Ok(())
    }

    /// Versions of a policy, newest first.
    pub async fn policy_versions(&self, id: PolicyId, page: &Page) -> Result<Listed<PolicyVersion>> {
        let mut session = self.read().await?;
        find(&mut session, id).await?;
        let query = sql("SELECT policy, version, spec, at, actor, note, restored_from FROM policy_versions
            WHERE policy = $1")
        .bind(id)
        .push_some(" AND version < $?", page.position::<i64>()?)
        .push_with(" ORDER BY version DESC LIMIT $?", page.one_more());
        let rows = query.rows(&mut session).await?;
        let versions = rows.iter().map(parse_version).collect::<Result<Vec<_>>>()?;
        Ok(Listed::cut(versions, page, |version| version.version.to_string()))
    }

    /// What a policy said in one of its versions.
    pub async fn policy_version(&self, id: PolicyId, version: u64) -> Result<PolicyVersion> {
        find_version(&mut self.read().await?, id, version).await
    }
}

fn check(spec: &PolicySpec) -> Result<()> {
    spec.check().map_err(|error| Error::Conflict(error.to_string()))
}

/// A version to be written.
struct New<'a> {
    policy: PolicyId,
    version: u64,
    note: &'a str,
    actor: &'a str,
    restored_from: Option<u64>,
}

impl New<'_> {
    async fn write(&self, tx: &mut Tx, spec: &PolicySpec, now: jiff::Timestamp) -> Result<()> {
        let query = sql("INSERT INTO policy_versions (policy, version, spec, at, actor, note, restored_from)
            VALUES ($1, $2, $3, $4, $5, $6, $7)");
        let query = query.bind(self.policy).bind_u64(self.version).bind_json(spec).bind(now);
        query.bind(self.actor).bind(self.note).bind_u64(self.restored_from).execute(tx).await?;
        Ok(())
    }
}

async fn place_must_exist(tx: &mut Tx, place: &Place) -> Result<()> {
    match place {
        Place::Group(group) => groups::must_exist(tx, group).await,
        Place::Selection { name, .. } => selections::must_exist(tx, name).await,
        Place::Device(device) => registry::find(tx, *device).await.map(drop),
    }
}

/// A place as columns.
fn split(place: &Place) -> (&'static str, String, i64) {
    match place {
        Place::Group(group) => ("group", group.to_string(), 0),
        Place::Selection { name, priority } => ("selection", name.to_string(), i64::from(*priority)),
        Place::Device(device) => ("device", device.to_string(), 0),
    }
}

fn place(row: &Columns<'_>) -> Result<Place> {
    let kind: String = row.get("place")?;
    match kind.as_str() {
        "group" => Ok(Place::Group(row.parse("at_place")?)),
        "selection" => {
            let priority = row.check("priority", i32::try_from(row.get::<i64>("priority")?))?;
            Ok(Place::Selection { name: row.parse("at_place")?, priority })
        }
        "device" => Ok(Place::Device(row.parse("at_place")?)),
        _ => row.check("place", Err(format!("{kind:?} is no kind of place"))),
    }
}

async fn find(session: &mut Session, id: PolicyId) -> Result<Policy> {
    let query = sql(concat!("SELECT ", columns!(), " FROM policies WHERE id = $1"));
    parse(&query.bind(id).row(session).await?.or_not_found("policy", id)?)
}

async fn find_version(session: &mut Session, id: PolicyId, version: u64) -> Result<PolicyVersion> {
    let query = sql("SELECT policy, version, spec, at, actor, note, restored_from FROM policy_versions
        WHERE policy = $1 AND version = $2");
    let row = query.bind(id).bind_u64(version).row(session).await?;
    parse_version(&row.or_not_found("version of a policy", format!("{id} version {version}"))?)
}

fn parse(row: &Row) -> Result<Policy> {
    let row = row.of("policies", "id");
    let spec = PolicySpec {
        application: row.parse("application")?,
        place: place(&row)?,
        settings: row.json("settings")?,
        locks: row.json("locks")?,
        enabled: row.get("enabled")?,
    };
    Ok(Policy {
        id: row.parse("id")?,
        spec,
        version: row.unsigned("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

fn parse_version(row: &Row) -> Result<PolicyVersion> {
    let row = row.of("policy_versions", "policy");
    Ok(PolicyVersion {
        version: row.unsigned("version")?,
        spec: row.json("spec")?,
        at: row.time("at")?,
        actor: row.get("actor")?,
        note: row.get("note")?,
        restored_from: row.unsigned_opt("restored_from")?,
    })
}
