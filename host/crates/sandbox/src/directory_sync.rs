//! The world `directory-sync`: a plugin that reads a directory and declares what it has.
//!
//! What it declares goes to a [`DirectorySink`] of the host's while it runs, so that a large directory is never in memory
//! twice. It counts only once the call has returned an answer.

use std::sync::Arc;

use syncline_domain::{
    Failure,
    clock::Clock,
    ids::RunId,
    plugin::{Capability, SandboxLimits},
};
use wasmtime::{
    Engine, Store,
    component::{HasSelf, InstancePre, Linker},
};

pub use crate::capability::{http::BoundWeb, ldap::BoundDirectory};
use crate::{
    bindings::{
        directory_sync::{
            DirectorySync, DirectorySyncPre,
            exports::syncline::plugin::sync::{Outcome, Request},
        },
        syncline::plugin::types,
    },
    call::{Call, CallBasis, Entry, Gate, Usage, guarded},
    capability::{desired_directory::DesiredDirectoryContext, http::HttpContext, ldap::LdapContext},
    file_sync::check_cursor,
    host::{DirectorySink, LogSink, ProgressSink, StopSignal},
    outcome::returned,
};

/// The export of this world. A component of it is known by [`IMPORT`](crate::capability::desired_directory::IMPORT).
pub(crate) use crate::file_sync::EXPORT;

/// A run of a `directory-sync` plugin, and all that it may use.
pub struct DirectorySyncCall {
    /// The run.
    pub run: RunId,
    /// Where the last run ended.
    pub cursor: Option<Vec<u8>>,
    /// The sync's settings: one JSON object, valid by the plugin's schema, defaults filled in, members sorted.
    pub settings: String,
    /// What the plugin wants and was granted (`syncline_domain::plugin::allowed`).
    pub allowed: Vec<Capability>,
    /// Limits of its sandbox: `SandboxLimits::for_world` to begin with.
    pub limits: SandboxLimits,
    /// The directory sources that the sync binds and that speak LDAP.
    pub sources: Vec<BoundDirectory>,
    /// Those that are asked over HTTP.
    pub web: Vec<BoundWeb>,
    /// Takes what the plugin declares. Where the call fails it is dropped: hand over an `Arc<Mutex<_>>` to have it back.
    pub sink: Box<dyn DirectorySink>,
    /// Takes what it logs.
    pub log: Arc<dyn LogSink>,
    /// Takes how far it has come.
    pub progress: Arc<dyn ProgressSink>,
    /// Ends it from outside.
    pub stop: StopSignal,
}

/// What became of a `directory-sync` plugin that ended well.
pub struct DirectorySyncAnswer {
    /// Has taken what was declared.
    pub sink: Box<dyn DirectorySink>,
    /// Where to go on next time; none throws the old one away.
    pub cursor: Option<Vec<u8>>,
    /// What the host saw in the servers' answers that says that the read is not whole, whatever the plugin says: a
    /// sentence for an administrator. Nothing may be taken for gone because it was not named.
    pub incomplete: Option<String>,
    /// What the call cost.
    pub usage: Usage,
}

/// Gives a linker all that this world imports.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Call>> {
    let mut linker = Linker::new(engine);
    DirectorySync::add_to_linker::<_, HasSelf<Call>>(&mut linker, |call| call)?;
    Ok(linker)
}

/// A component of this world, ready to be instantiated.
pub(crate) fn prepare(pre: InstancePre<Call>) -> wasmtime::Result<DirectorySyncPre<Call>> {
    DirectorySyncPre::new(pre)
}

/// Calls `sync.declare` in a fresh instance.
pub(crate) async fn declare(
    gate: &Gate,
    clock: Arc<dyn Clock>,
    plugin: &DirectorySyncPre<Call>,
    call: DirectorySyncCall,
) -> Result<DirectorySyncAnswer, Failure> {
    let DirectorySyncCall { limits, settings, log, progress, allowed, sources, web, sink, .. } = call;
    let mut data = Call::new(CallBasis { limits, settings, clock, log, progress })?;
    data.ldap = LdapContext::new(sources, &allowed);
    data.http = HttpContext::new(web, &allowed);
    data.desired_directory = DesiredDirectoryContext::new(sink, &allowed);
    let request = Request { run: call.run.to_string(), cursor: call.cursor };
    let mut ended = guarded(gate, data, &call.stop, Declare { plugin, request }).await?;
    let cursor = match ended.result? {
        Ok(outcome) => check_cursor(outcome.cursor)?,
        Err(failure) => return Err(returned(failure, &ended.call.given)),
    };
    let incomplete = ended.call.ldap.incomplete().or_else(|| ended.call.http.incomplete());
    let sink = ended.call.desired_directory.take()?;
    Ok(DirectorySyncAnswer { sink, cursor, incomplete, usage: ended.call.usage() })
}

struct Declare<'a> {
    plugin: &'a DirectorySyncPre<Call>,
    request: Request,
}

impl Entry for Declare<'_> {
    type Output = Result<Outcome, types::Failure>;

    async fn enter(self, store: &mut Store<Call>) -> wasmtime::Result<Self::Output> {
        let instance = self.plugin.instantiate_async(&mut *store).await?;
        instance.syncline_plugin_sync().call_declare(&mut *store, &self.request).await
    }
}
