//! Who this device is to the server, and the settings that the server offered for the connection.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::StateFolder;
use crate::error::Result;

/// A token or credential; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where to go, and what to show there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// URL of the server's OpAMP endpoint.
    pub endpoint: String,
    /// The value of the header `Authorization`.
    pub authorization: Secret,
}

/// A login that was offered and not used yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// What was offered.
    pub login: Login,
    /// The hash of the offer.
    pub hash: Vec<u8>,
    /// Connections with it that failed for other reasons than that the server refused it.
    pub failures: u32,
}

/// What stands in `credential.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// In use.
    pub current: Login,
    /// Whether `current` is an enrolment token, and not this device's own credential.
    pub enrolling: bool,
    /// To be tried.
    pub candidate: Option<Candidate>,
    /// The hash of the offer that is in use, or was refused.
    pub settings_hash: Vec<u8>,
    /// Seconds between heartbeats, as offered; `None` if nothing was.
    pub heartbeat: Option<u64>,
}

const FILE: &str = "credential.json";

/// So often a candidate can fail to connect before it is given up: its endpoint may be wrong.
pub const MAX_FAILURES: u32 = 5;

impl Credential {
    /// Before the first contact: an enrolment token.
    pub fn enrolment(endpoint: String, token: &str) -> Self {
        let authorization = Secret(format!("Bearer {}", token.trim()));
        Self {
            current: Login { endpoint, authorization },
            enrolling: true,
            candidate: None,
            settings_hash: Vec::new(),
            heartbeat: None,
        }
    }

    /// The stored one.
    pub fn load(state: &StateFolder) -> Result<Option<Self>> {
        state.read(FILE)
    }

    /// Stores it.
    pub fn save(&self, state: &StateFolder) -> Result<()> {
        state.write(FILE, self)
    }

    /// What the next connection shows: the candidate first.
    pub fn login(&self) -> &Login {
        self.candidate.as_ref().map_or(&self.current, |candidate| &candidate.login)
    }

    /// The candidate was accepted: it takes the place of what was before.
    pub fn promote(&mut self) {
        if let Some(candidate) = self.candidate.take() {
            self.current = candidate.login;
            self.settings_hash = candidate.hash;
            self.enrolling = false;
        }
    }

    /// The candidate was refused, or cannot be used.
    pub fn give_up(&mut self) {
        if let Some(candidate) = self.candidate.take() {
            self.settings_hash = candidate.hash;
        }
    }

    /// A connection could not be made or broke before the server answered. Says whether the candidate was given up.
    pub fn failed(&mut self) -> bool {
        let Some(candidate) = &mut self.candidate else { return false };
        candidate.failures += 1;
        let enough = candidate.failures >= MAX_FAILURES;
        if enough {
            self.give_up();
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_candidate() -> Credential {
        let mut it = Credential::enrolment("https://a".to_owned(), "token\n");
        let login =
            Login { endpoint: "https://a".to_owned(), authorization: Secret("Bearer own".to_owned()) };
        it.candidate = Some(Candidate { login, hash: vec![1], failures: 0 });
        it
    }

    #[test]
    fn a_candidate_takes_over_only_when_it_was_accepted() {
        let mut it = with_candidate();
        assert_eq!(it.login().authorization.0, "Bearer own");
        assert!(it.enrolling && it.current.authorization.0 == "Bearer token");
        it.promote();
        assert!(!it.enrolling && it.current.authorization.0 == "Bearer own" && it.settings_hash == [1]);
    }

    #[test]
    fn one_that_cannot_connect_is_given_up_in_the_end() {
        let mut it = with_candidate();
        assert_eq!((1..=MAX_FAILURES).map(|_| it.failed()).filter(|over| *over).count(), 1);
        assert_eq!(it.login().authorization.0, "Bearer token");
        assert!(!it.failed());
    }

    #[test]
    fn nothing_shows_the_secret() {
        let shown = format!("{:?}", with_candidate());
        assert!(!shown.contains("token") && !shown.contains("own\""), "{shown}");
    }
}
