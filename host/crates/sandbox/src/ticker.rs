//! The epoch thread: every 10 ms it makes running guests pause, so that they can be stopped and others get their turn.

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use parking_lot::{Condvar, Mutex};
use syncline_domain::Failure;
use wasmtime::Engine;

/// The length of an epoch.
const EPOCH: Duration = Duration::from_millis(10);

/// Owns the thread, which ends when this is dropped. It sleeps as long as nothing runs.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    over: bool,
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
                while its.next() {
                    let Some(engine) = engine.upgrade() else { break };
                    engine.increment_epoch();
                }
            })
            .map_err(|error| {
                Failure::host("sandbox", format!("no thread could be started for the sandbox: {error}"))
            })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Lets epochs pass until the answer is dropped.
    pub(crate) fn run(&self) -> Running {
        self.shared.state.lock().running += 1;
        self.shared.changed.notify_one();
        Running(Arc::clone(&self.shared))
    }
}

impl Shared {
    /// Waits for the end of an epoch; `false` if it was the last one.
    fn next(&self) -> bool {
        let mut state = self.state.lock();
        while state.running == 0 && !state.over {
            self.changed.wait(&mut state);
        }
        if !state.over {
            let until = std::time::Instant::now() + EPOCH;
            while !state.over && !self.changed.wait_until(&mut state, until).timed_out() {}
        }
        !state.over
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state.lock().running -= 1;
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.state.lock().over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sandbox's epoch thread had panicked");
        }
    }
}
