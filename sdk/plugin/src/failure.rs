//! Why a plugin could not do its work: [`Failure`], made with one of its constructors or by `?`.

use std::{error::Error, fmt, time::Duration};

use crate::raw::syncline::plugin::types;
pub use crate::raw::syncline::plugin::types::{FailureKind, Fault};

/// `Result` with a [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why something did not work, whom it concerns and what the host should do next.
///
/// What the host answers comes as one of these, and `?` passes it on with the host's own number, so that the host
/// recognises it. For failures of your own take the constructor that says what happened:
///
/// | constructor | who has to act | tried again |
/// | --- | --- | --- |
/// | [`settings`](Self::settings) | who wrote the settings | when they are different |
/// | [`unavailable`](Self::unavailable) | the owner of what does not answer | later, and later each time |
/// | [`changed`](Self::changed) | nobody | at once |
/// | [`invalid`](Self::invalid) | the owner of what was read | when it is different |
/// | [`not_found`](Self::not_found) | who wrote the settings | when an administrator acts |
/// | [`unsupported`](Self::unsupported) | who wrote the settings | when an administrator acts |
/// | [`stopped`](Self::stopped) | nobody | as the host decides |
/// | [`bug`](Self::bug) | you | no |
///
/// ```
/// use std::time::Duration;
/// use syncline_plugin::Failure;
///
/// let failure = Failure::unavailable("the index of site-1 is being rebuilt: wait for it")
///     .with_code("rebuilding")
///     .retry_after(Duration::from_secs(30));
/// assert_eq!(failure.to_string(), "the index of site-1 is being rebuilt: wait for it");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    kind: FailureKind,
    fault: Fault,
    code: String,
    message: String,
    retry_after: Option<u32>,
    host_ref: u32,
}

impl Failure {
    /// A failure of any kind. `message` is one sentence for an operator: what was wrong, with which value, what to do.
    /// Never a secret. It is cut at 4 KiB.
    pub fn new(kind: FailureKind, fault: Fault, message: impl Into<String>) -> Self {
        Self { kind, fault, code: String::new(), message: message.into(), retry_after: None, host_ref: 0 }
    }

    /// The settings make no sense.
    pub fn settings(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Invalid, Fault::Settings, message).with_code("settings")
    }

    /// Something outside does not answer now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unavailable, Fault::Remote, message)
    }

    /// What was read changed meanwhile.
    pub fn changed(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Changed, Fault::Remote, message)
    }

    /// What was read makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Invalid, Fault::Remote, message)
    }

    /// What the settings name does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(FailureKind::NotFound, Fault::Settings, message)
    }

    /// The settings ask for what cannot be done at all.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unsupported, Fault::Settings, message)
    }

    /// The plugin saw that it should stop, and did.
    pub fn stopped(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Stopped, Fault::Host, message)
    }

    /// The plugin itself is wrong.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Other, Fault::Plugin, message).with_code("bug")
    }

    /// With a stable word for programs: kebab-case, at most 64 bytes.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    /// With the wish to be tried again, no sooner than this.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// With words before the message that say what was being done: `"reading the index: …"`. A failure of the host stays
    /// recognisable.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// What happened.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Who has to act.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The word for programs; empty if there is none. Open: take one that you do not know by its kind.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence for an operator.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the host gave it, rather than this plugin.
    pub fn is_of_host(&self) -> bool {
        self.host_ref != 0
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

impl From<types::Failure> for Failure {
    fn from(raw: types::Failure) -> Self {
        let types::Failure { kind, fault, code, message, retry_after, host_ref } = raw;
        Self { kind, fault, code, message, retry_after, host_ref }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        let Failure { kind, fault, code, message, retry_after, host_ref } = failure;
        Self { kind, fault, code, message, retry_after, host_ref }
    }
}

/// What was read is no JSON, or not the JSON that was expected.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::invalid(format!("this is not the JSON that was expected: {error}")).with_code("json")
    }
}

/// A [`Failure`] that went through `std::io`, as with [`Content`](crate::Content) as a writer, comes out as it was.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let message = error.to_string();
        let inner = error.into_inner().and_then(|inner| inner.downcast::<Self>().ok());
        inner.map_or_else(|| Self::invalid(message), |failure| *failure)
    }
}

impl From<Failure> for std::io::Error {
    fn from(failure: Failure) -> Self {
        Self::other(failure)
    }
}

macro_rules! invalid_from {
    ($($error:ty),+) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::invalid(error.to_string())
            }
        }
    )+};
}

invalid_from!(
    std::string::FromUtf8Error,
    std::str::Utf8Error,
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::num::TryFromIntError,
    fmt::Error
);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<u32> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        Ok(value.to_string().parse::<u32>()?)
    }

    #[test]
    fn errors_of_others_become_failures_by_question_mark() {
        assert_eq!(read("7").unwrap(), 7);
        assert_eq!(read("{").unwrap_err().code(), "json");
        let failure = read("-1").unwrap_err();
        assert_eq!((failure.kind(), failure.fault()), (FailureKind::Invalid, Fault::Remote));
    }

    #[test]
    fn a_failure_of_the_host_keeps_its_number_on_the_way_through() {
        let raw = types::Failure {
            kind: FailureKind::Denied,
            fault: Fault::Settings,
            code: "not-bound".to_owned(),
            message: "no source is named a".to_owned(),
            retry_after: Some(5),
            host_ref: 9,
        };
        let failure = Failure::from(raw.clone());
        assert!(failure.is_of_host());
        let through_io = Failure::from(std::io::Error::from(failure));
        let back = types::Failure::from(through_io.context("opening a"));
        assert_eq!(back.message, "opening a: no source is named a");
        assert_eq!(types::Failure { message: raw.message.clone(), ..back }, raw);
    }
}
