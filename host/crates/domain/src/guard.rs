//! The guard: how large a difference is applied without asking a person.

use serde::{Deserialize, Serialize};

use crate::Name;

/// Limits on the difference, per target. A value that is absent has the default below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuardLimits {
    /// Most removals. Default 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_deletes: Option<u64>,
    /// Most removals, as percent (0 to 100) of the files that stand where removal is allowed. Default 25, for
    /// entries of a directory and their memberships 20; the default, not a limit that was set, lets pass up to 20 removals
    /// whatever percent they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    pub max_delete_percent: Option<u8>,
    /// Most files added or replaced. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_changes: Option<u64>,
    /// Most files added or replaced, as percent (0 to 100) of those declared. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    pub max_change_percent: Option<u8>,
}

impl GuardLimits {
    /// Most removals unless set.
    pub const MAX_DELETES: u64 = 500;
    /// Most removals in percent unless set.
    pub const MAX_DELETE_PERCENT: u8 = 25;
    /// Removals that the default percentage lets pass in any case.
    pub const FEW: u64 = 20;

    /// The first of these limits that lets more pass than `than` does, by its name. None: whatever passes here, passes
    /// there too. `unset_percent` is the percentage of removals where none is set, as in [`check_with`].
    pub fn loosens(&self, than: &Self, unset_percent: u8) -> Option<&'static str> {
        let all = [
            ("max_deletes", self.most_deletes() > than.most_deletes()),
            ("max_delete_percent", self.loosens_delete_percent(than, unset_percent)),
            ("max_changes", is_more(self.max_changes, than.max_changes)),
            ("max_change_percent", is_more(self.max_change_percent, than.max_change_percent)),
        ];
        all.into_iter().find_map(|(limit, looser)| looser.then_some(limit))
    }

    /// A percentage that was set holds even a few removals; the default does not, and is looser than any but 100.
    fn loosens_delete_percent(&self, than: &Self, unset_percent: u8) -> bool {
        match (self.max_delete_percent, than.max_delete_percent) {
            (_, Some(100)) | (None, None) => false,
            (Some(percent), Some(most)) => percent > most,
            (Some(percent), None) => percent > unset_percent,
            (None, Some(_)) => true,
        }
    }

    fn most_deletes(&self) -> u64 {
        self.max_deletes.unwrap_or(Self::MAX_DELETES)
    }
}

/// Where absent means no limit.
fn is_more<T: PartialOrd>(limit: Option<T>, than: Option<T>) -> bool {
    than.is_some_and(|than| limit.is_none_or(|limit| limit > than))
}

/// What the difference of one target amounts to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Size {
    /// The target.
    pub target: Name,
    /// Files that would be removed.
    pub deletes: u64,
    /// Files that stand where removal is allowed.
    pub removable: u64,
    /// Files that would be added or replaced.
    pub changes: u64,
    /// Files declared.
    pub declared: u64,
    /// Nothing of what is declared stands there yet: a first fill, whose additions are not limited.
    pub first_fill: bool,
    /// Stands for which ones would be removed, where a run tells. What was approved is then the removal of just these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removals: Option<String>,
}

/// A limit that a difference exceeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Excess {
    /// The target.
    pub target: Name,
    /// The limit, by its name in [`GuardLimits`].
    pub limit: String,
    /// What it allows.
    pub allowed: u64,
    /// What the difference has.
    pub found: u64,
}

impl std::fmt::Display for Excess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { target, limit, allowed, found } = self;
        write!(f, "{target}: {limit} allows {allowed}, the difference has {found}")
    }
}

/// Compares the difference of each target with the limits. Empty: it may be applied.
pub fn check(limits: &GuardLimits, sizes: &[Size]) -> Vec<Excess> {
    check_with(limits, GuardLimits::MAX_DELETE_PERCENT, sizes)
}

/// The same, with another percentage of removals where none was set.
pub fn check_with(limits: &GuardLimits, unset_percent: u8, sizes: &[Size]) -> Vec<Excess> {
    sizes.iter().flat_map(|size| check_one(limits, unset_percent, size)).collect()
}

