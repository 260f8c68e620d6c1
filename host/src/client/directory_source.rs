//! `syncline directory-source`: servers that people, groups, computers and units are read from; testing and importing them.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use syncline_domain::{
    Name,
    directory::{DirectoryKind, DirectorySource, Security, ServerFacts, TestReport},
};

use super::{Client, Paging, import, run::Wait};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, fields, list, moment},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all directory sources
    List,
    /// Show one
    Show {
        /// Name of the source
        name: Name,
    },
    /// Register a directory; its servers are not asked anything: see `test`
    Add {
        /// Name of the new source
        name: Name,
        /// HOST:PORT of a server that holds this directory; can be repeated, and they are tried in this order
        #[arg(long = "server", value_name = "HOST:PORT", required_unless_present = "service")]
        servers: Vec<String>,
        #[command(flatten)]
        spec: Box<Spec>,
    },
    /// Change what is given, leave the rest; lists are replaced as a whole, and an empty text ("") takes away what is set
    Change {
        /// Name of the source
        name: Name,
        /// HOST:PORT of a server that holds this directory; can be repeated, and they are tried in this order
        #[arg(long = "server", value_name = "HOST:PORT")]
        servers: Vec<String>,
        #[command(flatten)]
        spec: Box<Spec>,
    },
    /// Try each of its servers: name, route, certificate, credentials, base, rights; exit code 1 if one is not well
    Test {
        /// Name of the source
        name: Name,
    },
    /// Import it now: a run of each sync that reads it
    Import {
        /// Name of the source
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        name: Option<Name>,
        /// All sources
        #[arg(long)]
        all: bool,
        /// Only find the difference, change nothing
        #[arg(long)]
        preview: bool,
        /// Read everything, whatever was read before
        #[arg(long)]
        anew: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Forget a source that no sync reads
    Remove {
        /// Name of the source
        name: Name,
    },
}

/// What can be set of a source beside its servers.
#[derive(Debug, Args)]
pub struct Spec {
    /// Address of a service that speaks SCIM, in place of servers, such as https://scim.example.com/v2: the kind is scim then
    #[arg(long, value_name = "URL")]
    service: Option<String>,
    /// How connections are made safe: ldaps (the default), starttls, or plain, with which the password crosses the network readable
    #[arg(long)]
    security: Option<Security>,
    /// File with the certificates (PEM) of the authorities that may vouch for the servers, instead of those that the server's
    /// system trusts
    #[arg(long, value_name = "FILE")]
    authorities: Option<String>,
    /// Who to bind as: a distinguished name, or for Active Directory user@domain; anonymously if absent
    #[arg(long, value_name = "DN")]
    bind_as: Option<String>,
    /// Name of the secret that holds the password, or the bearer token of a service
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// What the directory is: auto (the default; as it says itself), openldap, active-directory, generic, or scim
    #[arg(long)]
    kind: Option<DirectoryKind>,
    /// Distinguished name below which it is read; can be repeated; what the server names as its own if absent
    #[arg(long = "base", value_name = "DN")]
    bases: Vec<String>,
    /// HOST:PORT of a server to which referrals may be followed; can be repeated
    #[arg(long = "referral", value_name = "HOST:PORT")]
    referrals: Vec<String>,
    /// Most seconds that connecting, TLS and bind to one server take together, 1 to 120; 10 if absent
    #[arg(long, value_name = "SECONDS")]
    connect_timeout: Option<u32>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

const PATH: &str = "/api/v1/directory-sources";

/// What an API answer has beside what can be set.
const NOT_SET_BY_PEOPLE: [&str; 4] = ["name", "created_at", "updated_at", "revision"];

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => client.show_list(out, PATH, &[], &Paging::ALL, table),
        Action::Show { name } => out.show(&client.get(&format!("{PATH}/{name}"))?, details),
        Action::Add { name, servers, spec } => {
            let mut body = Map::from_iter([("name".to_owned(), json!(name))]);
            spec.write_into(&servers, &mut body)?;
            out.show(&client.post(PATH, &Value::Object(body))?, details)
        }
        Action::Change { name, servers, spec } => change(&name, &servers, &spec, client, out),
        Action::Test { name } => {
            let answer = client.post_empty(&format!("{PATH}/{name}/test"))?;
            let TestReport { ok, .. } = answer.parse()?;
            out.show(&answer, report)?;
            Ok(if ok { Exit::Ok } else { Exit::Failed })
        }
        Action::Import { name, all: _, preview, anew, wait } => {
            let path = name.map_or_else(
                || "/api/v1/directory-imports".to_owned(),
                |name| format!("{PATH}/{name}/import"),
            );
            let body = json!({ "mode": if preview { "preview" } else { "apply" }, "anew": anew });
            import::follow(client, out, &client.post(&path, &body)?, wait)
        }
        Action::Remove { name } => {
            client.delete(&format!("{PATH}/{name}"))?;
            out.done(format!("Directory source {name} was removed."))
        }
    }
}

