//! Where the files of a collection come from, and the list of files that a source on the network keeps.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Failure, FailureKind, Fault, Name, RelPath,
    declaration::Blake3,
    schedule::{BadSchedule, Overlap, ScheduleSpec, When},
};

/// Where the files of a collection come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CollectionSource {
    /// From nowhere: it is filled by hand, and cannot be refreshed.
    #[default]
    None,
    /// From a server, by a manifest that lists them.
    Http(HttpSource),
    /// From another store.
    Store(StoreSource),
}

/// Files on a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSource {
    /// The manifest, over http or https, without user and password.
    pub url: String,
    /// The secret that is sent to the host of `url` alone: as a bearer token, or as the password of `user`. Only over https,
    /// or to this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Name>,
    /// For basic authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Certificates (PEM) of the authorities that the server's is checked by; those of the system if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authorities: Option<String>,
    /// Most files that are downloaded at a time: 1 to 32.
    #[serde(default = "four")]
    #[schema(minimum = 1, maximum = 32)]
    pub parallel: u8,
    /// What becomes of files that the manifest does not list.
    #[serde(default)]
    pub unlisted: Unlisted,
}

/// Files in another store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreSource {
    /// The store.
    pub store: Name,
    /// The folder in it; all of it if absent.
    #[serde(default)]
    #[schema(value_type = String)]
    pub prefix: RelPath,
    /// What becomes of files that are not there.
    #[serde(default)]
    pub unlisted: Unlisted,
}

/// What a refresh does with files of the collection that its source does not have, or not any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unlisted {
    /// They stay.
    #[default]
    Keep,
    /// They are removed, within the collection's limits.
    Remove,
}

const fn four() -> u8 {
    4
}

impl CollectionSource {
    /// Whether there is one.
    pub const fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Checks what can be checked without looking anything up. The error says what to do.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Http(http) => http.check(),
            Self::None | Self::Store(_) => Ok(()),
        }
    }
}

impl HttpSource {
    /// Most bytes of a URL.
    pub const MAX_URL: usize = 2_048;

    fn check(&self) -> Result<(), String> {
        let Self { url, .. } = self;
        let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err("the URL of a source begins with https:// or http://".to_owned()),
        };
        if url.len() > Self::MAX_URL || url.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(format!(
                "the URL of a source has at most {} bytes, and no spaces or control characters",
                Self::MAX_URL
            ));
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() || authority.contains('@') {
            // The URL is not shown: a password may stand in it.
            return Err("the URL of a source names a host, and no user or password: set these as a secret, \
                and name it in `secret`"
                .to_owned());
        }
        if self.user.is_some() && self.secret.is_none() {
            return Err("`user` needs the secret that is its password: name it in `secret`".to_owned());
        }
        if self.user.as_ref().is_some_and(|user| user.is_empty() || user.contains([':', '\r', '\n'])) {
            return Err("`user` is not empty and has no colon or line break".to_owned());
        }
        if self.secret.is_some() && !secure && !is_this_machine(authority) {
            return Err(format!(
                "{authority} would be sent the secret unencrypted: give a URL that begins with https://"
            ));
        }
        if !(1..=32).contains(&self.parallel) {
            return Err(format!("{} downloads at a time: use 1 to 32", self.parallel));
        }
        Ok(())
    }
}

fn is_this_machine(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// When a collection is refreshed by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshSchedule {
    /// When.
    pub when: When,
    /// A tick that is late by more than this many seconds is skipped. Of several late ones, only the last is done.
    #[serde(default = "hour")]
    pub catch_up_seconds: u32,
}

const fn hour() -> u32 {
    3_600
}

impl RefreshSchedule {
    /// As the schedule of a sync would be: both have the same ticks. `name` stands for the sync, and is not looked up.
    pub fn ticks(&self, name: &Name) -> ScheduleSpec {
        ScheduleSpec {
            sync: name.clone(),
            when: self.when.clone(),
            jitter_seconds: 0,
            overlap: Overlap::Skip,
            catch_up_seconds: self.catch_up_seconds,
            paused: None,
            description: String::new(),
        }
    }

    /// Checks that it makes sense and would fire.
    pub fn check(&self, name: &Name, now: Timestamp) -> Result<(), BadSchedule> {
        self.ticks(name).check(now)
    }
}

/// What the content of a file must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Digest {
    /// BLAKE3.
    Blake3(Blake3),
    /// SHA-256.
    Sha256([u8; 32]),
}

