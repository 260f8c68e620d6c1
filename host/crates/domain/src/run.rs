//! Runs: the state machine, what a run counts, and what is recorded of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Failure, Name, RelPath,
    failure::Cause,
    guard::{Excess, Size},
    ids::{NodeId, RunId, ScheduleId},
    sync::Compare,
};

/// Whether a run changes anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunMode {
    /// Make it so.
    #[default]
    Apply,
    /// Only find the difference.
    Preview,
}

/// What a run is of: it brings that to what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A sync fills its targets.
    Sync(Name),
    /// A collection is refreshed from its source.
    Collection(Name),
}

impl Subject {
    /// The sync, if it is one.
    pub const fn sync(&self) -> Option<&Name> {
        match self {
            Self::Sync(name) => Some(name),
            Self::Collection(_) => None,
        }
    }

    /// The collection, if it is one.
    pub const fn collection(&self) -> Option<&Name> {
        match self {
            Self::Sync(_) => None,
            Self::Collection(name) => Some(name),
        }
    }

    /// For the beginning of a sentence: `Sync nightly`, `Refresh of patches`.
    pub fn title(&self) -> String {
        match self {
            Self::Sync(name) => format!("Sync {name}"),
            Self::Collection(name) => format!("Refresh of {name}"),
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sync(name) => write!(f, "sync {name}"),
            Self::Collection(name) => write!(f, "collection {name}"),
        }
    }
}

/// What began a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// A person or program, through the API.
    Manual,
    /// A schedule.
    Schedule,
    /// The failed operations of an earlier run.
    Retry,
    /// What a File Status Report finds, or found.
    Repair,
    /// Servers that an earlier run could not reach, or whose time had not come.
    CatchUp,
}

/// Targets to be repaired; for each the files that a report found there, or nothing for all that is found when the run looks.
pub type RepairTargets = BTreeMap<Name, Option<BTreeSet<RelPath>>>;

/// What a run that repairs is for: files of one collection that are missing or out of date on some targets. It removes
/// nothing, and leaves alone what is not of that collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Repair {
    /// The collection whose files are looked at.
    pub collection: Name,
    /// Whether contents are compared by their digests.
    pub check: Compare,
    /// The targets; for each the files that a report found there, or `null` for all that is found when the run looks.
    #[schema(value_type = Object)]
    pub targets: RepairTargets,
}

/// Where a run stands. The transitions are in [`RunState::can_become`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Waits for a node, for its locks, or for the time of its next attempt.
    Queued,
    /// A node has taken it and has not begun.
    Claimed,
    /// Under way.
    Running,
    /// Its difference is over a limit: an administrator decides.
    Held,
    /// Was asked to end and goes to a safe point.
    Cancelling,
    /// All is as declared.
    Succeeded,
    /// Some operations failed; see the operations.
    Partial,
    /// Nothing, or nothing more, could be done.
    Failed,
    /// Ended before its end by an operator or by rejecting it.
    Cancelled,
    /// Ran out of its time.
    TimedOut,
    /// Its node went away, and it has no attempts left.
    Lost,
    /// A tick that was not run; says why.
    Skipped,
}

impl RunState {
    /// All there are.
    pub const ALL: [Self; 12] = [
        Self::Queued,
        Self::Claimed,
        Self::Running,
        Self::Held,
        Self::Cancelling,
        Self::Succeeded,
        Self::Partial,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
        Self::Lost,
        Self::Skipped,
    ];

    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded
                | Self::Partial
                | Self::Failed
                | Self::Cancelled
                | Self::TimedOut
                | Self::Lost
                | Self::Skipped
        )
    }

    /// Whether a node holds a lease on it.
    pub const fn is_leased(self) -> bool {
        matches!(self, Self::Claimed | Self::Running | Self::Cancelling)
    }

    /// The transitions that there are. Back to `queued`: another attempt, or an approved run.
    pub const fn can_become(self, next: Self) -> bool {
        use RunState as S;
        match self {
            S::Queued => matches!(next, S::Claimed | S::Cancelled | S::Skipped | S::Failed),
            S::Claimed => {
                matches!(next, S::Running | S::Queued | S::Cancelling | S::Cancelled | S::Failed | S::Lost)
            }
            S::Running => matches!(
                next,
                S::Queued
                    | S::Held
                    | S::Cancelling
                    | S::Succeeded
                    | S::Partial
                    | S::Failed
                    | S::Cancelled
                    | S::TimedOut
                    | S::Lost
            ),
            S::Held => matches!(next, S::Queued | S::Cancelled),
            S::Cancelling => {
                matches!(next, S::Cancelled | S::Succeeded | S::Partial | S::Failed | S::TimedOut | S::Lost)
            }
            _ => false,
        }
    }

    /// As in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Running => "running",
            Self::Held => "held",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed-out",
            Self::Lost => "lost",
            Self::Skipped => "skipped",
        }
    }
}

