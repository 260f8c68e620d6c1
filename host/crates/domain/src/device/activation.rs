//! What becomes of an activation code that someone typed in on a device.

use jiff::Timestamp;

use super::user::User;

/// Wrong codes that a device may send in [`WRONG_WITHIN`] seconds. A code has 100 bits; this keeps a device from trying all the
/// same, and from filling the list of its messages.
pub const MOST_WRONG: u32 = 10;

/// Seconds in which wrong codes are counted.
pub const WRONG_WITHIN: i64 = 3_600;

/// What became of an activation code.
#[derive(Debug, Clone, PartialEq)]
pub enum Activation {
    /// It activated this user.
    Activated(Box<User>),
    /// There is no such code, or another was made in its place.
    Unknown,
    /// It was used before.
    Used(Timestamp),
    /// Its time is over.
    Expired(Timestamp),
    /// The user of this name has no subscription that stands.
    NoSubscription(String),
    /// Too many wrong codes came from this device; this one was not looked at.
    TooMany,
}

impl Activation {
    /// Whether someone was activated.
    pub const fn is_activated(&self) -> bool {
        matches!(self, Self::Activated(_))
    }

    /// What is told to who typed the code in: what is wrong, and what to do.
    pub fn text(&self) -> String {
        match self {
            Self::Activated(user) if user.display_name.is_empty() => {
                format!("{} is activated on this device.", user.name)
            }
            Self::Activated(user) => {
                format!("{} ({}) is activated on this device.", user.display_name, user.name)
            }
            Self::Unknown => "This code is not known here: compare it with what you were given, or ask your \
                administrator for a new one; a new code ends those before it."
                .to_owned(),
            Self::Used(at) => {
                format!(
                    "This code was used on {at:.0}, and a code has one use: ask your administrator for a new one."
                )
            }
            Self::Expired(at) => {
                format!("This code was good until {at:.0}: ask your administrator for a new one.")
            }
            Self::NoSubscription(user) => format!(
                "{user} has no subscription that stands: ask your administrator to issue one, then type the code in again."
            ),
            Self::TooMany => format!(
                "Too many wrong codes came from this device: wait for {} minutes, then type the code in again.",
                WRONG_WITHIN / 60
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_refused_is_told_what_to_do() {
        let at = Timestamp::UNIX_EPOCH;
        for (end, told) in [
            (Activation::Unknown, "ask your administrator for a new one"),
            (Activation::Used(at), "used on 1970-01-01T00:00:00Z"),
            (Activation::Expired(at), "good until 1970-01-01T00:00:00Z"),
            (Activation::NoSubscription("ann".to_owned()), "ann has no subscription"),
            (Activation::TooMany, "wait for 60 minutes"),
        ] {
            assert!(end.text().contains(told) && !end.is_activated(), "{}", end.text());
        }
    }
}
