//! What a service is asked, page by page, and when an answer is none.

use std::{collections::HashSet, fmt::Write as _, time::Duration};

use serde_json::{Map, Value};
use syncline_plugin::{Failure, FailureKind, Fault, Result};

use crate::path::member;

/// Asks for what is at a path below the service's address.
pub trait Ask {
    /// One answer, whatever its status.
    ///
    /// # Errors
    ///
    /// Those of the host.
    fn get(&mut self, path: &str) -> Result<Answer>;
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// The service's clock, as in the header of this name.
    pub date: Option<String>,
    /// The header of this name.
    pub retry_after: Option<String>,
    /// JSON, if all is well.
    pub body: Vec<u8>,
}

/// Times that a list is begun anew because it changed while it was read.
const TRIES: u32 = 3;
/// Bytes of what a service says in a message.
const SHOWN: usize = 300;
/// Seconds that a service can make a run wait.
const LONGEST_WAIT: u64 = 24 * 3_600;

/// A list of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Users,
    Groups,
}

impl List {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Users => "/Users",
            Self::Groups => "/Groups",
        }
    }
}

/// A resource, as far as lists are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) version: Option<String>,
    pub(crate) modified: Option<String>,
}

pub(crate) type Resource = Map<String, Value>;
/// Takes a resource, its place in the list from 1, and how many there are.
pub(crate) type Each<'a> = dyn FnMut(&Resource, u64, u64) -> Result<()> + 'a;

/// A service, and how it is asked.
pub(crate) struct Service<'a> {
    ask: &'a mut dyn Ask,
    page_size: u32,
    /// The service's clock at its first answer.
    pub(crate) began: Option<String>,
}

impl<'a> Service<'a> {
    pub(crate) fn new(ask: &'a mut dyn Ask, page_size: u32) -> Self {
        Self { ask, page_size: page_size.clamp(1, 1_000), began: None }
    }

    /// Whether the service says that it filters. One that says nothing of itself does not say so.
    pub(crate) fn filters(&mut self) -> Result<bool> {
        const PATH: &str = "/ServiceProviderConfig";
        let answer = self.get(PATH)?;
        if matches!(answer.status, 404 | 405 | 501) {
            return Ok(false);
        }
        let config = read(PATH, &answer)?;
        let supported = member(&config, "filter").and_then(|filter| filter.get("supported"));
        Ok(supported.and_then(Value::as_bool).unwrap_or(false))
    }

    /// Reads a list to its end. What changes while it is read is read again from its beginning, so `each` can be given a
    /// resource twice.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being whole: `changed` if it does not stand still, `invalid` with code `total` if the service
    /// gives other than it says, those of [`read`].
    pub(crate) fn list(
        &mut self,
        list: List,
        filter: &str,
        attributes: &str,
        each: &mut Each<'_>,
    ) -> Result<Vec<Listed>> {
        for _ in 0..TRIES {
            if let Some(all) = self.pass(list, filter, attributes, each)? {
                return Ok(all);
            }
        }
        let path = list.path();
        Err(Failure::changed(format!("{path} changed each time that it was read: {TRIES} times in a row")))
    }

    /// One time through a list; none if it changed meanwhile.
    fn pass(
        &mut self,
        list: List,
        filter: &str,
        attributes: &str,
        each: &mut Each<'_>,
    ) -> Result<Option<Vec<Listed>>> {
        let (mut all, mut seen, mut expected) = (Vec::new(), HashSet::new(), None);
        loop {
            let page = self.page(list, filter, attributes, all.len() as u64 + 1)?;
            let total = *expected.get_or_insert(page.total);
            if total != page.total {
                return Ok(None);
            }
            if page.resources.is_empty() {
                return if all.len() as u64 == total {
                    Ok(Some(all))
                } else {
                    Err(short(list, total, all.len()))
                };
            }
            for resource in page.resources {
                let Value::Object(resource) = resource else {
                    return Err(nonsense(list.path(), "one of its resources is no object"));
                };
                let listed = listed(&resource);
                // Whatever moves the pages brings one twice, and so leaves out another.
                if !listed.id.is_empty() && !seen.insert(listed.id.clone()) {
                    return Ok(None);
                }
                all.push(listed);
                if all.len() as u64 > total {
                    return Err(short(list, total, all.len()));
                }
                each(&resource, all.len() as u64, total)?;
            }
            if all.len() as u64 == total {
                return Ok(Some(all));
            }
        }
    }

    /// One page. Where it is larger than the host takes, a smaller one is asked for from then on.
    fn page(&mut self, list: List, filter: &str, attributes: &str, from: u64) -> Result<Page> {
        loop {
            let mut path = format!("{}?startIndex={from}&count={}", list.path(), self.page_size);
            for (name, value) in [("filter", filter), ("attributes", attributes)] {
                if !value.is_empty() {
                    path.push_str(&format!("&{name}={}", encoded(value)));
                }
            }
            match self.get(&path) {
                Ok(answer) => return page(list.path(), &answer),
                Err(failure) if failure.code() == "body-size" && self.page_size > 1 => self.page_size /= 2,
                Err(failure) => return Err(failure),
            }
        }
    }

