//! The one road of every behaviour: declare, diff, guard, apply, verify, record.
//!
//! * [`attempt`] takes a claimed run down that road and says how it came out ([`Outcome`]); it dispatches by the plugin's
//!   world, and a new world is a new file beside [`files`]
//! * [`conclude`](Engine::conclude) turns that into the run's next state and writes it: the only place that decides
//!   between another attempt, held, and each of the ends
//! * [`files`]: world `file-sync`, without any database, so that `plugin try` takes the same road
//! * [`part`]: the files of one collection alone, for reports and repairs
//! * [`policies`]: world `device-policy`
//! * [`directory`]: world `directory-sync`
//! * [`refresh`]: collections, which have a source in place of a plugin
//! * [`sources`]: what a plugin sees of the stores that it may read
//! * [`journal`]: what a run leaves behind while it works

pub mod directory;
pub mod files;
pub mod journal;
pub(crate) mod part;
pub mod policies;
pub mod refresh;
pub mod sources;

use std::{sync::Arc, time::Duration};

use syncline_domain::{
    Failure, FailureKind, Fault, Name,
    directory::import::ENTRIES,
    event::NewEvent,
    failure::{Cause, Retry},
    guard::{Excess, Size},
    log::LogLevel,
    plugin::{DEVICE_POLICY, DIRECTORY_SYNC, PluginState, PluginVersion},
    run::{Counts, Ending, Run, RunMode, RunState, Subject, TargetResult},
    sync::Sync,
};
use syncline_store::Claim;
use tokio_util::sync::CancellationToken;

use self::journal::Journal;
use crate::{
    Engine, Error, Result,
    worker::{Control, Stop},
};

/// How often what a run leaves behind is written.
const FLUSH: Duration = Duration::from_millis(400);

/// How an attempt came out.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was done, or would be.
    pub counts: Counts,
    /// The same for each target.
    pub targets: Vec<TargetResult>,
    /// Size of the difference.
    pub sizes: Vec<Size>,
    /// Limits that it exceeds: the run is held.
    pub excesses: Vec<Excess>,
    /// Why the run is held, where no limit says so.
    pub held: Option<String>,
    /// What the plugin wants to know next time; `None` if it did not get to say.
    pub cursor: Option<Option<Vec<u8>>>,
    /// Why the attempt ended before its end.
    pub failure: Option<Failure>,
    /// The plugin version that decided.
    pub plugin: Option<String>,
}

impl Outcome {
    /// Nothing was done.
    pub fn failed(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::default() }
    }

    /// Whether every target is as declared.
    fn is_whole(&self) -> bool {
        let done = |target: &TargetResult| target.failure.is_none() && target.waits.is_none();
        self.counts.failed == 0 && self.targets.iter().all(done)
    }
}

/// What an attempt goes by, as it stood when the attempt began.
pub(crate) struct Work<'a> {
    pub engine: &'a Engine,
    pub claim: &'a Claim,
    pub sync: Sync,
    pub plugin: PluginVersion,
    pub control: Arc<Control>,
    pub journal: Arc<Journal>,
}

/// Takes a claimed run down the road. What it leaves behind is written while it works.
pub async fn attempt(engine: &Engine, claim: &Claim, control: &Arc<Control>) -> Outcome {
    let journal = Arc::new(Journal::new(Arc::clone(&engine.inner.clock), Arc::clone(control)));
    let journal = &journal;
    let road = road(engine, claim, control, journal);
    let outcome = beside(road, FLUSH, || async move {
        if let Err(error) = journal.flush(engine.db(), claim).await {
            lost_journal(claim, control, &error);
        }
    })
    .await;
    let mut outcome = outcome.unwrap_or_else(|error| failed(claim, error));
    outcome.counts.passed_over = journal.passed_over_count();
    if let Some(failure) = &outcome.failure {
        journal.say(
            LogLevel::Error,
            format!("{} (fault: {:?}, code: {:?})", failure, failure.fault, failure.code),
        );
    }
    journal.close();
    last_flush(engine, claim, control, journal).await;
    outcome
}

