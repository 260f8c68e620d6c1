//! Who may do what: roles and tokens.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::TokenId;

/// What a token allows; each role includes those before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Makes syncs and schedules, runs and forces, registers collections.
    Operator,
    /// Installs, grants and enables plugins, registers stores, approves held runs, owns secrets and tokens.
    Admin,
}

/// A stored access token; the token itself is shown once, when it is made, and kept as a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenRecord {
    /// Id.
    pub id: TokenId,
    /// Whose it is or what for; shown in events as who did it.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; never if absent.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}
