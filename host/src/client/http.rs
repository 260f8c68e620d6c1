//! Requests and answers: one function sends, one place turns refusals into errors that say what to do.

use std::{io::BufReader, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use ureq::{
    Agent, Body, BodyReader, SendBody,
    http::{Method, Request, Response, header, request},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::outcome::{CliError, Result};

/// Talks to one server.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
}

/// A successful answer.
#[derive(Debug)]
pub struct Answer {
    /// The body as it came.
    pub text: String,
    /// For `If-Match`.
    pub etag: Option<String>,
}

/// `application/problem+json`, as far as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
}

/// What a request carries.
#[derive(Debug)]
pub enum Payload<'a> {
    /// Nothing.
    Nothing,
    /// JSON.
    Json(&'a Value),
    /// A plugin's package.
    Package(&'a [u8]),
}

/// Most bytes of an answer: the largest page of the largest list is far below.
const MAX_ANSWER: u64 = 256 << 20;
const CONNECT: Duration = Duration::from_secs(10);
/// The server compiles an uploaded plugin before it answers.
const ANSWER: Duration = Duration::from_secs(300);

impl Client {
    /// A client for the server at `base`.
    pub fn new(base: &str, token: Option<String>, ca: Option<&[u8]>) -> Result<Self> {
        let base = base.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            let message =
                format!("--url {base:?} is no address: write it as http://HOST:PORT or https://HOST:PORT");
            return Err(CliError::usage(message));
        }
        let mut tls = TlsConfig::builder();
        if let Some(pem) = ca {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(pem)?));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("syncline/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .tls_config(tls.build())
            .build();
        Ok(Self { agent: config.new_agent(), base, token })
    }

    /// Reads.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, Payload::Nothing, None)
    }

    /// Makes or starts something.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(Method::POST, path, Payload::Json(body), None)
    }

    /// Does something that needs no more words.
    pub fn post_empty(&self, path: &str) -> Result<Answer> {
        self.send(Method::POST, path, Payload::Nothing, None)
    }

    /// Uploads a plugin's package.
    pub fn post_package(&self, path: &str, package: &[u8]) -> Result<Answer> {
        self.send(Method::POST, path, Payload::Package(package), None)
    }

    /// Sets something; `etag` is that of what was read before.
    pub fn put(&self, path: &str, body: &Value, etag: Option<&str>) -> Result<Answer> {
        self.send(Method::PUT, path, Payload::Json(body), etag)
    }

    /// Changes a part; `etag` is that of what was read before.
    pub fn patch(&self, path: &str, body: &Value, etag: Option<&str>) -> Result<Answer> {
        self.send(Method::PATCH, path, Payload::Json(body), etag)
    }

    /// Removes.
    pub fn delete(&self, path: &str) -> Result<Answer> {
        self.send(Method::DELETE, path, Payload::Nothing, None)
    }

    /// Opens a stream of server-sent events that begins after event `after`.
    pub fn stream(&self, path: &str, after: Option<i64>) -> Result<BufReader<BodyReader<'static>>> {
        let mut request = self.request(Method::GET, path).header(header::ACCEPT, "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let response = self.run(request, SendBody::none())?;
        if !response.status().is_success() {
            return Err(refusal(response));
        }
        Ok(BufReader::new(response.into_body().into_reader()))
    }

    /// Opens an answer that is to be copied as it comes, in a form of its own, such as `text/csv`.
    pub fn open(&self, path: &str, body: Option<&Value>, form: &str) -> Result<BodyReader<'static>> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let request = self.request(method, path).header(header::ACCEPT, form);
        let response = match body {
            None => self.run(request, SendBody::none())?,
            Some(body) => {
                let request = request.header(header::CONTENT_TYPE, "application/json");
                self.run(request, ureq::AsSendBody::as_body(&mut body.to_string().as_str()))?
            }
        };
        if !response.status().is_success() {
            return Err(refusal(response));
        }
        Ok(response.into_body().into_reader())
    }

    fn send(&self, method: Method, path: &str, payload: Payload<'_>, etag: Option<&str>) -> Result<Answer> {
        let bodiless = matches!(method, Method::GET | Method::DELETE);
        let mut request = self.request(method, path).header(header::ACCEPT, "application/json");
        if let Some(etag) = etag {
            request = request.header(header::IF_MATCH, etag);
        }
        let text;
        let response = match payload {
            Payload::Nothing if bodiless => self.run(request, SendBody::none())?,
            Payload::Nothing => self.run(request, ureq::AsSendBody::as_body(&mut ""))?,
            Payload::Json(body) => {
                text = body.to_string();
                let request = request.header(header::CONTENT_TYPE, "application/json");
                self.run(request, ureq::AsSendBody::as_body(&mut text.as_str()))?
            }
            Payload::Package(mut bytes) => {
                let request = request.header(header::CONTENT_TYPE, "application/wasm");
                self.run(request, ureq::AsSendBody::as_body(&mut bytes))?
            }
        };
        if !response.status().is_success() {
            return Err(refusal(response));
        }
        let etag =
            response.headers().get(header::ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text =
            response.into_body().into_with_config().limit(MAX_ANSWER).read_to_string().map_err(|error| {
                CliError::unreachable(format!("the answer of {} broke off: {error}", self.base))
            })?;
        Ok(Answer { text, etag })
    }

    fn request(&self, method: Method, path: &str) -> request::Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    fn run(&self, request: request::Builder, body: SendBody<'_>) -> Result<Response<Body>> {
        let request = request
            .body(body)
            .map_err(|error| CliError::usage(format!("no request can be made to {}: {error}", self.base)))?;
        self.agent.run(request).map_err(|error| self.not_reached(&error))
    }

    fn not_reached(&self, error: &ureq::Error) -> CliError {
        let error = CliError::unreachable(format!("cannot reach {}: {error}", self.base));
        if self.base.starts_with("https://") {
            error.hint(
                "is the server running there, and is its certificate one that --ca or the system trusts?",
            )
        } else {
            error.hint("is the server running there? Give its address with --url or SYNCLINE_URL")
        }
    }
}

