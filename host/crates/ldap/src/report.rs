//! The connection test: the same road as a connection, told step by step, and a look at what can be read at its end.

use std::time::Duration;

use ldap3_proto::proto::{LdapResult, LdapResultCode, LdapSearchResultEntry, LdapSearchScope};
use syncline_domain::{
    Failure,
    directory::{DirectoryKind, ServerFacts, TestReport, TestStep, TestedStep},
};
use tokio::time::timeout;

use crate::{
    answer::{self, plain},
    connect::{Approach, Stopped, Trail},
    directory::Directory,
    exchange,
    server::Server,
    wire::Wire,
};

/// Entries that are looked at below each base.
const LOOK: i32 = 20;

/// How long the questions to one server may take after the bind.
const QUESTIONS: Duration = Duration::from_secs(30);

/// What Active Directory says of itself among `supportedCapabilities`.
const ACTIVE_DIRECTORY: &str = "1.2.840.113556.1.4.800";
const OPENLDAP: &str = "OpenLDAProotDSE";

const PAGING: &str = "1.2.840.113556.1.4.319";
const SYNCREPL: &str = "1.3.6.1.4.1.4203.1.9.1.1";
const DIRSYNC: &str = "1.2.840.113556.1.4.841";

/// What is asked of the root entry. Some servers leave out operational attributes that are not named.
const ROOT: [&str; 8] = [
    "objectClass",
    "vendorName",
    "vendorVersion",
    "namingContexts",
    "defaultNamingContext",
    "supportedControl",
    "supportedCapabilities",
    "dnsHostName",
];

/// What tells entries apart.
const IDS: [&str; 2] = ["entryUUID", "objectGUID"];

impl Directory {
    /// Tries each server, one after the other, and says in an administrator's words what is well and what is not. `bases`
    /// are looked at; if empty, those of the source; if these are, too, what the server names as its own.
    ///
    /// It takes at most the source's time to connect and 30 s for each server.
    pub async fn test(&self, bases: &[String]) -> TestReport {
        let bases = if bases.is_empty() { &self.bases } else { bases };
        let mut report = TestReport { ok: true, steps: Vec::new(), servers: Vec::new() };
        let mut refused = None;
        for server in &self.servers {
            let mut course = Course { server, report: &mut report };
            if let Err(failed) = self.test_server(&mut course, bases, &mut refused).await {
                course.failed(failed);
            }
        }
        report
    }

    /// `refused` is the server that would not have the credentials.
    async fn test_server<'a>(
        &'a self,
        course: &mut Course<'a, '_>,
        bases: &[String],
        refused: &mut Option<&'a Server>,
    ) -> Result<(), Stopped> {
        let terms = self.own_terms();
        let approach = Approach::new(course.server, terms);
        let mut trail = Trail::new();
        let reached = approach.reach(&mut trail).await;
        for (step, message) in trail {
            course.well(step, message);
        }
        let mut wire = reached?;
        if let Some(other) = refused {
            let message = format!(
                "not tried: {other} refuses the credentials, and each further try counts towards locking the account"
            );
            return Err(Stopped {
                step: TestStep::Credentials,
                failure: Failure::denied("credentials", message),
            });
        }
        let bound = approach.bind(&mut wire).await;
        if bound.as_ref().is_err_and(|stopped| stopped.failure.code == "credentials") {
            *refused = Some(course.server);
        }
        bound?;
        let who = match terms.identity {
            Some((name, _)) => format!("bound as {name:?}"),
            None => "bound as nobody (anonymously)".to_owned(),
        };
        course.well(TestStep::Credentials, who);

        let looked = timeout(QUESTIONS, look(course, &mut wire, bases)).await;
        looked.unwrap_or_else(|_| {
            let seconds = QUESTIONS.as_secs();
            let message =
                format!("{}: the questions of the test were not answered within {seconds} s", course.server);
            Err(Stopped { step: TestStep::Base, failure: Failure::unavailable("timeout", message) })
        })
    }
}

/// What is found at one server, into the report.
struct Course<'a, 'r> {
    server: &'a Server,
    report: &'r mut TestReport,
}

impl Course<'_, '_> {
    fn well(&mut self, step: TestStep, message: String) {
        self.step(step, true, message);
    }

    fn failed(&mut self, stopped: Stopped) {
        self.step(stopped.step, false, stopped.failure.message);
    }

    fn step(&mut self, step: TestStep, ok: bool, message: String) {
        self.report.ok &= ok;
        self.report.steps.push(TestedStep { server: self.server.as_str().to_owned(), step, ok, message });
    }
}

