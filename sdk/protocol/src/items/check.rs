//! Ids, and whether items are what they should be.

use prost::DecodeError;
use uuid::Uuid;

use super::message::{Application, Body, Hello, Item, Items};
use crate::hash;

/// The id of an item, a run, a boot or a sync: exactly 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; Self::LENGTH]);

/// An id has another length than 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id has 16 bytes, this one has {0}")]
pub struct BadId(
    /// Its length.
    pub usize,
);

/// Why a message of our capability cannot be taken. The sender does not understand it better the next time: it is malformed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadItems {
    /// Over the limit.
    #[error("items of {size} bytes are over the limit of {limit}")]
    TooLarge {
        /// In bytes.
        size: usize,
        /// In bytes.
        limit: usize,
    },
    /// An id or digest has another length than it should.
    #[error("{field} has {size} bytes, not {expected}")]
    Length {
        /// Which, as `Message.field`.
        field: &'static str,
        /// In bytes.
        size: usize,
        /// In bytes; some can be empty instead.
        expected: usize,
    },
    /// No protobuf.
    #[error("the items are not valid protobuf: {0}")]
    Protobuf(#[from] DecodeError),
}

impl Id {
    /// Bytes of an id.
    pub const LENGTH: usize = 16;

    /// From its bytes.
    pub const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// Its bytes, as a message has them.
    pub fn to_vec(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl TryFrom<&[u8]> for Id {
    type Error = BadId;

    fn try_from(bytes: &[u8]) -> Result<Self, BadId> {
        bytes.try_into().map(Self).map_err(|_| BadId(bytes.len()))
    }
}

impl From<Uuid> for Id {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.into_bytes())
    }
}

impl From<Id> for Uuid {
    fn from(id: Id) -> Self {
        Self::from_bytes(id.0)
    }
}

impl Items {
    /// Whether every id and digest has its length; what [`Items::from_custom`] does.
    pub fn check(&self) -> Result<(), BadItems> {
        for id in &self.received {
            length("Items.received", id, Id::LENGTH)?;
        }
        self.items.iter().try_for_each(Item::check)
    }
}

impl Item {
    fn check(&self) -> Result<(), BadItems> {
        length("Item.id", &self.id, Id::LENGTH)?;
        match &self.body {
            Some(Body::Hello(hello)) => hello.check(),
            Some(Body::Applications(all)) => all.applications.iter().try_for_each(Application::check),
            Some(Body::SyncRequest(request)) => length("SyncRequest.sync_id", &request.sync_id, Id::LENGTH),
            Some(Body::SyncResult(result)) => length("SyncResult.sync_id", &result.sync_id, Id::LENGTH),
            Some(Body::Task(task)) => length("Task.task_id", &task.task_id, Id::LENGTH),
            Some(Body::TaskResult(result)) => length("TaskResult.task_id", &result.task_id, Id::LENGTH),
            Some(Body::Activation(it)) => length("Activation.activation_id", &it.activation_id, Id::LENGTH),
            Some(Body::ActivationResult(result)) => {
                length("ActivationResult.activation_id", &result.activation_id, Id::LENGTH)
            }
            Some(Body::Notice(_) | Body::NextContact(_)) | None => Ok(()),
        }
    }
}

impl Hello {
    fn check(&self) -> Result<(), BadItems> {
        length("Hello.run_id", &self.run_id, Id::LENGTH)?;
        length_or_empty("Hello.boot_id", &self.boot_id, Id::LENGTH)?;
        length_or_empty("Hello.machine_fingerprint", &self.machine_fingerprint, hash::LENGTH)
    }
}

impl Application {
    fn check(&self) -> Result<(), BadItems> {
        length_or_empty("Application.document_digest", &self.document_digest, hash::LENGTH)?;
        length_or_empty("Application.digest_on_disk", &self.digest_on_disk, hash::LENGTH)
    }
}

fn length(field: &'static str, bytes: &[u8], expected: usize) -> Result<(), BadItems> {
    let size = bytes.len();
    if size == expected { Ok(()) } else { Err(BadItems::Length { field, size, expected }) }
}

fn length_or_empty(field: &'static str, bytes: &[u8], expected: usize) -> Result<(), BadItems> {
    if bytes.is_empty() { Ok(()) } else { length(field, bytes, expected) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::{
        Activation, ActivationResult, Applications, SyncRequest, SyncResult, Task, TaskResult,
    };

    /// The field that `items` are refused for.
    fn refused(items: &Items) -> &'static str {
        match items.check() {
            Err(BadItems::Length { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    fn with(body: Body) -> Items {
        Items { items: vec![Item::new(Id::new([0; 16]), 0, body)], received: Vec::new() }
    }

    #[test]
    fn every_id_and_digest_is_looked_at() {
        let hello = Hello { run_id: vec![1; 16], ..Hello::default() };
        let application = |it| with(Body::Applications(Applications { applications: vec![it] }));
        for (field, items) in [
            ("Items.received", Items { received: vec![vec![1; 15]], ..Items::default() }),
            ("Item.id", Items { items: vec![Item::default()], ..Items::default() }),
            ("Hello.run_id", with(Body::Hello(Hello::default()))),
            ("Hello.boot_id", with(Body::Hello(Hello { boot_id: vec![1], ..hello.clone() }))),
            (
                "Hello.machine_fingerprint",
                with(Body::Hello(Hello { machine_fingerprint: vec![1; 33], ..hello.clone() })),
            ),
            (
                "Application.document_digest",
                application(Application { document_digest: vec![1; 16], ..Application::default() }),
            ),
            (
                "Application.digest_on_disk",
                application(Application { digest_on_disk: vec![1; 31], ..Application::default() }),
            ),
            ("SyncRequest.sync_id", with(Body::SyncRequest(SyncRequest::default()))),
            ("SyncResult.sync_id", with(Body::SyncResult(SyncResult::default()))),
            ("Task.task_id", with(Body::Task(Task::default()))),
            ("TaskResult.task_id", with(Body::TaskResult(TaskResult::default()))),
            ("Activation.activation_id", with(Body::Activation(Activation::default()))),
            ("ActivationResult.activation_id", with(Body::ActivationResult(ActivationResult::default()))),
        ] {
            assert_eq!(refused(&items), field);
        }
        assert_eq!(with(Body::Hello(hello)).check(), Ok(()));
        assert_eq!(application(Application::default()).check(), Ok(()));
    }

    #[test]
    fn an_id_has_sixteen_bytes() {
        assert_eq!(Id::try_from([1; 16].as_slice()), Ok(Id::new([1; 16])));
        assert_eq!(Id::try_from([1; 17].as_slice()), Err(BadId(17)));
        assert_eq!(Id::new([9; 16]).to_vec(), [9; 16]);
    }
}
