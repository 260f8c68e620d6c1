//! The epoch thread: every 10 ms it makes running guests pause, so that they can be stopped and others get their turn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use syncline_domain::Failure;
use wasmtime::Engine;

/// The length of an epoch.
const EPOCH: Duration = Duration::from_millis(10);
/// After so many epochs at whose end nothing ran, the thread sleeps: a second, so that calls in a row wake it once.
const IDLE_EPOCHS: u32 = 100;

/// Owns the thread, which ends when this is dropped. It sleeps while nothing runs.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    /// Whether the thread sleeps until somebody wakes it, or is about to. Whoever adds to `running` looks at it
    /// afterwards, and the thread looks at `running` after it set this: one of them sees the other.
    asleep: AtomicBool,
    over: Mutex<bool>,
    changed: Condvar,
}

/// Epochs pass while one of these lives.
pub(crate) struct Running(Arc<Shared>);

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> Result<Self, Failure> {
        let shared = Arc::new(Shared::default());
        let (engine, its) = (engine.weak(), Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("syncline-epochs".to_owned())
            .spawn(move || {
                let mut idle = 0;
                while its.next(&mut idle) {
                    let Some(engine) = engine.upgrade() else { break };
                    engine.increment_epoch();
                }
            })
            .map_err(|error| {
                Failure::host("sandbox", format!("no thread could be started for the sandbox: {error}"))
            })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Lets epochs pass until the answer is dropped. Costs no call into the kernel unless the thread sleeps.
    pub(crate) fn run(&self) -> Running {
        self.shared.running.fetch_add(1, SeqCst);
        if self.shared.asleep.load(SeqCst) {
            // Only with the lock in hand is it certain that the thread waits already, and hears this.
            let _over = self.shared.over.lock();
            self.shared.changed.notify_one();
        }
        Running(Arc::clone(&self.shared))
    }
}

impl Shared {
    /// Waits for the end of an epoch; `false` if it was the last one. `idle` counts those at whose end nothing ran.
    fn next(&self, idle: &mut u32) -> bool {
        let mut over = self.over.lock();
        *idle = if self.running.load(SeqCst) == 0 { *idle + 1 } else { 0 };
        if *idle > IDLE_EPOCHS {
            self.asleep.store(true, SeqCst);
            while self.running.load(SeqCst) == 0 && !*over {
                self.changed.wait(&mut over);
            }
            self.asleep.store(false, SeqCst);
            *idle = 0;
        }
        let until = Instant::now() + EPOCH;
        while !*over && !self.changed.wait_until(&mut over, until).timed_out() {}
        !*over
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        *self.shared.over.lock() = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sandbox's epoch thread had panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use wasmtime::{Config, Instance, Module, Store, Trap};

    use super::*;

    /// Ends when an epoch does.
    fn endless(engine: &Engine) {
        let wasm = wat::parse_str(r#"(module (func (export "f") (loop (br 0))))"#).unwrap();
        let module = Module::new(engine, wasm).unwrap();
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(1);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let endless = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        let error = endless.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    }

    #[test]
    fn a_thread_that_sleeps_is_woken_by_what_runs() {
        let engine = Engine::new(Config::new().epoch_interruption(true)).unwrap();
        let ticker = Ticker::start(&engine).unwrap();
        for _ in 0..2 {
            while !ticker.shared.asleep.load(SeqCst) {
                std::thread::sleep(EPOCH);
            }
            let barrier = Barrier::new(2);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        barrier.wait();
                        let _running = ticker.run();
                        endless(&engine);
                    });
                }
            });
        }
        assert_eq!(ticker.shared.running.load(SeqCst), 0);
    }
}