    fn get(&mut self, path: &str) -> Result<Answer> {
        let answer = self.ask.get(path)?;
        if self.began.is_none() {
            self.began.clone_from(&answer.date);
        }
        Ok(answer)
    }
}

struct Page {
    total: u64,
    resources: Vec<Value>,
}

fn page(path: &str, answer: &Answer) -> Result<Page> {
    let mut body = read(path, answer)?;
    let total = member(&body, "totalResults").and_then(Value::as_u64);
    let total = total.ok_or_else(|| nonsense(path, "the list has no number as its totalResults"))?;
    let name = body.keys().find(|name| name.eq_ignore_ascii_case("Resources")).cloned();
    let resources = match name.and_then(|name| body.remove(&name)) {
        // A list of nothing may leave it out.
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(resources)) => resources,
        Some(_) => return Err(nonsense(path, "the Resources of the list are no array")),
    };
    Ok(Page { total, resources })
}

fn listed(resource: &Resource) -> Listed {
    let text =
        |object: &Resource, name: &str| member(object, name).and_then(Value::as_str).map(str::to_owned);
    let meta = member(resource, "meta").and_then(Value::as_object);
    Listed {
        id: text(resource, "id").unwrap_or_default(),
        version: meta.and_then(|meta| text(meta, "version")),
        modified: meta.and_then(|meta| text(meta, "lastModified")),
    }
}

/// The object in an answer that is one.
///
/// # Errors
///
/// `denied` with code `credentials` or `rights`, `unavailable` with code `busy` or `server`, `not-found` with code `base`,
/// `invalid` with code `refused` or `protocol`.
fn read(path: &str, answer: &Answer) -> Result<Resource> {
    let path = path.split('?').next().unwrap_or(path);
    let says = detail(&answer.body);
    let denied = |code: &str, message: String| {
        Failure::new(FailureKind::Denied, Fault::Settings, message).with_code(code)
    };
    match answer.status {
        200 => {}
        401 => {
            let message =
                format!("the service does not accept the token{says}: set the secret of the source anew");
            return Err(denied("credentials", message));
        }
        403 => {
            let message =
                format!("the token may not read {path}{says}: give it the right to read users and groups");
            return Err(denied("rights", message));
        }
        404 => {
            let message = format!(
                "there is no {path} at the address of the source{says}: it ends where /Users and /Groups begin, as in \
                 https://host/scim/v2"
            );
            return Err(Failure::not_found(message).with_code("base"));
        }
        429 => {
            let failure =
                Failure::unavailable(format!("the service is asked too often{says}")).with_code("busy");
            return Err(wait(failure, answer));
        }
        status @ 500.. => {
            let message = format!("the service answers {path} with status {status}{says}");
            return Err(wait(Failure::unavailable(message).with_code("server"), answer));
        }
        status => {
            let message = format!("the service answers {path} with status {status}{says}");
            return Err(Failure::invalid(message).with_code("refused"));
        }
    }
    match serde_json::from_slice(&answer.body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(nonsense(path, "the answer is no object")),
        Err(error) => Err(nonsense(path, &format!("the answer is no JSON ({error})"))),
    }
}

/// What the service says of an error, as the end of a clause.
fn detail(body: &[u8]) -> String {
    let error: Option<Resource> = serde_json::from_slice(body).ok();
    let detail = error.as_ref().and_then(|error| member(error, "detail")).and_then(Value::as_str);
    let Some(detail) = detail.filter(|detail| !detail.is_empty()) else { return String::new() };
    let cut = &detail[..detail.floor_char_boundary(SHOWN)];
    format!(" ({cut:?})")
}

fn wait(failure: Failure, answer: &Answer) -> Failure {
    let seconds = answer.retry_after.as_deref().and_then(|text| text.trim().parse::<u64>().ok());
    match seconds {
        Some(seconds) => failure.retry_after(Duration::from_secs(seconds.min(LONGEST_WAIT))),
        None => failure,
    }
}

fn nonsense(path: &str, why: &str) -> Failure {
    let path = path.split('?').next().unwrap_or(path);
    let message = format!("what answers to {path} is no SCIM: {why}; check the address of the source");
    Failure::invalid(message).with_code("protocol")
}

fn short(list: List, total: u64, got: usize) -> Failure {
    let path = list.path();
    let message =
        format!("the service says that {path} has {total} resources, and gives {got}: look into its log");
    Failure::invalid(message).with_code("total")
}

/// For a query.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            other => {
                let _infallible = write!(out, "%{other:02X}");
            }
        }
    }
    out
}
