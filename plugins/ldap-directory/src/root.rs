//! What a server says of itself in its root entry (RFC 4512, section 5.1).

use std::collections::BTreeSet;

use ldap3_proto::proto::LdapSearchResultEntry;
use syncline_plugin::{Failure, Result};

use crate::{
    connection::{Answer, Client, Search},
    fields::Fields,
    filter,
};

/// Control of content synchronisation.
pub(crate) const SYNC: &str = "1.3.6.1.4.1.4203.1.9.1.1";
/// Control of DirSync.
pub(crate) const DIRSYNC: &str = "1.2.840.113556.1.4.841";
/// Capability that only Active Directory and Samba have.
const ACTIVE_DIRECTORY: &str = "1.2.840.113556.1.4.800";

/// The root entry, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) active_directory: bool,
    /// By what the server says of itself, and not what is said of it.
    pub(crate) openldap: bool,
    /// What the server names as its own, the default one alone where there is one.
    pub(crate) contexts: Vec<String>,
    pub(crate) controls: BTreeSet<String>,
    /// Name of the domain controller.
    pub(crate) host: String,
    /// Stands for the domain controller's database: another one after it was restored.
    pub(crate) invocation: String,
    /// Number of the latest change.
    pub(crate) highest_usn: u64,
}

impl Root {
    /// Asks for it. `kind` is what an administrator says that the directory is.
    pub(crate) fn read(client: &mut Client, kind: &str) -> Result<Self> {
        let names = [
            "defaultNamingContext",
            "dnsHostName",
            "dsServiceName",
            "highestCommittedUSN",
            "namingContexts",
            "objectClass",
            "supportedCapabilities",
            "supportedControl",
        ];
        let entry = only(client, "", &names)?.ok_or_else(|| {
            Failure::invalid(
                "the server has no root entry that the account that binds may read: give it the right to",
            )
        })?;
        let all = |name: &str| entry.texts(name).map(str::to_owned).collect::<Vec<_>>();
        let first = |name: &str| entry.texts(name).next().unwrap_or_default().to_owned();
        let contexts = match first("defaultNamingContext") {
            default if default.is_empty() => all("namingContexts"),
            default => vec![default],
        };
        let capabilities = all("supportedCapabilities");
        let active_directory = match kind {
            "active-directory" => true,
            "openldap" | "generic" => false,
            _ => capabilities.iter().any(|one| one == ACTIVE_DIRECTORY),
        };
        let service = first("dsServiceName");
        let mut root = Self {
            active_directory,
            openldap: entry.has("objectClass", "OpenLDAProotDSE"),
            contexts: contexts.into_iter().filter(|context| !context.is_empty()).collect(),
            controls: all("supportedControl").into_iter().collect(),
            host: first("dnsHostName"),
            invocation: String::new(),
            highest_usn: first("highestCommittedUSN").parse().unwrap_or_default(),
        };
        if active_directory && !service.is_empty() {
            let settings = only(client, &service, &["invocationId"])?;
            root.invocation = settings.and_then(|entry| entry.guid("invocationId")).unwrap_or_default();
        }
        Ok(root)
    }
}

/// The entry of this name. `None` if it is not there, or may not be seen.
pub(crate) fn only(client: &mut Client, name: &str, attributes: &[&str]) -> Result<Option<Fields>> {
    let attributes: Vec<_> = attributes.iter().map(|name| (*name).to_owned()).collect();
    find(client, &Search::one(name, filter::anything(), &attributes))
}

/// The first entry that a search finds. `None` if there is none, or none may be seen.
pub(crate) fn find(client: &mut Client, search: &Search) -> Result<Option<Fields>> {
    let mut found: Option<LdapSearchResultEntry> = None;
    let done = client.search(search, &mut |answer| {
        if let Answer::Entry(entry, _) = answer {
            found.get_or_insert(entry);
        }
        Ok(())
    })?;
    let hidden = ["no-such-object", "rights"];
    match done.whole() {
        Err(failure) if !hidden.contains(&failure.code()) => Err(failure),
        _ => Ok(found.map(Fields::from)),
    }
}
