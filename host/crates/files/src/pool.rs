//! Work that grows while it is done (walking folders), on scoped threads.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};
use syncline_domain::Failure;

struct State<T> {
    /// Taken from the back: depth first keeps the queue short.
    items: VecDeque<T>,
    /// Items queued or being worked on.
    open: usize,
    failure: Option<Failure>,
}

/// The queue that workers take from and add to.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T: Send> Queue<T> {
    /// Adds an item.
    pub(crate) fn push(&self, item: T) {
        let mut state = self.state.lock();
        state.items.push_back(item);
        state.open += 1;
        drop(state);
        self.changed.notify_one();
    }

    fn take(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if state.failure.is_some() || state.open == 0 {
                return None;
            }
            if let Some(item) = state.items.pop_back() {
                return Some(item);
            }
            self.changed.wait(&mut state);
        }
    }

    fn done(&self, result: Result<(), Failure>) {
        let mut state = self.state.lock();
        state.open -= 1;
        if let Err(failure) = result {
            state.failure.get_or_insert(failure);
        }
        if state.open == 0 || state.failure.is_some() {
            drop(state);
            self.changed.notify_all();
        }
    }
}

/// Works on `first` and all that is pushed meanwhile, on `threads` threads with a state each (made by `start`). The first
/// failure ends it. Gives back the threads' states.
pub(crate) fn work<T, S>(
    threads: usize,
    first: Vec<T>,
    start: impl Fn() -> S + Sync,
    each: impl Fn(&Queue<T>, &mut S, T) -> Result<(), Failure> + Sync,
) -> Result<Vec<S>, Failure>
where
    T: Send,
    S: Send,
{
    let open = first.len();
    let state = State { items: first.into(), open, failure: None };
    let queue = Queue { state: Mutex::new(state), changed: Condvar::new() };
    let states = std::thread::scope(|scope| {
        let run = || {
            let mut own = start();
            while let Some(item) = queue.take() {
                let guard = Panicked(&queue);
                let result = each(&queue, &mut own, item);
                std::mem::forget(guard);
                queue.done(result);
            }
            own
        };
        let others: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(run)).collect();
        let mut states = vec![run()];
        for other in others {
            match other.join() {
                Ok(state) => states.push(state),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        states
    });
    match queue.state.into_inner().failure {
        Some(failure) => Err(failure),
        None => Ok(states),
    }
}

/// Ends the other threads if one panics, which would wait for its item forever.
struct Panicked<'a, T: Send>(&'a Queue<T>);

impl<T: Send> Drop for Panicked<'_, T> {
    fn drop(&mut self) {
        self.0.done(Err(Failure::host("panic", "a thread of the host ended abnormally; see its log")));
    }
}
