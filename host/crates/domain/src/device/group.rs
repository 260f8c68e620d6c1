//! The tree of groups, as paths.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::Name;

/// A group: `/` is the root, `/sales/berlin` is two levels below it. Each part is a [`Name`], 16 levels at most. Cheap to
/// clone. Sorted by text, a group comes before all groups below it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "/sales/berlin")]
pub struct GroupPath(Arc<str>);

/// A text that is no [`GroupPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{path:?} is not the path of a group: {why}; write / for the root, or /sales/berlin with names of 1 to 64 of a-z, \
     0-9, '-', '_' and '.', beginning with a letter or digit, at most 16 levels deep"
)]
pub struct BadGroup {
    /// The text, cut at 200 characters.
    pub path: String,
    /// The rule that it breaks.
    pub why: String,
}

impl GroupPath {
    /// Most levels below the root.
    pub const MAX_DEPTH: usize = 16;

    /// The group that is always there.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// Levels below the root.
    pub fn depth(&self) -> usize {
        self.names().count()
    }

    /// The names, from the root down.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// The group above; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let at = self.0.rfind('/').filter(|_| !self.is_root())?;
        Some(if at == 0 { Self::root() } else { Self(self.0[..at].into()) })
    }

    /// This group's child `name`.
    pub fn child(&self, name: &Name) -> Result<Self, BadGroup> {
        let above = if self.is_root() { "" } else { &self.0 };
        format!("{above}/{name}").parse()
    }

    /// The root, then each group on the way, this one last.
    pub fn ancestors(&self) -> Vec<Self> {
        let mut way = vec![Self::root()];
        let ends = self.0.match_indices('/').map(|(at, _)| at).skip(1).chain([self.0.len()]);
        way.extend(ends.filter(|_| !self.is_root()).map(|end| Self(self.0[..end].into())));
        way
    }

    /// Whether this is `other` or below it.
    pub fn is_within(&self, other: &Self) -> bool {
        let rest = self.0.strip_prefix(other.as_str());
        other.is_root() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Where this group is when `from`, which it is or is below, has moved to `to`.
    pub fn moved(&self, from: &Self, to: &Self) -> Result<Self, BadGroup> {
        if !self.is_within(from) {
            return Ok(self.clone());
        }
        let below = if from.is_root() { self.as_str() } else { &self.0[from.0.len()..] };
        let above = if to.is_root() { "" } else { to.as_str() };
        let text = format!("{above}{below}");
        if text.is_empty() { Ok(Self::root()) } else { text.parse() }
    }
}

impl FromStr for GroupPath {
    type Err = BadGroup;

    fn from_str(text: &str) -> Result<Self, BadGroup> {
        let bad = |why: String| BadGroup { path: text.chars().take(200).collect(), why };
        let below = text.strip_prefix('/').ok_or_else(|| bad("it does not begin with '/'".to_owned()))?;
        if below.is_empty() {
            return Ok(Self::root());
        }
        let mut depth = 0;
        for name in below.split('/') {
            depth += 1;
            if name.parse::<Name>().is_err() {
                let shown: String = name.chars().take(64).collect();
                return Err(bad(format!("its part {depth}, {shown:?}, is no name")));
            }
        }
        if depth > Self::MAX_DEPTH {
            return Err(bad(format!("it is {depth} levels deep")));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for GroupPath {
    type Error = BadGroup;
    fn try_from(text: String) -> Result<Self, BadGroup> {
        text.parse()
    }
}

impl From<GroupPath> for String {
    fn from(path: GroupPath) -> Self {
        path.0.as_ref().to_owned()
    }
}

impl fmt::Display for GroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for GroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn group(text: &str) -> GroupPath {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_no_path_is_told_what_would_be() {
        for (bad, says) in [
            ("", "does not begin with '/'"),
            ("sales", "does not begin with '/'"),
            ("/sales/", "part 2, \"\""),
            ("//a", "part 1, \"\""),
            ("/a/../b", "part 2, \"..\""),
            ("/Sales", "part 1, \"Sales\""),
            (&"/a".repeat(17), "17 levels"),
        ] {
            let error = bad.parse::<GroupPath>().unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("/sales/berlin"), "{error}");
        }
        assert_eq!(group(&"/a".repeat(16)).depth(), 16);
    }

    #[test]
    fn ancestors_come_from_the_root_down() {
        let way: Vec<_> = group("/a/b/c").ancestors().iter().map(ToString::to_string).collect();
        assert_eq!(way, ["/", "/a", "/a/b", "/a/b/c"]);
        assert_eq!(group("/").ancestors(), [group("/")]);
        assert_eq!(group("/").parent(), None);
        assert!(!group("/ab").is_within(&group("/a")));
    }

    #[test]
    fn a_move_takes_what_is_below_along() {
        assert_eq!(group("/a/b/c").moved(&group("/a/b"), &group("/x")).unwrap(), group("/x/c"));
        assert_eq!(group("/a").moved(&group("/a"), &group("/x/y")).unwrap(), group("/x/y"));
        assert_eq!(group("/ab").moved(&group("/a"), &group("/x")).unwrap(), group("/ab"));
        assert!(group("/a/b/c").moved(&group("/a"), &group(&"/x".repeat(15))).is_err());
    }

    proptest! {
        #[test]
        fn parents_children_and_ancestors_agree(text in "(/[a-c]{1,2}){0,5}") {
            let path = if text.is_empty() { GroupPath::root() } else { group(&text) };
            let way = path.ancestors();
            prop_assert_eq!(way.len(), path.depth() + 1);
            prop_assert!(way.windows(2).all(|two| two[1].parent().as_ref() == Some(&two[0]) && two[0] < two[1]));
            prop_assert!(way.iter().all(|above| path.is_within(above)));
            prop_assert_eq!(way.last().unwrap(), &path);
            let child = path.child(&"x".parse().unwrap()).unwrap();
            prop_assert_eq!(child.parent().unwrap(), path);
        }
    }
}