impl std::fmt::Display for RunState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for RunState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no state of a run"))
    }
}

/// What a run did, or would do, over all targets or on one. Files only, folders apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Counts {
    /// Files that were not there.
    pub copied: u64,
    /// Files that were there with another content, times or mode.
    pub updated: u64,
    /// Files removed.
    pub removed: u64,
    /// Files that were as declared.
    pub unchanged: u64,
    /// Operations that failed or were skipped.
    pub failed: u64,
    /// Bytes written to targets.
    pub bytes: u64,
    /// Folders created, removed or given other times.
    pub folders: u64,
    /// Things passed over: links, special files.
    pub passed_over: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.copied += other.copied;
        self.updated += other.updated;
        self.removed += other.removed;
        self.unchanged += other.unchanged;
        self.failed += other.failed;
        self.bytes += other.bytes;
        self.folders += other.folders;
        self.passed_over += other.passed_over;
    }
}

/// What a run does just now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The plugin states what should be.
    #[default]
    Declare,
    /// The host compares.
    Diff,
    /// The host checks the size of the difference.
    Guard,
    /// The host carries it out, and looks again.
    Apply,
    /// The host writes down what happened.
    Record,
}

/// How far a run has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Progress {
    /// What it does just now.
    pub phase: Phase,
    /// What the plugin tells of its own work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginProgress>,
    /// Files looked at.
    pub scanned: u64,
    /// Operations that ended.
    pub operations_done: u64,
    /// Operations that there are.
    pub operations_total: u64,
    /// Bytes written.
    pub bytes_done: u64,
    /// Bytes to write in all.
    pub bytes_total: u64,
    /// Bytes a second, over the last few seconds.
    pub bytes_per_second: u64,
    /// Expected time to the end, in milliseconds; absent while unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
}

/// What a plugin tells of its own work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PluginProgress {
    /// Done.
    pub done: u64,
    /// Of so many.
    pub total: Option<u64>,
    /// Such as `entries`.
    pub unit: String,
}

/// What became of one target in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TargetResult {
    /// The target.
    pub target: Name,
    /// What was done there.
    pub counts: Counts,
    /// Why it could not be brought up to date as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What that is sorted under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// It is not its time: what is left is done then, by a run of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
}

/// Why a target is left for later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Waits {
    /// When it is its time.
    pub until: Timestamp,
    /// In a sentence.
    pub reason: String,
}

impl TargetResult {
    /// What was done there, and why not all of it if it was not.
    pub fn new(target: Name, counts: Counts, failure: Option<Failure>) -> Self {
        let cause = failure.as_ref().map(Failure::cause);
        Self { target, counts, failure, cause, waits: None }
    }

