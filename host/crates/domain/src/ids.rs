//! Ids: UUIDv7 (RFC 9562), so that they sort by the time they were made.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no id: one looks like 01930000-0000-7000-8000-000000000001, and lists show them")]
pub struct BadId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = Uuid)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id that carries `now`.
            pub fn new(now: Timestamp) -> Self {
                Self(uuid_at(now))
            }

            /// New ids that carry `now`, each above the one before: what is written in their order stands together.
            pub fn ascending(now: Timestamp, count: usize) -> Vec<Self> {
                let mut ids: Vec<_> = std::iter::repeat_with(|| Self::new(now)).take(count).collect();
                ids.sort_unstable();
                ids
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                text.parse().map(Self).map_err(|_: uuid::Error| BadId)
            }
        }
    };
}

fn uuid_at(now: Timestamp) -> Uuid {
    let millis = now.as_millisecond().max(0).unsigned_abs();
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, millis / 1_000, nanos))
}

id!(
    /// One execution of a sync.
    RunId
);
id!(
    /// One running host, for as long as its data folder lives.
    NodeId
);
id!(
    /// A schedule.
    ScheduleId
);
id!(
    /// What a store's mark says it is.
    StoreId
);
id!(
    /// An access token.
    TokenId
);
id!(
    /// What an API call started, when it is more than one run.
    OperationId
);

id!(
    /// A device: the machine that a credential stands for, whatever process speaks for it.
    DeviceId
);
id!(
    /// A token that lets devices enrol.
    EnrolmentTokenId
);
id!(
    /// A device's own credential.
    CredentialId
);
id!(
    /// A policy.
    PolicyId
);
id!(
    /// A user of devices.
    UserId
);
id!(
    /// A subscription of a user.
    SubscriptionId
);
id!(
    /// An activation code of a user.
    ActivationCodeId
);
id!(
    /// A task for devices.
    TaskId
);
id!(
    /// A forced synchronisation of devices.
    SyncOperationId
);
id!(
    /// A message between the server and one device.
    MessageId
);
id!(
    /// An entry of a directory, as it is known here.
    DirectoryEntryId
);

impl MessageId {
    /// The id of what answers the message of this id, the same each time: an answer that is written down twice is one. Nothing
    /// else has it, since ids are drawn.
    #[must_use]
    pub fn answer(self) -> Self {
        Self(Uuid::from_u128(!self.0.as_u128()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_parse_back() {
        let early = RunId::new(Timestamp::from_millisecond(1_000_000).unwrap());
        let late = RunId::new(Timestamp::from_millisecond(1_000_001).unwrap());
        assert!(early < late);
        assert_eq!(early.to_string().parse::<RunId>().unwrap(), early);
        assert!("not-an-id".parse::<RunId>().is_err());
    }
}