impl Answer {
    /// The answer as `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.text).map_err(|error| {
            CliError::failed(format!("the server's answer makes no sense to this client: {error}"))
                .hint("use a client of the server's version, or --json to see the answer as it is")
        })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>> {
    let bad = |why: String| CliError::usage(format!("--ca: {why}: give a file with certificates in PEM"));
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| bad(error.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(bad("no certificate is in it".to_owned())) } else { Ok(found) }
}

/// What the server says of why it does not do it, with what to do.
fn refusal(response: Response<Body>) -> CliError {
    let status = response.status();
    let text = response.into_body().into_with_config().limit(1 << 20).read_to_string().unwrap_or_default();
    let problem: Problem = serde_json::from_str(&text).unwrap_or_default();
    let message = [problem.detail, problem.title].into_iter().find(|text| !text.is_empty());
    let error = CliError::failed(crate::output::plain(
        &message.unwrap_or_else(|| format!("the server answered {status}")),
    ));
    match status.as_u16() {
        401 => error.hint(
            "give a token: --token-file FILE, or SYNCLINE_TOKEN_FILE or SYNCLINE_TOKEN in the environment",
        ),
        403 => error
            .hint("`syncline whoami` shows what this token allows; an administrator can make another one"),
        412 => error.hint("it was changed meanwhile: try again"),
        301..=308 => error.hint("this address leads elsewhere: give the server's own address with --url"),
        _ => error,
    }
}

/// A text as part of a path or query.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// `path` with a query of those parameters that have a value.
pub fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let query: Vec<String> = given.map(|(name, value)| format!("{name}={}", encode(value))).collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_carry_only_what_is_given_and_nothing_that_steers() {
        let path =
            with_query("/x", &[("a", Some("1&b=2/é".into())), ("c", None), ("d", Some(String::new()))]);
        assert_eq!(path, "/x?a=1%26b%3D2%2F%C3%A9&d=");
        assert_eq!(with_query("/x", &[("a", None)]), "/x");
    }

    #[test]
    fn an_address_without_scheme_is_refused_with_how_to_write_it() {
        let error = Client::new("localhost:7420", None, None).unwrap_err();
        assert!(error.message.contains("http://HOST:PORT"), "{error}");
    }

    #[test]
    fn certificates_must_be_there() {
        let error = Client::new("https://a", None, Some(b"nothing of the kind")).unwrap_err();
        assert!(error.message.contains("no certificate"), "{error}");
    }
}
