//! A directory server, or several that hold the same, or a service on the web, as an administrator registers it.

use serde::{Deserialize, Serialize};

use crate::{Name, word::words};

/// How a connection is made safe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum Security {
    /// TLS from the first byte, usually on port 636.
    #[default]
    Ldaps,
    /// TLS by the extended operation of RFC 4511, section 4.14, before anything else, usually on port 389.
    Starttls,
    /// None: the password crosses the network readable. Only where an administrator says so.
    Plain,
}

words!(Security, "security of a connection":
    Ldaps = "ldaps",
    Starttls = "starttls",
    Plain = "plain",
);

/// What a directory is, as far as it decides how it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum DirectoryKind {
    /// As its root entry says.
    #[default]
    Auto,
    /// OpenLDAP and what is compatible with it.
    Openldap,
    /// Active Directory, and Samba as a domain controller.
    ActiveDirectory,
    /// Any server of LDAP version 3.
    Generic,
    /// A service that speaks SCIM 2.0 (RFC 7644) over HTTP: it has a `url` in place of servers.
    Scim,
}

words!(DirectoryKind, "kind of directory":
    Auto = "auto",
    Openldap = "openldap",
    ActiveDirectory = "active-directory",
    Generic = "generic",
    Scim = "scim",
);

/// What an administrator sets of a directory source. Plugins see of it the name, and `kind` and each of `bases` (as
/// `base`) among the labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// `host:port` of each server that holds this directory, in the order in which they are tried; 1 to 16. IPv6 addresses
    /// stand in brackets. None for kind `scim`.
    #[serde(default)]
    #[schema(example = json!(["dc1.example.com:636"]))]
    pub servers: Vec<String>,
    /// Kind `scim` alone: where the service's resources begin, such as `https://scim.example.com/v2`; `/Users` and `/Groups`
    /// are below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How connections are made safe. For kind `scim` the URL says it (`https`); one with `http` needs `plain` here.
    #[serde(default)]
    pub security: Security,
    /// Certificates in PEM of the authorities that may vouch for the servers; absent: those that the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authorities: Option<String>,
    /// Who to bind as: a distinguished name, or for Active Directory `user@domain`. Absent: anonymously.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind_as: Option<String>,
    /// Name of the secret that holds the password, and goes with `bind_as`; for kind `scim`, of the one with the bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Name>,
    /// What the directory is.
    #[serde(default)]
    pub kind: DirectoryKind,
    /// Distinguished names below which it is read. Empty: what the server names as its own.
    #[serde(default)]
    pub bases: Vec<String>,
    /// `host:port` of servers to which referrals of this source may be followed.
    #[serde(default)]
    pub referrals: Vec<String>,
    /// Most seconds that connecting, TLS and bind to one server take together.
    #[serde(default = "ten")]
    #[schema(minimum = 1, maximum = 120)]
    pub connect_timeout_s: u32,
    /// For people.
    #[serde(default)]
    pub description: String,
}

const fn ten() -> u32 {
    10
}