/// Reads the source, changes what is given, and writes it back unless someone else was faster.
fn change(name: &Name, servers: &[String], spec: &Spec, client: &Client, out: Output) -> Result<Exit> {
    let path = format!("{PATH}/{name}");
    let answer = client.get(&path)?;
    let mut before: Map<String, Value> = answer.parse()?;
    before.retain(|member, _| !NOT_SET_BY_PEOPLE.contains(&member.as_str()));
    let mut body = before.clone();
    spec.write_into(servers, &mut body)?;
    if body == before {
        return Err(CliError::usage(format!(
            "nothing of directory source {name} would change: see `syncline directory-source change --help`"
        )));
    }
    out.show(&client.put(&path, &Value::Object(body), answer.etag.as_deref())?, details)
}

impl Spec {
    /// Sets what is given; takes away what is given as an empty text.
    fn write_into(&self, servers: &[String], body: &mut Map<String, Value>) -> Result<()> {
        let lists = [("servers", servers), ("bases", &self.bases), ("referrals", &self.referrals)];
        for (member, given) in lists.into_iter().filter(|(_, given)| !given.is_empty()) {
            let texts: Vec<_> = given.iter().filter(|text| !text.is_empty()).collect();
            body.insert(member.to_owned(), json!(texts));
        }
        let authorities = match self.authorities.as_deref() {
            Some("") | None => self.authorities.clone(),
            Some(file) => Some(certificates(file)?),
        };
        let texts = [
            ("certificate_authorities", &authorities),
            ("bind_as", &self.bind_as),
            ("secret", &self.secret),
            ("url", &self.service),
        ];
        for (member, text) in texts {
            match text.as_deref() {
                None => {}
                Some("") => drop(body.remove(member)),
                Some(text) => drop(body.insert(member.to_owned(), text.into())),
            }
        }
        let of_url = self.service.as_deref().filter(|url| !url.is_empty()).map(|_| DirectoryKind::Scim);
        let rest = [
            ("security", self.security.map(|one| json!(one))),
            ("kind", self.kind.or(of_url).map(|one| json!(one))),
            ("connect_timeout_s", self.connect_timeout.map(Value::from)),
            // It is always there, and empty where nothing is said.
            ("description", self.description.clone().map(Value::from)),
        ];
        body.extend(rest.into_iter().filter_map(|(member, value)| Some((member.to_owned(), value?))));
        Ok(())
    }
}

fn certificates(file: &str) -> Result<String> {
    String::from_utf8(args::read_file(file)?)
        .map_err(|_| CliError::usage(format!("--authorities {file}: give a file with certificates in PEM")))
}

fn table(sources: &[DirectorySource]) -> String {
    let headings = ["NAME", "SERVERS", "SECURITY", "KIND", "BIND AS", "DESCRIPTION"];
    let mut rows = Rows::new(&headings, "There are no directory sources.");
    for DirectorySource { name, spec, .. } in sources {
        rows.add([
            name.to_string(),
            spec.url.clone().unwrap_or_else(|| list(&spec.servers)),
            spec.security.to_string(),
            spec.kind.to_string(),
            spec.bind_as.clone().unwrap_or_default(),
            spec.description.clone(),
        ]);
    }
    rows.render()
}

fn details(source: &DirectorySource) -> String {
    let DirectorySource { name, spec, .. } = source;
    let authorities = match &spec.certificate_authorities {
        Some(pem) => format!("{} of its own", pem.matches("BEGIN CERTIFICATE").count()),
        None => "those that the system trusts".to_owned(),
    };
    // A comma is in nearly every distinguished name.
    let bases = match spec.bases.join("; ") {
        none if none.is_empty() => "what the server names as its own".to_owned(),
        bases => bases,
    };
    let bind_as = spec.bind_as.clone().unwrap_or_else(|| "(anonymous)".to_owned());
    let of_service = spec.kind == DirectoryKind::Scim;
    fields(&[
        ("name", name.to_string()),
        ("url", spec.url.clone().unwrap_or_default()),
        ("servers", list(&spec.servers)),
        ("security", spec.security.to_string()),
        ("authorities", if spec.security == Security::Plain { String::new() } else { authorities }),
        ("bind as", if of_service { String::new() } else { bind_as }),
        ("secret", spec.secret.as_ref().map(Name::to_string).unwrap_or_default()),
        ("kind", spec.kind.to_string()),
        ("bases", if of_service { String::new() } else { bases }),
        ("referrals", list(&spec.referrals)),
        ("timeout", format!("{} s to connect", spec.connect_timeout_s)),
        ("description", spec.description.clone()),
        ("made", moment(source.created_at)),
        ("changed", moment(source.updated_at)),
    ])
}

