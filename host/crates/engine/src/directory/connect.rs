//! The way to a directory: how a plugin is called that reads one, and how a source's servers are reached. All that the rest of
//! the engine knows of either stands here.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use syncline_domain::{
    Failure, Name,
    directory::{DirectoryKind, DirectorySource, Security, SourceSpec, TestReport},
};
use syncline_ldap::{Directory, Password, Session};
use syncline_sandbox::{BoundDirectory, BoundWeb, DirectoryConnector, DirectorySession};
use zeroize::Zeroizing;

use super::web::{self, Service};
use crate::{Engine, Error, Result};

/// What a sync binds, by how it is spoken with.
pub(crate) struct Bound {
    pub(crate) directories: Vec<BoundDirectory>,
    pub(crate) web: Vec<BoundWeb>,
}

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
    pub(crate) async fn connectors(&self, names: &[Name]) -> Result<Bound> {
        let mut bound = Bound { directories: Vec::new(), web: Vec::new() };
        for name in names {
            let DirectorySource { name, spec, .. } = self.db().directory_source(name).await?;
            if spec.kind == DirectoryKind::Scim {
                bound.web.push(self.service(&spec).await?.bind(name, &spec));
                continue;
            }
            let directory = self.directory(&spec).await?;
            let connector = Arc::new(Connector(directory));
            bound.directories.push(BoundDirectory { labels: labels(&spec), name, connector });
        }
        Ok(bound)
    }

    /// Tries each server of a source.
    pub(crate) async fn test_servers(&self, spec: &SourceSpec) -> Result<TestReport> {
        if spec.kind == DirectoryKind::Scim {
            return Ok(self.service(spec).await?.test().await);
        }
        Ok(self.directory(spec).await?.test(&spec.bases).await)
    }

    async fn directory(&self, spec: &SourceSpec) -> Result<Directory> {
        let password = match &spec.secret {
            None => None,
            Some(secret) => Some(Password::new(self.source_secret(secret).await?)?),
        };
        let spec = spec.clone();
        // Authorities of the system are read from their files.
        crate::places::blocking(move || Directory::new(&spec, password)).await
    }

    async fn service(&self, spec: &SourceSpec) -> Result<Service> {
        let token = match &spec.secret {
            None => None,
            Some(secret) => Some(self.source_secret(secret).await?),
        };
        let spec = spec.clone();
        // Authorities of the system are read from their files.
        crate::places::blocking(move || Service::new(&spec, token)).await
    }

    async fn source_secret(&self, secret: &Name) -> Result<Zeroizing<Vec<u8>>> {
        self.db().secret_value(secret).await.map_err(|error| match error {
            syncline_store::Error::NotFound { name, .. } => {
                let message =
                    format!("there is no secret {name:?}: set it, or name another one in the source");
                Error::invalid("directory-secret", message)
            }
            other => other.into(),
        })
    }
}

/// What of a source makes no sense by itself. Its password and the authorities of the system are not looked at.
pub(crate) fn check(spec: &SourceSpec) -> Result<(), Failure> {
    if spec.kind == DirectoryKind::Scim {
        return web::check(spec);
    }
    let security = if spec.certificate_authorities.is_some() { spec.security } else { Security::Plain };
    let alone = SourceSpec { bind_as: None, secret: None, security, ..spec.clone() };
    Directory::new(&alone, None).map(drop)
}

/// What a plugin is told of a source.
pub(super) fn labels(spec: &SourceSpec) -> Vec<(String, String)> {
    let kind = (spec.kind != DirectoryKind::Auto).then(|| ("kind".to_owned(), spec.kind.to_string()));
    let bases = spec.bases.iter().map(|base| ("base".to_owned(), base.clone()));
    bases.chain(kind).collect()
}
