//! What a connection test of a directory source found.

use serde::{Deserialize, Serialize};

use super::DirectoryKind;
use crate::word::words;

/// What is tried, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum TestStep {
    /// The server's name has an address that may be connected to.
    Name,
    /// Something answers there.
    Route,
    /// TLS, and the certificate.
    Tls,
    /// The server accepts who binds.
    Credentials,
    /// A base is there.
    Base,
    /// Entries below it, and what tells them apart, can be read.
    Rights,
}

words!(TestStep, "step of a connection test":
    Name = "name",
    Route = "route",
    Tls = "tls",
    Credentials = "credentials",
    Base = "base",
    Rights = "rights",
);

/// How one step went at one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TestedStep {
    /// `host:port`, as the administrator wrote it.
    pub server: String,
    /// Which step. The first one of a server that is not well is its last.
    pub step: TestStep,
    /// Whether all is well.
    pub ok: bool,
    /// What was found; where it is not well, what to do.
    pub message: String,
}

/// What a server says of itself in its root entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServerFacts {
    /// `host:port`, as the administrator wrote it.
    pub server: String,
    /// What it is; `generic` where it does not say.
    pub kind: DirectoryKind,
    /// Its name for itself, where it tells.
    pub vendor: String,
    /// What it holds: distinguished names.
    pub naming_contexts: Vec<String>,
    /// Reads in pages (RFC 2696).
    pub paging: bool,
    /// Tells what changed since (RFC 4533).
    pub syncrepl: bool,
    /// Tells what changed since, as Active Directory does.
    pub dirsync: bool,
}

/// What a connection test of a directory source found, at each of its servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TestReport {
    /// Whether every step at every server is well.
    pub ok: bool,
    /// What was tried, server after server.
    pub steps: Vec<TestedStep>,
    /// Of each server that could be asked.
    pub servers: Vec<ServerFacts>,
}
