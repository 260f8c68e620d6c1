//! Which units were there under which name.
//!
//! When a unit is renamed or moved, the names of all below it change with it, and no server reports them: what is known of
//! them would go stale, and members that are listed by their new names would not be found. So a run that reads changes, and
//! comes upon a unit that was not there under its name, is made a full one.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

/// So many fit into a cursor. With more, each change of any unit leads to a full read.
const MOST: usize = 2_000;

/// What is known, and whether something was come upon that is not.
#[derive(Debug, Default)]
pub(crate) struct Units {
    known: Option<BTreeSet<u64>>,
    seen: BTreeSet<u64>,
    pub(crate) changed: bool,
}

impl Units {
    /// For a full read: whatever comes is known from then on.
    pub(crate) fn unknown() -> Self {
        Self::default()
    }

    /// For a read of changes, with what the cursor has.
    pub(crate) fn known(units: &[u64]) -> Self {
        Self { known: Some(units.iter().copied().collect()), ..Self::default() }
    }

    /// A unit came, under this name.
    pub(crate) fn see(&mut self, id: &str, normal: &str) {
        // Not the same from one version of Rust to another: then there is one full read more.
        let mut hasher = DefaultHasher::new();
        (id, normal).hash(&mut hasher);
        let hash = hasher.finish();
        self.changed |= self.known.as_ref().is_some_and(|known| !known.contains(&hash));
        if self.seen.len() <= MOST {
            self.seen.insert(hash);
        }
    }

    /// What the next cursor has; nothing where there are too many.
    pub(crate) fn to_keep(&self) -> Vec<u64> {
        let all: BTreeSet<u64> = self.seen.iter().chain(self.known.iter().flatten()).copied().collect();
        if all.len() > MOST { Vec::new() } else { all.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_under_another_name_shows_and_the_same_again_does_not() {
        let mut first = Units::unknown();
        first.see("1", "ou=a");
        assert!(!first.changed);
        let mut later = Units::known(&first.to_keep());
        later.see("1", "ou=a");
        assert!(!later.changed);
        later.see("1", "ou=b");
        assert!(later.changed);
    }

    #[test]
    fn too_many_are_not_kept_and_then_each_change_shows() {
        let mut units = Units::unknown();
        for number in 0..=MOST {
            units.see(&number.to_string(), "ou=a");
        }
        assert!(units.to_keep().is_empty());
        let mut later = Units::known(&[]);
        later.see("1", "ou=a");
        assert!(later.changed);
    }
}
