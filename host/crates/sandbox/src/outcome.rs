//! What a failed call becomes: errors of the engine, and failures that the guest returned.
//!
//! Whatever ends an instance is the plugin's fault, save for what the engine itself could not do.

use syncline_domain::{Failure, FailureKind, Fault, plugin::SandboxLimits};
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::{
    bindings::syncline::plugin::types as wit, capability::GivenFailures, limits::Limit, text::visible,
};

/// Frames of the guest's stack that a message names.
const FRAMES: usize = 6;
/// Most bytes of one name in it.
const NAME: usize = 200;

/// Why the engine ended the instance.
pub(crate) fn explain(error: &wasmtime::Error, limits: &SandboxLimits) -> Failure {
    let place = place(error);
    let place = place.as_deref();
    if let Some(limit) = error.downcast_ref::<Limit>() {
        return limit.failure(place);
    }
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.clone();
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Failure::host("sandbox", format!("the sandbox had no room for the plugin: {error:#}"));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Limit::Stack.failure(place),
        Some(trap) => crashed(&trap.to_string(), place),
        None => by_words(error, limits, place),
    }
}

/// Two limits have error types of their own inside the engine, which it does not let out: its words tell them. Tests
/// with guests that run into them hold this when the engine is updated.
fn by_words(error: &wasmtime::Error, limits: &SandboxLimits, place: Option<&str>) -> Failure {
    let words = format!("{error:#}");
    if words.contains("fuel allocated for hostcalls") {
        return Limit::CallBytes(limits.call_bytes).failure(place);
    }
    if words.contains("handle limit exceeded") {
        return Limit::Handles(limits.handles).failure(place);
    }
    let cause = error.chain().last().map(ToString::to_string).unwrap_or_default();
    crashed(&cause, place)
}

fn crashed(what: &str, place: Option<&str>) -> Failure {
    let place = place.map(|place| format!(" in {place}")).unwrap_or_default();
    let message = format!(
        "the plugin crashed{place}: {}; its author has to mend it",
        visible(what, Failure::MAX_MESSAGE / 2)
    );
    Failure::new(FailureKind::Other, Fault::Plugin, "trap", message)
}

/// The innermost functions of the guest, by name where the package has names.
fn place(error: &wasmtime::Error) -> Option<String> {
    let frames = error.downcast_ref::<WasmBacktrace>()?.frames();
    let names: Vec<_> = frames
        .iter()
        .take(FRAMES)
        .map(|frame| match frame.func_name() {
            Some(name) => format!("`{}`", visible(&format!("{:#}", rustc_demangle::demangle(name)), NAME)),
            None => format!("function {}", frame.func_index()),
        })
        .collect();
    if names.is_empty() { None } else { Some(names.join(", called by ")) }
}

/// A failure that the guest returned, with what the host knows better: whose fault its own failures were, and whether
/// it asked the guest to stop.
pub(crate) fn returned(failure: wit::Failure, given: &GivenFailures) -> Failure {
    let noted = given.by_ref(failure.host_ref);
    let kind = match FailureKind::from(failure.kind) {
        // Nobody told it to: a call that is stopped never gets to return.
        FailureKind::Stopped => FailureKind::Other,
        kind => kind,
    };
    let fault = match (noted, Fault::from(failure.fault)) {
        (Some(noted), _) => noted.fault,
        // Only the host knows when the host is to blame: believed, it would keep a broken plugin from being suspended.
        (None, Fault::Host) => Fault::Plugin,
        (None, fault) => fault,
    };
    let message = match visible(&failure.message, Failure::MAX_MESSAGE) {
        message if message.is_empty() => noted.map_or_else(
            || "the plugin failed and did not say why".to_owned(),
            |noted| noted.message.clone(),
        ),
        message => message,
    };
    let code = if is_code(&failure.code) { failure.code.as_str() } else { "" };
    Failure { retry_after_ms: failure.retry_after, ..Failure::new(kind, fault, code, message) }
}

