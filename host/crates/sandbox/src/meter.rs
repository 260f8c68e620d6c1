//! Processor time of a call: what its thread spent inside the polls of the call's future. Waiting is not counted.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use crate::limits::Limit;

/// A poll that is over sooner counts as long as it took by the clock. That is at most so much too long, and reading the clock
/// of the thread is a call into the kernel, which a short call of a plugin would notice.
const SHORT: Duration = Duration::from_micros(100);

/// Shared by the call's future, which is polled, and the epoch callback, which runs inside of a poll.
#[derive(Debug)]
pub(crate) struct Meter {
    limit_ms: u64,
    spent_ns: AtomicU64,
    poll_began_ns: AtomicU64,
}

impl Meter {
    pub(crate) fn new(limit_ms: u64) -> Arc<Self> {
        Arc::new(Self { limit_ms, spent_ns: AtomicU64::new(0), poll_began_ns: AtomicU64::new(0) })
    }

    /// What all finished polls took, in milliseconds.
    pub(crate) fn spent_ms(&self) -> u64 {
        self.spent_ns.load(Relaxed) / 1_000_000
    }

    /// To be asked inside of a poll: fails once the limit is reached.
    pub(crate) fn check(&self) -> Result<(), Limit> {
        let poll = thread_ns().saturating_sub(self.poll_began_ns.load(Relaxed));
        self.within(self.spent_ns.load(Relaxed).saturating_add(poll))
    }

    fn within(&self, ns: u64) -> Result<(), Limit> {
        if ns / 1_000_000 >= self.limit_ms { Err(Limit::Cpu(self.limit_ms)) } else { Ok(()) }
    }
}

fn thread_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// A call's future, measured.
pub(crate) struct Metered<F> {
    call: Pin<Box<F>>,
    meter: Arc<Meter>,
}

impl<F> Metered<F> {
    pub(crate) fn new(call: F, meter: &Arc<Meter>) -> Self {
        Self { call: Box::pin(call), meter: Arc::clone(meter) }
    }
}

impl<T, F: Future<Output = wasmtime::Result<T>>> Future for Metered<F> {
    type Output = wasmtime::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (began, began_ns) = (Instant::now(), thread_ns());
        self.meter.poll_began_ns.store(began_ns, Relaxed);
        let poll = self.call.as_mut().poll(context);
        let took = began.elapsed();
        let took_ns =
            if took < SHORT { u64::from(took.subsec_nanos()) } else { thread_ns().saturating_sub(began_ns) };
        let spent = self.meter.spent_ns.load(Relaxed) + took_ns;
        self.meter.spent_ns.store(spent, Relaxed);
        match poll {
            // A guest that only ever waits between short steps never meets an epoch of its own.
            Poll::Pending => match self.meter.within(spent) {
                Ok(()) => Poll::Pending,
                Err(limit) => Poll::Ready(Err(limit.into())),
            },
            ready => ready,
        }
    }
}
