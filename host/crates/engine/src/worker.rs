//! How a node takes runs and keeps its leases.
//!
//! A node claims a queued run whose locks are free, renews its lease while the pipeline works, and writes the ending. A
//! lease that could not be renewed in time ends the attempt by itself, before another node can have taken the run: every
//! change of a file asks [`Control::keep_going`] first, and every write to the database carries the fencing token.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt;
use parking_lot::Mutex;
use syncline_domain::{
    Failure,
    ids::RunId,
    run::{RunMode, Subject, Waits},
    sync::Sync,
};
use syncline_sandbox::{StopSignal, Stopper};
use syncline_store::Claim;
use tokio::sync::Semaphore;

use crate::{Engine, Result, pipeline};

/// Why an attempt is to end before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// An operator cancelled the run.
    Cancelled,
    /// The lease is over: another node may have the run.
    LeaseLost,
    /// This node is being stopped; the run goes on later.
    NodeStopping,
}

impl Stop {
    fn failure(self) -> Failure {
        match self {
            Self::Cancelled => Failure::stopped("cancelled", "the run is being cancelled"),
            Self::LeaseLost => {
                Failure::stopped(syncline_files::LEASE_LOST, "this node lost its lease on the run")
            }
            Self::NodeStopping => {
                Failure::stopped("node-stopping", "the node is being stopped; the run goes on later")
            }
        }
    }
}

/// Tells an attempt, at each step, whether it may go on.
#[derive(Debug)]
pub struct Control {
    stop: AtomicU8,
    stopper: Stopper,
    signal: StopSignal,
    begun: Instant,
    /// Milliseconds after `begun`.
    lease_ends: AtomicU64,
}

impl Control {
    /// May go on for as long as `lease`, which was asked for at `asked`.
    pub fn new(asked: Instant, lease: Duration) -> Self {
        let (stopper, signal) = StopSignal::new();
        let control =
            Self { stop: AtomicU8::new(0), stopper, signal, begun: asked, lease_ends: AtomicU64::new(0) };
        control.renew(asked, lease);
        control
    }

    /// A lease that was asked for at `asked` holds; a tenth of it is kept back for the difference between two clocks.
    pub(crate) fn renew(&self, asked: Instant, lease: Duration) {
        let ends = asked.duration_since(self.begun) + lease - lease / 10;
        self.lease_ends.store(u64::try_from(ends.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Ends the attempt at its next safe point. The first reason holds, but for a lost lease: whatever else was asked, nothing
    /// may be touched any more.
    pub fn stop(&self, why: Stop) {
        let code = match why {
            Stop::Cancelled => 1,
            Stop::LeaseLost => 2,
            Stop::NodeStopping => 3,
        };
        if why == Stop::LeaseLost {
            self.stop.store(code, Ordering::Release);
        }
        // Fails where there is a reason already: that one holds.
        let _ = self.stop.compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire);
        self.stopper.stop(why.failure());
    }

    /// Why the attempt is to end, if it is. That its lease is over is said once and for all: whoever was told so has stopped,
    /// and no renewal that comes after that brings back what was left undone.
    pub fn stopped(&self) -> Option<Stop> {
        if self.lease_is_over() {
            self.stop(Stop::LeaseLost);
        }
        match self.stop.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Stop::Cancelled),
            2 => Some(Stop::LeaseLost),
            _ => Some(Stop::NodeStopping),
        }
    }

    fn lease_is_over(&self) -> bool {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        now >= self.lease_ends.load(Ordering::Acquire)
    }

    /// An error as soon as the attempt is to end. Costs less than a system call.
    pub fn keep_going(&self) -> Result<(), Failure> {
        self.stopped().map_or(Ok(()), |why| Err(why.failure()))
    }

    /// Ends a call into a plugin when the attempt is to end.
    pub fn signal(&self) -> StopSignal {
        self.signal.clone()
    }
}

/// The attempts under way on this node.
#[derive(Debug, Default)]
pub struct Worker {
    running: Mutex<HashMap<RunId, Arc<Control>>>,
}

impl Worker {
    /// Tells an attempt on this node at once that its run is being cancelled; other nodes see it at their next heartbeat.
    pub(crate) fn cancel(&self, run: RunId) {
        if let Some(control) = self.running.lock().get(&run) {
            control.stop(Stop::Cancelled);
        }
    }

    /// Unless another attempt of the run has begun here meanwhile, after a lease that was lost.
    fn forget(&self, run: RunId, control: &Arc<Control>) {
        let mut running = self.running.lock();
        if running.get(&run).is_some_and(|one| Arc::ptr_eq(one, control)) {
            running.remove(&run);
        }
    }

    fn stop_all(&self) {
        for control in self.running.lock().values() {
            control.stop(Stop::NodeStopping);
        }
    }
}