/// Kebab-case, at most 64 bytes.
fn is_code(code: &str) -> bool {
    code.len() <= 64
        && code.split('-').all(|word| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

impl From<wit::FailureKind> for FailureKind {
    fn from(kind: wit::FailureKind) -> Self {
        match kind {
            wit::FailureKind::Unavailable => Self::Unavailable,
            wit::FailureKind::Changed => Self::Changed,
            wit::FailureKind::Denied => Self::Denied,
            wit::FailureKind::Invalid => Self::Invalid,
            wit::FailureKind::NotFound => Self::NotFound,
            wit::FailureKind::Unsupported => Self::Unsupported,
            wit::FailureKind::Limit => Self::Limit,
            wit::FailureKind::Stopped => Self::Stopped,
            wit::FailureKind::Other => Self::Other,
        }
    }
}

impl From<FailureKind> for wit::FailureKind {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Unavailable => Self::Unavailable,
            FailureKind::Changed => Self::Changed,
            FailureKind::Denied => Self::Denied,
            FailureKind::Invalid => Self::Invalid,
            FailureKind::NotFound => Self::NotFound,
            FailureKind::Unsupported => Self::Unsupported,
            FailureKind::Limit => Self::Limit,
            FailureKind::Stopped => Self::Stopped,
            FailureKind::Other => Self::Other,
        }
    }
}

impl From<wit::Fault> for Fault {
    fn from(fault: wit::Fault) -> Self {
        match fault {
            wit::Fault::Plugin => Self::Plugin,
            wit::Fault::Settings => Self::Settings,
            wit::Fault::Remote => Self::Remote,
            wit::Fault::Host => Self::Host,
        }
    }
}

impl From<Fault> for wit::Fault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Plugin => Self::Plugin,
            Fault::Settings => Self::Settings,
            Fault::Remote => Self::Remote,
            Fault::Host => Self::Host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_guest(kind: wit::FailureKind, host_ref: u32) -> wit::Failure {
        wit::Failure {
            kind,
            fault: wit::Fault::Remote,
            code: "it-broke".to_owned(),
            message: "line\nbreak".to_owned(),
            retry_after: Some(5),
            host_ref,
        }
    }

    #[test]
    fn a_failure_of_the_host_that_is_passed_on_keeps_the_fault_noted() {
        let mut given = GivenFailures::default();
        let host_ref = given.note(&Failure::denied("grant", "not granted"));
        assert_eq!(returned(from_guest(wit::FailureKind::Other, host_ref), &given).fault, Fault::Settings);
        assert_eq!(returned(from_guest(wit::FailureKind::Other, 0), &given).fault, Fault::Remote);
        assert_eq!(returned(from_guest(wit::FailureKind::Other, 77), &given).fault, Fault::Remote);
    }

    #[test]
    fn a_guest_cannot_blame_the_host_for_what_the_host_did_not_say() {
        let mut given = GivenFailures::default();
        let broken = given.note(&Failure::host("sandbox", "the host broke down"));
        let blames = |host_ref| wit::Failure {
            fault: wit::Fault::Host,
            ..from_guest(wit::FailureKind::Unavailable, host_ref)
        };
        assert_eq!(returned(blames(broken), &given).fault, Fault::Host);
        for forged in [0, broken + 1, 4_711] {
            assert_eq!(returned(blames(forged), &given).fault, Fault::Plugin, "{forged}");
        }
    }

    #[test]
    fn what_a_guest_says_is_made_safe_and_cannot_claim_to_be_stopped() {
        let failure = returned(from_guest(wit::FailureKind::Stopped, 0), &GivenFailures::default());
        assert_eq!(failure.kind, FailureKind::Other);
        assert_eq!(failure.message, "line\\nbreak");
        assert_eq!((failure.code.as_str(), failure.retry_after_ms), ("it-broke", Some(5)));
        let odd = wit::Failure { code: "Not\nkebab".to_owned(), ..from_guest(wit::FailureKind::Other, 0) };
        assert_eq!(returned(odd, &GivenFailures::default()).code, "");
    }
}
