//! The server that a collection comes from: its manifest, and its files from any byte on.

use std::time::Duration;

use syncline_domain::{
    Failure, FailureKind, Fault,
    origin::Origin,
    refresh::{FileManifest, HttpSource, ListedFile},
};
use syncline_web::{Answer, Client, HeaderMap, HeaderValue, Request, StatusCode, Terms, header};
use url::Url;

use crate::{Engine, Error, Result};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(15);
/// How long an answer, and each piece of it, may be waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the manifest may take as a whole.
const MANIFEST: Duration = Duration::from_secs(300);

/// A source, ready to be asked.
#[derive(Clone)]
pub(super) struct Mirror {
    client: Client,
    manifest: Url,
    authorization: Option<HeaderValue>,
}

/// The body of a file, from `first` on.
pub(super) struct Body {
    pub answer: Answer,
    /// The first byte that comes.
    pub first: u64,
    /// Tells this file from another one of its name, if the server says it.
    pub etag: Option<HeaderValue>,
}

impl Engine {
    /// Whether an HTTP source can be asked at all: its URL, its secret and its authorities.
    pub(crate) async fn check_http_source(&self, source: &HttpSource) -> Result<()> {
        self.mirror(source).await.map(drop).map_err(|error| match error {
            Error::Failed(failure) => Error::invalid("collection-source", failure.message),
            other => other,
        })
    }

    pub(super) async fn mirror(&self, source: &HttpSource) -> Result<Mirror> {
        let manifest: Url = source.url.parse().map_err(|error| {
            Failure::settings("url", format!("the URL of the source cannot be read: {error}"))
        })?;
        let origin = Origin::of(&manifest).map_err(|error| Failure::settings("url", error.to_string()))?;
        let authorization = match &source.secret {
            None => None,
            Some(secret) => {
                let value = self.db().secret_value(secret).await.map_err(|error| match error {
                    syncline_store::Error::NotFound { name, .. } => Error::Failed(Failure::settings(
                        "secret",
                        format!("there is no secret {name:?}: set it, or name another one in the source"),
                    )),
                    other => other.into(),
                })?;
                Some(authorization(source.user.as_deref(), &value)?)
            }
        };
        let terms = Terms {
            origins: vec![origin],
            certificate_authorities: source.certificate_authorities.clone(),
            connect_timeout: CONNECT,
        };
        // Authorities of the system are read from their files.
        let client = crate::places::blocking(move || Client::new(terms)).await?;
        Ok(Mirror { client, manifest, authorization })
    }
}

/// A secret as a header; it is in no error.
fn authorization(user: Option<&str>, secret: &[u8]) -> std::result::Result<HeaderValue, Failure> {
    use base64::Engine as _;
    let bad = || {
        let message =
            "the secret of the source cannot be sent in a header: it has line breaks or control characters";
        Failure::settings("secret", message)
    };
    let text = match user {
        Some(user) => {
            let both = [user.as_bytes(), b":", secret].concat();
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(both)).into_bytes()
        }
        None => [b"Bearer ".as_slice(), secret].concat(),
    };
    HeaderValue::from_bytes(&text).map_err(|_| bad())
}

