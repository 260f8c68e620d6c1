//! Directory sources: registered, changed, tested, removed.

use syncline_domain::{
    Name,
    directory::{DirectoryKind, DirectorySource, Security, SourceSpec, TestReport},
    event::NewEvent,
    log::LogLevel,
};

use super::connect;
use crate::{Engine, Error, Result};

/// Most servers of a source.
const MOST_SERVERS: usize = 16;
/// Most bases, and most servers to which referrals may be followed.
const MOST_NAMES: usize = 64;
/// Most bytes of a distinguished name.
const MOST_BYTES: usize = 4_096;
/// Most bytes of the certificates.
const MOST_CERTIFICATES: usize = 256 << 10;

impl Engine {
    /// Registers a directory source. Its servers are not asked anything.
    pub async fn create_directory_source(
        &self,
        name: &Name,
        spec: &SourceSpec,
        actor: &str,
    ) -> Result<DirectorySource> {
        self.check_source(spec).await?;
        let message = format!("Directory source {name} was registered{}", warned(spec));
        let event = NewEvent::new("directory-source.registered", actor, message).level(level(spec));
        Ok(self.db().add_directory_source(name, spec, event).await?)
    }

    /// Changes a directory source. `revision` is the one that the caller read.
    pub async fn change_directory_source(
        &self,
        name: &Name,
        spec: SourceSpec,
        revision: Option<i64>,
        actor: &str,
    ) -> Result<DirectorySource> {
        self.check_source(&spec).await?;
        let mut source = self.db().directory_source(name).await?;
        source.revision = revision.unwrap_or(source.revision);
        let message = format!("Directory source {name} was changed{}", warned(&spec));
        let event = NewEvent::new("directory-source.changed", actor, message).level(level(&spec));
        source.spec = spec;
        Ok(self.db().update_directory_source(&source, event).await?)
    }

    /// Forgets a directory source. Refused while a sync reads it.
    pub async fn remove_directory_source(&self, name: &Name, actor: &str) -> Result<()> {
        let event =
            NewEvent::new("directory-source.removed", actor, format!("Directory source {name} was removed"));
        Ok(self.db().remove_directory_source(name, event).await?)
    }

    /// Tries each server of a directory source: name, route, certificate, credentials, base, rights.
    pub async fn test_directory_source(&self, name: &Name, actor: &str) -> Result<TestReport> {
        let source = self.db().directory_source(name).await?;
        let report = self.test_servers(&source.spec).await?;
        let (level, how) = if report.ok { (LogLevel::Info, "well") } else { (LogLevel::Warn, "not well") };
        let message = format!("Directory source {name} was tested: {how}");
        self.tell(NewEvent::new("directory-source.tested", actor, message).level(level)).await?;
        Ok(report)
    }

    async fn check_source(&self, spec: &SourceSpec) -> Result<()> {
        check(spec).map_err(|message| Error::invalid("directory-source", message))?;
        if let Some(secret) = &spec.secret
            && !self.db().secrets().await?.iter().any(|one| one.name == *secret)
        {
            let message =
                format!("there is no secret {secret:?}: set it first (its value never leaves the server)");
            return Err(Error::invalid("directory-secret", message));
        }
        Ok(())
    }
}

fn warned(spec: &SourceSpec) -> &'static str {
    match spec.security {
        Security::Plain if spec.secret.is_some() => ": its secret crosses the network readable",
        Security::Plain => ": what is read crosses the network readable",
        Security::Ldaps | Security::Starttls => "",
    }
}

fn level(spec: &SourceSpec) -> LogLevel {
    if spec.security == Security::Plain { LogLevel::Warn } else { LogLevel::Info }
}

/// What is wrong with a source, in a sentence.
fn check(spec: &SourceSpec) -> Result<(), String> {
    match (spec.kind == DirectoryKind::Scim, &spec.url) {
        (true, _) => check_service(spec)?,
        (false, Some(_)) => {
            return Err("url is for kind scim alone: name servers, or set that kind".to_owned());
        }
        (false, None) => check_servers(spec)?,
    }
    match &spec.certificate_authorities {
        Some(pem) if pem.len() > MOST_CERTIFICATES => {
            Err(format!("certificate_authorities have {} bytes: use {MOST_CERTIFICATES} at most", pem.len()))
        }
        _ => connect::check(spec).map_err(|failure| failure.message),
    }
}

