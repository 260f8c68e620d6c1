//! Distribution servers: registered, changed, tested, forgotten.
//!
//! * here: what is registered, and whether schedules may fill it
//! * `access`: whether the account of the run can read and write there
//! * `removal`: what goes with a server

mod access;
mod removal;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_domain::{
    Name,
    event::NewEvent,
    place::{StoreKind, StoreRecord},
    run::Waits,
    server::{DistributionServer, Opening, Origin, ServerSpec, Window, check_address},
    sync::Sync,
};

pub use access::{RightCheck, ServerTest};
pub use syncline_files::account;

use crate::{
    Engine, Error, Result,
    places::{NewStore, StoreChange},
    runs::store_lock,
};

/// What is needed to register a distribution server: a store that is there, or the folder of a new one.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServer {
    /// What operators will call it.
    pub name: Name,
    /// A registered store; in place of `path`.
    #[serde(default)]
    pub store: Option<Name>,
    /// Absolute path of a folder that is there, which becomes a store of the same name; in place of `store`.
    #[serde(default)]
    pub path: Option<String>,
    /// With `path`: whether every node sees this same folder.
    #[serde(default)]
    pub shared: bool,
    /// Most bytes a second that are written to it.
    #[serde(default)]
    pub bytes_per_second: Option<u64>,
    /// The secret with the credentials. A folder has none: the host's own account reads and writes there.
    #[serde(default)]
    pub secret: Option<Name>,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Components that it should get; all if empty.
    #[serde(default)]
    pub components: Vec<Name>,
    /// Where clients find it.
    #[serde(default)]
    pub address: Option<String>,
    /// Where it stands.
    #[serde(default)]
    pub site: Option<Name>,
    /// When runs may reach it.
    #[serde(default)]
    pub window: Option<Window>,
}

/// What can be changed of a distribution server; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerChange {
    /// For people.
    pub description: Option<String>,
    /// Components that it should get; all if empty.
    pub components: Option<Vec<Name>>,
    /// Where clients find it; none if empty.
    pub address: Option<String>,
    /// Where it stands; null takes it away.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Name>)]
    pub site: Option<Option<Name>>,
    /// When runs may reach it; null takes the limit away.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Window>)]
    pub window: Option<Option<Window>>,
    /// Most bytes a second that are written to it; 0 takes the limit away.
    pub bytes_per_second: Option<u64>,
}

/// Tells a field that is null from one that is absent.
fn given<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A server with what is known of it besides.
#[derive(Debug, Clone)]
pub struct KnownServer {
    /// As it is registered.
    pub server: DistributionServer,
    /// Its store.
    pub store: StoreRecord,
    /// Why no schedule may fill it; one may if absent.
    pub forbidden: Option<String>,
}

impl Engine {
    /// Registers a distribution server, with a new store if a path is given.
    pub async fn create_server(&self, new: NewServer, actor: &str) -> Result<KnownServer> {
        let spec = ServerSpec {
            description: new.description,
            components: new.components,
            address: new.address,
            site: new.site,
            window: new.window,
        };
        let spec = self.checked_server(spec).await?;
        refuse_secret(new.secret.as_ref())?;
        if self.db().servers().await?.iter().any(|one| one.name == new.name) {
            return Err(Error::Exists { what: "distribution server", name: new.name.to_string() });
        }
        let mut server = DistributionServer {
            store: new.name.clone(),
            name: new.name,
            spec,
            brought_store: false,
            created_at: self.clock().now(),
            revision: 1,
        };
        let message = format!("Distribution server {} was registered", server.name);
        let mut events = vec![NewEvent::new("server.registered", actor, message)];
        let brought = match (new.store, new.path) {
            (Some(store), None) => {
                server.store = self.db().store(&store).await.map_err(|error| no_store(error, &store))?.name;
                None
            }
            (None, Some(path)) => {
                server.brought_store = true;
                let store = NewStore {
                    name: server.name.clone(),
                    kind: StoreKind::Folder,
                    path,
                    shared: new.shared,
                    labels: BTreeMap::new(),
                    description: server.spec.description.clone(),
                    bytes_per_second: new.bytes_per_second,
                };
                let (record, event) = self.new_store(store, actor).await?;
                events.insert(0, event);
                Some(record)
            }
            _ => {
                let message = "a distribution server is a store that is there, or a folder that becomes one: give \
                    either `store` or `path`";
                return Err(Error::invalid("server-store", message));
            }
        };
        if let Some(last) = events.pop() {
            events.push(last.store(&server.store));
        }
        let server = self.db().add_server(&server, brought.as_ref(), events).await?;
        if let (None, Some(limit)) = (&brought, new.bytes_per_second) {
            self.limit_rate(&server.store, limit, actor).await?;
        }
        self.known_server(&server.name).await
    }

    /// All servers, by name, with what is known of each.
    pub async fn known_servers(&self) -> Result<Vec<KnownServer>> {
        let stores = self.db().stores().await?;
        let origins = Origin::all(&self.db().collections().await?);
        let servers = self.db().servers().await?.into_iter().filter_map(|server| {
            let store = stores.iter().find(|store| store.name == server.store)?.clone();
            let forbidden = Origin::forbids(&origins, &server.store);
            Some(KnownServer { server, store, forbidden })
        });
        Ok(servers.collect())
    }

