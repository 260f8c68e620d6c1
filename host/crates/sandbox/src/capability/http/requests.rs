//! What a plugin may ask a web source for.

use std::{ops::RangeInclusive, time::Duration};

use syncline_domain::Failure;
use url::Url;

use super::BoundWeb;
use crate::{
    bindings::directory_sync::syncline::plugin::{http::Request, types::Label},
    host::{WebRequest, WebSecret},
    text::visible,
};

/// Milliseconds of an exchange.
const TIMEOUT: RangeInclusive<u32> = 1..=120_000;
/// Most bytes of an answer.
const MOST_BYTES: u32 = 7 << 20;
/// Most bytes of a body that is sent.
const MOST_SENT: usize = 1 << 20;
/// Most headers, and bytes of them.
const MOST_HEADERS: (usize, usize) = (100, 64 << 10);
/// Most bytes of a URL.
const MOST_URL: usize = 16 << 10;
/// Bytes of what a plugin gave, in a message.
const SHOWN: usize = 200;

/// Headers that decide where a message goes, how long it is, or how it is read. They are the host's.
const HOSTS: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Whether a power of `http` can be asked for and granted: a method other than GET and HEAD, and the one path below a source's
/// URL that it is for, such as `POST /.search`.
pub(crate) fn is_power(power: &str) -> bool {
    let Some((method, path)) = power.split_once(' ') else { return false };
    let is_method =
        !method.is_empty() && method.len() <= 16 && method.bytes().all(|b| b.is_ascii_uppercase());
    // These make a server connect elsewhere, or repeat what it was sent.
    let harmful = ["CONNECT", "TRACE", "GET", "HEAD"].contains(&method);
    let is_path = path.starts_with('/') && !path.contains(['?', '#', '%', ' ']) && !path.contains("..");
    is_method && !harmful && is_path
}

/// What is asked of a source that the plugin was granted, with these powers. Errors are the plugin's to hear.
pub(super) fn vet(request: Request, source: &BoundWeb, powers: &[String]) -> Result<WebRequest, Failure> {
    let Request { source: _, method, url, headers, secrets, body, timeout, max_bytes } = request;
    let (url, path) = below(&url, source)?;
    may_ask(&method, &path, source, powers)?;
    sizes(&headers, secrets.len(), body.as_deref())?;
    if !TIMEOUT.contains(&timeout) {
        let message =
            format!("asked for a timeout of {timeout} ms: use {} to {}", TIMEOUT.start(), TIMEOUT.end());
        return Err(Failure::plugin("timeout", message));
    }
    if max_bytes > MOST_BYTES {
        let message = format!("asked for an answer of up to {max_bytes} bytes: use up to {MOST_BYTES}");
        return Err(Failure::plugin("max-bytes", message));
    }
    let secrets = secrets
        .into_iter()
        .map(|secret| {
            header(&secret.header, &secret.prefix)?;
            if !source.secrets.contains(&secret.secret) {
                let message = format!(
                    "the plugin asked for the secret {} to be sent to {}, which has no such secret: an administrator names \
                     it in the source",
                    visible(&secret.secret, SHOWN),
                    source.name
                );
                return Err(Failure::denied("secret", message));
            }
            let (header, prefix, secret) = (secret.header, secret.prefix, secret.secret);
            Ok(WebSecret { header, prefix, secret })
        })
        .collect::<Result<_, _>>()?;
    let headers = headers
        .into_iter()
        .map(|Label { name, value }| header(&name, &value).map(|()| (name, value)))
        .collect::<Result<_, _>>()?;
    Ok(WebRequest {
        method,
        url,
        headers,
        secrets,
        body,
        timeout: Duration::from_millis(timeout.into()),
        max_bytes: max_bytes as usize,
    })
}

/// A URL at or below the source's, and the path from there on.
fn below(text: &str, source: &BoundWeb) -> Result<(Url, String), Failure> {
    let shown = visible(text.split(['?', '#']).next().unwrap_or_default(), SHOWN);
    let bad = |why: &str| Failure::plugin("url", format!("the plugin asked for {shown}: {why}"));
    if text.len() > MOST_URL {
        return Err(bad(&format!("a URL has at most {MOST_URL} bytes")));
    }
    let url = Url::parse(text).map_err(|_| bad("this is no absolute URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::plugin("url", "the plugin asked for a URL with a user or a password in it"));
    }
    if url.fragment().is_some() {
        return Err(bad("leave out what follows the #"));
    }
    let base = source.url.path().trim_end_matches('/');
    let rest = url.path().strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    // Some servers take these for a step up, after they were taken for a name here.
    let steps = url.path().to_ascii_lowercase();
    let climbs = ["%2e", "%2f", "%5c"].iter().any(|one| steps.contains(one));
    match rest {
        Some(rest) if url.origin() == source.url.origin() && !climbs => {
            let rest = rest.to_owned();
            Ok((url, rest))
        }
        _ => {
            let message = format!(
                "the plugin asked for {shown}, which is not below {}, the address of the source {}",
                source.url, source.name
            );
            Err(Failure::denied("origin", message))
        }
    }
}

fn may_ask(method: &str, path: &str, source: &BoundWeb, powers: &[String]) -> Result<(), Failure> {
    if ["GET", "HEAD"].contains(&method) {
        return Ok(());
    }
    let power = format!("{method} {path}");
    if is_power(&power) && powers.contains(&power) {
        return Ok(());
    }
    let message = format!(
        "the plugin asked for {} at the source {}, and may use GET and HEAD alone: its manifest has to want \
         that method and path of `http`, and an administrator to grant it",
        visible(&power, SHOWN),
        source.name
    );
    Err(Failure::denied("method", message))
}

fn sizes(headers: &[Label], secrets: usize, body: Option<&[u8]>) -> Result<(), Failure> {
    let bytes: usize = headers.iter().map(|one| one.name.len() + one.value.len()).sum();
    let (most, most_bytes) = MOST_HEADERS;
    if headers.len() + secrets > most || bytes > most_bytes {
        let message =
            format!("{} headers of {bytes} bytes: send at most {most} of {most_bytes}", headers.len());
        return Err(Failure::plugin_limit("request-size", message));
    }
    match body {
        Some(body) if body.len() > MOST_SENT => {
            let message = format!("a body of {} bytes: send at most {MOST_SENT}", body.len());
            Err(Failure::plugin_limit("request-size", message))
        }
        _ => Ok(()),
    }
}

/// A header that a plugin may set.
fn header(name: &str, value: &str) -> Result<(), Failure> {
    let bad = |why: &str| {
        let message = format!("the plugin set the header {}: {why}", visible(name, SHOWN));
        Err(Failure::plugin("header", message))
    };
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return bad("this is no name of a header");
    }
    let lower = name.to_ascii_lowercase();
    if HOSTS.contains(&lower.as_str()) || lower.starts_with("proxy-") || lower.starts_with("x-forwarded-") {
        return bad("that one is the host's");
    }
    if value.bytes().any(|b| b != b'\t' && !(0x20..0x7f).contains(&b)) {
        return bad("its value has to be printable ASCII");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_names_a_method_and_one_path() {
        for good in ["POST /.search", "POST /Users/.search", "PATCH /x"] {
            assert!(is_power(good), "{good}");
        }
        for bad in [
            "",
            "POST",
            "POST ",
            "post /a",
            "GET /a",
            "CONNECT /a",
            "TRACE /",
            "POST a",
            "POST /a?b",
            "POST /../a",
            "POST  /a",
            "POST /%2e",
            "* /a",
        ] {
            assert!(!is_power(bad), "{bad}");
        }
    }
}
