//! Origins on the web: who is spoken with, as RFC 6454 has it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Scheme, host and port of a server, such as `https://scim.example.com` or `http://localhost:8080`. In one spelling: the
/// host in lower case and as ASCII, the scheme's own port left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin {
    secure: bool,
    host: Host<String>,
    port: u16,
}

/// A text that is no [`Origin`], and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no origin on the web, such as \"https://host.example.com\" or \"https://host:8443\": {why}"
)]
pub struct BadOrigin {
    /// What was given, without a user or password that stood in it.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Origin {
    /// The origin of an absolute URL of scheme `http` or `https`.
    ///
    /// Fails for other schemes, and if a user or a password is in it: those do not belong in URLs.
    pub fn of(url: &Url) -> Result<Self, BadOrigin> {
        let wrong = |why| {
            let mut shown = url.clone();
            // What cannot have a user has none to take out.
            let _ = shown.set_username("").and_then(|()| shown.set_password(None));
            shown.set_query(None);
            Err(BadOrigin { text: shown.into(), why })
        };
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return wrong("its scheme is neither https nor http"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("a user or a password stands in it");
        }
        match (url.host(), url.port_or_known_default()) {
            (Some(host), Some(port)) => Ok(Self { secure, host: host.to_owned(), port }),
            _ => wrong("it names no host"),
        }
    }

    /// Whether what is said is kept from others on the way (`https`).
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The name or address.
    pub fn host(&self) -> &Host<String> {
        &self.host
    }

    /// The port, the scheme's own as well.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Origin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let wrong = |why| BadOrigin { text: text.chars().take(200).collect(), why };
        if text.contains('@') {
            return Err(BadOrigin { text: "…".to_owned(), why: "a user or a password stands in it" });
        }
        let url = Url::parse(text).map_err(|_| wrong("it cannot be read as a URL"))?;
        let origin = Self::of(&url)?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("more follows after the host and port"));
        }
        Ok(origin)
    }
}

impl TryFrom<String> for Origin {
    type Error = BadOrigin;
    fn try_from(text: String) -> Result<Self, BadOrigin> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, own) = if self.secure { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == own { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_origin_has_one_spelling() {
        for (text, written) in [
            ("https://SCIM.example.com", "https://scim.example.com"),
            ("https://scim.example.com:443/", "https://scim.example.com"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("https://0x7f.1", "https://127.0.0.1"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn what_is_none_is_refused_with_why_and_shows_no_password() {
        for (text, why) in [
            ("scim.example.com", "cannot be read"),
            ("ftp://example.com", "neither https nor http"),
            ("https://example.com/scim", "more follows"),
            ("https://example.com?x", "more follows"),
            ("https://ada:hunter2@example.com", "a user or a password"),
        ] {
            let error = text.parse::<Origin>().unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
        let url = Url::parse("https://ada:hunter2@example.com/?key=hunter2").unwrap();
        assert!(!Origin::of(&url).unwrap_err().to_string().contains("hunter2"));
    }
}