/// The root entry, and each base. A base that is not well is told of, and the next one looked at.
async fn look(course: &mut Course<'_, '_>, wire: &mut Wire, bases: &[String]) -> Result<(), Stopped> {
    let at = |step| move |failure| Stopped { step, failure };
    let (entries, result) =
        exchange::search(wire, "", LdapSearchScope::Base, &ROOT, 1).await.map_err(at(TestStep::Base))?;
    let root = entries.first();
    let facts = facts(course.server, root);
    let named = root.map(|root| values(root, "defaultNamingContext")).unwrap_or_default();
    let own = if named.is_empty() { facts.naming_contexts.clone() } else { named };
    course.report.servers.push(facts);

    let bases = if bases.is_empty() { &own } else { bases };
    if bases.is_empty() {
        let told = answer::told(&result);
        let message = format!(
            "no base is set, and {} does not say what it holds (it answers {told}): set `bases`, or let it show its root entry",
            course.server
        );
        course.step(TestStep::Base, false, message);
    }
    for base in bases {
        let (entries, result) =
            exchange::search(wire, base, LdapSearchScope::Base, &IDS, 1).await.map_err(at(TestStep::Base))?;
        let problem = missing(base, &entries, &result);
        course.step(
            TestStep::Base,
            problem.is_none(),
            problem.clone().unwrap_or_else(|| format!("{base:?} is there")),
        );
        if problem.is_some() {
            continue;
        }
        let (entries, result) = exchange::search(wire, base, LdapSearchScope::Subtree, &IDS, LOOK)
            .await
            .map_err(at(TestStep::Rights))?;
        let (ok, message) = rights(base, &entries, &result);
        course.step(TestStep::Rights, ok, message);
    }
    Ok(())
}

/// What is wrong with a base, if anything.
fn missing(base: &str, entries: &[LdapSearchResultEntry], result: &LdapResult) -> Option<String> {
    let told = answer::told(result);
    match result.code {
        LdapResultCode::Success if !entries.is_empty() => None,
        LdapResultCode::Success => {
            Some(format!("the server shows nothing at {base:?}: let the account that binds read it"))
        }
        LdapResultCode::NoSuchObject => {
            let nearest = match plain(&result.matcheddn) {
                nearest if nearest.is_empty() => {
                    "nothing above it is there, or may be read, either".to_owned()
                }
                nearest => format!("the nearest there is {nearest:?}"),
            };
            Some(format!(
                "{base:?} is not there, or may not be read: {nearest}; correct `bases`, or let the account that binds read it"
            ))
        }
        LdapResultCode::InvalidDNSyntax => Some(format!(
            "{base:?} is no distinguished name, such as \"dc=example,dc=com\": correct `bases`; the server answers {told}"
        )),
        LdapResultCode::Referral => Some(format!(
            "{base:?} is on another server, {}: name that one as the source's server, or correct `bases`",
            plain(&result.referral.join(", "))
        )),
        LdapResultCode::OperationsError | LdapResultCode::InsufficentAccessRights => Some(format!(
            "{base:?} may not be read: let the account that binds read it, or set one if none is set; the server answers {told}"
        )),
        _ => Some(format!("{base:?} cannot be read: the server answers {told}")),
    }
}

/// Whether entries and their ids can be read.
fn rights(base: &str, entries: &[LdapSearchResultEntry], result: &LdapResult) -> (bool, String) {
    if !matches!(result.code, LdapResultCode::Success | LdapResultCode::SizeLimitExceeded) {
        return (
            false,
            format!("what is below {base:?} cannot be read: the server answers {}", answer::told(result)),
        );
    }
    let below = entries.iter().filter(|entry| !entry.dn.eq_ignore_ascii_case(base)).count();
    if below == 0 {
        return (
            false,
            format!(
                "nothing below {base:?} can be read: it is empty, or the account that binds may not read it"
            ),
        );
    }
    let id_of = |entry: &LdapSearchResultEntry| IDS.into_iter().find(|name| !values(entry, name).is_empty());
    let Some(id) = entries.iter().find_map(id_of) else {
        return (
            false,
            format!(
                "entries below {base:?} can be read, and neither entryUUID nor objectGUID of any: let the account that binds \
                 read them; without, nobody is known again after a change of name"
            ),
        );
    };
    let without = entries.iter().filter(|entry| id_of(entry).is_none()).count();
    if without > 0 {
        let first = entries.iter().find(|entry| id_of(entry).is_none()).map_or("", |entry| entry.dn.as_str());
        let count = entries.len();
        return (
            false,
            format!(
                "of {count} entries below {base:?}, {id} cannot be read of {without}, such as {:?}: let the account that binds read it",
                plain(first)
            ),
        );
    }
    (true, format!("{} entries below {base:?} were read, each with its {id}", entries.len()))
}