    /// Nothing was done there yet.
    pub fn waiting(target: Name, waits: Waits) -> Self {
        Self { waits: Some(waits), ..Self::new(target, Counts::default(), None) }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Run {
    /// Id.
    pub id: RunId,
    /// What it is of: the field `sync`, or `collection` for a refresh.
    #[serde(flatten)]
    pub subject: Subject,
    /// Whether it changes anything.
    pub mode: RunMode,
    /// What began it.
    pub trigger: Trigger,
    /// Who began it.
    pub actor: String,
    /// The schedule, if one began it.
    pub schedule: Option<ScheduleId>,
    /// The time for which the schedule meant it.
    pub nominal_time: Option<Timestamp>,
    /// The run whose failed operations this one tries again.
    pub retry_of: Option<RunId>,
    /// What it repairs, if that is all it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
    /// Whether the plugin is given no cursor.
    pub anew: bool,
    /// The targets that it is for; all of the sync if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<Name>>,
    /// Where it stands.
    pub state: RunState,
    /// Why it is queued, held, skipped or cancelled, in a sentence.
    pub reason: Option<String>,
    /// While it is queued: what it waits for, such as `collection patches is being refreshed by run ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Attempts begun.
    pub attempt: u32,
    /// The node that has it or had it last.
    pub node: Option<NodeId>,
    /// The node that alone can run it, if not all of its stores are shared.
    pub bound_to: Option<NodeId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Not to be claimed before this.
    pub not_before: Option<Timestamp>,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it did, or would do.
    pub counts: Counts,
    /// The same for each target.
    pub targets: Vec<TargetResult>,
    /// How far it has come.
    pub progress: Progress,
    /// Size of the difference, as the guard saw it.
    pub sizes: Vec<Size>,
    /// The limits that hold it.
    pub excesses: Vec<Excess>,
    /// Who approved it, and up to which size.
    pub approval: Option<Approval>,
    /// Why it did not succeed.
    pub failure: Option<Failure>,
    /// Plugin version that decided.
    pub plugin_digest: Option<String>,
}

/// An administrator's word that a held difference may be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Approval {
    /// Who.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// What was looked at. A difference that is larger by then is held again.
    pub sizes: Vec<Size>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// The state that the run goes to.
    pub state: RunState,
    /// Why, if it is no success.
    pub failure: Option<Failure>,
    /// In a sentence, for `held`, `cancelled` and another attempt.
    pub reason: Option<String>,
    /// For another attempt (`queued`): not before this.
    pub not_before: Option<Timestamp>,
    /// What was done.
    pub counts: Counts,
    /// The same for each target.
    pub targets: Vec<TargetResult>,
    /// Size of the difference.
    pub sizes: Vec<Size>,
    /// Limits that it exceeds, for `held`.
    pub excesses: Vec<Excess>,
    /// The plugin's new cursor: `Some(None)` throws the old one away, `None` leaves it.
    pub cursor: Option<Option<Vec<u8>>>,
    /// What is left of distribution servers for later, and what is not any more.
    pub backlog: Vec<Left>,
}

/// Whether something of a target is left for a run of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The target.
    pub target: Name,
    /// When and why; nothing is left if absent.
    pub waits: Option<Waits>,
}

impl Ending {
    /// An ending with nothing done.
    pub fn new(state: RunState) -> Self {
        Self {
            state,
            failure: None,
            reason: None,
            not_before: None,
            counts: Counts::default(),
            targets: Vec::new(),
            sizes: Vec::new(),
            excesses: Vec::new(),
            cursor: None,
            backlog: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_have_no_way_out_and_all_others_have_one() {
        for state in RunState::ALL {
            let ways = RunState::ALL.into_iter().filter(|next| state.can_become(*next)).count();
            assert_eq!(ways == 0, state.is_final(), "{state}");
            assert_eq!(state.as_str().parse::<RunState>().unwrap(), state);
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }

    #[test]
    fn every_state_can_be_reached_from_queued() {
        let mut reached = vec![RunState::Queued];
        let mut at = 0;
        while let Some(&state) = reached.get(at) {
            at += 1;
            for next in RunState::ALL {
                if state.can_become(next) && !reached.contains(&next) {
                    reached.push(next);
                }
            }
        }
        assert_eq!(reached.len(), RunState::ALL.len());
    }

    #[test]
    fn a_leased_state_can_be_lost_and_no_other() {
        for state in RunState::ALL {
            assert_eq!(state.can_become(RunState::Lost), state.is_leased(), "{state}");
        }
    }
}
