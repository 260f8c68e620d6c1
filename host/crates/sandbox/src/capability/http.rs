//! `http`: asking the web sources that an administrator granted. What connects, and puts secrets into requests, is a
//! [`WebConnector`] of the host's; what a plugin may ask for is decided in [`requests`].

mod requests;

use std::{collections::HashMap, sync::Arc};

use syncline_domain::{Failure, Name, plugin::Capability};
use url::Url;

use super::{Label, Refusal, labels, not_granted, stores};
use crate::{
    bindings::directory_sync::syncline::plugin::http::{Host, Request, Response, Source},
    call::{Call, grants},
    host::WebConnector,
    text::visible,
};

pub(crate) use self::requests::is_power;

/// The interface, as grants call it.
pub(crate) const INTERFACE: &str = "http";
/// Requests without a good answer that are kept. A plugin that has more of them does not read anything whole any more.
const KEPT: usize = 1_024;
/// Bytes of a URL in a message.
const SHOWN: usize = 300;

/// A web source that a sync binds.
#[derive(Clone)]
pub struct BoundWeb {
    /// What an administrator calls it.
    pub name: Name,
    /// What all requests are at or below.
    pub url: Url,
    /// What it is, for the plugin: names and values.
    pub labels: Vec<Label>,
    /// Names of the secrets that requests to it may carry.
    pub secrets: Vec<String>,
    /// Asks it.
    pub connector: Arc<dyn WebConnector>,
}

/// The web sources of this call, and what became of what they were asked.
#[derive(Default)]
pub(crate) struct HttpContext {
    granted: bool,
    sources: Vec<BoundWeb>,
    /// Powers of the grants that cover a source, by its name.
    powers: HashMap<Name, Vec<String>>,
    /// Requests whose latest answer says that something was not read, with why.
    unread: HashMap<(String, String), String>,
    too_many: bool,
}

impl HttpContext {
    /// Of what a sync binds, what `allowed` covers.
    pub(crate) fn new(mut sources: Vec<BoundWeb>, allowed: &[Capability]) -> Self {
        let grants = grants(allowed, INTERFACE);
        let granted = grants.clone().next().is_some();
        let mut powers: HashMap<Name, Vec<String>> = HashMap::new();
        sources.retain(|source| {
            let mut covering = grants.clone().filter(|grant| stores::names(grant, &source.name)).peekable();
            let covered = covering.peek().is_some();
            powers
                .entry(source.name.clone())
                .or_default()
                .extend(covering.flat_map(|grant| grant.allow.iter().cloned()));
            covered
        });
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        for source in &mut sources {
            source.labels.sort();
        }
        Self { granted, sources, powers, ..Self::default() }
    }

    /// What says that not all was read: a request whose latest answer was none, or that the server could not or would not
    /// answer now. That something is not there, or that the server does not know the question, is an answer.
    pub(crate) fn incomplete(&self) -> Option<String> {
        if self.too_many {
            return Some(format!("more than {KEPT} requests had no good answer"));
        }
        let mut all: Vec<_> = self.unread.iter().collect();
        all.sort();
        let ((method, url), why) = all.first()?;
        let more = match all.len() {
            1 => String::new(),
            some => format!("; and {} more requests", some - 1),
        };
        Some(format!("{method} {} {why}{more}", visible(url, SHOWN)))
    }

    /// The source of this name, whether or not there is such a source elsewhere.
    fn bound(&self, name: &str) -> Result<&BoundWeb, Failure> {
        if !self.granted {
            return Err(not_granted(INTERFACE));
        }
        self.sources.iter().find(|source| source.name.as_str() == name).ok_or_else(|| {
            let name: String = name.chars().take(Name::MAX).collect();
            Failure::denied(
                "not-granted",
                format!(
                    "{name:?} is not among the web sources that this sync gives to the plugin: an operator can bind it, and an \
                     administrator can widen the grant of `http`"
                ),
            )
        })
    }

    fn note(&mut self, request: (String, String), why: Option<String>) {
        match why {
            None => drop(self.unread.remove(&request)),
            Some(_) if self.unread.len() >= KEPT && !self.unread.contains_key(&request) => {
                self.too_many = true;
            }
            Some(why) => drop(self.unread.insert(request, why)),
        }
    }
}

/// Why an answer of this status says that something was not read.
fn unread(status: u16) -> Option<String> {
    let is = match status {
        401 | 403 | 407 | 408 | 425 | 429 => true,
        // Not implemented: the server does not know the question.
        501 => false,
        status => status >= 500,
    };
    is.then(|| format!("was answered with status {status}"))
}

impl Host for Call {
    async fn sources(&mut self) -> wasmtime::Result<Vec<Source>> {
        self.begin()?;
        let source = |source: &BoundWeb| Source {
            name: source.name.as_str().to_owned(),
            url: source.url.as_str().trim_end_matches('/').to_owned(),
            labels: labels(&source.labels),
            secrets: source.secrets.clone(),
        };
        Ok(self.http.sources.iter().map(source).collect())
    }

    async fn send(&mut self, request: Request) -> Result<Response, Refusal> {
        self.begin()?;
        let source = self.http.bound(&request.source)?;
        let powers = self.http.powers.get(&source.name).map(Vec::as_slice).unwrap_or_default();
        let connector = Arc::clone(&source.connector);
        let request = requests::vet(request, source, powers)?;
        self.carry(request.max_bytes)?;
        let key = (request.method.clone(), request.url.to_string());
        let outcome = connector.send(request).await;
        let why = match &outcome {
            Ok(answer) => unread(answer.status),
            Err(failure) => Some(format!("was not answered: {failure}")),
        };
        self.http.note(key, why);
        let answer = outcome?;
        let headers: usize = answer.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.carry(answer.body.len() + headers)?;
        Ok(Response {
            status: answer.status,
            url: answer.url,
            headers: labels(&answer.headers),
            body: answer.body,
        })
    }
}
