//! The world `file-sync`: a plugin that declares which files should stand on which targets.

use std::sync::Arc;

use syncline_domain::{
    Failure,
    clock::Clock,
    declaration::FileDeclarations,
    ids::RunId,
    plugin::{Capability, SandboxLimits},
};
use wasmtime::{
    Engine, Store,
    component::{HasSelf, InstancePre, Linker},
};

pub use crate::capability::{desired_files::BoundTarget, stores::BoundSource};
use crate::{
    bindings::{
        FileSync, FileSyncPre,
        exports::syncline::plugin::sync::{Outcome, Request},
        syncline::plugin::types,
    },
    call::{Call, CallBasis, Entry, Gate, Usage, guarded},
    capability::{desired_files::DesiredFilesContext, stores::StoresContext},
    host::{LogSink, ProgressSink, StopSignal},
    outcome::returned,
};

/// The export by which a component of this world is known, unless it imports what another world has that exports the same.
pub(crate) const EXPORT: &str = "syncline:plugin/sync@0.1.0";
/// Most bytes of a cursor.
const CURSOR: usize = 64 << 10;

/// A run of a `file-sync` plugin, and all that it may use.
pub struct FileSyncCall {
    /// The run.
    pub run: RunId,
    /// Where the last run ended.
    pub cursor: Option<Vec<u8>>,
    /// The sync's settings: one JSON object, valid by the plugin's schema, defaults filled in, members sorted.
    pub settings: String,
    /// What the plugin wants and was granted (`syncline_domain::plugin::allowed`).
    pub allowed: Vec<Capability>,
    /// Limits of its sandbox.
    pub limits: SandboxLimits,
    /// Whether the sync allows the plugin to have files removed.
    pub allow_removal: bool,
    /// The sync's sources.
    pub sources: Vec<BoundSource>,
    /// The targets of this run.
    pub targets: Vec<BoundTarget>,
    /// Takes what it logs.
    pub log: Arc<dyn LogSink>,
    /// Takes how far it has come.
    pub progress: Arc<dyn ProgressSink>,
    /// Ends it from outside.
    pub stop: StopSignal,
}

/// What a `file-sync` plugin declared.
#[derive(Debug, Clone, PartialEq)]
pub struct FileSyncAnswer {
    /// What should stand.
    pub declarations: FileDeclarations,
    /// Where to go on next time; none throws the old one away.
    pub cursor: Option<Vec<u8>>,
    /// What the call cost.
    pub usage: Usage,
}

/// Gives a linker all that this world imports.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Call>> {
    let mut linker = Linker::new(engine);
    FileSync::add_to_linker::<_, HasSelf<Call>>(&mut linker, |call| call)?;
    Ok(linker)
}

/// A component of this world, ready to be instantiated.
pub(crate) fn prepare(pre: InstancePre<Call>) -> wasmtime::Result<FileSyncPre<Call>> {
    FileSyncPre::new(pre)
}

/// Calls `sync.declare` in a fresh instance.
pub(crate) async fn declare(
    gate: &Gate,
    clock: Arc<dyn Clock>,
    plugin: &FileSyncPre<Call>,
    call: FileSyncCall,
) -> Result<FileSyncAnswer, Failure> {
    let FileSyncCall { limits, settings, log, progress, allowed, sources, .. } = call;
    let mut data = Call::new(CallBasis { limits, settings, clock, log, progress })?;
    data.desired_files = DesiredFilesContext::new(call.targets, &sources, &allowed, call.allow_removal);
    data.stores = StoresContext::new(sources, &allowed);
    let request = Request { run: call.run.to_string(), cursor: call.cursor };
    let mut ended = guarded(gate, data, &call.stop, Declare { plugin, request }).await?;
    let cursor = match ended.result? {
        Ok(outcome) => check_cursor(outcome.cursor)?,
        Err(failure) => return Err(returned(failure, &ended.call.given)),
    };
    let declarations = ended.call.desired_files.take();
    Ok(FileSyncAnswer { declarations, cursor, usage: ended.call.usage() })
}

/// A cursor that is not too long: of every world that exports `sync`.
pub(crate) fn check_cursor(cursor: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Failure> {
    match &cursor {
        Some(long) if long.len() > CURSOR => {
            let message = format!(
                "the plugin returned a cursor of {} bytes, and {CURSOR} is the most; its author has to shorten it",
                long.len()
            );
            Err(Failure::plugin("cursor", message))
        }
        _ => Ok(cursor),
    }
}

struct Declare<'a> {
    plugin: &'a FileSyncPre<Call>,
    request: Request,
}

impl Entry for Declare<'_> {
    type Output = Result<Outcome, types::Failure>;

    async fn enter(self, store: &mut Store<Call>) -> wasmtime::Result<Self::Output> {
        let instance = self.plugin.instantiate_async(&mut *store).await?;
        instance.syncline_plugin_sync().call_declare(&mut *store, &self.request).await
    }
}
