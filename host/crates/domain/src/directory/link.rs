//! How an entry of a directory stands to what is here: one table of states, and of what moves an entry between them.

use serde::Serialize;

use super::EntryKind;
use crate::word::words;

/// How an entry stands to a user here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum LinkState {
    /// Known, and nobody here goes by it.
    Unlinked,
    /// A user here is kept as the entry is.
    Linked,
    /// Not wanted here: not imported again until it is un-ignored.
    Ignored,
    /// Gone in the directory: its user is disabled, until somebody decides.
    Orphaned,
}

words!(LinkState, "state of a directory entry":
    Unlinked = "unlinked",
    Linked = "linked",
    Ignored = "ignored",
    Orphaned = "orphaned",
);

/// What happens to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Happening {
    /// A run finds it in the directory, for the first time or again.
    Seen,
    /// A run finds that it is gone there.
    Gone,
    /// A run or a person makes a user go by it.
    Link,
    /// A person lets its user go.
    Unlink,
    /// A person does not want it here. Its user is let go.
    Ignore,
    /// A person wants it here after all.
    Unignore,
    /// A person deletes it here, with its user.
    Delete,
    /// Its time as an orphan is over.
    Purge,
}

words!(Happening, "thing that happens to a directory entry":
    Seen = "seen",
    Gone = "gone",
    Link = "link",
    Unlink = "unlink",
    Ignore = "ignore",
    Unignore = "unignore",
    Delete = "delete",
    Purge = "purge",
);

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Becomes {
    /// It stands so from now on.
    State(LinkState),
    /// Nothing is known of it any more.
    Forgotten,
}

/// What becomes of the user that went by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserBecomes {
    /// There is none, or it stays as it is.
    Same,
    /// It is kept as the entry is.
    Kept,
    /// It stays, and is nobody's but ours from now on.
    LetGo,
    /// It stays and can do nothing.
    Disabled,
    /// It is removed.
    Removed,
}

/// A step that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What becomes of the entry.
    pub entry: Becomes,
    /// What becomes of its user.
    pub user: UserBecomes,
}

/// A step that there is not: why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// For a person.
    pub message: String,
}

