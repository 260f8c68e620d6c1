//! Globs over paths, as wit/file-types.wit has them: `?` and `*` stay within a name, `**` crosses names, `\` escapes.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use syncline_domain::{Failure, RelPath};

/// A list of globs.
#[derive(Debug, Clone)]
pub(crate) struct Globs(GlobSet);

impl Globs {
    /// Fails `invalid` with code `pattern`.
    pub(crate) fn new(patterns: &[String]) -> Result<Self, Failure> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let glob = GlobBuilder::new(pattern)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|error| bad(pattern, &error))?;
            set.add(glob);
        }
        set.build().map(Self).map_err(|error| bad(&patterns.join(" "), &error))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them matches. Names that are not UTF-8 are matched by their bytes.
    pub(crate) fn matches(&self, path: &RelPath) -> bool {
        !self.0.is_empty() && self.0.is_match(Path::new(OsStr::from_bytes(path.as_bytes())))
    }
}

fn bad(pattern: &str, error: &globset::Error) -> Failure {
    let shown: String = pattern.chars().take(200).collect();
    Failure::plugin("pattern", format!("{shown:?} is not a pattern: {}", error.kind()))
}

/// Which files of a tree.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    including: Option<Globs>,
    excluding: Globs,
    /// What stands before a final `/**` of excluding patterns: a folder that matches has nothing to offer.
    excluded_folders: Globs,
    everything: bool,
}

impl Filter {
    pub(crate) fn new(including: &[String], excluding: &[String]) -> Result<Self, Failure> {
        let folders: Vec<String> =
            excluding.iter().filter_map(|pattern| pattern.strip_suffix("/**")).map(str::to_owned).collect();
        Ok(Self {
            including: if including.is_empty() { None } else { Some(Globs::new(including)?) },
            excluding: Globs::new(excluding)?,
            excluded_folders: Globs::new(&folders)?,
            everything: including.is_empty() && excluding.is_empty(),
        })
    }

    /// Whether a file at this path below the tree's folder belongs to it.
    pub(crate) fn takes(&self, path: &RelPath) -> bool {
        self.everything
            || (self.including.as_ref().is_none_or(|globs| globs.matches(path))
                && !self.excluding.matches(path))
    }

    /// Whether files can be taken from below this folder, as far as can be told without looking.
    pub(crate) fn enters(&self, folder: &RelPath) -> bool {
        self.everything || !self.excluded_folders.matches(folder)
    }

    /// Whether this folder comes along even if it holds no file that is taken.
    pub(crate) fn takes_empty(&self, folder: &RelPath) -> bool {
        self.everything || (self.including.is_none() && !self.excluding.matches(folder))
    }

    pub(crate) fn takes_everything(&self) -> bool {
        self.everything
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(including: &[&str], excluding: &[&str]) -> Filter {
        let own = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        Filter::new(&own(including), &own(excluding)).unwrap()
    }

    fn path(bytes: &[u8]) -> RelPath {
        RelPath::new(bytes).unwrap()
    }

    #[test]
    fn stars_stay_within_a_name_and_double_stars_cross() {
        let one = filter(&["*.bin", "a/**/[x-z]?", "{p,q}/\\*"], &["secret/**", "**/*.tmp"]);
        for taken in ["b.bin", "a/x1", "a/b/c/z2", "p/*", "q/*"] {
            assert!(one.takes(&path(taken.as_bytes())), "{taken}");
        }
        for left in ["d/b.bin", "a/w1", "p/k", "other"] {
            assert!(!one.takes(&path(left.as_bytes())), "{left}");
        }
        let all = filter(&[], &["secret/**", "**/*.tmp", "**/cache/**"]);
        assert!(!all.takes(&path(b"secret/deep/er")) && !all.takes(&path(b"x.tmp")));
        assert!(
            !all.enters(&path(b"secret")) && !all.enters(&path(b"deep/cache")) && all.enters(&path(b"x"))
        );
    }

    #[test]
    fn names_that_are_not_unicode_are_matched_by_their_bytes() {
        let one = filter(&["*.bin"], &[]);
        assert!(one.takes(&path(b"\xff\xfe.bin")));
        assert!(!one.takes(&path(b"\xff\xfe.txt")));
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let failure = Globs::new(&["a[".to_owned()]).unwrap_err();
        assert_eq!(failure.code, "pattern");
        assert!(failure.message.contains("a["), "{failure}");
    }
}
