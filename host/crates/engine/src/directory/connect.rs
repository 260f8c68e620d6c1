//! The way to a directory: how a plugin is called that reads one, and how a source's servers are reached. All that the rest of
//! the engine knows of either stands here.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use syncline_domain::{
    Failure, Name,
    directory::{DirectoryKind, DirectorySource, Security, SourceSpec, TestReport},
};
use syncline_ldap::{Directory, Password, Session};
use syncline_sandbox::{BoundDirectory, DirectoryConnector, DirectorySession};

use crate::{Engine, Error, Result};

/// A source's servers, as a plugin reaches them.
struct Connector(Directory);

#[async_trait]
impl DirectoryConnector for Connector {
    async fn connect(&self) -> Result<Box<dyn DirectorySession>, Failure> {
        Ok(Box::new(Connection(self.0.connect().await?)))
    }

    async fn follow(&self, referral: &str) -> Result<Box<dyn DirectorySession>, Failure> {
        Ok(Box::new(Connection(self.0.follow(referral).await?)))
    }
}

/// A connection that a plugin speaks on.
struct Connection(Session);

#[async_trait]
impl DirectorySession for Connection {
    fn server(&self) -> &str {
        self.0.server()
    }

    async fn send(&mut self, messages: &[u8]) -> Result<(), Failure> {
        self.0.send(messages).await
    }

    async fn receive(&mut self, max_bytes: usize, wait: Duration) -> Result<Vec<u8>, Failure> {
        self.0.receive(max_bytes, wait).await
    }
}

impl Engine {
    /// The ways to these directory sources, with what a plugin is told of each.
    pub(crate) async fn connectors(&self, names: &[Name]) -> Result<Vec<BoundDirectory>> {
        let mut bound = Vec::new();
        for name in names {
            let DirectorySource { name, spec, .. } = self.db().directory_source(name).await?;
            let directory = self.directory(&spec).await?;
            let connector = Arc::new(Connector(directory));
            bound.push(BoundDirectory { labels: labels(&spec), name, connector });
        }
        Ok(bound)
    }

    /// Tries each server of a source.
    pub(crate) async fn test_servers(&self, spec: &SourceSpec) -> Result<TestReport> {
        Ok(self.directory(spec).await?.test(&spec.bases).await)
    }

    async fn directory(&self, spec: &SourceSpec) -> Result<Directory> {
        let password = match &spec.secret {
            None => None,
            Some(secret) => Some(self.password(secret).await?),
        };
        let spec = spec.clone();
        // Authorities of the system are read from their files.
        crate::places::blocking(move || Directory::new(&spec, password)).await
    }

    async fn password(&self, secret: &Name) -> Result<Password> {
        let value = self.db().secret_value(secret).await.map_err(|error| match error {
            syncline_store::Error::NotFound { name, .. } => {
                let message =
                    format!("there is no secret {name:?}: set it, or name another one in the source");
                Error::invalid("directory-secret", message)
            }
            other => other.into(),
        })?;
        Ok(Password::new(value)?)
    }
}

/// What of a source makes no sense by itself. Its password and the authorities of the system are not looked at.
pub(crate) fn check(spec: &SourceSpec) -> Result<(), Failure> {
    let security = if spec.certificate_authorities.is_some() { spec.security } else { Security::Plain };
    let alone = SourceSpec { bind_as: None, secret: None, security, ..spec.clone() };
    Directory::new(&alone, None).map(drop)
}

/// What a plugin is told of a source.
fn labels(spec: &SourceSpec) -> Vec<(String, String)> {
    let kind = (spec.kind != DirectoryKind::Auto).then(|| ("kind".to_owned(), spec.kind.to_string()));
    let bases = spec.bases.iter().map(|base| ("base".to_owned(), base.clone()));
    bases.chain(kind).collect()
}
