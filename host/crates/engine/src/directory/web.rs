//! The way to a directory that speaks SCIM over HTTP: how a plugin asks it, and its connection test. The token stays here.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use syncline_domain::{
    Failure, Name,
    directory::{DirectoryKind, Security, ServerFacts, SourceSpec, TestReport, TestStep, TestedStep},
    origin::Origin,
};
use syncline_sandbox::{BoundWeb, WebAnswer, WebConnector, WebRequest};
use syncline_web::{Client, HeaderName, HeaderValue, Method, Request, Terms, Whole, header};
use url::Url;
use zeroize::Zeroizing;

use super::connect;

/// Fewer bytes are no token: they could stand in an answer by chance.
const SHORTEST_TOKEN: usize = 8;
/// For one question of a connection test.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer to one.
const MOST: u64 = 1 << 20;
/// Bytes of what a service says, in a message.
const SHOWN: usize = 300;

/// A service, ready to be asked.
#[derive(Clone)]
pub(super) struct Service {
    client: Client,
    origin: Origin,
    /// Without a slash at the end.
    url: Url,
    secret: Option<(Name, Zeroizing<String>)>,
}

/// What makes no sense of a service by itself. Its token and the authorities of the system are not looked at.
pub(super) fn check(spec: &SourceSpec) -> Result<(), Failure> {
    address(spec)?;
    time(spec)?;
    match &spec.certificate_authorities {
        Some(_) => Service::new(&SourceSpec { secret: None, ..spec.clone() }, None).map(drop),
        None => Ok(()),
    }
}

fn time(spec: &SourceSpec) -> Result<Duration, Failure> {
    if !(1..=120).contains(&spec.connect_timeout_s) {
        let message = format!("connect_timeout_s: {} is not from 1 to 120 seconds", spec.connect_timeout_s);
        return Err(Failure::settings("connect-timeout", message));
    }
    Ok(Duration::from_secs(spec.connect_timeout_s.into()))
}

fn address(spec: &SourceSpec) -> Result<(Url, Origin), Failure> {
    let wrong = |why: &str| Err(Failure::settings("url", format!("url: {why}")));
    let Some(text) = &spec.url else {
        return wrong("kind scim needs the address of the service, such as \"https://scim.example.com/v2\"");
    };
    let Ok(mut url) = Url::parse(text) else {
        return wrong("this is no URL: write it as in \"https://scim.example.com/v2\"");
    };
    let origin = Origin::of(&url).map_err(|bad| Failure::settings("url", format!("url: {bad}")))?;
    if url.query().is_some() || url.fragment().is_some() {
        return wrong("leave out what follows a ? or #: it ends where /Users and /Groups begin");
    }
    match (origin.is_secure(), spec.security) {
        (true, Security::Ldaps) | (false, Security::Plain) => {}
        (true, _) => return wrong("it is https: leave security out, for `plain` and `starttls` are others"),
        (false, _) => {
            return wrong(
                "it is http, and the token would cross the network readable: use https, or set security to `plain`",
            );
        }
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok((url, origin))
}

impl Service {
    /// Reads what an administrator set. `token` is the value of the secret that it names. Reads the authorities of the system
    /// from their files where none are given.
    ///
    /// Fails with kind `invalid`, and names what is wrong.
    pub(super) fn new(spec: &SourceSpec, token: Option<Zeroizing<Vec<u8>>>) -> Result<Self, Failure> {
        let (url, origin) = address(spec)?;
        let client = Client::new(Terms {
            origins: vec![origin.clone()],
            certificate_authorities: spec.certificate_authorities.clone(),
            connect_timeout: time(spec)?,
        })?;
        let secret = match (&spec.secret, token) {
            (Some(name), Some(token)) => Some((name.clone(), read_token(name, &token)?)),
            _ => None,
        };
        Ok(Self { client, origin, url, secret })
    }

    /// As a plugin asks it.
    pub(super) fn bind(self, name: Name, spec: &SourceSpec) -> BoundWeb {
        BoundWeb {
            name,
            url: self.url.clone(),
            labels: connect::labels(spec),
            secrets: self.secret.iter().map(|(name, _)| name.to_string()).collect(),
            connector: Arc::new(self),
        }
    }

    /// Tries it, and says in an administrator's words what is well and what is not.
    pub(super) async fn test(&self) -> TestReport {
        let mut course = Course { service: self, steps: Vec::new() };
        // Where it ends is told in the steps.
        let _ended = course.go().await;
        let ok = course.steps.iter().all(|step| step.ok);
        let answered = course.steps.iter().any(|step| step.step == TestStep::Base && step.ok);
        let facts = ServerFacts {
            server: self.origin.to_string(),
            kind: DirectoryKind::Scim,
            vendor: String::new(),
            naming_contexts: Vec::new(),
            paging: true,
            syncrepl: false,
            dirsync: false,
        };
        TestReport { ok, steps: course.steps, servers: answered.then_some(facts).into_iter().collect() }
    }

    async fn get(&self, path: &str) -> Result<Whole, Failure> {
        let mut url = self.url.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        url.set_query(query);
        let accept = HeaderValue::from_static("application/scim+json, application/json");
        let mut request = Request::get(url).header(header::ACCEPT, accept);
        if let Some((name, token)) = &self.secret {
            request =
                request.secret(header::AUTHORIZATION, value(&format!("Bearer {}", token.as_str()), name)?);
        }
        self.client.send(&request, PATIENCE, MOST).await
    }
}

/// A token as it stands in a header.
fn read_token(name: &Name, bytes: &[u8]) -> Result<Zeroizing<String>, Failure> {
    let wrong =
        |why: &str| Failure::settings("secret", format!("the token in the secret {name} {why}: set it anew"));
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("is no text"))?;
    // Files with a token in them mostly end with a line break.
    let text = Zeroizing::new(text.trim().to_owned());
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("has spaces or other than printable ASCII in it"));
    }
    if text.len() < SHORTEST_TOKEN {
        return Err(wrong(&format!("has fewer than {SHORTEST_TOKEN} characters")));
    }
    Ok(text)
}

