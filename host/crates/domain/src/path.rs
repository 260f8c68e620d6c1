//! Paths below the root of a store.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names joined by `/`: none of them empty, `.` or `..`, no `/` at either end, no NUL, at most 255 bytes a name and
/// 4,096 in all. The empty path is the root. Bytes, since file systems know no more; compared byte by byte.
///
/// As text (in JSON and for people) bytes that are not UTF-8 are written `\xNN` and a backslash before them `\\`, but
/// only in paths that are not UTF-8: see [`RelPath::to_text`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Vec<u8>);

/// Why a text is no [`RelPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not a path below a store's root: {why}")]
pub struct BadPath {
    /// The text, cut at 200 bytes.
    pub path: String,
    /// The rule it breaks.
    pub why: &'static str,
}

impl RelPath {
    /// Most bytes of a path.
    pub const MAX: usize = 4_096;
    /// Most bytes of a name in it.
    pub const MAX_NAME: usize = 255;

    /// The root.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// Checks the rules.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, BadPath> {
        let bytes = bytes.into();
        match broken_rule(&bytes) {
            None => Ok(Self(bytes)),
            Some(why) => Err(BadPath { path: cut(&bytes), why }),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// This folder's entry `name`. The name must be one: not empty, no `/`.
    #[must_use]
    pub fn join_name(&self, name: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self(bytes)
    }

    /// `below`, seen from this folder.
    #[must_use]
    pub fn join(&self, below: &Self) -> Self {
        if below.is_root() { self.clone() } else { self.join_name(&below.0) }
    }

    /// What of this path is below `folder`; `None` if it is elsewhere.
    #[must_use]
    pub fn strip(&self, folder: &Self) -> Option<Self> {
        if folder.is_root() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(folder.0.as_slice())?;
        match rest.first() {
            None => Some(Self::root()),
            Some(b'/') => Some(Self(rest[1..].to_vec())),
            Some(_) => None,
        }
    }

    /// Whether this path is `folder` or below it.
    pub fn is_within(&self, folder: &Self) -> bool {
        folder.is_root()
            || self.0.strip_prefix(folder.0.as_slice()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// The folder and the name in it; `None` for the root.
    pub fn split(&self) -> Option<(Self, &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|&b| b == b'/') {
            Some(at) => (Self(self.0[..at].to_vec()), &self.0[at + 1..]),
            None => (Self::root(), &self.0),
        })
    }

    /// The names, from the root down.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|name| !name.is_empty())
    }

    /// The text if the path is UTF-8.
    pub fn as_utf8(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// A text that [`RelPath::from_text`] turns back into the same path.
    pub fn to_text(&self) -> String {
        if let Some(text) = self.as_utf8() {
            return text.to_owned();
        }
        let mut text = String::with_capacity(self.0.len() + 8);
        text.push_str(ESCAPED);
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == '\\' {
                    text.push('\\');
                }
                text.push(c);
            }
            for byte in chunk.invalid() {
                text.push_str(&format!("\\x{byte:02x}"));
            }
        }
        text
    }

    /// The path that a text of [`RelPath::to_text`] stands for.
    pub fn from_text(text: &str) -> Result<Self, BadPath> {
        let Some(escaped) = text.strip_prefix(ESCAPED) else {
            return Self::new(text);
        };
        let bad = || BadPath { path: cut(text.as_bytes()), why: "an escape in it is neither \\\\ nor \\xNN" };
        let mut bytes = Vec::with_capacity(escaped.len());
        let mut rest = escaped.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            if first != b'\\' {
                bytes.push(first);
                continue;
            }
            match rest {
                [b'\\', after @ ..] => {
                    bytes.push(b'\\');
                    rest = after;
                }
                [b'x', high, low, after @ ..] => {
                    let digits = [*high, *low];
                    let digits = std::str::from_utf8(&digits).map_err(|_| bad())?;
                    bytes.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
                    rest = after;
                }
                _ => return Err(bad()),
            }
        }
        Self::new(bytes)
    }
}

/// What a text begins with that has escapes in it. `//` begins no path, so no ordinary path can be taken for one.
const ESCAPED: &str = "//";

fn cut(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}

fn broken_rule(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return None;
    }
    if bytes.len() > RelPath::MAX {
        return Some("longer than 4,096 bytes");
    }
    if bytes.contains(&0) {
        return Some("a NUL byte is in it");
    }
    if bytes[0] == b'/' {
        return Some("it begins with '/'; paths begin at the store's root");
    }
    bytes.split(|&b| b == b'/').find_map(|name| match name {
        b"" => Some("a name in it is empty"),
        b"." => Some("'.' is no name"),
        b".." => Some("'..' is no name"),
        _ if name.len() > RelPath::MAX_NAME => Some("a name in it is longer than 255 bytes"),
        _ => None,
    })
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_text(), f)
    }
}

impl Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_utf8() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_str(&self.to_text()),
        }
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_text(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_leads_out() {
        for bad in ["/", "/etc", "..", "a/..", "../a", "a//b", "a/", "./a", "a/./b", "a\0b"] {
            assert!(RelPath::new(bad).is_err(), "{bad:?}");
        }
        assert!(RelPath::new(vec![b'a'; 256]).is_err());
        assert!(RelPath::new(vec![b"a".repeat(255); 17].join(&b'/')).is_err());
        assert!(RelPath::new("").unwrap().is_root());
    }

    #[test]
    fn below_means_whole_names() {
        let path = RelPath::new("ab/c").unwrap();
        assert!(!path.is_within(&RelPath::new("a").unwrap()));
        assert!(path.is_within(&RelPath::new("ab").unwrap()));
        assert_eq!(path.strip(&RelPath::new("ab").unwrap()).unwrap(), RelPath::new("c").unwrap());
        assert_eq!(path.split().unwrap(), (RelPath::new("ab").unwrap(), b"c".as_slice()));
    }

    proptest! {
        #[test]
        fn text_and_path_are_one_to_one(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(path) = RelPath::new(bytes) {
                prop_assert_eq!(RelPath::from_text(&path.to_text()).unwrap(), path.clone());
                let json = serde_json::to_string(&path).unwrap();
                prop_assert_eq!(serde_json::from_str::<RelPath>(&json).unwrap(), path);
            }
        }

        #[test]
        fn join_and_strip_undo_each_other(a in "[a-c/]{0,6}", b in "[a-c/]{0,6}") {
            if let (Ok(a), Ok(b)) = (RelPath::new(a), RelPath::new(b)) {
                let joined = a.join(&b);
                prop_assert!(joined.is_within(&a));
                prop_assert_eq!(joined.strip(&a), Some(b));
            }
        }
    }
}
