//! Why something did not work, what to do next, and who has to act.
//!
//! [`Failure`] is what runs, operations and events carry, and what crosses the border to plugins. Errors inside one crate
//! are its own; they become a `Failure` where they reach a run.

use serde::{Deserialize, Serialize};

/// What happened, as far as it decides what the host does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Something outside does not answer now. The run is tried again, later each time.
    Unavailable,
    /// What was read changed meanwhile. Trying again at once makes sense.
    Changed,
    /// Not granted, or the other side refuses. Not tried again until an administrator acts.
    Denied,
    /// An argument, a setting or what the other side sent makes no sense. Not tried again until it is different.
    Invalid,
    /// The thing named does not exist.
    NotFound,
    /// This store, server or host cannot do that at all.
    Unsupported,
    /// A limit ran out; `code` says which. Tried again only if `retry_after_ms` is set.
    Limit,
    /// The run is being cancelled or its time is over.
    Stopped,
    /// None of these.
    Other,
}

/// Who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The author of the plugin.
    Plugin,
    /// Whoever wrote the settings, grants or policies.
    Settings,
    /// The owner of a server or file outside.
    Remote,
    /// The operator of the platform.
    Host,
}

/// Why something did not work, for an operator and for the host's next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Decides what happens next.
    pub kind: FailureKind,
    /// Who has to act.
    pub fault: Fault,
    /// A stable word for programs, in kebab-case, at most 64 bytes; can be empty.
    pub code: String,
    /// One sentence: what was wrong, with which value, what to do. Never a secret.
    pub message: String,
    /// Try again no sooner than this, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
}

impl Failure {
    /// Most bytes of a message; longer ones are cut.
    pub const MAX_MESSAGE: usize = 4_096;

    /// A failure. Use the shorthands below where one fits.
    pub fn new(kind: FailureKind, fault: Fault, code: &str, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > Self::MAX_MESSAGE {
            message.truncate(message.floor_char_boundary(Self::MAX_MESSAGE));
        }
        Self { kind, fault, code: code.to_owned(), message, retry_after_ms: None }
    }

    /// Something outside does not answer now.
    pub fn unavailable(code: &str, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unavailable, Fault::Remote, code, message)
    }

    /// What was read changed meanwhile.
    pub fn changed(code: &str, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Changed, Fault::Remote, code, message)
    }

    /// Grants, settings or permissions do not allow it.
    pub fn denied(code: &str, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Denied, Fault::Settings, code, message)
    }

    /// Settings make no sense.
    pub fn settings(code: &str, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Invalid, Fault::Settings, code, message)
    }

    /// A plugin broke a rule.
    pub fn plugin(code: &str, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Invalid, Fault::Plugin, code, message)
    }

    /// A plugin ran into one of its limits.
    pub fn plugin_limit(code: &str, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Limit, Fault::Plugin, code, message)
    }

    /// The run is being cancelled, or its node is stopping or has lost it.
    pub fn stopped(code: &str, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Stopped, Fault::Host, code, message)
    }

    /// The host itself is at fault.
    pub fn host(code: &str, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Other, Fault::Host, code, message)
    }

    /// What operators sort it under.
    pub fn cause(&self) -> Cause {
        match (self.kind, self.code.as_str()) {
            (_, "no-space") => Cause::NoSpace,
            (_, "refused" | "credentials") => Cause::Refused,
            (FailureKind::Unavailable, _) => Cause::Unreachable,
            (FailureKind::Denied, _) => Cause::Denied,
            (FailureKind::Changed, _) => Cause::Changed,
            _ => Cause::Other,
        }
    }

    /// Whether the host tries the run again by itself, and how it waits.
    pub fn retry(&self) -> Retry {
        match (self.kind, self.retry_after_ms) {
            (_, Some(after)) => Retry::After(after),
            (FailureKind::Unavailable, None) => Retry::Backoff,
            (FailureKind::Changed, None) => Retry::Now,
            _ => Retry::Never,
        }
    }
}

/// Why a server could not be brought up to date, as its operators sort it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It does not answer, is not mounted or broke off.
    Unreachable,
    /// It answers, and does not take our credentials.
    Refused,
    /// It is full.
    NoSpace,
    /// The account has not the right to read or write there.
    Denied,
    /// Something changed while the run read or wrote it.
    Changed,
    /// None of these.
    Other,
}

impl Cause {
    /// Whether waiting can help: all else is tried again when somebody has mended it, or at the next tick.
    pub const fn passes(self) -> bool {
        matches!(self, Self::Unreachable | Self::NoSpace | Self::Changed)
    }
}

/// How the host tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not by itself.
    Never,
    /// At once.
    Now,
    /// Later each time.
    Backoff,
    /// After so many milliseconds.
    After(u32),
}