fn value(text: &str, secret: &Name) -> Result<HeaderValue, Failure> {
    HeaderValue::try_from(text).map_err(|_| {
        Failure::settings("secret", format!("the secret {secret} cannot stand in a header: set it anew"))
    })
}

#[async_trait]
impl WebConnector for Service {
    async fn send(&self, request: WebRequest) -> Result<WebAnswer, Failure> {
        let WebRequest { method, url, headers, secrets, body, timeout, max_bytes } = request;
        let header = |name: &str| {
            let bad = |_| Failure::plugin("header", format!("{name:?} is no name of a header"));
            HeaderName::try_from(name).map_err(bad)
        };
        let method = Method::try_from(method.as_str())
            .map_err(|_| Failure::plugin("method", format!("{method:?} is no method")))?;
        let mut asked = Request::new(method, url);
        for (name, text) in headers {
            let text = HeaderValue::try_from(text).map_err(|_| {
                Failure::plugin("header", format!("what the header {name:?} is to say cannot stand in one"))
            })?;
            asked = asked.header(header(&name)?, text);
        }
        for put in &secrets {
            // Which of them there are was looked at in the sandbox.
            if let Some((name, token)) = &self.secret {
                let text = Zeroizing::new(format!("{}{}", put.prefix, token.as_str()));
                asked = asked.secret(header(&put.header)?, value(&text, name)?);
            }
        }
        if let Some(body) = body {
            asked = asked.body(body);
        }
        let answer = self.client.send(&asked, timeout, max_bytes as u64).await?;
        if let Some((name, token)) = &self.secret
            && answer.holds(token.as_bytes())
        {
            let message = format!(
                "{} repeats the secret {name} in its answer, which the plugin is not to see: have that looked into there",
                self.origin
            );
            return Err(Failure::denied("secret", message));
        }
        let headers = answer.headers.iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        Ok(WebAnswer {
            status: answer.status.as_u16(),
            url: answer.url.to_string(),
            headers: headers.collect(),
            body: answer.body.to_vec(),
        })
    }
}

/// What is found, step by step.
struct Course<'a> {
    service: &'a Service,
    steps: Vec<TestedStep>,
}

/// The test cannot go on.
struct Ended;

