//! Where the next run goes on: JSON with a version, for each source the server that it holds on and the method's own place.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use syncline_plugin::Result;

use crate::{plan::Source, settings::Settings};

const VERSION: u32 = 1;
/// What the host takes.
const MAX: usize = 64 << 10;

/// Bytes that only a server reads, in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cookie(pub(crate) Vec<u8>);

impl Serialize for Cookie {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Cookie {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(D::Error::custom)
    }
}

/// Where a method goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// A cookie for each search, in the order of the plan.
    Syncrepl(Vec<Cookie>),
    /// A cookie for each naming context, in the order of the plan.
    Dirsync(Vec<Cookie>),
    /// Number of the latest change.
    Usn(u64),
    /// Latest time of modification, as the server writes it.
    ModifyTimestamp(String),
}

/// Of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// `host:port`.
    pub(crate) server: String,
    /// The domain controller's own name; empty elsewhere.
    pub(crate) host: String,
    /// Stands for the domain controller's database; empty elsewhere.
    pub(crate) invocation: String,
    pub(crate) place: Place,
    pub(crate) units: Vec<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Written {
    version: u32,
    digest: u64,
    marks: BTreeMap<String, Mark>,
}

/// The marks of all sources. None where the cursor is of another version, or for other settings or sources.
pub(crate) fn read(cursor: Option<&[u8]>, digest: u64) -> BTreeMap<String, Mark> {
    let written: Option<Written> = cursor.and_then(|bytes| serde_json::from_slice(bytes).ok());
    let written = written.filter(|written| written.version == VERSION && written.digest == digest);
    written.map(|written| written.marks).unwrap_or_default()
}

/// None where there is nothing to go on from, or it does not fit: the next run reads everything.
pub(crate) fn write(digest: u64, mut marks: BTreeMap<String, Mark>) -> Result<Option<Vec<u8>>> {
    if marks.is_empty() {
        return Ok(None);
    }
    let bytes = |marks: &BTreeMap<String, Mark>| {
        serde_json::to_vec(&Written { version: VERSION, digest, marks: marks.clone() })
    };
    let whole = bytes(&marks)?;
    if whole.len() <= MAX {
        return Ok(Some(whole));
    }
    for mark in marks.values_mut() {
        mark.units.clear();
    }
    Ok(Some(bytes(&marks)?).filter(|bytes| bytes.len() <= MAX))
}

/// Of all that decides what is read. How it is read does not matter.
pub(crate) fn digest(settings: &Settings, sources: &[Source]) -> Result<u64> {
    let how = Settings::default();
    let what = Settings {
        page_size: how.page_size,
        search_time_limit_s: how.search_time_limit_s,
        method: how.method,
        ..settings.clone()
    };
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(&what)?.hash(&mut hasher);
    for Source { name, kind, bases } in sources {
        (name, kind, bases).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(units: usize) -> BTreeMap<String, Mark> {
        let mark = Mark {
            server: "a:636".to_owned(),
            host: String::new(),
            invocation: String::new(),
            place: Place::Syncrepl(vec![Cookie(vec![0, 255])]),
            units: (0..units as u64).map(|n| u64::MAX - n).collect(),
        };
        [("hq".to_owned(), mark)].into_iter().collect()
    }

    #[test]
    fn what_is_written_is_read_with_the_same_settings_alone() {
        let bytes = write(7, marks(3)).unwrap().unwrap();
        assert_eq!(read(Some(&bytes), 7), marks(3));
        assert!(
            read(Some(&bytes), 8).is_empty() && read(None, 7).is_empty() && read(Some(b"{}"), 7).is_empty()
        );
        let other = String::from_utf8(bytes).unwrap().replace("\"version\":1", "\"version\":2");
        assert!(read(Some(other.as_bytes()), 7).is_empty());
    }

    #[test]
    fn a_cursor_always_fits() {
        assert!(write(7, marks(2_000)).unwrap().unwrap().len() <= MAX);
        assert_eq!(read(write(7, marks(10_000)).unwrap().as_deref(), 7), marks(0));
        assert_eq!(write(7, BTreeMap::new()).unwrap(), None);
    }

    #[test]
    fn only_what_is_read_decides() {
        let sources = [Source { name: "hq".to_owned(), kind: String::new(), bases: Vec::new() }];
        let of = |settings: &Settings| digest(settings, &sources).unwrap();
        let plain = Settings::default();
        assert_eq!(of(&plain), of(&Settings { page_size: 7, ..plain.clone() }));
        assert_ne!(of(&plain), of(&Settings { people_need_email: true, ..plain.clone() }));
        assert_ne!(of(&plain), digest(&plain, &[]).unwrap());
    }
}
