//! What documents are known by.

use serde::{Deserialize, Serialize};

/// BLAKE3 of a document's bytes, as 64 hexadecimal digits: also that of a file with these bytes on a device's disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct DocumentDigest(String);

impl DocumentDigest {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<[u8; 32]> for DocumentDigest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl std::str::FromStr for DocumentDigest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            let text: String = text.chars().take(100).collect();
            Err(format!("{text:?} is no digest of a document: it has 64 of 0-9 and a-f"))
        }
    }
}

impl TryFrom<String> for DocumentDigest {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DocumentDigest> for String {
    fn from(digest: DocumentDigest) -> Self {
        digest.0
    }
}

impl std::fmt::Display for DocumentDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
