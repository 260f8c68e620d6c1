//! What went wrong, in an administrator's words.

use std::{error::Error, io, net::IpAddr};

use rustls::CertificateError;
use syncline_domain::{Failure, FailureKind, Fault, origin::Origin};
use url::Url;

use crate::{request::shown, resolver::Nowhere};

/// Nothing came back.
pub(crate) fn of(url: &Url, error: &reqwest::Error) -> Failure {
    let server = server(url);
    if let Some(nowhere) = find::<Nowhere>(error) {
        return match nowhere {
            Nowhere::Refused(ip, why) => address(url, *ip, why),
            Nowhere::Unresolved(why) => Failure::unavailable(
                "resolve",
                format!("{server} has no address: {why}; check the name, and this machine's DNS"),
            ),
        };
    }
    if let Some(error) = find::<rustls::Error>(error) {
        return tls(&server, error);
    }
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => Failure::unavailable(
            "connect",
            format!("{server} cannot be connected to in time: check the port, and what stands between"),
        ),
        // Before the first byte of an answer and after that of the greeting: the server hung up on TLS.
        (true, false) if url.scheme() == "https" && ended(error) => Failure::unavailable(
            "tls",
            format!("{server} closed the connection when TLS began: is the port one with TLS?"),
        ),
        (true, false) => Failure::unavailable(
            "connect",
            format!(
                "nothing answers at {server} ({}): check the port, whether the server runs, and what stands between",
                deepest(error)
            ),
        ),
        (false, true) => late(url, "no answer in time"),
        (false, false) => cut(url, error),
    }
}

/// The connection broke, or what came is no HTTP.
pub(crate) fn cut(url: &Url, error: &reqwest::Error) -> Failure {
    Failure::unavailable("closed", format!("the answer of {} broke off: {}", shown(url), deepest(error)))
}

/// It took too long. `what` says what.
pub(crate) fn late(url: &Url, what: &str) -> Failure {
    Failure::unavailable("timeout", format!("{}: {what}", shown(url)))
}

/// A redirect that is not followed.
pub(crate) fn redirect(url: &Url, why: &str) -> Failure {
    Failure::denied("redirect", format!("{}: {why}", shown(url)))
}

/// An address that nothing is connected to at.
pub(crate) fn address(url: &Url, ip: IpAddr, why: &str) -> Failure {
    let message = format!(
        "{} has the address {ip}, which is {why}: nothing is ever connected to there; correct the name, or what DNS says of it",
        server(url)
    );
    Failure::denied("address", message)
}

/// An error with all that led to it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

fn tls(server: &str, error: &rustls::Error) -> Failure {
    let untrusted = |fault, why: String| {
        Failure::new(FailureKind::Denied, fault, "certificate", format!("{server} is not trusted: {why}"))
    };
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => untrusted(
                Fault::Settings,
                "no authority that is trusted here has issued its certificate: add that authority to \
                 certificate_authorities"
                    .to_owned(),
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => untrusted(
                Fault::Settings,
                format!(
                    "its certificate is for another name ({error}): name the server as its certificate does, or have one \
                     issued for that name"
                ),
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                untrusted(Fault::Remote, "its certificate has expired: renew it on the server".to_owned())
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => untrusted(
                Fault::Remote,
                "its certificate is not valid yet: check the clocks of both machines, or wait".to_owned(),
            ),
            CertificateError::Other(other) if other.0.to_string().contains("CaUsedAsEndEntity") => untrusted(
                Fault::Remote,
                "its certificate is an authority's own: have that authority issue one for the server"
                    .to_owned(),
            ),
            other => {
                untrusted(Fault::Remote, format!("{other}: have another certificate issued for the server"))
            }
        },
        rustls::Error::InvalidMessage(_) => {
            Failure::unavailable("tls", format!("what answers at {server} is no TLS: check the port"))
        }
        rustls::Error::AlertReceived(alert) => Failure::unavailable(
            "tls",
            format!("{server} ended TLS: it says {alert:?}; allow TLS 1.2 or 1.3 there, and see its log"),
        ),
        error => Failure::unavailable("tls", format!("TLS with {server} does not come about: {error}")),
    }
}

fn server(url: &Url) -> String {
    Origin::of(url).map_or_else(|_| "the server".to_owned(), |origin| origin.to_string())
}

/// Whether the other side hung up.
fn ended(error: &reqwest::Error) -> bool {
    find::<io::Error>(error).is_some_and(|error| {
        matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
    })
}

/// What an error comes from in the end.
fn deepest(error: &reqwest::Error) -> String {
    let mut last: &dyn Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// The error of this type among those that led to `error`.
fn find<T: Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // An error of input and output leaves out the one that it was made of.
        let made_of = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match made_of {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
