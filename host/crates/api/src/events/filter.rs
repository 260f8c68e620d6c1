//! Which events are wanted: the same for lists, exports and streams.

/// The parameters that say which events are wanted, with more of one's own. A query that refuses what it does not know cannot
/// be put together of two structures: the fields are written here once, for each of them.
macro_rules! event_params {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub(crate) struct $name {
            /// Written at this time or later.
            since: Option<jiff::Timestamp>,
            /// Written before this time.
            before: Option<jiff::Timestamp>,
            /// About this store; `server` is another word for it.
            #[serde(alias = "server")]
            store: Option<syncline_domain::Name>,
            /// About this collection, or about a sync that reads it; `component` is another word for it.
            #[serde(alias = "component")]
            collection: Option<syncline_domain::Name>,
            /// About this sync.
            sync: Option<syncline_domain::Name>,
            /// Written by this node.
            node: Option<syncline_domain::ids::NodeId>,
            /// About this run.
            run: Option<syncline_domain::ids::RunId>,
            /// About this plugin.
            plugin: Option<syncline_domain::Name>,
            /// About this device.
            device: Option<syncline_domain::ids::DeviceId>,
            /// Of this kind; with a `.` at its end, of all kinds that begin so.
            kind: Option<String>,
            /// Caused by this actor: a token's name, `system`, or a schedule; `person` is another word for it.
            #[serde(alias = "person")]
            actor: Option<String>,
            /// At least this pressing.
            level: Option<syncline_domain::log::LogLevel>,
            $($(#[$doc])* $field: $type,)*
        }

        impl $name {
            /// What the store is asked.
            fn filter(&self) -> syncline_store::EventFilter {
                syncline_store::EventFilter {
                    after: self.since,
                    before: self.before,
                    store: self.store.clone(),
                    collection: self.collection.clone(),
                    sync: self.sync.clone(),
                    node: self.node,
                    run: self.run,
                    plugin: self.plugin.clone(),
                    device: self.device,
                    kind: self.kind.clone(),
                    actor: self.actor.clone(),
                    level: self.level,
                }
            }
        }
    };
}

pub(crate) use event_params;