/// The only way from one state to the next.
pub fn step(kind: EntryKind, state: LinkState, happening: Happening) -> Result<Step, Refused> {
    use Happening as H;
    use LinkState as S;
    use UserBecomes as U;
    let to = |state, user| Ok(Step { entry: Becomes::State(state), user });
    let forgotten = |user| Ok(Step { entry: Becomes::Forgotten, user });
    let refused = |message: &str| Err(Refused { message: message.to_owned() });
    if kind != EntryKind::Person && happening == H::Link {
        return refused(&format!("it is a {kind}: only people are linked to users"));
    }
    match (state, happening) {
        (S::Orphaned, H::Seen) => to(S::Linked, U::Kept),
        (S::Linked, H::Seen) => to(S::Linked, U::Kept),
        (same, H::Seen) => to(same, U::Same),

        (S::Linked, H::Gone) => to(S::Orphaned, U::Disabled),
        (S::Orphaned, H::Gone) => to(S::Orphaned, U::Same),
        (S::Unlinked | S::Ignored, H::Gone) => forgotten(U::Same),

        (S::Unlinked, H::Link) => to(S::Linked, U::Kept),
        (S::Linked, H::Link) => refused("it is linked already: unlink it first"),
        (S::Ignored, H::Link) => refused("it is ignored: un-ignore it first"),
        (S::Orphaned, H::Link) => {
            refused("it is gone in the directory: unlink it to keep its user, or delete it")
        }

        (S::Linked, H::Unlink) => to(S::Unlinked, U::LetGo),
        (S::Orphaned, H::Unlink) => forgotten(U::LetGo),
        (S::Unlinked | S::Ignored, H::Unlink) => refused("it is not linked to a user"),

        (S::Unlinked, H::Ignore) => to(S::Ignored, U::Same),
        (S::Linked, H::Ignore) => to(S::Ignored, U::LetGo),
        (S::Ignored, H::Ignore) => refused("it is ignored already"),
        (S::Orphaned, H::Ignore) => refused(
            "it is gone in the directory and is not imported again: unlink it to keep its user, or delete it",
        ),

        (S::Ignored, H::Unignore) => to(S::Unlinked, U::Same),
        (_, H::Unignore) => refused("it is not ignored"),

        (S::Unlinked, H::Delete) => to(S::Ignored, U::Same),
        (S::Linked, H::Delete) => to(S::Ignored, U::Removed),
        (S::Ignored, H::Delete) => {
            refused("it is ignored already, and is forgotten by itself once it is gone in the directory")
        }
        (S::Orphaned, H::Delete | H::Purge) => forgotten(U::Removed),
        (_, H::Purge) => refused("only what is gone in the directory is purged"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: a state, what happens, and what comes of it; `-` where it is refused.
    const TABLE: &[(&str, &str, &str)] = &[
        ("unlinked", "seen", "unlinked same"),
        ("unlinked", "gone", "forgotten same"),
        ("unlinked", "link", "linked kept"),
        ("unlinked", "unlink", "-"),
        ("unlinked", "ignore", "ignored same"),
        ("unlinked", "unignore", "-"),
        ("unlinked", "delete", "ignored same"),
        ("unlinked", "purge", "-"),
        ("linked", "seen", "linked kept"),
        ("linked", "gone", "orphaned disabled"),
        ("linked", "link", "-"),
        ("linked", "unlink", "unlinked letgo"),
        ("linked", "ignore", "ignored letgo"),
        ("linked", "unignore", "-"),
        ("linked", "delete", "ignored removed"),
        ("linked", "purge", "-"),
        ("ignored", "seen", "ignored same"),
        ("ignored", "gone", "forgotten same"),
        ("ignored", "link", "-"),
        ("ignored", "unlink", "-"),
        ("ignored", "ignore", "-"),
        ("ignored", "unignore", "unlinked same"),
        ("ignored", "delete", "-"),
        ("ignored", "purge", "-"),
        ("orphaned", "seen", "linked kept"),
        ("orphaned", "gone", "orphaned same"),
        ("orphaned", "link", "-"),
        ("orphaned", "unlink", "forgotten letgo"),
        ("orphaned", "ignore", "-"),
        ("orphaned", "unignore", "-"),
        ("orphaned", "delete", "forgotten removed"),
        ("orphaned", "purge", "forgotten removed"),
    ];

    fn told(state: LinkState, happening: Happening) -> String {
        match step(EntryKind::Person, state, happening) {
            Err(_) => "-".to_owned(),
            Ok(Step { entry, user }) => {
                let entry = match entry {
                    Becomes::State(state) => state.as_str(),
                    Becomes::Forgotten => "forgotten",
                };
                format!("{entry} {}", format!("{user:?}").to_lowercase())
            }
        }
    }

    #[test]
    fn each_row_of_the_table() {
        assert_eq!(TABLE.len(), LinkState::ALL.len() * Happening::ALL.len());
        for (state, happening, comes) in TABLE {
            let found = told(state.parse().unwrap(), happening.parse().unwrap());
            assert_eq!(found, *comes, "{state}, {happening}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do_and_only_people_are_linked() {
        let refused = step(EntryKind::Person, LinkState::Ignored, Happening::Link).unwrap_err();
        assert_eq!(refused.to_string(), "it is ignored: un-ignore it first");
        let group = step(EntryKind::Group, LinkState::Unlinked, Happening::Link).unwrap_err();
        assert!(group.message.contains("group"), "{group}");
    }

    #[test]
    fn no_run_removes_a_user_except_by_purging() {
        for state in LinkState::ALL {
            for happening in [Happening::Seen, Happening::Gone, Happening::Link] {
                if let Ok(step) = step(EntryKind::Person, *state, happening) {
                    assert_ne!(step.user, UserBecomes::Removed, "{state}, {happening}");
                }
            }
        }
    }
}