impl Course<'_> {
    async fn go(&mut self) -> Result<(), Ended> {
        let users = match self.service.get("/Users?startIndex=1&count=1").await {
            Ok(users) => users,
            Err(failure) => return self.unreached(&failure),
        };
        self.reached(TestStep::Tls);
        self.credentials(&users)?;
        let (users, first) = self.base(&users)?;
        self.rights(users, first).await
    }

    fn step(&mut self, step: TestStep, ok: bool, message: String) {
        let server = self.service.origin.to_string();
        self.steps.push(TestedStep { server, step, ok, message });
    }

    fn failed<T>(&mut self, step: TestStep, message: String) -> Result<T, Ended> {
        self.step(step, false, message);
        Err(Ended)
    }

    /// The steps up to this one went well.
    fn reached(&mut self, last: TestStep) {
        let origin = self.service.origin.clone();
        let tls = match (origin.is_secure(), &self.service.secret) {
            (true, _) => "TLS with a certificate that is trusted",
            (false, Some(_)) => "none, as the source is set: the token crosses the network readable",
            (false, None) => "none, as the source is set: what is read crosses the network readable",
        };
        for (step, message) in [
            (TestStep::Name, format!("{} has an address that may be connected to", origin.host())),
            (TestStep::Route, format!("{origin} answers")),
            (TestStep::Tls, tls.to_owned()),
        ] {
            if step <= last {
                self.step(step, true, message);
            }
        }
    }

    fn unreached(&mut self, failure: &Failure) -> Result<(), Ended> {
        let (before, at) = match failure.code.as_str() {
            "resolve" | "address" => (None, TestStep::Name),
            "connect" | "timeout" | "closed" => (Some(TestStep::Name), TestStep::Route),
            "tls" | "certificate" => (Some(TestStep::Route), TestStep::Tls),
            // It leads elsewhere, or talks without end.
            _ => (Some(TestStep::Tls), TestStep::Base),
        };
        before.into_iter().for_each(|before| self.reached(before));
        self.failed(at, failure.message.clone())
    }

    fn credentials(&mut self, users: &Whole) -> Result<(), Ended> {
        let says = detail(users);
        match (users.status.as_u16(), &self.service.secret) {
            (401, Some((name, _))) => {
                let message =
                    format!("the token in the secret {name} is not accepted{says}: set the secret anew");
                self.failed(TestStep::Credentials, message)
            }
            (401, None) => self.failed(
                TestStep::Credentials,
                format!(
                    "the service wants a token{says}: put one into a secret, and name that in the source"
                ),
            ),
            (_, Some((name, _))) => {
                self.step(
                    TestStep::Credentials,
                    true,
                    format!("the token in the secret {name} is not refused"),
                );
                Ok(())
            }
            (_, None) => {
                self.step(TestStep::Credentials, true, "asked without a token".to_owned());
                Ok(())
            }
        }
    }

    /// How many users there are, and the first of them.
    fn base(&mut self, users: &Whole) -> Result<(u64, Option<Value>), Ended> {
        let url = self.service.url.clone();
        let says = detail(users);
        match users.status.as_u16() {
            200 => {}
            // It is there, and may not be read: that is the next step.
            403 => {
                self.step(TestStep::Base, true, format!("{url}/Users is there"));
                let message = format!("the token may not read users{says}: give it the right to");
                return self.failed(TestStep::Rights, message);
            }
            404 => {
                let message = format!(
                    "there is no {url}/Users{says}: correct the URL, which ends where /Users and /Groups begin"
                );
                return self.failed(TestStep::Base, message);
            }
            status => {
                let message =
                    format!("{url}/Users answers with status {status}{says}: look into the service's log");
                return self.failed(TestStep::Base, message);
            }
        }
        match list(users) {
            Some(found) => {
                self.step(TestStep::Base, true, format!("{url} speaks SCIM"));
                Ok(found)
            }
            None => {
                let message = format!("what answers at {url}/Users is no SCIM: correct the URL");
                self.failed(TestStep::Base, message)
            }
        }
    }

    async fn rights(&mut self, users: u64, first: Option<Value>) -> Result<(), Ended> {
        let has_id = |one: &Value| one.get("id").is_some_and(Value::is_string);
        if users > 0 && !first.as_ref().is_some_and(has_id) {
            let message = format!(
                "of {users} users, the first cannot be read with its id: without, nobody is known again after a change of name"
            );
            return self.failed(TestStep::Rights, message);
        }
        let groups = match self.service.get("/Groups?startIndex=1&count=1").await {
            Ok(groups) => groups,
            Err(failure) => return self.failed(TestStep::Rights, failure.message),
        };
        match (groups.status.as_u16(), list(&groups)) {
            (200, Some((groups, _))) => {
                self.step(TestStep::Rights, true, format!("{users} users and {groups} groups can be read"));
                Ok(())
            }
            (status, _) => self.failed(
                TestStep::Rights,
                format!(
                    "{users} users can be read, and groups cannot: the service answers with status {status}{}; give the token \
                     that right, or have the sync read people alone (its setting `kinds`)",
                    detail(&groups)
                ),
            ),
        }
    }
}

/// How many resources a list says that it has, and the first of them; none if it is no list.
fn list(answer: &Whole) -> Option<(u64, Option<Value>)> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let total = body.get("totalResults")?.as_u64()?;
    Some((total, body.get("Resources").and_then(|all| all.get(0)).cloned()))
}

/// What the service says of an error, as the end of a clause.
fn detail(answer: &Whole) -> String {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let detail =
        body.as_ref().and_then(|body| body.get("detail")).and_then(Value::as_str).unwrap_or_default();
    let detail: String = detail.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if detail.is_empty() { detail } else { format!(" ({detail:?})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_of_some_length_and_never_shown() {
        let name: Name = "scim-token".parse().unwrap();
        assert_eq!(read_token(&name, b"opensesame\n").unwrap().as_str(), "opensesame");
        for bad in [
            &b"short"[..],
            b"",
            b"open sesame",
            b"open\nsesame",
            b"open\xffsesame",
            "öffnedichsesam".as_bytes(),
        ] {
            let failure = read_token(&name, bad).unwrap_err();
            assert!(
                failure.message.contains("scim-token") && !failure.message.contains("sesam"),
                "{failure}"
            );
        }
    }
}