fn report(report: &TestReport) -> String {
    let mut steps = Rows::new(&["SERVER", "STEP", "", "FOUND"], "Nothing was tried.");
    for one in &report.steps {
        let well = if one.ok { "ok" } else { "NOT WELL" };
        steps.add([one.server.clone(), one.step.to_string(), well.to_owned(), one.message.clone()]);
    }
    let servers = report.servers.iter().map(facts);
    let end = if report.ok { "All is well." } else { "Not all is well." };
    let parts: Vec<String> = [steps.render()].into_iter().chain(servers).chain([end.to_owned()]).collect();
    parts.join("\n\n")
}

fn facts(server: &ServerFacts) -> String {
    let can =
        [("pages", server.paging), ("content synchronisation", server.syncrepl), ("DirSync", server.dirsync)];
    fields(&[
        ("server", server.server.clone()),
        ("is", server.kind.to_string()),
        ("calls itself", server.vendor.clone()),
        ("holds", server.naming_contexts.join("; ")),
        ("can do", list(can.into_iter().filter_map(|(what, can)| can.then_some(what)))),
    ])
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[arg(long = "server")]
        servers: Vec<String>,
        #[command(flatten)]
        spec: Spec,
    }

    fn body(before: Value, line: &[&str]) -> Result<Value> {
        let line = Line::parse_from(["test"].iter().chain(line));
        let Value::Object(mut body) = before else { panic!("no object") };
        line.spec.write_into(&line.servers, &mut body)?;
        Ok(Value::Object(body))
    }

    #[test]
    fn only_what_is_given_is_set_and_an_empty_text_takes_away() {
        let before = json!({
            "servers": ["a:636"], "bind_as": "cn=sync", "secret": "ldap", "bases": ["dc=x"], "security": "ldaps",
        });
        assert_eq!(body(before.clone(), &[]).unwrap(), before);
        let line =
            ["--server", "b:389", "--server", "c:389", "--security", "starttls", "--connect-timeout", "5"];
        assert_eq!(
            body(before.clone(), &line).unwrap(),
            json!({
                "servers": ["b:389", "c:389"], "bind_as": "cn=sync", "secret": "ldap", "bases": ["dc=x"],
                "security": "starttls", "connect_timeout_s": 5,
            })
        );
        let line = ["--bind-as", "", "--secret", "", "--base", "", "--authorities", ""];
        let anonymous = json!({ "servers": ["a:636"], "bases": [], "security": "ldaps" });
        assert_eq!(body(before, &line).unwrap(), anonymous);
    }

    #[test]
    fn a_file_of_certificates_that_is_not_there_is_named() {
        let error = body(json!({}), &["--authorities", "/nowhere/ca.pem"]).unwrap_err();
        assert!(error.message.contains("/nowhere/ca.pem"), "{error}");
    }

    #[test]
    fn a_source_and_a_list_of_them() {
        let source: DirectorySource = serde_json::from_value(json!({
            "name": "office", "servers": ["dc1.example.com:636", "dc2.example.com:636"], "security": "ldaps",
            "certificate_authorities": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
            "bind_as": "sync@example.com", "secret": "office-password", "kind": "active-directory",
            "bases": ["ou=Staff,dc=example,dc=com", "ou=Labs,dc=example,dc=com"], "description": "Head office",
            "created_at": "2026-11-22T10:00:00Z", "updated_at": "2026-11-23T10:00:00Z", "revision": 2,
        }))
        .unwrap();
        insta::assert_snapshot!(format!("{}\n\n{}", details(&source), table(&[source])));
    }

    #[test]
    fn a_test_tells_where_it_ended_and_what_the_servers_are() {
        let found: TestReport = serde_json::from_value(json!({
            "ok": false,
            "steps": [
                {"server": "dc1:636", "step": "name", "ok": true, "message": "its address is 192.0.2.7"},
                {"server": "dc1:636", "step": "route", "ok": true, "message": "connected"},
                {"server": "dc2:636", "step": "name", "ok": false, "message": "no address: check the name"},
            ],
            "servers": [{
                "server": "dc1:636", "kind": "active-directory", "vendor": "Samba",
                "naming_contexts": ["DC=lab,DC=example", "CN=Configuration,DC=lab,DC=example"], "paging": true,
                "syncrepl": false, "dirsync": true,
            }],
        }))
        .unwrap();
        insta::assert_snapshot!(report(&found));
    }
}