fn check_one(limits: &GuardLimits, unset_percent: u8, size: &Size) -> Vec<Excess> {
    let mut found = Vec::new();
    let mut hold = |limit: &str, allowed: u64, is: u64| {
        found.push(Excess { target: size.target.clone(), limit: limit.to_owned(), allowed, found: is });
    };
    let max_deletes = limits.most_deletes();
    if size.deletes > max_deletes {
        hold("max_deletes", max_deletes, size.deletes);
    }
    let percent = limits.max_delete_percent.unwrap_or(unset_percent);
    let few = limits.max_delete_percent.is_none() && size.deletes <= GuardLimits::FEW;
    if !few && exceeds(size.deletes, size.removable, percent) {
        hold("max_delete_percent", percent.into(), percent_of(size.deletes, size.removable));
    }
    if size.first_fill {
        return found;
    }
    if let Some(max) = limits.max_changes.filter(|max| size.changes > *max) {
        hold("max_changes", max, size.changes);
    }
    if let Some(max) = limits.max_change_percent.filter(|max| exceeds(size.changes, size.declared, *max)) {
        hold("max_change_percent", max.into(), percent_of(size.changes, size.declared));
    }
    found
}

/// Whether `part` is more than `percent` of `whole`, without rounding.
fn exceeds(part: u64, whole: u64, percent: u8) -> bool {
    u128::from(part) * 100 > u128::from(whole) * u128::from(percent)
}

/// Rounded up, so that what exceeds a limit is shown as more than it.
fn percent_of(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).div_ceil(whole.max(1))
}

/// Whether `now` stays within what was approved: a difference that grew after it was looked at is held again.
pub fn within_approved(approved: &[Size], now: &[Size]) -> bool {
    now.iter().all(|size| removals_within(approved, size) && changes_within(approved, size))
}

/// The same as [`check_with`], but for what was approved: removals and changes each, so that what grows by a change alone is
/// held for its changes alone.
pub fn check_beyond(
    approved: &[Size],
    limits: &GuardLimits,
    unset_percent: u8,
    sizes: &[Size],
) -> Vec<Excess> {
    let mut found = Vec::new();
    for size in sizes {
        let (removals, changes) = (removals_within(approved, size), changes_within(approved, size));
        let stays =
            |excess: &Excess| !(if excess.limit.starts_with("max_delete") { removals } else { changes });
        found.extend(check_one(limits, unset_percent, size).into_iter().filter(stays));
    }
    found
}

/// Whether no more is removed than was approved, and nothing else where it is told what.
pub fn removals_within(approved: &[Size], now: &Size) -> bool {
    let Some(before) = approved.iter().find(|one| one.target == now.target) else { return now.deletes == 0 };
    now.deletes == 0 || (now.deletes <= before.deletes && now.removals == before.removals)
}

