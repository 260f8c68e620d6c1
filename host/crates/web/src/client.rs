//! One exchange: the first request, and where redirects lead.

use std::time::Duration;

use reqwest::{
    Method, Response, StatusCode,
    header::{ACCEPT_ENCODING, HeaderValue, LOCATION},
    redirect, retry,
};
use syncline_domain::{Failure, FailureKind, Fault, address, origin::Origin};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use crate::{
    answer::{Answer, Whole},
    problem,
    request::{Request, shown},
    resolver::Resolver,
    trust,
};

/// Most redirects of an exchange.
const REDIRECTS: usize = 5;
/// What servers see of us.
const AGENT: &str = concat!("syncline/", env!("CARGO_PKG_VERSION"));
/// How long a connection waits for its next request.
const IDLE: Duration = Duration::from_secs(30);

/// Whom a client speaks with.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Servers that may be asked and that redirects may lead to. Without TLS only where one of them says so (`http`).
    pub origins: Vec<Origin>,
    /// Authorities in PEM that are trusted, and nobody else; those of the system if absent.
    pub certificate_authorities: Option<String>,
    /// For a connection: name, route and TLS together.
    pub connect_timeout: Duration,
}

/// Speaks HTTP with some origins. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    origins: Vec<Origin>,
}

impl Client {
    /// Sets it up. Reads the authorities of the system from files where none are given.
    ///
    /// Fails with kind `invalid` and code `certificate-authorities`.
    pub fn new(terms: Terms) -> Result<Self, Failure> {
        let built = reqwest::Client::builder()
            .tls_backend_preconfigured(trust::tls(terms.certificate_authorities.as_deref())?)
            .dns_resolver(Resolver)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .http1_only()
            .user_agent(AGENT)
            .connect_timeout(terms.connect_timeout)
            .pool_idle_timeout(IDLE)
            .build();
        let http = built.map_err(|error| {
            Failure::host("http", format!("HTTP cannot be set up: {}", problem::chain(&error)))
        })?;
        Ok(Self { http, origins: terms.origins })
    }

    /// Sends a request and takes the whole answer, of at most `most` bytes, within `time` for all of it.
    pub async fn send(&self, request: &Request, time: Duration, most: u64) -> Result<Whole, Failure> {
        let until = Instant::now() + time;
        let late = |url: &Url| problem::late(url, &format!("the answer did not end within {time:?}"));
        let answer = self.exchange(request, until, time).await?;
        let url = answer.url.clone();
        timeout_at(until, answer.whole(most)).await.map_err(|_| late(&url))?
    }

    /// Sends a request and waits `patience` for the answer to begin, redirects included; and as long for each piece of its
    /// body, however large that is.
    pub async fn open(&self, request: &Request, patience: Duration) -> Result<Answer, Failure> {
        self.exchange(request, Instant::now() + patience, patience).await
    }

    async fn exchange(
        &self,
        request: &Request,
        until: Instant,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let mut url = request.url.clone();
        let home = self.vet(&url).map_err(|foreign| foreign.asked())?;
        let mut at_home = true;
        for _ in 0..=REDIRECTS {
            let hop = self.hop(request, &url, at_home);
            let response = timeout_at(until, hop).await.unwrap_or_else(|_| {
                Err(problem::late(&url, &format!("no answer began within {patience:?}")))
            })?;
            let Some(next) = target(&url, &response)? else {
                return Ok(Answer::new(url, response, patience));
            };
            if !matches!(request.method, Method::GET | Method::HEAD) {
                return Err(problem::redirect(
                    &url,
                    &format!(
                        "a {} is redirected to {}, and only GET and HEAD are followed",
                        request.method,
                        shown(&next)
                    ),
                ));
            }
            let origin = self.vet(&next).map_err(|foreign| foreign.led_from(&url))?;
            at_home = at_home && origin == home;
            url = next;
        }
        Err(problem::redirect(&url, &format!("more than {REDIRECTS} redirects follow each other")))
    }

    async fn hop(&self, request: &Request, url: &Url, at_home: bool) -> Result<Response, Failure> {
        let mut headers = request.headers_for(at_home);
        // A length is one of what is received, and a part is one of the file itself.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut sent = self.http.request(request.method.clone(), url.clone()).headers(headers);
        if let Some(body) = &request.body {
            sent = sent.body(body.clone());
        }
        sent.send().await.map_err(|error| problem::of(url, &error))
    }

    /// The origin of a URL that may be asked, as far as can be told before its name is resolved.
    fn vet(&self, url: &Url) -> Result<Origin, Foreign> {
        let origin = Origin::of(url).map_err(|bad| Foreign::Origin(bad.to_string()))?;
        if !self.origins.contains(&origin) {
            let mut names: Vec<String> = self.origins.iter().take(10).map(ToString::to_string).collect();
            names.sort();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Foreign::Origin(format!("{origin} is not among the allowed origins ({names})")));
        }
        // Names are vetted once they are resolved; an address is not resolved.
        let ip = match origin.host() {
            Host::Ipv4(ip) => (*ip).into(),
            Host::Ipv6(ip) => (*ip).into(),
            Host::Domain(_) => return Ok(origin),
        };
        match address::refusal(ip) {
            None => Ok(origin),
            Some(why) => Err(Foreign::Address(problem::address(url, ip, why))),
        }
    }
}

/// Why a URL is not asked.
enum Foreign {
    Origin(String),
    Address(Failure),
}

impl Foreign {
    fn asked(self) -> Failure {
        match self {
            Self::Origin(why) => {
                Failure::denied("origin", format!("{why}: allow it, or correct the address"))
            }
            Self::Address(failure) => failure,
        }
    }

    fn led_from(self, url: &Url) -> Failure {
        match self {
            Self::Origin(why) => problem::redirect(url, &format!("a redirect leads elsewhere: {why}")),
            Self::Address(failure) => failure,
        }
    }
}

/// Where a redirect leads; none if the response is none.
fn target(url: &Url, response: &Response) -> Result<Option<Url>, Failure> {
    let leads = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let Some(location) = response.headers().get(LOCATION).filter(|_| leads) else { return Ok(None) };
    let next = location.to_str().ok().and_then(|text| url.join(text).ok());
    let mut next = next.ok_or_else(|| {
        let message = format!("{} redirects to what is no URL", shown(url));
        Failure::new(FailureKind::Denied, Fault::Remote, "redirect", message)
    })?;
    next.set_fragment(None);
    Ok(Some(next))
}
