//! A guest that misbehaves as its settings say: `{"do": "endless-loop"}`.
//!
//! [`Do`] lists all it can do. [`exhaust`] runs into limits, [`trespass`] asks for what it must not have, [`lie`] breaks the
//! rules of the contract. Each behaviour that the host should end, ends in a success if the host does not: a test that
//! expects a failure then sees it.

mod exhaust;
mod lie;
mod trespass;

use schemars::JsonSchema;
use serde::Deserialize;
use syncline_plugin::{Content, FailureKind, Fault, clock, prelude::*};

/// What to do, and how much of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The behaviour.
    #[serde(rename = "do")]
    behaviour: Do,
    /// For the behaviours that are about a path. Each has one of its own if there is none.
    #[serde(default)]
    path: Option<String>,
    /// Through which call the path goes.
    #[serde(default)]
    through: trespass::Through,
    /// For `fail` and what ends in it.
    #[serde(default)]
    kind: Kind,
    /// For `fail`: milliseconds.
    #[serde(default)]
    retry_after: Option<u32>,
    /// For `slow`: milliseconds. For `big-cursor`: bytes. For `many-declarations`: calls.
    #[serde(default)]
    amount: Option<u32>,
}

/// All that this guest can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Do {
    /// Declare the tree of every source at the root of every target: what a good plugin does.
    Good,
    /// Declare a file that says so, for every target; needs no source.
    GoodContent,
    /// Report progress until `amount` milliseconds have passed, then do as `good`.
    Slow,
    /// Return a failure of kind `kind`.
    Fail,
    /// Declare as `good`, then return a failure of kind `kind`.
    DeclareThenFail,
    /// Declare as `good`, then panic.
    DeclareThenPanic,

    /// Count for ever.
    EndlessLoop,
    /// Call the host for ever.
    EndlessCalls,
    /// Ask for memory for ever.
    MemoryBomb,
    /// Call oneself for ever, without touching memory.
    DeepRecursion,
    /// Call oneself for ever, with something on the stack in memory each time.
    StackOverflow,
    /// Write 100,000 lines with line ends, control characters, escape sequences and marks that turn text around.
    LogFlood,
    /// Write one line of 1 MiB with 100 fields.
    LongLine,
    /// Hand 9 MiB over in one call.
    GiantArgument,
    /// Open sources and keep all handles.
    HandleLeak,
    /// Make contents and keep all handles.
    ContentLeak,
    /// Append more than 1 MiB at once.
    HugeAppend,
    /// Append more than 64 MiB in all.
    HugeContents,
    /// Declare trees, `amount` times or 10,001.
    ManyDeclarations,
    /// Prune `amount` folders, or 100,000.
    ManyPrunes,
    /// Give a list of 1,001 patterns.
    ManyPatterns,
    /// Give 1,001 names of targets.
    ManyTargets,
    /// Return a cursor of `amount` bytes, or 1 MiB.
    BigCursor,

    /// Open a source that is not bound.
    StoreNotGranted,
    /// Go up from the root, through `through`.
    DotDot,
    /// Go to an absolute path, through `through`.
    AbsolutePath,
    /// Go through the link `link`, or `path`.
    SymlinkPath,
    /// Prune everything, after declaring nothing.
    PruneEverything,

    /// End by a panic.
    Panic,
    /// End by an instruction that must not be reached.
    Unreachable,
    /// Declare for a target that there is not.
    LieTarget,
    /// Declare for no target.
    EmptyTargets,
    /// Declare two different contents at one path.
    Conflict,
    /// Give a pattern that is none.
    BadPattern,
    /// Ask for an inventory in a format that there is not.
    UnknownFormat,
    /// Declare in stage 16.
    BadStage,
    /// Return a failure that claims to come from the host.
    ForgedFailure,
}

/// Kinds of failures, as in the contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Unavailable,
    Changed,
    Denied,
    Invalid,
    NotFound,
    Unsupported,
    Limit,
    Stopped,
    #[default]
    Other,
}

