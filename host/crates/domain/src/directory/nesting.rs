//! Nested groups: who is in which, however deep, with the circles that directories can have.

use std::collections::{BTreeSet, HashMap};

use super::EntryId;

/// Which groups each entry is directly in.
#[derive(Debug, Clone, Default)]
pub struct Nesting {
    groups: HashMap<EntryId, BTreeSet<EntryId>>,
}

impl Nesting {
    /// Nobody is in anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// `member` is directly in `group`.
    pub fn add(&mut self, member: EntryId, group: EntryId) {
        self.groups.entry(member).or_default().insert(group);
    }

    /// All groups that this one is in, directly or through others; itself only where it is in a circle.
    pub fn above(&self, entry: &EntryId) -> BTreeSet<EntryId> {
        let mut found = BTreeSet::new();
        let mut next: Vec<&EntryId> = self.groups.get(entry).into_iter().flatten().collect();
        while let Some(group) = next.pop() {
            if found.insert(group.clone()) {
                next.extend(self.groups.get(group).into_iter().flatten());
            }
        }
        found
    }

    /// Groups that are in themselves through others, or directly.
    pub fn circles(&self) -> BTreeSet<EntryId> {
        self.groups.keys().filter(|one| self.above(one).contains(*one)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: usize) -> EntryId {
        format!("{number}").parse().unwrap()
    }

    fn nesting(edges: &[(usize, usize)]) -> Nesting {
        let mut nesting = Nesting::new();
        for (member, group) in edges {
            nesting.add(id(*member), id(*group));
        }
        nesting
    }

    #[test]
    fn members_of_members_are_in_and_circles_are_found() {
        let nesting = nesting(&[(1, 2), (2, 3), (3, 2), (4, 1)]);
        assert_eq!(nesting.above(&id(4)), BTreeSet::from([id(1), id(2), id(3)]));
        assert_eq!(nesting.above(&id(2)), BTreeSet::from([id(2), id(3)]));
        assert_eq!(nesting.circles(), BTreeSet::from([id(2), id(3)]));
    }

    proptest! {
        #[test]
        fn it_is_the_smallest_set_that_is_closed(edges in proptest::collection::vec((0usize..12, 0usize..12), 0..60)) {
            let nesting = nesting(&edges);
            // By the definition: reachable in one step or more.
            let mut reach = [[false; 12]; 12];
            for (member, group) in &edges {
                reach[*member][*group] = true;
            }
            for via in 0..12 {
                for from in 0..12 {
                    for to in 0..12 {
                        reach[from][to] |= reach[from][via] && reach[via][to];
                    }
                }
            }
            for (from, row) in reach.iter().enumerate() {
                let expected: BTreeSet<_> = (0..12).filter(|to| row[*to]).map(id).collect();
                prop_assert_eq!(nesting.above(&id(from)), expected);
                prop_assert_eq!(nesting.circles().contains(&id(from)), row[from]);
            }
        }
    }
}
