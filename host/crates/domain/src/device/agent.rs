//! The agent's own policy: what is set about `syncline-agent` itself, like any other application.

use std::time::Duration;

/// The application that stands for the agent.
pub const APPLICATION: &str = "syncline-agent";

/// Longest period between two contacts, in minutes: 31 days.
const MOST_MINUTES: u64 = 31 * 24 * 60;

/// How often a device comes by the document of [`APPLICATION`]: its `background_update_check_period`, in minutes, from 1 to
/// 44,640. `None` where it says nothing of the kind, or something else.
pub fn period(document: &[u8]) -> Option<Duration> {
    let settings: serde_json::Value = serde_json::from_slice(document).ok()?;
    let minutes = settings.get("background_update_check_period")?.as_u64()?;
    (1..=MOST_MINUTES).contains(&minutes).then(|| Duration::from_secs(minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_taken_within_bounds_and_everything_else_is_passed_over() {
        let of = |text: &str| period(text.as_bytes()).map(|period| period.as_secs());
        assert_eq!(of(r#"{"background_update_check_period":15,"other":[1]}"#), Some(900));
        for none in [
            "{}",
            "",
            "[1]",
            r#"{"background_update_check_period":0}"#,
            r#"{"background_update_check_period":"15"}"#,
            r#"{"background_update_check_period":44641}"#,
            r#"{"background_update_check_period":-1}"#,
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