impl Engine {
    /// Claims and runs until the node stops, then sends what runs to a safe point.
    pub(crate) async fn work_until_stopped(&self) {
        let slots = Arc::new(Semaphore::new(self.config().concurrent_runs.max(1)));
        while !self.is_stopping() {
            let woken = self.inner.wake.notified();
            tokio::pin!(woken);
            // Before looking: what arrives between looking and waiting must wake.
            woken.as_mut().enable();
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
            let asked = Instant::now();
            match self.db().claim_run(self.config().lease).await {
                Ok(Some(claim)) => {
                    let engine = self.clone();
                    self.inner.tasks.spawn(async move {
                        engine.attempt(claim, asked).await;
                        drop(slot);
                        engine.wake();
                    });
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "Queued runs could not be looked through; trying again")
                }
            }
            drop(slot);
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(self.config().poll) => {}
                () = self.inner.stopping.cancelled() => {}
            }
        }
        self.inner.worker.stop_all();
    }

    /// Takes a claimed run down its road, and writes how it ended.
    pub(crate) async fn attempt(&self, claim: Claim, asked: Instant) {
        let run = claim.run.id;
        match self.put_back(&claim).await {
            Ok(false) => {}
            Ok(true) => return,
            Err(error) => {
                tracing::debug!(%run, %error, "Locks could not be looked up again; the run will say why")
            }
        }
        let control = Arc::new(Control::new(asked, self.config().lease));
        self.inner.worker.running.lock().insert(run, Arc::clone(&control));
        if self.is_stopping() {
            control.stop(Stop::NodeStopping);
        }
        let heart = tokio::spawn(self.clone().keep_lease(claim.clone(), Arc::clone(&control)));
        let work = AssertUnwindSafe(pipeline::attempt(self, &claim, &control)).catch_unwind();
        let outcome = work.await.unwrap_or_else(|panic| {
            let what = panic_text(panic.as_ref());
            tracing::error!(%run, what, "A run broke off: this is a fault of the host");
            pipeline::Outcome::failed(Failure::host(
                "panic",
                "the run broke off by a fault of the host: see its log",
            ))
        });
        if let Err(error) = self.conclude(&claim, &control, outcome).await {
            tracing::error!(%run, %error, "The ending of a run could not be written; it will be taken up again");
        }
        heart.abort();
        self.inner.worker.forget(run, &control);
    }

    /// A run waits with the locks that its sync needed when it was queued. If the sync was changed since, it goes back and
    /// waits for those that it needs now; and if no server that it is for can be reached yet, for the first whose window opens.
    async fn put_back(&self, claim: &Claim) -> Result<bool> {
        let run = &claim.run;
        let (needed, waits) = match &run.subject {
            Subject::Sync(name) => {
                let sync = self.db().sync(name).await?;
                let only = run.only.clone();
                let needed = self.new_run_of(&sync, run.mode, only, &run.actor, run.repair.as_ref()).await?;
                (needed, self.waits_for_windows(claim, &sync).await?)
            }
            Subject::Collection(name) => {
                (self.new_refresh(&self.db().collection(name).await?, &run.actor).await?, None)
            }
        };
        if waits.is_none() && needed.locks == claim.locks && needed.bound_to == claim.run.bound_to {
            return Ok(false);
        }
        self.db().requeue(claim, &needed.locks, needed.bound_to, waits.as_ref()).await?;
        Ok(true)
    }

    /// Why the run of a claim does not begin now.
    async fn waits_for_windows(&self, claim: &Claim, sync: &Sync) -> Result<Option<Waits>> {
        if claim.run.mode != RunMode::Apply || sync.spec.targets.is_empty() {
            return Ok(None);
        }
        let mut closed = self.closed_windows(self.clock().now()).await?;
        if closed.is_empty() {
            return Ok(None);
        }
        let targets = claim.run.only.as_ref().unwrap_or(&sync.spec.targets);
        let waits: Option<Vec<Waits>> = targets.iter().map(|target| closed.remove(target)).collect();
        Ok(waits.and_then(|waits| waits.into_iter().min_by_key(|one| one.until)))
    }

    /// Renews the lease three times in its length, and watches for a cancellation asked for on another node.
    async fn keep_lease(self, claim: Claim, control: Arc<Control>) {
        let lease = self.config().lease;
        loop {
            tokio::time::sleep(lease / 3).await;
            // It holds until its time is over, and not longer, whatever the database says.
            if control.stopped() == Some(Stop::LeaseLost) {
                return;
            }
            let asked = Instant::now();
            match self.db().heartbeat(&claim, lease).await {
                Ok(beat) => {
                    control.renew(asked, lease);
                    if beat.cancel {
                        control.stop(Stop::Cancelled);
                    }
                }
                Err(syncline_store::Error::Fenced { .. }) => return control.stop(Stop::LeaseLost),
                Err(error) => {
                    tracing::warn!(run = %claim.run.id, %error, "A lease could not be renewed; trying again");
                }
            }
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_to_stop_holds() {
        let control = Control::new(Instant::now(), Duration::from_secs(60));
        assert!(control.keep_going().is_ok());
        control.stop(Stop::Cancelled);
        control.stop(Stop::NodeStopping);
        assert_eq!(control.stopped(), Some(Stop::Cancelled));
        assert_eq!(control.keep_going().unwrap_err().code, "cancelled");
        control.stop(Stop::LeaseLost);
        assert_eq!(control.keep_going().unwrap_err().code, syncline_files::LEASE_LOST);
    }

    #[test]
    fn a_lease_that_nobody_renewed_stops_by_itself_and_for_good() {
        let control = Control::new(Instant::now(), Duration::from_secs(60));
        assert_eq!(control.stopped(), None);
        control.renew(Instant::now(), Duration::ZERO);
        assert_eq!(control.stopped(), Some(Stop::LeaseLost));
        control.renew(Instant::now(), Duration::from_secs(60));
        assert_eq!(control.stopped(), Some(Stop::LeaseLost));
    }
}
