//! How devices get in: enrolment tokens, and the credential that each has for itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::GroupPath;
use crate::ids::{CredentialId, DeviceId, EnrolmentTokenId};
use crate::word::words;

/// Whom a token lets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Admits {
    /// New devices, into this group.
    Group(GroupPath),
    /// This device alone, which was registered before, or is enrolled anew.
    Device(DeviceId),
}

/// An enrolment token without its text, which is shown once and kept as a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnrolmentToken {
    /// Id.
    pub id: EnrolmentTokenId,
    /// What it is for.
    pub name: String,
    /// Whom it lets in.
    pub admits: Admits,
    /// Whether one device uses it up.
    pub single_use: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Devices whose own credential was accepted after enrolling with it.
    pub uses: u64,
    /// When it was used up or revoked.
    pub ended_at: Option<Timestamp>,
}

/// Where a credential stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum CredentialState {
    /// Offered and not used yet.
    Candidate,
    /// In use.
    Current,
    /// Replaced by a newer one that has been used.
    Old,
    /// Taken back by a person, a quarantine or a decommissioning.
    Revoked,
}

words!(CredentialState, "state of a credential":
    Candidate = "candidate", Current = "current", Old = "old", Revoked = "revoked");

/// A device's credential, as found by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Id.
    pub id: CredentialId,
    /// The device that it stands for.
    pub device: DeviceId,
    /// Where it stands. Only `candidate` and `current` are ever accepted.
    pub state: CredentialState,
    /// Whether it was handed over by a person, for an agent that takes no credential over the protocol.
    pub lasting: bool,
    /// The enrolment token that its first use counts against.
    pub token: Option<EnrolmentTokenId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was first accepted.
    pub first_used_at: Option<Timestamp>,
}

/// Candidates of one device that are valid at a time: the answer that carries one can get lost, and the device then
/// asks again.
pub const MAX_CANDIDATES: usize = 2;
