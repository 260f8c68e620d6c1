//! What an administrator sets of an import: how entries of a directory become users, and what becomes of them later.

use serde::{Deserialize, Serialize};

use crate::{device::GroupPath, word::words};

/// What the guard calls entries, and memberships: targets of a run of a directory.
pub const ENTRIES: &str = "entries";
/// See [`ENTRIES`].
pub const MEMBERSHIPS: &str = "memberships";
/// The users that are made and changed; the guard counts them as entries.
pub const USERS: &str = "users";
/// Most removals in percent unless set; for files it is more.
pub const MAX_DELETE_PERCENT: u8 = 20;

/// Who decides that a person of the directory becomes a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum ImportMode {
    /// An operator, one by one: people land unlinked.
    #[default]
    Manual,
    /// Nobody: people are linked to new users.
    Automatic,
    /// The same, and users are put into groups by the rules of placement.
    AutomaticWithGroups,
}

words!(ImportMode, "mode of import":
    Manual = "manual",
    Automatic = "automatic",
    AutomaticWithGroups = "automatic-with-groups",
);

/// What an administrator sets of the import of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImportSpec {
    /// Who decides that a person becomes a user.
    pub mode: ImportMode,
    /// Whether people without an e-mail stay unlinked.
    pub people_need_email: bool,
    /// The group of new users that no rule places; the root if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupPath>,
    /// Where users are put, with mode `automatic-with-groups`: the first rule that fits decides. At most 1,000.
    pub placement: Vec<Placement>,
    /// Whether computers are matched to enrolled devices of the same name.
    pub match_computers: bool,
    /// Days after which an orphan is deleted by itself, with its user. Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3650)]
    pub purge_orphans_after_days: Option<u32>,
}

/// A rule of placement. One of `unit` and `member_of` says whom it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// People in this unit or below it: its id, one of its aliases (such as its distinguished name, in any case), or its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// People who are in this group, or in a group that is in it, however deep: named in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_of: Option<String>,
    /// The group here that they are put into.
    pub group: GroupPath,
}

impl ImportSpec {
    /// Most rules of placement.
    pub const MOST_RULES: usize = 1_000;

    /// Whether users are put into groups by rules.
    pub fn places(&self) -> bool {
        self.mode == ImportMode::AutomaticWithGroups
    }

    /// The group of a user that no rule places.
    pub fn default_group(&self) -> GroupPath {
        self.group.clone().unwrap_or_else(GroupPath::root)
    }

    /// What is wrong with it, in a sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.placement.len() > Self::MOST_RULES {
            return Err(format!(
                "{} rules of placement: use {} at most",
                self.placement.len(),
                Self::MOST_RULES
            ));
        }
        if !self.places() && !self.placement.is_empty() {
            return Err(format!(
                "placement has rules and mode is {}: use mode {}, or leave the rules out",
                self.mode,
                ImportMode::AutomaticWithGroups
            ));
        }
        for (at, rule) in self.placement.iter().enumerate() {
            let named = match (&rule.unit, &rule.member_of) {
                (Some(name), None) | (None, Some(name)) => name,
                _ => return Err(format!("rule {} of placement: give one of unit and member_of", at + 1)),
            };
            if named.is_empty() || named.len() > 4_096 {
                return Err(format!("rule {} of placement: a name has 1 to 4096 bytes", at + 1));
            }
        }
        match self.purge_orphans_after_days {
            Some(days) if !(1..=3_650).contains(&days) => {
                Err(format!("purge_orphans_after_days of {days}: use 1 to 3650, or leave it out"))
            }
            _ => Ok(()),
        }
    }

    /// Where a person is put who sits in `units` and is in `groups`, however deep: each told by all names that it goes by, in
    /// lower case.
    pub fn place(
        &self,
        mut is_in_unit: impl FnMut(&str) -> bool,
        mut is_member: impl FnMut(&str) -> bool,
    ) -> GroupPath {
        let fits = |rule: &&Placement| match (&rule.unit, &rule.member_of) {
            (Some(unit), _) => is_in_unit(&key(unit)),
            (None, Some(group)) => is_member(&key(group)),
            (None, None) => false,
        };
        self.placement.iter().find(fits).map_or_else(|| self.default_group(), |rule| rule.group.clone())
    }
}

/// A text as names, e-mails and rules are compared: without regard to case.
pub fn key(text: &str) -> String {
    text.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(value: serde_json::Value) -> ImportSpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let spec = spec(serde_json::json!({
            "mode": "automatic-with-groups",
            "group": "/staff",
            "placement": [
                { "member_of": "CN=Admins,DC=x", "group": "/admins" },
                { "unit": "ou=sales,dc=x", "group": "/sales" },
            ],
        }));
        spec.check().unwrap();
        let put = |unit: &str, group: &str| {
            spec.place(|name| name == unit, |name| name == group).as_str().to_owned()
        };
        assert_eq!(put("ou=sales,dc=x", "cn=admins,dc=x"), "/admins");
        assert_eq!(put("ou=sales,dc=x", "cn=other,dc=x"), "/sales");
        assert_eq!(put("ou=it,dc=x", ""), "/staff");
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let rule = |value: serde_json::Value| serde_json::json!({ "mode": "automatic-with-groups", "placement": [value] });
        for (value, told) in [
            (serde_json::json!({ "placement": [{ "unit": "a", "group": "/" }] }), "mode is manual"),
            (rule(serde_json::json!({ "group": "/" })), "one of unit and member_of"),
            (rule(serde_json::json!({ "unit": "", "group": "/" })), "1 to 4096"),
            (serde_json::json!({ "purge_orphans_after_days": 0 }), "use 1 to 3650"),
        ] {
            let error = spec(value).check().unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
