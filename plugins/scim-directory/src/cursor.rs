//! Where the next run goes on: JSON with a version.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use syncline_plugin::Result;

use crate::settings::{Method, Settings};

const VERSION: u32 = 1;

/// What a run saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Whatever changed before was seen, by the service's clock (RFC 3339).
    pub(crate) since: String,
    /// Stands for the ids and versions of all that is there; none where the service gives no versions.
    pub(crate) versions: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Written {
    version: u32,
    digest: u64,
    mark: Mark,
}

/// None where the cursor is of another version, or for other settings or another service.
pub(crate) fn read(cursor: Option<&[u8]>, digest: u64) -> Option<Mark> {
    let written: Option<Written> = cursor.and_then(|bytes| serde_json::from_slice(bytes).ok());
    written
        .filter(|written| written.version == VERSION && written.digest == digest)
        .map(|written| written.mark)
}

/// What [`read`] reads.
pub(crate) fn write(digest: u64, mark: Mark) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(&Written { version: VERSION, digest, mark })?)
}

/// Of all that decides what is read. How it is read does not matter.
pub(crate) fn digest(settings: &Settings, url: &str) -> Result<u64> {
    let what = Settings { page_size: 0, method: Method::Auto, ..settings.clone() };
    let mut hasher = DefaultHasher::new();
    (serde_json::to_string(&what)?, url).hash(&mut hasher);
    Ok(hasher.finish())
}

/// Of the ids and versions of what is there, whatever their order.
pub(crate) fn versions<'a>(all: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Option<u64> {
    let mut pairs = all.map(|(id, version)| Some((id, version?))).collect::<Option<Vec<_>>>()?;
    pairs.sort_unstable();
    let mut hasher = DefaultHasher::new();
    pairs.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_with_the_same_settings_and_service_alone() {
        let mark = Mark { since: "2026-11-25T10:00:00Z".to_owned(), versions: Some(3) };
        let bytes = write(7, mark.clone()).unwrap();
        assert_eq!(read(Some(&bytes), 7), Some(mark));
        assert!(read(Some(&bytes), 8).is_none() && read(None, 7).is_none() && read(Some(b"{}"), 7).is_none());
        let plain = Settings::default();
        let of = |settings: &Settings, url| digest(settings, url).unwrap();
        assert_eq!(of(&plain, "a"), of(&Settings { page_size: 7, ..plain.clone() }, "a"));
        assert_ne!(of(&plain, "a"), of(&plain, "b"));
        assert_ne!(of(&plain, "a"), of(&Settings { kinds: Vec::new(), ..plain.clone() }, "a"));
    }

    #[test]
    fn versions_count_only_where_all_are_there() {
        let of = |pairs: &[(&'static str, Option<&'static str>)]| versions(pairs.iter().copied());
        assert_eq!(of(&[("a", Some("1")), ("b", Some("2"))]), of(&[("b", Some("2")), ("a", Some("1"))]));
        assert_ne!(of(&[("a", Some("1"))]), of(&[("a", Some("2"))]));
        assert_eq!(of(&[("a", Some("1")), ("b", None)]), None);
    }
}
