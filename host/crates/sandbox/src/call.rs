//! One call of a plugin, whatever its world: a fresh store, every limit around it, and an outcome that is an answer or
//! a [`Failure`].
//!
//! A world's module fills a [`Call`], says through [`Entry`] what to do with the store, and gets back what became of it
//! through [`guarded`]. So no world can forget a limit.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use syncline_domain::{Failure, clock::Clock, plugin::Capability, plugin::SandboxLimits};
use tokio::sync::Semaphore;
use wasmtime::{Engine, Store, UpdateDeadline, component::ResourceTable};

use crate::{
    capability::{
        GivenFailures, clock::ClockContext, desired_directory::DesiredDirectoryContext,
        desired_files::DesiredFilesContext, http::HttpContext, ldap::LdapContext, log::LogContext,
        progress::ProgressContext, settings::SettingsContext, stores::StoresContext,
    },
    host::{LogSink, ProgressSink, StopSignal},
    limits::{Limit, MemoryMeter},
    meter::{Meter, Metered},
    outcome::explain,
    ticker::Ticker,
};

/// What a call cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on a processor, in milliseconds.
    pub cpu_ms: u64,
    /// Most bytes of memories and tables at a time.
    pub memory_peak: u64,
    /// Calls of the host.
    pub calls: u64,
}

/// The data of a store: what one call may use, and what it has used and said so far. Interfaces that a world does not
/// have keep their empty context.
pub(crate) struct Call {
    pub(crate) limits: SandboxLimits,
    pub(crate) memory: MemoryMeter,
    pub(crate) meter: Arc<Meter>,
    pub(crate) calls: u64,
    pub(crate) table: ResourceTable,
    pub(crate) given: GivenFailures,
    pub(crate) log: LogContext,
    pub(crate) settings: SettingsContext,
    pub(crate) clock: ClockContext,
    pub(crate) progress: ProgressContext,
    pub(crate) stores: StoresContext,
    pub(crate) desired_files: DesiredFilesContext,
    pub(crate) ldap: LdapContext,
    pub(crate) http: HttpContext,
    pub(crate) desired_directory: DesiredDirectoryContext,
}

/// What every call is made of, whatever its world.
pub(crate) struct CallBasis {
    pub(crate) limits: SandboxLimits,
    pub(crate) settings: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Arc<dyn LogSink>,
    pub(crate) progress: Arc<dyn ProgressSink>,
}

impl Call {
    /// A call that can read and declare nothing yet.
    pub(crate) fn new(basis: CallBasis) -> Result<Self, Failure> {
        let CallBasis { limits, settings, clock, log, progress } = basis;
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        Ok(Self {
            memory: MemoryMeter::new(limits.memory_bytes),
            meter: Meter::new(limits.cpu_ms),
            calls: 0,
            table,
            given: GivenFailures::default(),
            log: LogContext::new(log, Arc::clone(&clock), &limits),
            settings: SettingsContext::new(settings, &limits)?,
            clock: ClockContext::new(clock, Duration::from_millis(limits.wall_ms)),
            progress: ProgressContext::new(progress),
            stores: StoresContext::default(),
            desired_files: DesiredFilesContext::default(),
            ldap: LdapContext::default(),
            http: HttpContext::default(),
            desired_directory: DesiredDirectoryContext::default(),
            limits,
        })
    }

    /// What it has cost so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage { cpu_ms: self.meter.spent_ms(), memory_peak: self.memory.peak(), calls: self.calls }
    }
}

/// Those of `allowed` that are about `interface`.
pub(crate) fn grants<'a>(
    allowed: &'a [Capability],
    interface: &'a str,
) -> impl Iterator<Item = &'a Capability> + Clone {
    allowed.iter().filter(move |one| one.capability == interface)
}

/// How a world is entered: instantiates, calls the export, gives back what it returned.
pub(crate) trait Entry: Send {
    /// What the export returns, in the world's own types.
    type Output: Send;

    /// Does it. Errors end the instance and become failures by [`explain`].
    fn enter(self, store: &mut Store<Call>) -> impl Future<Output = wasmtime::Result<Self::Output>> + Send;
}

/// What all calls of a sandbox share.
pub(crate) struct Gate {
    pub(crate) engine: Engine,
    pub(crate) ticker: Ticker,
    pub(crate) places: Semaphore,
}

/// What became of a call: the data of its store is there even if it failed.
pub(crate) struct Ended<T> {
    pub(crate) result: Result<T, Failure>,
    pub(crate) call: Call,
}

/// Waits for a free place, then runs `entry` in a store of its own, within all limits. Whatever ends it first (an
/// answer, a trap, a limit, the clock, the stop signal), the store is gone when this returns.
pub(crate) async fn guarded<E: Entry>(
    gate: &Gate,
    mut call: Call,
    stop: &StopSignal,
    entry: E,
) -> Result<Ended<E::Output>, Failure> {
    let place = tokio::select! {
        biased;
        place = gate.places.acquire() => place,
        reason = stop.stopped() => return Err(reason),
    };
    let _place = place.map_err(|_| Failure::stopped("sandbox", "the sandbox is closed"))?;
    if let Some(reason) = stop.reason() {
        return Err(reason);
    }
    let _epochs = gate.ticker.run();
    let limits = call.limits;
    let wall = Duration::from_millis(limits.wall_ms);
    call.clock.begin(Instant::now());
    let meter = Arc::clone(&call.meter);
    let mut store = prepare(&gate.engine, call);
    // The select drops the guest's future before anything else is done, wherever the guest is. The guest goes first: it
    // gives way at the end of an epoch, and a short call is over by then. To wait for signal and clock as well would cost
    // that call a call into the kernel, and wake the thread that keeps the timers.
    let result = tokio::select! {
        biased;
        result = Metered::new(entry.enter(&mut store), &meter) => result.map_err(|error| explain(&error, &limits)),
        reason = stop.stopped() => Err(reason),
        () = tokio::time::sleep(wall) => Err(Limit::Wall(limits.wall_ms).failure(None)),
    };
    let mut call = store.into_data();
    // Open sources, listings and sessions end here, before anybody acts on the outcome.
    call.table = ResourceTable::new();
    call.log.finish();
    call.progress.finish();
    Ok(Ended { result, call })
}

fn prepare(engine: &Engine, call: Call) -> Store<Call> {
    let limits = call.limits;
    let meter = Arc::clone(&call.meter);
    let mut store = Store::new(engine, call);
    store.limiter(|call| &mut call.memory);
    store.set_hostcall_fuel(usize::try_from(limits.call_bytes).unwrap_or(usize::MAX));
    // Host functions refuse with a failure at `handles`. This one ends the instance, and is above it so that it only
    // meets what no host function sees: handles that a guest makes for resources of its own.
    let handles = usize::try_from(limits.handles).unwrap_or(usize::MAX);
    store.set_max_component_handles(handles.saturating_mul(2).saturating_add(16));
    // As `epoch_deadline_async_yield_and_update` does, and asks for the processor time as well: an error from here
    // tells where in the guest it was.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        meter.check()?;
        Ok(UpdateDeadline::Yield(1))
    });
    store
}
