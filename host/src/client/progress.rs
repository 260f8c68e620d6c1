//! Waiting for what takes time, with a bar for whoever looks.

use std::{
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::de::DeserializeOwned;
use syncline_domain::{
    ids::RunId,
    run::{Run, RunState},
};

use super::{Answer, Client, summary};
use crate::{
    outcome::{CliError, Exit, Result},
    output::Output,
};

/// How often the run is looked at: quick at first, since most runs that are waited for are short.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LATER_LOOKS: Duration = Duration::from_millis(500);

/// Waits until a run is over or held, prints it, and says so by the exit code.
pub fn wait_and_show(client: &Client, out: Output, id: RunId, at_most: Option<Duration>) -> Result<Exit> {
    let (answer, run) = wait(client, out, id, at_most)?;
    show(out, &answer, &run)?;
    Ok(Exit::of_run(run.state))
}

/// Prints a run that was waited for, and what can be done about it.
pub fn show(out: Output, answer: &Answer, run: &Run) -> Result<()> {
    let id = run.id;
    out.show(answer, summary::details)?;
    if run.state == RunState::Held {
        out.note(format!(
            "\nHeld. Look at it with `syncline run operations {id}`, then `syncline run approve {id}` or"
        ));
        out.note(format!("`syncline run reject {id}`."));
    }
    if run.state == RunState::Partial {
        out.note(format!("\nSee what failed: `syncline run operations {id} --state failed`; then `syncline run retry {id}`."));
    }
    Ok(())
}

/// Waits until a run is over or held.
pub fn wait(client: &Client, out: Output, id: RunId, at_most: Option<Duration>) -> Result<(Answer, Run)> {
    let ended = |run: &Run| run.state.is_final() || run.state == RunState::Held;
    let late = |run: &Run, after: u64| {
        let message = format!("run {id} is still {} after {after} s: it goes on", run.state);
        CliError::failed(message).hint(format!("wait on with `syncline run wait {id}`"))
    };
    until(client, out, &format!("/api/v1/runs/{id}"), at_most, ended, seen, late)
}

fn seen(run: &Run) -> Seen {
    let queued = run.state == RunState::Queued;
    let text = match (run.waiting_for.as_deref(), run.reason.as_deref()) {
        (Some(what), _) if queued => format!("queued: waits for {what}"),
        (None, Some(reason)) if queued => format!("queued: {reason}"),
        _ => summary::progress(run),
    };
    Seen { done: run.progress.operations_done, total: run.progress.operations_total, text }
}

/// How far something is.
#[derive(Debug)]
pub struct Seen {
    /// Done of it.
    pub done: u64,
    /// All of it.
    pub total: u64,
    /// In words.
    pub text: String,
}

/// Looks at what stands at `path` until it has ended, at most for a time after which `late` tells how far it was.
pub fn until<T: DeserializeOwned>(
    client: &Client,
    out: Output,
    path: &str,
    at_most: Option<Duration>,
    ended: impl Fn(&T) -> bool,
    seen: impl Fn(&T) -> Seen,
    late: impl FnOnce(&T, u64) -> CliError,
) -> Result<(Answer, T)> {
    let began = Instant::now();
    let bar = Bar::new(out);
    let mut pause = FIRST_LOOK;
    loop {
        let answer = client.get(path)?;
        let present: T = answer.parse()?;
        if ended(&present) {
            bar.clear();
            return Ok((answer, present));
        }
        bar.show(&seen(&present));
        if let Some(limit) = at_most.filter(|limit| began.elapsed() >= *limit) {
            bar.clear();
            return Err(late(&present, limit.as_secs()));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LATER_LOOKS);
    }
}

struct Bar(Option<ProgressBar>);

impl Bar {
    fn new(out: Output) -> Self {
        Self(out.shows_progress().then(|| ProgressBar::new(0).with_style(style())))
    }

    fn show(&self, seen: &Seen) {
        let Some(bar) = &self.0 else { return };
        bar.set_length(seen.total.max(1));
        bar.set_position(seen.done);
        bar.set_message(crate::output::plain(&seen.text));
        bar.tick();
    }

    fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} [{bar:30}] {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