impl Digest {
    /// The bytes, whichever it is.
    pub const fn bytes(&self) -> &[u8; 32] {
        match self {
            Self::Blake3(bytes) | Self::Sha256(bytes) => bytes,
        }
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Blake3(_) => "blake3:",
            Self::Sha256(_) => "sha256:",
        })?;
        self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A file that a manifest lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Where it stands in the collection.
    pub path: RelPath,
    /// In bytes.
    pub size: u64,
    /// What its content must be.
    pub digest: Digest,
    /// Where it is, relative to the manifest; its path if absent.
    pub url: Option<String>,
    /// Modification time that it is given.
    pub modified: Option<Timestamp>,
}

/// What a source on the network has: `{"files": [{"path", "size", "blake3" or "sha256", "url"?, "modified"?}]}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileManifest {
    /// Sorted by path.
    pub files: Vec<ListedFile>,
}

#[derive(Deserialize)]
struct Written {
    files: Vec<WrittenFile>,
}

#[derive(Deserialize)]
struct WrittenFile {
    path: String,
    size: u64,
    #[serde(default)]
    blake3: Option<String>,
    #[serde(default)]
    sha256: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    modified: Option<Timestamp>,
}

impl FileManifest {
    /// Most bytes of a manifest.
    pub const MAX_BYTES: u64 = 256 << 20;
    /// Most files that it lists.
    pub const MAX_FILES: usize = 1_000_000;
    /// Most bytes of one file.
    pub const MAX_FILE: u64 = 1 << 44;

    /// Reads a manifest. What is not as it has to be makes all of it useless: a collection that is refreshed by a part of
    /// a list would lose the rest.
    pub fn parse(json: &[u8]) -> Result<Self, Failure> {
        let written: Written = serde_json::from_slice(json)
            .map_err(|error| bad(format!("the manifest is not as it has to be: {error}")))?;
        if written.files.len() > Self::MAX_FILES {
            let message = format!(
                "the manifest lists {} files, and at most {} are taken: split it over several collections",
                written.files.len(),
                Self::MAX_FILES
            );
            return Err(Failure::new(FailureKind::Limit, Fault::Remote, "manifest-files", message));
        }
        let mut files = written.files.into_iter().map(WrittenFile::checked).collect::<Result<Vec<_>, _>>()?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let paths: HashSet<&RelPath> = files.iter().map(|file| &file.path).collect();
        if paths.len() < files.len() {
            let twice = files.windows(2).find(|pair| pair[0].path == pair[1].path);
            let path = twice.map(|pair| pair[0].path.to_text()).unwrap_or_default();
            return Err(bad(format!("the manifest lists {path:?} twice")));
        }
        for file in &files {
            let mut above = file.path.split().map(|(folder, _)| folder);
            while let Some(folder) = above {
                if paths.contains(&folder) {
                    let message = format!(
                        "the manifest lists {:?} as a file and {:?} below it",
                        folder.to_text(),
                        file.path.to_text()
                    );
                    return Err(bad(message));
                }
                above = folder.split().map(|(folder, _)| folder);
            }
        }
        Ok(Self { files })
    }
}

impl WrittenFile {
    fn checked(self) -> Result<ListedFile, Failure> {
        let shown: String = self.path.chars().take(200).collect();
        let path =
            RelPath::from_text(&self.path).map_err(|error| bad(format!("the manifest lists {error}")))?;
        if path.is_root() {
            return Err(bad("the manifest lists a file without a path".to_owned()));
        }
        if path.names().any(|name| name == b".syncline") {
            return Err(bad(format!("the manifest lists {shown:?}: .syncline belongs to the store")));
        }
        if self.size > FileManifest::MAX_FILE {
            return Err(bad(format!(
                "the manifest lists {shown:?} with {} bytes: that is no file",
                self.size
            )));
        }
        let digest = match (&self.blake3, &self.sha256) {
            (Some(text), _) => unhex(text).map(Digest::Blake3),
            (None, Some(text)) => unhex(text).map(Digest::Sha256),
            (None, None) => {
                return Err(bad(format!("the manifest lists {shown:?} without `blake3` or `sha256`")));
            }
        };
        let digest = digest.ok_or_else(|| {
            bad(format!("the digest of {shown:?} in the manifest is not 64 hexadecimal digits"))
        })?;
        Ok(ListedFile { path, size: self.size, digest, url: self.url, modified: self.modified })
    }
}

