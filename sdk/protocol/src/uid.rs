//! The name of one process of an agent.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// Names one running process of an agent (section "AgentToServer.instance_uid"): exactly 16 bytes.
///
/// It is no credential, and it names no device: it changes when the agent starts anew. Its text is that of a UUID, as the
/// header `OpAMP-Instance-UID` has it (section "Plain HTTP Transport").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceUid([u8; Self::LENGTH]);

/// What was to be an instance uid is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInstanceUid {
    /// As bytes.
    #[error("an instance uid has 16 bytes, this one has {0}")]
    Length(usize),
    /// As text.
    #[error("an instance uid is written like f81d4fae-7dec-11d0-a765-00a0c91e6bf6, this one is not")]
    Text,
}

impl InstanceUid {
    /// Bytes of a uid.
    pub const LENGTH: usize = 16;

    /// The header of an HTTP request that can say the uid as text.
    pub const HEADER: &'static str = "OpAMP-Instance-UID";

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

impl TryFrom<&[u8]> for InstanceUid {
    type Error = BadInstanceUid;

    fn try_from(bytes: &[u8]) -> Result<Self, BadInstanceUid> {
        bytes.try_into().map(Self).map_err(|_| BadInstanceUid::Length(bytes.len()))
    }
}

impl FromStr for InstanceUid {
    type Err = BadInstanceUid;

    fn from_str(text: &str) -> Result<Self, BadInstanceUid> {
        Uuid::try_parse(text).map(Self::from).map_err(|_| BadInstanceUid::Text)
    }
}

impl From<Uuid> for InstanceUid {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.into_bytes())
    }
}

impl From<InstanceUid> for Uuid {
    fn from(uid: InstanceUid) -> Self {
        Self::from_bytes(uid.0)
    }
}

impl fmt::Display for InstanceUid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Uuid::from(*self), out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_has_sixteen_bytes() {
        for length in [0, 1, 15, 17, 32] {
            let bytes = vec![7; length];
            assert_eq!(InstanceUid::try_from(bytes.as_slice()), Err(BadInstanceUid::Length(length)));
        }
        let uid = InstanceUid::try_from([7; 16].as_slice()).unwrap();
        assert_eq!(uid.to_vec(), [7; 16]);
    }

    #[test]
    fn its_text_is_that_of_a_uuid() {
        let text = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        let uid: InstanceUid = text.parse().unwrap();
        assert_eq!(uid.as_bytes()[..4], [0xf8, 0x1d, 0x4f, 0xae]);
        assert_eq!(uid.to_string(), text);
        assert_eq!("not one".parse::<InstanceUid>(), Err(BadInstanceUid::Text));
    }
}