impl From<Kind> for FailureKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Unavailable => Self::Unavailable,
            Kind::Changed => Self::Changed,
            Kind::Denied => Self::Denied,
            Kind::Invalid => Self::Invalid,
            Kind::NotFound => Self::NotFound,
            Kind::Unsupported => Self::Unsupported,
            Kind::Limit => Self::Limit,
            Kind::Stopped => Self::Stopped,
            Kind::Other => Self::Other,
        }
    }
}

struct Hostile;

impl FileSync for Hostile {
    type Settings = Settings;

    fn declare(settings: Settings, _request: Request) -> Result<Outcome> {
        let amount = |default| settings.amount.unwrap_or(default);
        match settings.behaviour {
            Do::Good => good()?,
            Do::GoodContent => Content::of("good\n")?.declare("good.txt", 0, targets())?,
            Do::Slow => slow(amount(1_000))?,
            Do::Fail => return Err(failure(&settings)),
            Do::DeclareThenFail => return good().and(Err(failure(&settings))),
            Do::DeclareThenPanic => good().map(|()| lie::panic())?,

            Do::EndlessLoop => exhaust::endless_loop(),
            Do::EndlessCalls => exhaust::endless_calls(),
            Do::MemoryBomb => exhaust::memory_bomb(),
            Do::DeepRecursion => exhaust::deep_recursion(),
            Do::StackOverflow => exhaust::stack_overflow(),
            Do::LogFlood => exhaust::log_flood(),
            Do::LongLine => exhaust::long_line(),
            Do::GiantArgument => exhaust::append(9 << 20)?,
            Do::HandleLeak => exhaust::handle_leak()?,
            Do::ContentLeak => exhaust::content_leak(),
            Do::HugeAppend => exhaust::append((1 << 20) + 1)?,
            Do::HugeContents => exhaust::huge_contents()?,
            Do::ManyDeclarations => exhaust::many_declarations(amount(10_001))?,
            Do::ManyPrunes => exhaust::many_prunes(amount(100_000))?,
            Do::ManyPatterns => exhaust::many_patterns()?,
            Do::ManyTargets => exhaust::many_targets()?,
            Do::BigCursor => return Ok(Outcome::with_cursor(vec![7; amount(1 << 20) as usize])),

            Do::StoreNotGranted => trespass::store_not_granted()?,
            Do::DotDot => trespass::go(settings.path.as_deref().unwrap_or("../outside"), settings.through)?,
            Do::AbsolutePath => {
                trespass::go(settings.path.as_deref().unwrap_or("/etc/passwd"), settings.through)?
            }
            Do::SymlinkPath => trespass::go(settings.path.as_deref().unwrap_or("link"), settings.through)?,
            Do::PruneEverything => Prune::below("").declare(targets())?,

            Do::Panic => lie::panic(),
            Do::Unreachable => lie::unreachable(),
            Do::LieTarget => lie::target()?,
            Do::EmptyTargets => lie::empty_targets()?,
            Do::Conflict => lie::conflict()?,
            Do::BadPattern => lie::bad_pattern()?,
            Do::UnknownFormat => lie::unknown_format()?,
            Do::BadStage => lie::bad_stage()?,
            Do::ForgedFailure => return Err(lie::forged_failure()),
        }
        Ok(Outcome::done())
    }
}

fn good() -> Result<()> {
    let targets = targets();
    sources().iter().try_for_each(|source| Tree::of(source).declare(&targets))
}

/// A plugin has nothing to sleep with: it asks for the time until that has passed, and can be stopped at each call.
fn slow(millis: u32) -> Result<()> {
    loop {
        let elapsed = clock::elapsed().as_millis();
        syncline_plugin::progress::report(elapsed as u64, Some(millis.into()), "milliseconds");
        if elapsed >= millis.into() {
            return good();
        }
    }
}

fn failure(settings: &Settings) -> Failure {
    let failure = Failure::new(settings.kind.into(), Fault::Remote, "failed as the settings asked for")
        .with_code("asked-for");
    match settings.retry_after {
        Some(millis) => failure.retry_after(std::time::Duration::from_millis(millis.into())),
        None => failure,
    }
}

syncline_plugin::export!(Hostile);
