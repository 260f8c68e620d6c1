//! Small writes of many callers in one commit: all that come while one is under way are the next one. A herd of devices is
//! written down as fast as the disk takes bytes, not as fast as it takes commits.

use std::{future::Future, mem};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    db::Db,
    error::{Error, Result},
};

/// What is written together with others of its kind.
pub(crate) trait Together: Clone + Send + Sync + 'static {
    /// What its caller is told.
    type Answer: Send + 'static;
    /// Most in one commit, so that none has to wait for a herd.
    const MOST: usize;

    /// Those that wait.
    fn queue(db: &Db) -> &Queue<Self>;

    /// Writes all of them, in this order, and makes them durable: all or none. An answer for each.
    fn write(db: &Db, all: &[Self]) -> impl Future<Output = Result<Vec<Self::Answer>>> + Send;
}

/// See [`Together::queue`].
pub(crate) struct Queue<T: Together>(Mutex<Waiting<T>>);

struct Waiting<T: Together> {
    items: Vec<(T, oneshot::Sender<Result<T::Answer>>)>,
    /// Whether a task is writing; it goes on until nothing waits.
    writing: bool,
}

impl<T: Together> Default for Queue<T> {
    fn default() -> Self {
        Self(Mutex::new(Waiting { items: Vec::new(), writing: false }))
    }
}

impl Db {
    /// Writes it, with whatever else waits. Returns when it is durable. A caller that goes away leaves it in the queue.
    pub(crate) async fn write_together<T: Together>(&self, item: T) -> Result<T::Answer> {
        let (answer, answered) = oneshot::channel();
        let begin = {
            let mut queue = T::queue(self).0.lock();
            queue.items.push((item, answer));
            !mem::replace(&mut queue.writing, true)
        };
        if begin {
            // A task of its own: were it this one, a caller that goes away would take the others' commit with it.
            let db = self.clone();
            tokio::spawn(async move { db.write_waiting::<T>().await });
        }
        answered
            .await
            .map_err(|_| Error::Conflict("nothing was written: the server is stopping".to_owned()))?
    }

    async fn write_waiting<T: Together>(&self) {
        loop {
            let batch: Vec<_> = {
                let mut queue = T::queue(self).0.lock();
                let many = queue.items.len().min(T::MOST);
                if many == 0 {
                    queue.writing = false;
                    return;
                }
                queue.items.drain(..many).collect()
            };
            let (items, callers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            match T::write(self, &items).await {
                Ok(answers) => tell(callers, each_well(answers)),
                // Whose fault it is shows when each is written alone.
                Err(_) if items.len() > 1 => {
                    for (item, caller) in items.iter().zip(callers) {
                        let alone = T::write(self, std::slice::from_ref(item)).await;
                        tell([caller], alone.map_or_else(|error| vec![Err(error)], each_well));
                    }
                }
                Err(error) => tell(callers, vec![Err(error)]),
            }
        }
    }
}

fn each_well<A>(answers: Vec<A>) -> Vec<Result<A>> {
    answers.into_iter().map(Ok).collect()
}

fn tell<A>(callers: impl IntoIterator<Item = oneshot::Sender<Result<A>>>, answers: Vec<Result<A>>) {
    for (caller, answer) in callers.into_iter().zip(answers) {
        // One that does not wait any more has nothing to be told.
        let _ = caller.send(answer);
    }
}