fn changes_within(approved: &[Size], now: &Size) -> bool {
    let before = approved.iter().find(|one| one.target == now.target);
    now.changes <= before.map_or(0, |one| one.changes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size(deletes: u64, removable: u64, changes: u64, declared: u64) -> Size {
        let target = "a".parse().unwrap();
        Size { target, deletes, removable, changes, declared, first_fill: false, removals: None }
    }

    fn limits(of: &GuardLimits, size: Size) -> Vec<String> {
        check(of, &[size]).into_iter().map(|excess| excess.limit).collect()
    }

    #[test]
    fn defaults_hold_mass_deletion_and_let_housekeeping_pass() {
        let default = GuardLimits::default();
        assert_eq!(limits(&default, size(20, 20, 0, 0)), Vec::<String>::new());
        assert_eq!(limits(&default, size(21, 21, 0, 0)), ["max_delete_percent"]);
        assert_eq!(limits(&default, size(501, 100_000, 0, 0)), ["max_deletes"]);
        assert_eq!(limits(&default, size(0, 0, 1_000_000, 1_000_000)), Vec::<String>::new());
    }

    #[test]
    fn limits_that_were_set_are_exact() {
        let set = GuardLimits {
            max_deletes: Some(3),
            max_delete_percent: Some(50),
            max_changes: Some(2),
            max_change_percent: Some(10),
        };
        assert_eq!(limits(&set, size(2, 4, 1, 10)), Vec::<String>::new());
        assert_eq!(limits(&set, size(3, 4, 2, 10)), ["max_delete_percent", "max_change_percent"]);
        assert_eq!(limits(&set, size(4, 100, 3, 100)), ["max_deletes", "max_changes"]);
    }

    #[test]
    fn a_first_fill_is_exempt_for_what_it_adds_and_not_for_what_it_removes() {
        let set = GuardLimits { max_deletes: Some(0), max_changes: Some(0), ..GuardLimits::default() };
        let first = Size { first_fill: true, ..size(1, 100, 5, 5) };
        assert_eq!(limits(&set, first), ["max_deletes"]);
    }

    #[test]
    fn what_was_approved_is_the_removal_of_just_these() {
        let of = |removals: &str, deletes, changes| Size {
            removals: Some(removals.to_owned()),
            ..size(deletes, 100, changes, 100)
        };
        let set = GuardLimits { max_deletes: Some(1), max_changes: Some(5), ..GuardLimits::default() };
        let beyond = |now: Size| -> Vec<String> {
            let found = check_beyond(&[of("ab", 2, 9)], &set, 100, &[now]);
            found.into_iter().map(|excess| excess.limit).collect()
        };
        assert_eq!(beyond(of("ab", 2, 9)), Vec::<String>::new());
        assert_eq!(beyond(of("ac", 2, 9)), ["max_deletes"], "others than those that were looked at");
        assert_eq!(beyond(of("ab", 2, 10)), ["max_changes"]);
        assert_eq!(beyond(of("", 0, 5)), Vec::<String>::new());
        assert_eq!(beyond(of("c", 1, 0)), Vec::<String>::new(), "within the limits anything goes");
    }

    #[test]
    fn looser_limits_are_named() {
        let default = GuardLimits::default();
        let deletes = |most| GuardLimits { max_deletes: Some(most), ..default };
        let percent = |most| GuardLimits { max_delete_percent: Some(most), ..default };
        let changes = |most| GuardLimits { max_changes: Some(most), ..default };
        let change_percent = |most| GuardLimits { max_change_percent: Some(most), ..default };
        for (limits, than, named) in [
            (deletes(500), default, None),
            (deletes(501), default, Some("max_deletes")),
            (default, deletes(3), Some("max_deletes")),
            (percent(25), default, None),
            (percent(26), default, Some("max_delete_percent")),
            (default, percent(100), None),
            (default, percent(99), Some("max_delete_percent")),
            (changes(7), default, None),
            (default, changes(7), Some("max_changes")),
            (change_percent(8), change_percent(7), Some("max_change_percent")),
        ] {
            let loosens = limits.loosens(&than, GuardLimits::MAX_DELETE_PERCENT);
            assert_eq!(loosens, named, "{limits:?} {than:?}");
        }
        // Of a directory less goes unasked.
        for (most, named) in [(20, None), (21, Some("max_delete_percent")), (25, Some("max_delete_percent"))]
        {
            assert_eq!(percent(most).loosens(&default, 20), named, "{most}");
        }
    }

    fn any_limits() -> impl Strategy<Value = GuardLimits> {
        use proptest::option::of;
        let (count, percent) = (|| of(0u64..700), || of(0u8..=100));
        (count(), percent(), count(), percent()).prop_map(
            |(deletes, delete_percent, changes, change_percent)| GuardLimits {
                max_deletes: deletes,
                max_delete_percent: delete_percent,
                max_changes: changes,
                max_change_percent: change_percent,
            },
        )
    }

    /// As small as makes a difference: removals of a few and of many, of a little and of all.
    fn any_size() -> impl Strategy<Value = Size> {
        (0u64..1_000, 0u64..2_000, 0u64..1_000, 0u64..2_000, any::<bool>()).prop_map(
            |(deletes, more, changes, declared, first_fill)| Size {
                first_fill,
                ..size(deletes, deletes + more, changes, declared)
            },
        )
    }

    proptest! {
        #[test]
        fn what_passes_limits_that_are_no_looser_passes_the_others_too(
            limits in any_limits(), than in any_limits(), unset in 0u8..=100,
            sizes in proptest::collection::vec(any_size(), 1..20),
        ) {
            if limits.loosens(&than, unset).is_none() && check_with(&limits, unset, &sizes).is_empty() {
                prop_assert!(check_with(&than, unset, &sizes).is_empty());
            }
            prop_assert_eq!(limits.loosens(&limits, unset), None);
        }

        #[test]
        fn a_smaller_difference_is_never_held_where_a_larger_one_passes(
            deletes in 0u64..2_000, removable in 0u64..5_000, changes in 0u64..2_000, declared in 0u64..5_000,
            less in 0u64..2_000, max in proptest::option::of(0u64..2_000), percent in proptest::option::of(0u8..=100),
        ) {
            let set = GuardLimits {
                max_deletes: max, max_delete_percent: percent, max_changes: max, max_change_percent: percent,
            };
            let large = size(deletes, removable, changes, declared);
            let small = size(deletes.saturating_sub(less), removable, changes.saturating_sub(less), declared);
            if check(&set, std::slice::from_ref(&large)).is_empty() {
                prop_assert!(check(&set, std::slice::from_ref(&small)).is_empty());
            }
            prop_assert!(within_approved(std::slice::from_ref(&large), &[small]));
        }
    }
}
