//! Secrets, as far as they are ever shown: by name.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Name;

/// A stored secret without its value, which is never given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretRecord {
    /// What settings and stores call it.
    pub name: Name,
    /// For people.
    pub description: String,
    /// When the value was last set.
    pub updated_at: Timestamp,
    /// Counts changes.
    pub revision: i64,
}
