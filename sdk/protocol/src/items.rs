//! What OpAMP has no words for: our capability, carried in its custom messages (section "Custom Messages").
//!
//! A side that names [`CAPABILITY`] among its custom capabilities is sent messages of the kind [`KIND`]; each has [`Items`],
//! many at once, since a frame of OpAMP has room for one custom message only.
//!
//! # How items travel
//!
//! An item is stored by its sender until the receiver has named its id in [`Items::received`], or until it makes no sense any
//! more. It can come more than once and out of order; the receiver passes over ids that it has seen, and names them again. What
//! the item says is independent of the frame that it came in.
//!
//! | body | from | what for |
//! | --- | --- | --- |
//! | [`Hello`] | device | who speaks: first item of every connection, first of every process over HTTP |
//! | [`Applications`] | device | the state of every application |
//! | [`SyncRequest`] | both | asks the other side to bring the device up to date now |
//! | [`SyncResult`] | both | answers that |
//! | [`Notice`] | both | a message for people |
//! | [`NextContact`] | server | when to come back |
//! | [`Task`] | server | asks to run an action of the device, at most once |
//! | [`TaskResult`] | device | answers that |
//! | [`Activation`] | device | an activation code that someone typed in |
//! | [`ActivationResult`] | server | answers that |
//!
//! # Reading
//!
//! [`Items::from_custom`] checks once that every id and digest has its length. An item whose `body` is `None` is of a kind that
//! is not known here: acknowledge it, and go on.

mod check;
mod message;

pub use check::{BadId, BadItems, Id};
pub use message::{
    Activation, ActivationResult, Application, ApplicationState, Applications, Body, Hello, Item, Items,
    NextContact, Notice, Severity, SyncOutcome, SyncRequest, SyncResult, Task, TaskOutcome, TaskResult,
};
use prost::Message;

use crate::opamp::CustomMessage;

/// The name of our capability, version 1.
pub const CAPABILITY: &str = "io.syncline.device/v1";

/// The one kind of message that it has: `CustomMessage.type`.
pub const KIND: &str = "items";

/// Bytes of items in one message that both sides keep to: 1 MiB, the states of some thousand applications. A hostile message
/// can take [`AMPLIFICATION`](crate::frame::AMPLIFICATION) times its size in memory.
pub const RECOMMENDED_LIMIT: usize = 1024 * 1024;

impl Items {
    /// Wraps them up.
    pub fn to_custom(&self) -> CustomMessage {
        CustomMessage {
            capability: CAPABILITY.to_owned(),
            kind: KIND.to_owned(),
            data: self.encode_to_vec().into(),
        }
    }

    /// Unwraps and checks them. `None` if the message is of another capability or kind: that is not for us, and no error.
    /// `limit` is of the data, in bytes.
    pub fn from_custom(message: &CustomMessage, limit: usize) -> Result<Option<Self>, BadItems> {
        if message.capability != CAPABILITY || message.kind != KIND {
            return Ok(None);
        }
        let size = message.data.len();
        if size > limit {
            return Err(BadItems::TooLarge { size, limit });
        }
        let items = Self::decode(message.data.as_ref())?;
        items.check()?;
        Ok(Some(items))
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.received.is_empty()
    }

    /// The ids that the other side has received; those that are none are passed over.
    pub fn acknowledged(&self) -> impl Iterator<Item = Id> {
        self.received.iter().filter_map(|id| id.as_slice().try_into().ok())
    }
}

impl Item {
    /// An item. `sent_unix_ms` is when it was made, by the clock of who made it, and stays so when it is sent again.
    pub fn new(id: Id, sent_unix_ms: u64, body: Body) -> Self {
        Self { id: id.to_vec(), sent_unix_ms, body: Some(body) }
    }

    /// Its id. Fails if the field has not exactly 16 bytes; not after [`Items::from_custom`].
    pub fn parsed_id(&self) -> Result<Id, BadId> {
        self.id.as_slice().try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice() -> Items {
        let body = Body::Notice(Notice { title: "Disk is full".to_owned(), ..Notice::default() });
        Items { items: vec![Item::new(Id::new([1; 16]), 5, body)], received: vec![vec![2; 16]] }
    }

    #[test]
    fn what_is_wrapped_can_be_unwrapped() {
        let custom = notice().to_custom();
        assert_eq!((custom.capability.as_str(), custom.kind.as_str()), ("io.syncline.device/v1", "items"));
        assert_eq!(Items::from_custom(&custom, custom.data.len()), Ok(Some(notice())));
        let read: Vec<_> = notice().acknowledged().collect();
        assert_eq!(read, [Id::new([2; 16])]);
        assert_eq!(notice().items[0].parsed_id(), Ok(Id::new([1; 16])));
    }

    #[test]
    fn messages_for_others_are_left_to_them() {
        for (capability, kind) in [("com.example.else", KIND), (CAPABILITY, "else"), ("", "")] {
            let data = b"\xff\xff".as_slice().into();
            let custom = CustomMessage { capability: capability.to_owned(), kind: kind.to_owned(), data };
            assert_eq!(Items::from_custom(&custom, 100), Ok(None));
        }
    }

    #[test]
    fn more_than_the_limit_is_not_read() {
        let custom = notice().to_custom();
        let size = custom.data.len();
        let limit = size - 1;
        assert_eq!(Items::from_custom(&custom, limit), Err(BadItems::TooLarge { size, limit }));
    }

    #[test]
    fn a_kind_of_item_from_the_future_is_an_item_without_body() {
        // Fields 1 (the id) and 99 (not defined, text).
        let mut data = vec![0x0a, 23, 0x0a, 16];
        data.extend([3; 16]);
        data.extend([0x9a, 0x06, 2, b'h', b'i']);
        let custom = CustomMessage { data: data.into(), ..Items::default().to_custom() };
        let items = Items::from_custom(&custom, 100).unwrap().unwrap();
        assert_eq!(items.items, [Item { id: vec![3; 16], ..Item::default() }]);
    }
}