impl Mirror {
    fn request(&self, url: Url) -> Request {
        let request = Request::get(url);
        match &self.authorization {
            Some(value) => request.secret(header::AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    /// What the source has.
    pub async fn manifest(&self) -> std::result::Result<FileManifest, Failure> {
        let request = self.request(self.manifest.clone());
        let whole = self.client.send(&request, MANIFEST, FileManifest::MAX_BYTES).await?;
        if whole.status != StatusCode::OK {
            return Err(refused("the manifest", whole.status, &whole.headers));
        }
        let manifest = tokio::task::spawn_blocking(move || FileManifest::parse(&whole.body)).await;
        manifest.map_err(|error| Failure::host("manifest", error.to_string()))?
    }

    /// Where a file is.
    fn url(&self, file: &ListedFile) -> std::result::Result<Url, Failure> {
        let relative = file.url.clone().unwrap_or_else(|| as_url(file));
        let mut url = self.manifest.join(&relative).map_err(|error| {
            let message = format!("the manifest gives {:?} a URL that is none: {error}", file.path.to_text());
            Failure::new(FailureKind::Invalid, Fault::Remote, "manifest", message)
        })?;
        url.set_fragment(None);
        Ok(url)
    }

    /// Begins to read a file from byte `from` on; from its first byte where it changed since `etag`, or where the server gives no
    /// parts.
    pub async fn open(
        &self,
        file: &ListedFile,
        from: u64,
        etag: Option<&HeaderValue>,
    ) -> std::result::Result<Body, Failure> {
        let mut request = self.request(self.url(file)?);
        if from > 0 {
            request = request.from_byte(from);
            if let Some(etag) = etag {
                request = request.header(header::IF_RANGE, etag.clone());
            }
        }
        let what = format!("{:?}", file.path.to_text());
        let answer = self.client.open(&request, PATIENCE).await?;
        match answer.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
            StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
                let message = format!("the server has no byte {from} of {what}: it is another file by now");
                return Err(Failure::changed("range", message));
            }
            status => return Err(refused(&what, status, &answer.headers)),
        }
        let first = answer.first_byte().filter(|first| *first == 0 || *first == from).ok_or_else(|| {
            Failure::changed("range", format!("the server gave another part of {what} than was asked for"))
        })?;
        if let Some(length) = answer.length()
            && first.saturating_add(length) != file.size
        {
            let message = format!(
                "{what} has {} bytes on the server, and {} by the manifest: have the source's manifest made anew",
                first.saturating_add(length),
                file.size
            );
            return Err(Failure::new(FailureKind::Invalid, Fault::Remote, "size", message));
        }
        let etag = answer.headers.get(header::ETAG).filter(|etag| !etag.as_bytes().starts_with(b"W/"));
        Ok(Body { first, etag: etag.cloned(), answer })
    }
}

/// The path of a file as a URL: whatever means something in URLs stands for itself.
fn as_url(file: &ListedFile) -> String {
    let mut text = String::from("./");
    for byte in file.path.as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// An answer that gives nothing.
fn refused(what: &str, status: StatusCode, headers: &HeaderMap) -> Failure {
    let told = format!("the server answered {status} for {what}");
    match status.as_u16() {
        401 | 403 => {
            Failure::denied("status", format!("{told}: see the source's secret, and what it may read there"))
        }
        404 | 410 => Failure::new(
            FailureKind::NotFound,
            Fault::Remote,
            "status",
            format!("{told}: see the URL, and whether the source is complete"),
        ),
        408 | 425 | 429 | 500 | 502..=504 => {
            let mut failure = Failure::unavailable("status", told);
            let after = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            let seconds = after.and_then(|text| text.trim().parse::<u32>().ok());
            failure.retry_after_ms = seconds.map(|seconds| seconds.saturating_mul(1_000));
            failure
        }
        _ => Failure::new(FailureKind::Other, Fault::Remote, "status", told),
    }
}

#[cfg(test)]
mod tests {
    use syncline_domain::refresh::Digest;

    use super::*;

    #[test]
    fn paths_become_urls_that_stay_below_the_manifest() {
        for (path, url) in [
            ("a/b.bin", "./a/b.bin"),
            ("a b/#1?x", "./a%20b/%231%3Fx"),
            ("http:/evil", "./http%3A/evil"),
            ("é", "./%C3%A9"),
        ] {
            let path = syncline_domain::RelPath::new(path).unwrap();
            let file =
                ListedFile { path, size: 0, digest: Digest::Blake3([0; 32]), url: None, modified: None };
            assert_eq!(as_url(&file), url);
            let base: Url = "https://mirror.example/x/manifest.json?v=1".parse().unwrap();
            assert!(base.join(url).unwrap().as_str().starts_with("https://mirror.example/x/"));
        }
    }

    #[test]
    fn secrets_become_headers_and_are_in_no_error() {
        assert_eq!(authorization(None, b"t0ken").unwrap(), "Bearer t0ken");
        assert_eq!(authorization(Some("me"), b"pass").unwrap(), "Basic bWU6cGFzcw==");
        let error = authorization(None, b"hush\nhush").unwrap_err();
        assert!(!error.message.contains("hush"), "{error}");
    }

    #[test]
    fn a_server_that_is_busy_says_for_how_long() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        let failure = refused("x", StatusCode::TOO_MANY_REQUESTS, &headers);
        assert_eq!(failure.retry_after_ms, Some(7_000));
        let failure = refused("x", StatusCode::NOT_FOUND, &headers);
        assert_eq!((failure.retry_after_ms, failure.kind), (None, FailureKind::NotFound));
    }
}
