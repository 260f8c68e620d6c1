//! Names that people give to what they register.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// 1 to 64 of `a-z`, `0-9`, `-`, `_` and `.`, beginning with a letter or digit. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", example = "patches")]
pub struct Name(Arc<str>);

/// A text that is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name: use 1 to 64 of a-z, 0-9, '-', '_' and '.', beginning with a letter or digit")]
pub struct BadName(pub String);

impl Name {
    /// Most bytes of a name.
    pub const MAX: usize = 64;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
        let first = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if text.len() <= Self::MAX && text.as_bytes().first().is_some_and(first) && text.bytes().all(inner) {
            Ok(Self(text.into()))
        } else {
            Err(BadName(text.chars().take(100).collect()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_could_be_a_path_or_a_trick() {
        for bad in ["", ".", "..", "-x", "a/b", "A", "a b", "é", "a\0", &"x".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        for good in ["a", "0", "patches", "site-1.eu_west", &"x".repeat(64)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
    }

    proptest! {
        #[test]
        fn json_keeps_names_and_refuses_the_rest(text in ".{0,70}") {
            let json = serde_json::to_string(&text).unwrap();
            match text.parse::<Name>() {
                Ok(name) => prop_assert_eq!(serde_json::to_string(&name).unwrap(), json),
                Err(_) => prop_assert!(serde_json::from_str::<Name>(&json).is_err()),
            }
        }
    }
}
