//! What many callers bring in small pieces, done together: all that come while some are under way are the next ones. A herd of
//! devices is written down as fast as the disk takes bytes, not as fast as it takes commits.

use std::{future::Future, mem};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// What is done together with others of its kind.
pub trait Together: Clone + Send + Sync + 'static {
    /// Where it is done. Cheap to clone.
    type Context: Clone + Send + Sync + 'static;
    /// What its caller is told.
    type Answer: Send + 'static;
    /// Why it could not be done.
    type Error: Send + 'static;
    /// Most at a time, so that none has to wait for a herd.
    const MOST: usize;

    /// Those that wait.
    fn queue(context: &Self::Context) -> &Queue<Self>;

    /// Does all of them, in this order: all or none, or so that doing one again does no harm. An answer for each.
    fn all(
        context: &Self::Context,
        all: &[Self],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Self::Error>> + Send;

    /// What a caller is told if nobody does it any more.
    fn stopping() -> Self::Error;
}

type Told<T> = oneshot::Sender<Result<<T as Together>::Answer, <T as Together>::Error>>;

/// See [`Together::queue`].
pub struct Queue<T: Together>(Mutex<Waiting<T>>);

struct Waiting<T: Together> {
    items: Vec<(T, Told<T>)>,
    /// Whether a task is at work; it goes on until nothing waits.
    at_work: bool,
}

impl<T: Together> Default for Queue<T> {
    fn default() -> Self {
        Self(Mutex::new(Waiting { items: Vec::new(), at_work: false }))
    }
}

/// Does it, with whatever else waits. A caller that goes away leaves it in the queue.
pub async fn together<T: Together>(context: &T::Context, item: T) -> Result<T::Answer, T::Error> {
    let (answer, answered) = oneshot::channel();
    let begin = {
        let mut queue = T::queue(context).0.lock();
        queue.items.push((item, answer));
        !mem::replace(&mut queue.at_work, true)
    };
    if begin {
        // A task of its own: were it this one, a caller that goes away would take the others with it.
        let context = context.clone();
        tokio::spawn(async move { until_none_waits::<T>(&context).await });
    }
    answered.await.unwrap_or_else(|_| Err(T::stopping()))
}

async fn until_none_waits<T: Together>(context: &T::Context) {
    loop {
        let batch: Vec<_> = {
            let mut queue = T::queue(context).0.lock();
            let many = queue.items.len().min(T::MOST);
            if many == 0 {
                queue.at_work = false;
                return;
            }
            queue.items.drain(..many).collect()
        };
        let (items, callers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        match T::all(context, &items).await {
            Ok(answers) => tell::<T>(callers, answers),
            // Whose fault it is shows when each is done alone.
            Err(_) if items.len() > 1 => {
                for (item, caller) in items.iter().zip(callers) {
                    match T::all(context, std::slice::from_ref(item)).await {
                        Ok(answers) => tell::<T>([caller], answers),
                        Err(error) => refuse::<T>([caller], error),
                    }
                }
            }
            Err(error) => refuse::<T>(callers, error),
        }
    }
}

// A caller that does not wait any more has nothing to be told.

fn tell<T: Together>(callers: impl IntoIterator<Item = Told<T>>, answers: Vec<T::Answer>) {
    for (caller, answer) in callers.into_iter().zip(answers) {
        let _ = caller.send(Ok(answer));
    }
}

fn refuse<T: Together>(callers: impl IntoIterator<Item = Told<T>>, error: T::Error) {
    if let Some(caller) = callers.into_iter().next() {
        let _ = caller.send(Err(error));
    }
}
