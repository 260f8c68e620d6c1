//! Labels: what an administrator says of a source or a target.

use std::collections::BTreeMap;

use crate::raw::syncline::plugin::types::Label;

/// Named pieces of text, sorted by name. A name can occur more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<(String, String)>);

impl Labels {
    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(have, _)| *have == name).map(|(_, value)| value)
    }

    /// Whether this name has this value among its values.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.iter().any(|pair| pair == (name, value))
    }

    /// Whether all of these are among them.
    pub fn match_all(&self, wanted: &BTreeMap<String, String>) -> bool {
        wanted.iter().all(|(name, value)| self.has(name, value))
    }

    /// All, as pairs of name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl From<Vec<Label>> for Labels {
    fn from(raw: Vec<Label>) -> Self {
        raw.into_iter().map(|label| (label.name, label.value)).collect()
    }
}

/// For tests: labels are sorted by name here as well.
impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        pairs.sort();
        Self(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_have_several_values() {
        let labels: Labels = [("site", "b"), ("tier", "edge"), ("site", "a")].into_iter().collect();
        assert_eq!(labels.get("site"), Some("a"));
        assert!(labels.has("site", "b"));
        let wanted = |pairs: &[(&str, &str)]| {
            labels.match_all(&pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
        };
        assert!(wanted(&[]) && wanted(&[("site", "b"), ("tier", "edge")]));
        assert!(!wanted(&[("site", "c")]) && !wanted(&[("region", "a")]));
    }
}