/// Does a chore every so often, until the work has ended. The work goes on while the chore waits: it may have what the chore
/// waits for, such as a connection.
async fn beside<T, C: Future<Output = ()>>(
    work: impl Future<Output = T>,
    every: Duration,
    mut chore: impl FnMut() -> C,
) -> T {
    let over = CancellationToken::new();
    let chores = async {
        while over.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            chore().await;
        }
    };
    let work = async {
        let _over = over.clone().drop_guard();
        work.await
    };
    tokio::join!(work, chores).0
}

/// Worth some patience: operations that are not written down are not tried again.
async fn last_flush(engine: &Engine, claim: &Claim, control: &Control, journal: &Journal) {
    while let Err(error) = journal.flush(engine.db(), claim).await {
        lost_journal(claim, control, &error);
        let passes = matches!(error, syncline_store::Error::Database(_));
        if !passes || control.stopped() == Some(Stop::LeaseLost) {
            return;
        }
        tokio::time::sleep(FLUSH).await;
    }
}

fn lost_journal(claim: &Claim, control: &Control, error: &syncline_store::Error) {
    if matches!(error, syncline_store::Error::Fenced { .. }) {
        control.stop(Stop::LeaseLost);
    }
    tracing::warn!(run = %claim.run.id, %error, "What a run left behind could not be written");
}

async fn road(
    engine: &Engine,
    claim: &Claim,
    control: &Arc<Control>,
    journal: &Arc<Journal>,
) -> Result<Outcome> {
    let name = match &claim.run.subject {
        Subject::Sync(name) => name,
        Subject::Collection(name) => return refresh::begin(engine, claim, name, control, journal).await,
    };
    let sync = engine.db().sync(name).await?;
    let plugin = runnable_plugin(engine, &sync).await?;
    engine.db().begin_run(claim, plugin.digest.as_str()).await?;
    engine.db().clear_operations(claim).await?;
    let digest = plugin.digest.clone();
    let work =
        Work { engine, claim, sync, plugin, control: Arc::clone(control), journal: Arc::clone(journal) };
    let outcome = match work.plugin.world.as_str() {
        "file-sync" => files::road(&work).await,
        DEVICE_POLICY => policies::road(&work).await,
        DIRECTORY_SYNC => directory::road(&work).await,
        other => {
            Err(Failure::host("world", format!("this host cannot run plugins of world {other:?}")).into())
        }
    };
    let outcome = outcome.unwrap_or_else(|error| failed(claim, error));
    Ok(Outcome { plugin: Some(digest), ..outcome })
}

fn failed(claim: &Claim, error: Error) -> Outcome {
    if let Error::Internal(error) = &error {
        tracing::error!(run = %claim.run.id, %error, "A run failed by a fault of the host");
    }
    Outcome::failed(error.into_failure())
}

pub(crate) async fn runnable_plugin(engine: &Engine, sync: &Sync) -> Result<PluginVersion> {
    let name = &sync.spec.plugin;
    let enabled = engine.db().enabled_plugin(name).await?;
    if let Some(plugin) = enabled {
        return Ok(plugin);
    }
    let plugin = engine.plugin(name).await?;
    if plugin.world == DEVICE_POLICY {
        // Devices keep what they have, and each shows why.
        return Ok(plugin);
    }
    let message = match (plugin.state, plugin.suspended) {
        (PluginState::Suspended, Some(why)) => format!(
            "plugin {name} is suspended since it kept failing by its own fault ({why}): mend or roll it back, then enable it"
        ),
        _ => format!("plugin {name} is not enabled: an administrator has to enable it"),
    };
    Err(Failure::denied("plugin-not-enabled", message).into())
}

