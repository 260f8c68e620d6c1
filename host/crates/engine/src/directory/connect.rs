//! The way to a directory: how a plugin is called that reads one, and how a source's servers are reached. All that the rest of
//! the engine knows of either stands here.

use std::sync::Arc;

use serde::Serialize;
use syncline_domain::{
    Failure, Name,
    directory::{DirectoryKind, DirectorySource, SourceSpec},
    ids::RunId,
    plugin::{Capability, DIRECTORY_SYNC, SandboxLimits},
};
use syncline_sandbox::{
    DirectoryConnector, DirectorySink, LogSink, Plugin, ProgressSink, Sandbox, StopSignal,
};
use zeroize::Zeroizing;

use crate::{Engine, Error, Result};

/// A directory source that a sync binds.
pub(crate) struct BoundSource {
    pub name: Name,
    pub labels: Vec<(String, String)>,
    pub connector: Arc<dyn DirectoryConnector>,
}

/// A call of a plugin that reads a directory.
pub(crate) struct DirectoryCall {
    pub plugin: Plugin,
    pub run: RunId,
    pub cursor: Option<Vec<u8>>,
    pub settings: String,
    pub allowed: Vec<Capability>,
    pub limits: SandboxLimits,
    pub sources: Vec<BoundSource>,
    pub sink: Box<dyn DirectorySink>,
    pub log: Arc<dyn LogSink>,
    pub progress: Arc<dyn ProgressSink>,
    pub stop: StopSignal,
}

/// What a plugin said at its end.
pub(crate) struct DirectoryAnswer {
    pub cursor: Option<Vec<u8>>,
    /// Why the host takes the read for one that is not whole.
    pub incomplete: Option<String>,
}

impl DirectoryCall {
    /// Calls the plugin.
    pub async fn declare(self, _sandbox: &Sandbox) -> Result<DirectoryAnswer> {
        Err(not_there().into())
    }
}

/// What a test of a directory source found, step by step and server by server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TestReport {
    /// Whether every server passed every step.
    pub ok: bool,
    /// In the order in which they were taken. A server's steps end with the first that it does not pass.
    pub steps: Vec<TestStep>,
}

/// One step of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TestStep {
    /// `name`, `route`, `tls`, `credentials`, `base` or `rights`.
    pub step: String,
    /// The server, as it was registered.
    pub server: String,
    /// Whether it was passed.
    pub ok: bool,
    /// What was found, and what to do if it is wrong.
    pub message: String,
}

/// Tries each server of a source.
pub(crate) async fn test(_spec: &SourceSpec, _password: Option<Zeroizing<Vec<u8>>>) -> Result<TestReport> {
    Err(not_there().into())
}

fn connector(
    _source: &DirectorySource,
    _password: Option<Zeroizing<Vec<u8>>>,
) -> Result<Arc<dyn DirectoryConnector>, Failure> {
    Err(not_there())
}

fn not_there() -> Failure {
    Failure::host(
        "world",
        format!("this host has no connections to directories: world {DIRECTORY_SYNC} cannot be run"),
    )
}

impl Engine {
    /// The ways to these directory sources, with what a plugin is told of each.
    pub(crate) async fn connectors(&self, names: &[Name]) -> Result<Vec<BoundSource>> {
        let mut bound = Vec::new();
        for name in names {
            let source = self.db().directory_source(name).await?;
            let password = self.password_of(&source.spec).await?;
            let connector = connector(&source, password)?;
            bound.push(BoundSource { name: source.name.clone(), labels: labels(&source.spec), connector });
        }
        Ok(bound)
    }

    /// The password that a source binds with.
    pub(crate) async fn password_of(&self, spec: &SourceSpec) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let Some(secret) = &spec.secret else { return Ok(None) };
        let value = self.db().secret_value(secret).await.map_err(|error| match error {
            syncline_store::Error::NotFound { name, .. } => {
                let message =
                    format!("there is no secret {name:?}: set it, or name another one in the source");
                Error::invalid("directory-secret", message)
            }
            other => other.into(),
        })?;
        Ok(Some(value))
    }
}

/// What a plugin is told of a source.
fn labels(spec: &SourceSpec) -> Vec<(String, String)> {
    let kind = (spec.kind != DirectoryKind::Auto).then(|| ("kind".to_owned(), spec.kind.to_string()));
    let bases = spec.bases.iter().map(|base| ("base".to_owned(), base.clone()));
    bases.chain(kind).collect()
}