    /// The server of this name, with what is known of it.
    pub async fn known_server(&self, name: &Name) -> Result<KnownServer> {
        let server = self.db().server(name).await?;
        let store = self.db().store(&server.store).await?;
        let origins = Origin::all(&self.db().collections().await?);
        let forbidden = Origin::forbids(&origins, &server.store);
        Ok(KnownServer { server, store, forbidden })
    }

    /// Changes a server, and the syncs of schedules that go by its components. `revision` is the one that the caller read.
    pub async fn change_server(
        &self,
        name: &Name,
        change: ServerChange,
        revision: Option<i64>,
        actor: &str,
    ) -> Result<KnownServer> {
        let mut server = self.db().server(name).await?;
        server.revision = revision.unwrap_or(server.revision);
        let before = server.spec.components.clone();
        let spec = &mut server.spec;
        spec.description = change.description.unwrap_or_else(|| std::mem::take(&mut spec.description));
        spec.components = change.components.unwrap_or_else(|| std::mem::take(&mut spec.components));
        if let Some(address) = change.address {
            spec.address = (!address.is_empty()).then_some(address);
        }
        spec.site = change.site.unwrap_or(spec.site.take());
        spec.window = change.window.unwrap_or(spec.window.take());
        server.spec = self.checked_server(server.spec).await?;
        let with =
            if before == server.spec.components { Vec::new() } else { self.narrowed_syncs(&server).await? };
        let message = format!("Distribution server {name} was changed");
        let event = NewEvent::new("server.changed", actor, message).store(&server.store);
        self.db().update_server(&server, &with, &store_lock(&server.store), event).await?;
        self.wake();
        if let Some(limit) = change.bytes_per_second {
            self.limit_rate(&server.store, limit, actor).await?;
        }
        self.known_server(name).await
    }

    /// The syncs that schedules made of a server, as they are with what it gets now.
    async fn narrowed_syncs(&self, server: &DistributionServer) -> Result<Vec<Sync>> {
        let mut servers = self.db().servers().await?;
        if let Some(known) = servers.iter_mut().find(|one| one.name == server.name) {
            known.clone_from(server);
        }
        let mut changed = Vec::new();
        for mut sync in self.db().syncs().await? {
            let Some(made) = sync.made_by.clone().filter(|made| made.servers.contains(&server.name)) else {
                continue;
            };
            self.fill_from_parts(&mut sync.spec, &made.components, &made.servers, &servers).await?;
            changed.push(sync);
        }
        Ok(changed)
    }

    async fn limit_rate(&self, store: &Name, limit: u64, actor: &str) -> Result<()> {
        let change = StoreChange { bytes_per_second: Some(limit), ..StoreChange::default() };
        self.change_store(store, change, None, actor).await?;
        Ok(())
    }

    async fn checked_server(&self, mut spec: ServerSpec) -> Result<ServerSpec> {
        spec.components.sort();
        spec.components.dedup();
        let known = self.db().collections().await?;
        if let Some(name) = spec.components.iter().find(|name| !known.iter().any(|one| one.name == **name)) {
            let message = format!("component {name:?} is no collection: register the collection first");
            return Err(Error::invalid("server-component", message));
        }
        if let Some(address) = &spec.address {
            check_address(address).map_err(|message| Error::invalid("server-address", message))?;
        }
        if let Some(window) = &spec.window {
            let opening = window.at(self.clock().now());
            opening.map_err(|error| Error::invalid("server-window", error.to_string()))?;
        }
        Ok(spec)
    }

    /// How long each of these stores has to wait for its window; those that can be reached now are not in it.
    pub(crate) async fn closed_windows(&self, now: Timestamp) -> Result<BTreeMap<Name, Waits>> {
        let servers = self.db().servers().await?;
        let closed =
            servers.into_iter().filter_map(|server| Some((server.store.clone(), waits(&server, now)?)));
        Ok(closed.collect())
    }
}

/// Why a server is not reached now; `None` if its window is open or it has none.
pub(crate) fn waits(server: &DistributionServer, now: Timestamp) -> Option<Waits> {
    let window = server.spec.window.as_ref()?;
    match window.at(now) {
        Ok(Opening::OpensAt(until)) => {
            let reason =
                format!("waits for the window of server {}, {window}, which opens at {until}", server.name);
            Some(Waits { until, reason })
        }
        // One that never opens was refused when it was set; a zone that is not known any more must not stop everything.
        Ok(Opening::OpenUntil(_)) | Err(_) => None,
    }
}

fn refuse_secret(secret: Option<&Name>) -> Result<()> {
    match secret {
        None => Ok(()),
        Some(secret) => {
            let message = format!(
                "secret {secret:?}: the store is a folder, which the host's own account reads and writes; leave the secret \
                 out, and give that account ({}) read and write",
                account()
            );
            Err(Error::invalid("server-secret", message))
        }
    }
}

fn no_store(error: syncline_store::Error, store: &Name) -> Error {
    match error {
        syncline_store::Error::NotFound { .. } => {
            let message =
                format!("there is no store {store:?}: register it first, or give the `path` of its folder");
            Error::invalid("server-store", message)
        }
        other => other.into(),
    }
}