impl Engine {
    /// Decides what comes after an attempt, and writes it.
    pub(crate) async fn conclude(&self, claim: &Claim, control: &Control, outcome: Outcome) -> Result<()> {
        let run = self.db().run(claim.run.id).await?;
        let stop = control.stopped();
        if stop == Some(Stop::LeaseLost) {
            tracing::warn!(run = %run.id, of = %run.subject, "This node lost its lease on a run and leaves it alone");
            return Ok(());
        }
        if let Err(error) = self.count_strike(&outcome).await {
            // What was done must be written down all the same.
            tracing::error!(run = %run.id, %error, "A strike of a plugin could not be counted");
        }
        let mut ending = self.ending(claim, stop, outcome);
        ending.backlog = self.left_by(&run, &ending).await?;
        let mut events = vec![event_of(&run, &ending)];
        // A sync that cannot be looked up has no targets to tell of.
        if let Some(name) = run.subject.sync()
            && let Ok(sync) = self.db().sync(name).await
        {
            events.extend(target_events(&run, &ending, &sync.spec.targets));
        }
        self.write_ending(claim, control, &ending, &events).await
    }

    /// The ending is worth some patience: without it, all that was done is done again.
    async fn write_ending(
        &self,
        claim: &Claim,
        control: &Control,
        ending: &Ending,
        events: &[NewEvent],
    ) -> Result<()> {
        loop {
            match self.db().end_attempt(claim, ending, events).await {
                Ok(_) => return Ok(()),
                Err(error @ syncline_store::Error::Database(_))
                    if control.stopped() != Some(Stop::LeaseLost) =>
                {
                    tracing::warn!(run = %claim.run.id, %error, "The ending of a run could not be written; trying again");
                    tokio::time::sleep(FLUSH).await;
                }
                // Cancelled between the last look and now: the ending is one of a cancelled run then.
                Err(syncline_store::Error::Transition { from: RunState::Cancelling, .. })
                    if ending.state == RunState::Queued || ending.state == RunState::Held =>
                {
                    let cancelled = Ending { state: RunState::Cancelled, not_before: None, ..ending.clone() };
                    self.db().end_attempt(claim, &cancelled, events).await?;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn count_strike(&self, outcome: &Outcome) -> Result<()> {
        let Some(digest) = &outcome.plugin else { return Ok(()) };
        match &outcome.failure {
            Some(failure) if failure.fault == Fault::Plugin => {
                self.db().strike(digest, failure).await?;
            }
            None => self.db().clear_strikes(digest).await?,
            Some(_) => {}
        }
        Ok(())
    }

    fn ending(&self, claim: &Claim, stop: Option<Stop>, outcome: Outcome) -> Ending {
        let whole = outcome.is_whole();
        let mut ending = Ending::new(RunState::Succeeded);
        ending.counts = outcome.counts;
        ending.targets = outcome.targets;
        ending.sizes = outcome.sizes;
        ending.failure = outcome.failure;
        match (stop, ending.failure.clone()) {
            (Some(Stop::Cancelled), Some(_)) => {
                ending.state = RunState::Cancelled;
                ending.reason = Some("cancelled by an operator; what was done by then stays".to_owned());
                ending.failure = None;
            }
            (Some(Stop::NodeStopping), Some(_)) => {
                ending.state = RunState::Queued;
                ending.reason = Some("its node was stopped; it goes on when a node takes it".to_owned());
                ending.failure = None;
            }
            (_, Some(failure)) => self.after_failure(claim, &failure, &mut ending),
            (_, None) if !outcome.excesses.is_empty() || outcome.held.is_some() => {
                ending.state = RunState::Held;
                ending.reason = Some(outcome.held.unwrap_or_else(|| held_reason(&outcome.excesses)));
                ending.excesses = outcome.excesses;
            }
            // A preview wrote nothing, and a retry or a repair only a part: the cursor stands for a whole difference.
            (_, None)
                if whole
                    && claim.run.mode == RunMode::Apply
                    && claim.run.retry_of.is_none()
                    && claim.run.repair.is_none() =>
            {
                ending.cursor = outcome.cursor;
            }
            (_, None) if whole => {}
            (_, None) => {
                ending.state = RunState::Partial;
                ending.reason = left_out(&ending.targets);
            }
        }
        ending
    }

    fn after_failure(&self, claim: &Claim, failure: &Failure, ending: &mut Ending) {
        let wait = match failure.retry() {
            Retry::Never => None,
            Retry::Now => Some(Duration::from_millis(200)),
            Retry::Backoff => Some(backoff(claim.run.attempt)),
            Retry::After(millis) => {
                Some(Duration::from_millis(millis.into()).min(Duration::from_secs(3_600)))
            }
        };
        ending.state = RunState::Failed;
        if failure.code == "wall" {
            ending.state = RunState::TimedOut;
        }
        if let Some(wait) = wait.filter(|_| claim.attempts_left > 0) {
            ending.state = RunState::Queued;
            ending.not_before = self.clock().now().checked_add(wait).ok();
            ending.reason =
                Some(format!("attempt {} failed, another one follows: {failure}", claim.run.attempt));
        }
    }
}

/// 2, 8, 32 … seconds, at most five minutes.
fn backoff(attempt: u32) -> Duration {
    let exponent = attempt.saturating_sub(1).min(8);
    Duration::from_secs(2 * 4_u64.pow(exponent)).min(Duration::from_secs(300))
}

/// Which targets are not up to date, and why, for people; `None` if that is told by the operations alone.
fn left_out(targets: &[TargetResult]) -> Option<String> {
    const SHOWN: usize = 10;
    let why = |one: &TargetResult| match (&one.cause, &one.waits) {
        (Some(cause), _) => Some(format!("{} ({})", one.target, cause_word(*cause))),
        (None, Some(waits)) => Some(format!("{} ({})", one.target, waits.reason)),
        (None, None) => None,
    };
    let mut left: Vec<String> = targets.iter().filter_map(why).collect();
    let more = left.len().saturating_sub(SHOWN);
    left.truncate(SHOWN);
    if more > 0 {
        left.push(format!("and {more} more"));
    }
    (!left.is_empty()).then(|| format!("not up to date: {}", left.join(", ")))
}

const fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::Unreachable => "unreachable",
        Cause::Refused => "refused",
        Cause::NoSpace => "no space",
        Cause::Denied => "denied",
        Cause::Changed => "changed underneath",
        Cause::Other => "failed",
    }
}

fn held_reason(excesses: &[Excess]) -> String {
    const SHOWN: usize = 5;
    let mut words: Vec<String> = excesses.iter().take(SHOWN).map(ToString::to_string).collect();
    if excesses.len() > SHOWN {
        words.push(format!("and {} more", excesses.len() - SHOWN));
    }
    format!("the difference is over a limit: {}", words.join("; "))
}

/// What became of each store that a run was to fill; `targets` are those of its sync. Nothing where the run changed nothing,
/// or goes on.
fn target_events(run: &Run, ending: &Ending, targets: &[Name]) -> Vec<NewEvent> {
    let fills = |target: &&Name| run.repair.as_ref().is_none_or(|one| one.targets.contains_key(*target));
    let goes_on = matches!(ending.state, RunState::Queued | RunState::Held);
    if run.mode == RunMode::Preview || goes_on {
        return Vec::new();
    }
    let event = |target: &Name| {
        let result = ending.targets.iter().find(|result| result.target == *target);
        let counts = result.map(|result| result.counts).unwrap_or_default();
        let failure = result.map_or(ending.failure.as_ref(), |result| result.failure.as_ref());
        let done = done(&counts);
        let (word, level, message) = match failure {
            Some(failure) if failure.kind == FailureKind::Stopped && ending.state == RunState::Cancelled => {
                ("cancelled", LogLevel::Info, done)
            }
            Some(failure) if result.is_none() => ("failed", LogLevel::Error, failure.message.clone()),
            Some(failure) => ("failed", LogLevel::Error, format!("{done}; {}", failure.message)),
            None if ending.state == RunState::Cancelled => ("cancelled", LogLevel::Info, done),
            None if counts.failed > 0 => ("partial", LogLevel::Warn, done),
            None if result.is_none() => return None,
            None => ("succeeded", LogLevel::Info, done),
        };
        let data = serde_json::json!({ "counts": counts, "failure": failure });
        let message = format!("Server {target}: {message}");
        let event = NewEvent::new(&format!("target.{word}"), "system", message).level(level).data(data);
        Some(of_run(event, run).store(target))
    };
    targets.iter().filter(fills).filter_map(event).collect()
}

/// An event about a run. One that repairs is about the collection that it repairs alone.
pub(crate) fn of_run(event: NewEvent, run: &Run) -> NewEvent {
    let event = event.of_run(run.id, &run.subject);
    match &run.repair {
        Some(repair) => event.collection(&repair.collection),
        None => event,
    }
}

/// What was done with files, in words.
fn done(counts: &Counts) -> String {
    let Counts { copied, updated, removed, unchanged, failed, .. } = counts;
    format!("{copied} copied, {updated} updated, {removed} removed, {unchanged} unchanged, {failed} failed")
}

fn event_of(run: &Run, ending: &Ending) -> NewEvent {
    let title = run.subject.title();
    let counts = &ending.counts;
    // What is told of a directory are entries, memberships and users.
    let of_directory = ending.targets.iter().any(|one| one.target.as_str() == ENTRIES);
    let (copied, failed) = if of_directory { ("added", "held or rejected") } else { ("copied", "failed") };
    let done = format!(
        "{} {copied}, {} updated, {} removed, {} unchanged, {} {failed}",
        counts.copied, counts.updated, counts.removed, counts.unchanged, counts.failed
    );
    let why = ending.failure.as_ref().map(|failure| failure.message.clone()).unwrap_or_default();
    let reason = ending.reason.clone().unwrap_or_default();
    let (level, message) = match ending.state {
        RunState::Succeeded => (LogLevel::Info, format!("{title}: {done}")),
        RunState::Partial if reason.is_empty() => (LogLevel::Warn, format!("{title} is not whole: {done}")),
        RunState::Partial => (LogLevel::Warn, format!("{title} is not whole: {done}; {reason}")),
        RunState::Held => (LogLevel::Warn, format!("{title} is held: {reason}")),
        RunState::Queued => (LogLevel::Warn, format!("{title} is queued again: {reason}")),
        RunState::Cancelled => (LogLevel::Info, format!("{title} was cancelled: {done}")),
        _ => (LogLevel::Error, format!("{title} failed: {why}")),
    };
    let mut data = serde_json::json!({ "mode": run.mode, "state": ending.state, "counts": counts });
    let left = ending.targets.iter().filter(|one| one.cause.is_some() || one.waits.is_some());
    let left: Vec<_> = left
        .map(|one| serde_json::json!({ "target": one.target, "cause": one.cause, "waits": one.waits }))
        .collect();
    if !left.is_empty() {
        data["left"] = left.into();
    }
    let kind =
        format!("run.{}", if ending.state == RunState::Queued { "requeued" } else { ending.state.as_str() });
    of_run(NewEvent::new(&kind, "system", message).level(level).data(data), run)
}

#[cfg(test)]
mod tests {
    use tokio::{sync::Semaphore, time::timeout};

    use super::*;

    #[tokio::test]
    async fn work_goes_on_while_a_chore_waits_for_what_the_work_is_given_first() {
        let connections = Semaphore::new(1);
        let mut taken = Some(connections.acquire().await.unwrap());
        let work = async { connections.acquire().await.map(drop) };
        let both = beside(work, Duration::from_millis(1), || {
            drop(taken.take());
            async { drop(connections.acquire().await) }
        });
        timeout(Duration::from_secs(10), both).await.unwrap().unwrap();
    }
}
