//! Forgetting a server: who uses it, and what becomes of them.

use serde_json::Value;
use syncline_domain::{
    Name,
    event::NewEvent,
    log::LogLevel,
    schedule::Schedule,
    server::DistributionServer,
    sync::{MadeBy, Sync},
};
use syncline_store::ServerRemoval;

use crate::{Engine, Error, Result};

/// Who uses a server.
#[derive(Debug, Default)]
struct Users {
    /// Schedules that were made of components and servers, with their syncs.
    made: Vec<(Schedule, Sync, MadeBy)>,
    /// Other syncs that fill it.
    syncs: Vec<Name>,
    /// Schedules of those.
    schedules: Vec<Schedule>,
    /// Policies that name it or its address, for people.
    policies: Vec<String>,
}

impl Users {
    /// For people.
    fn told(&self) -> Vec<String> {
        let made = self.made.iter().map(|(schedule, ..)| format!("schedule {}", schedule.id));
        let plain = self.schedules.iter().map(|one| format!("schedule {} of sync {}", one.id, one.spec.sync));
        let syncs = self.syncs.iter().map(|name| format!("sync {name}"));
        made.chain(plain).chain(syncs).chain(self.policies.iter().cloned()).collect()
    }
}

impl Engine {
    /// Forgets a server; its files stay, and so does a store that it did not bring. While a schedule, a sync or a policy uses it,
    /// that has to be said (`force`): schedules are left without it, or go or are paused if nothing else is left of them.
    pub async fn remove_server(&self, name: &Name, force: bool, actor: &str) -> Result<()> {
        let server = self.db().server(name).await?;
        let users = self.users_of(&server).await?;
        let told = users.told();
        if !force && !told.is_empty() {
            let message = format!(
                "distribution server {name} is used by {}: change these first, or remove it with force=true, which takes it \
                 out of schedules, removes those that have no other server, and pauses schedules of syncs that fill it",
                told.join(", ")
            );
            return Err(Error::conflict("in-use", message));
        }
        let removal = self.removal(&server, users).await?;
        let mut message = format!("Distribution server {name} was removed");
        if !told.is_empty() {
            message = format!("{message}, which was used by {}", told.join(", "));
        }
        let level = if told.is_empty() { LogLevel::Info } else { LogLevel::Warn };
        let mut events =
            vec![NewEvent::new("server.removed", actor, message).store(&server.store).level(level)];
        for schedule in &removal.paused {
            let message = format!("Schedule {} was paused: server {name} was removed", schedule.id);
            let event = NewEvent::new("schedule.paused", actor, message).sync(&schedule.spec.sync);
            events.push(event.level(LogLevel::Warn));
        }
        for id in &removal.schedules {
            let message = format!("Schedule {id} was removed: server {name}, its only one, was removed");
            events.push(NewEvent::new("schedule.removed", actor, message).level(LogLevel::Warn));
        }
        Ok(self.db().remove_server(name, &removal, events).await?)
    }

    async fn users_of(&self, server: &DistributionServer) -> Result<Users> {
        let schedules = self.db().schedules().await?;
        let mut users = Users::default();
        for sync in self.db().syncs().await? {
            if !sync.spec.targets.contains(&server.store) {
                continue;
            }
            let of_sync = schedules.iter().filter(|one| one.spec.sync == sync.name);
            match sync.made_by.clone() {
                Some(made) => {
                    users.made.extend(of_sync.map(|one| (one.clone(), sync.clone(), made.clone())));
                }
                None => {
                    users.schedules.extend(of_sync.cloned());
                    users.syncs.push(sync.name);
                }
            }
        }
        for policy in self.db().policies(None).await? {
            if names(&policy.spec.settings, server) {
                users
                    .policies
                    .push(format!("policy {} of application {}", policy.id, policy.spec.application));
            }
        }
        Ok(users)
    }

    async fn removal(&self, server: &DistributionServer, users: Users) -> Result<ServerRemoval> {
        let all = self.db().servers().await?;
        let others: Vec<DistributionServer> = all.into_iter().filter(|one| one.name != server.name).collect();
        let mut removal = ServerRemoval { store: server.brought_store, ..ServerRemoval::default() };
        for (schedule, mut sync, mut made) in users.made {
            made.servers.retain(|one| *one != server.name);
            let gets = |component: &Name| {
                others.iter().any(|one| made.servers.contains(&one.name) && one.gets(component))
            };
            made.components = made.components.iter().filter(|one| gets(one)).cloned().collect();
            if made.components.is_empty() {
                removal.schedules.push(schedule.id);
                continue;
            }
            self.fill_from_parts(&mut sync.spec, &made.components, &made.servers, &others).await?;
            sync.made_by = Some(made);
            removal.narrowed.push(sync);
        }
        for mut schedule in users.schedules {
            let paused =
                format!("distribution server {} was removed: change the sync, then resume", server.name);
            schedule.spec.paused.get_or_insert(paused);
            removal.paused.push(schedule);
        }
        let collections = self.db().collections().await?;
        let lives = collections.iter().any(|one| one.store == server.store);
        // A run of a sync that goes may be under way, which needs the store to its end.
        removal.store &= !lives && users.syncs.is_empty() && removal.schedules.is_empty();
        Ok(removal)
    }
}

/// Whether settings name a server: by its name, or by where clients find it.
fn names(settings: &Value, server: &DistributionServer) -> bool {
    let address = server.spec.address.as_deref();
    match settings {
        Value::String(text) => {
            text == server.name.as_str() || address.is_some_and(|address| text.starts_with(address))
        }
        Value::Array(items) => items.iter().any(|item| names(item, server)),
        Value::Object(fields) => fields.values().any(|field| names(field, server)),
        _ => false,
    }
}