fn facts(server: &Server, root: Option<&LdapSearchResultEntry>) -> ServerFacts {
    let all = |name: &str| root.map(|root| values(root, name)).unwrap_or_default();
    let controls = all("supportedControl");
    let has = |oid: &str| controls.iter().any(|control| control == oid);
    let kind = if all("supportedCapabilities").iter().any(|one| one == ACTIVE_DIRECTORY) {
        DirectoryKind::ActiveDirectory
    } else if all("objectClass").iter().any(|one| one == OPENLDAP) {
        DirectoryKind::Openldap
    } else {
        DirectoryKind::Generic
    };
    let vendor = [all("vendorName"), all("vendorVersion")].concat();
    ServerFacts {
        server: server.as_str().to_owned(),
        kind,
        vendor: vendor.join(" "),
        naming_contexts: all("namingContexts"),
        paging: has(PAGING),
        syncrepl: has(SYNCREPL),
        dirsync: has(DIRSYNC),
    }
}

/// Values of an attribute, for people. Names of attributes are the same in either case.
fn values(entry: &LdapSearchResultEntry, name: &str) -> Vec<String> {
    let found = entry.attributes.iter().filter(|attribute| attribute.atype.eq_ignore_ascii_case(name));
    found.flat_map(|attribute| &attribute.vals).map(|value| plain(&String::from_utf8_lossy(value))).collect()
}

#[cfg(test)]
mod tests {
    use ldap3_proto::proto::LdapPartialAttribute;

    use super::*;

    fn entry(dn: &str, attributes: &[(&str, &str)]) -> LdapSearchResultEntry {
        let attributes = attributes.iter().map(|(name, value)| LdapPartialAttribute {
            atype: (*name).to_owned(),
            vals: vec![value.as_bytes().to_vec()],
        });
        LdapSearchResultEntry { dn: dn.to_owned(), attributes: attributes.collect() }
    }

    fn result(code: LdapResultCode) -> LdapResult {
        LdapResult { code, matcheddn: "dc=example".to_owned(), message: String::new(), referral: Vec::new() }
    }

    #[test]
    fn a_base_that_is_not_well_says_what_to_do() {
        let check = |code, hint: &str| {
            let problem = missing("ou=people,dc=example", &[], &result(code)).unwrap();
            assert!(problem.contains(hint), "{hint}: {problem}");
        };
        check(LdapResultCode::Success, "shows nothing");
        check(LdapResultCode::NoSuchObject, "the nearest there is \"dc=example\"");
        check(LdapResultCode::InvalidDNSyntax, "no distinguished name");
        check(LdapResultCode::InsufficentAccessRights, "may not be read");
        check(LdapResultCode::Referral, "another server");
        assert_eq!(
            missing("dc=example", &[entry("dc=example", &[])], &result(LdapResultCode::Success)),
            None
        );
    }

    #[test]
    fn rights_are_to_entries_and_to_what_tells_them_apart() {
        let base = entry("dc=example", &[("entryUUID", "1")]);
        let ada = entry("cn=ada,dc=example", &[("entryuuid", "2")]);
        let hidden = entry("cn=hidden,dc=example", &[]);
        let check = |entries: &[LdapSearchResultEntry], code, ok: bool, hint: &str| {
            let (found, message) = rights("DC=example", entries, &result(code));
            assert_eq!(found, ok, "{message}");
            assert!(message.contains(hint), "{hint}: {message}");
        };
        check(&[base.clone(), ada.clone()], LdapResultCode::Success, true, "each with its entryUUID");
        check(&[base.clone(), ada.clone()], LdapResultCode::SizeLimitExceeded, true, "2 entries");
        check(std::slice::from_ref(&base), LdapResultCode::Success, false, "nothing below");
        check(
            std::slice::from_ref(&hidden),
            LdapResultCode::Success,
            false,
            "neither entryUUID nor objectGUID",
        );
        check(&[base, ada, hidden], LdapResultCode::Success, false, "of 1, such as \"cn=hidden,dc=example\"");
        check(&[], LdapResultCode::Busy, false, "busy (51)");
    }
}