/// What a service on the web has no use for.
fn check_service(spec: &SourceSpec) -> Result<(), String> {
    let of_servers = [
        ("servers", !spec.servers.is_empty()),
        ("bases", !spec.bases.is_empty()),
        ("referrals", !spec.referrals.is_empty()),
        ("bind_as", spec.bind_as.is_some()),
    ];
    match of_servers.iter().find(|(_, set)| *set) {
        Some((field, _)) => Err(format!("{field} is for LDAP: leave it out for kind scim, which has a url")),
        None => Ok(()),
    }
}

fn check_servers(spec: &SourceSpec) -> Result<(), String> {
    if spec.servers.is_empty() || spec.servers.len() > MOST_SERVERS {
        return Err(format!("{} servers: name 1 to {MOST_SERVERS}, each as host:port", spec.servers.len()));
    }
    if spec.referrals.len() > MOST_NAMES || spec.bases.len() > MOST_NAMES {
        return Err(format!("bases and referrals: name {MOST_NAMES} of each at most"));
    }
    for name in spec.bases.iter().chain(&spec.bind_as) {
        if name.is_empty() || name.len() > MOST_BYTES || name.chars().any(char::is_control) {
            let shown: String = name.chars().take(100).collect();
            return Err(format!("{shown:?} is no distinguished name: use 1 to {MOST_BYTES} printable bytes"));
        }
    }
    match (&spec.bind_as, &spec.secret) {
        (Some(_), None) => {
            Err("bind_as goes with secret: name the secret that holds the password".to_owned())
        }
        (None, Some(_)) => Err("secret goes with bind_as: say who to bind as".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(value: serde_json::Value) -> SourceSpec {
        serde_json::from_value(value).unwrap()
    }

    fn service(url: &str, more: serde_json::Value) -> serde_json::Value {
        let mut value = serde_json::json!({ "kind": "scim", "url": url });
        for (name, one) in more.as_object().unwrap() {
            value[name] = one.clone();
        }
        value
    }

    #[test]
    fn a_service_on_the_web_has_a_url() {
        for good in ["https://scim.example.com", "https://scim.example.com:8443/v2/", "https://[::1]/scim"] {
            check(&spec(service(good, serde_json::json!({ "secret": "token" })))).unwrap();
        }
        check(&spec(service("http://127.0.0.1:80/v2", serde_json::json!({ "security": "plain" })))).unwrap();
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let servers = |servers: &[&str]| serde_json::json!({ "servers": servers });
        for good in ["dc1.example.com:636", "127.0.0.1:389", "[::1]:636"] {
            check(&spec(servers(&[good]))).unwrap();
        }
        let bind = serde_json::json!({ "servers": ["a:1"], "bind_as": "cn=a" });
        let pem = serde_json::json!({ "servers": ["a:1"], "certificate_authorities": "x" });
        for (value, told) in [
            (servers(&[]), "0 servers"),
            (servers(&["dc1"]), "port"),
            (servers(&["ldap://a:636"]), "scheme"),
            (bind, "secret"),
            (pem, "certificate"),
            (serde_json::json!({ "kind": "scim" }), "url"),
            (serde_json::json!({ "servers": ["a:1"], "url": "https://a" }), "kind scim alone"),
            (service("https://a/v2", serde_json::json!({ "bases": ["dc=x"] })), "bases is for LDAP"),
            (service("https://a/v2", serde_json::json!({ "bind_as": "x" })), "bind_as is for LDAP"),
            (service("https://a/v2", serde_json::json!({ "security": "plain" })), "plain"),
            (service("http://a/v2", serde_json::json!({})), "plain"),
            (service("ftp://a/v2", serde_json::json!({})), "https"),
            (service("https://ada:pass@a/v2", serde_json::json!({})), "password"),
            (service("https://a/v2?x=y", serde_json::json!({})), "?"),
            (service("https://a/v2", serde_json::json!({ "connect_timeout_s": 0 })), "1 to 120"),
            (
                service("https://a", serde_json::json!({ "certificate_authorities": "x" })),
                "BEGIN CERTIFICATE",
            ),
        ] {
            let error = check(&spec(value)).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
