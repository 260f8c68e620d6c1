//! Applying documents and running tasks, beside the conversation.

use std::{sync::Arc, time::Duration};

use syncline_protocol::items::{Task, TaskResult};

use crate::{
    apply::{Applier, Found, command::Commands},
    clock::Clock,
    config::Config,
    error::{Error, Result},
    state::StateFolder,
    tasks,
};

/// What works on the device.
pub struct Worker {
    pub config: Config,
    pub state: StateFolder,
    pub clock: Clock,
    pub commands: Box<dyn Commands>,
}

/// What was found in the work and after it.
pub struct Done {
    /// How all applications stood each time that a file was put back which someone else had changed.
    pub drift: Vec<Found>,
    /// How all applications stand now.
    pub after: Found,
}

impl Worker {
    fn applier(&self) -> Applier<'_> {
        Applier {
            state: &self.state,
            config: &self.config,
            commands: self.commands.as_ref(),
            clock: &self.clock,
        }
    }

    /// Brings the applications to the stored offer.
    pub async fn start(self: Arc<Self>) -> Result<Done> {
        blocking(move || {
            let drift = self.applier().work()?;
            Ok(Done { drift, after: self.applier().look()? })
        })
        .await
    }

    /// Runs a task.
    pub async fn perform(self: Arc<Self>, task: Task) -> Result<TaskResult> {
        let came = std::time::Instant::now();
        blocking(move || {
            let waited: Duration = came.elapsed();
            tasks::perform(&self.state, &self.config, self.commands.as_ref(), &task, waited)
        })
        .await
    }

    /// Forgets applications that were taken back, now that the server knows.
    pub fn forget_withdrawn(&self) -> Result<()> {
        self.applier().forget_withdrawn()
    }
}

async fn blocking<T: Send + 'static>(what: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended =
        |error: tokio::task::JoinError| Err(Error::Config(format!("the work ended by itself: {error}")));
    tokio::task::spawn_blocking(what).await.unwrap_or_else(ended)
}