fn bad(message: String) -> Failure {
    Failure::new(FailureKind::Invalid, Fault::Remote, "manifest", message)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    // A sign would be taken for a part of a number.
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(files: serde_json::Value) -> Result<FileManifest, Failure> {
        FileManifest::parse(json!({ "files": files }).to_string().as_bytes())
    }

    fn file(path: &str) -> serde_json::Value {
        json!({ "path": path, "size": 3, "sha256": "ab".repeat(32) })
    }

    #[test]
    fn a_manifest_is_read_and_sorted() {
        let read = parse(json!([
            file("b/c"),
            { "path": "a", "size": 0, "blake3": "CD".repeat(32), "url": "x?y", "modified": "2026-01-01T00:00:00Z",
              "more": "is passed over" },
        ]))
        .unwrap();
        let paths: Vec<String> = read.files.iter().map(|file| file.path.to_text()).collect();
        assert_eq!(paths, ["a", "b/c"]);
        assert_eq!(read.files[0].digest, Digest::Blake3([0xcd; 32]));
        assert_eq!(read.files[1].digest.to_string(), format!("sha256:{}", "ab".repeat(32)));
        assert_eq!(parse(json!([])).unwrap().files, []);
    }

    #[test]
    fn what_would_lead_out_or_makes_no_sense_is_refused_as_a_whole() {
        for (bad, told) in [
            (json!([file("../x")]), "'..' is no name"),
            (json!([file("/etc/passwd")]), "begins with '/'"),
            (json!([file("a//b")]), "empty"),
            (json!([file("")]), "without a path"),
            (json!([file(".syncline/store.json")]), "belongs to the store"),
            (json!([file("a/.syncline/x")]), "belongs to the store"),
            (json!([file("a"), file("a")]), "\"a\" twice"),
            (json!([file("a"), file("a/b/c")]), "\"a\" as a file"),
            (json!([{ "path": "a", "size": 1 }]), "without `blake3`"),
            (json!([{ "path": "a", "size": 1, "sha256": "ab" }]), "64 hexadecimal"),
            (json!([{ "path": "a", "size": 1, "sha256": "+b".repeat(32) }]), "64 hexadecimal"),
            (json!([{ "path": "a", "size": -1, "sha256": "ab".repeat(32) }]), "not as it has to be"),
            (json!({}), "not as it has to be"),
        ] {
            let failure = parse(bad.clone()).unwrap_err();
            assert!(failure.message.contains(told), "{bad}: {failure}");
            assert_eq!((failure.kind, failure.fault), (FailureKind::Invalid, Fault::Remote));
        }
    }

    #[test]
    fn sources_are_checked_and_show_no_password() {
        let http =
            |json: serde_json::Value| serde_json::from_value::<CollectionSource>(json).unwrap().check();
        let of = |url: &str| http(json!({ "kind": "http", "url": url }));
        of("https://example.org/a/manifest.json").unwrap();
        of("http://10.0.0.1:8080/m").unwrap();
        for wrong in ["ftp://a/b", "https://", "https:///x", "https://a b/c", "a"] {
            of(wrong).unwrap_err();
        }
        let error = of("https://me:hush@example.org/m").unwrap_err();
        assert!(!error.contains("hush") && error.contains("secret"), "{error}");
        let with = |url: &str, more: serde_json::Value| {
            let mut all = json!({ "kind": "http", "url": url });
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            http(all)
        };
        with("https://a/m", json!({ "secret": "s", "user": "u" })).unwrap();
        with("http://127.0.0.1:80/m", json!({ "secret": "s" })).unwrap();
        with("http://a/m", json!({ "secret": "s" })).unwrap_err();
        with("http://127.0.0.1.a/m", json!({ "secret": "s" })).unwrap_err();
        with("https://a/m", json!({ "user": "u" })).unwrap_err();
        with("https://a/m", json!({ "parallel": 0 })).unwrap_err();
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_makes_it_fall_over(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = FileManifest::parse(&bytes);
        }

        #[test]
        fn whatever_path_is_taken_stays_below(path in "[a./\\\\x0]{0,12}") {
            if let Ok(read) = parse(json!([file(&path)])) {
                prop_assert!(read.files[0].path.names().all(|name| !matches!(name, b"" | b"." | b"..")));
            }
        }
    }
}
