//! Schedules: when a sync runs by itself.

use std::time::Duration;

use croner::Cron;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{
    Name,
    ids::{NodeId, OperationId, RunId, ScheduleId},
};

/// When a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum When {
    /// Every so many seconds, counted from an anchor: late or long runs do not shift it.
    Interval {
        /// 1 to 31,536,000.
        seconds: u32,
        /// Where counting begins; the time the schedule was made if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        anchor: Option<Timestamp>,
    },
    /// By a cron expression (five fields, or six with seconds in front) in a time zone. Where clocks are set forward, a
    /// fixed time that does not exist fires at the first moment after the gap; where they are set back, it fires
    /// once, at the first of the two. Expressions with `*` in hours or minutes follow real time.
    Cron {
        /// Such as `30 2 * * 1-5`.
        expression: String,
        /// IANA name, such as `Europe/Lisbon`.
        #[serde(default = "utc")]
        time_zone: String,
    },
    /// Once.
    Once {
        /// When.
        at: Timestamp,
    },
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What happens to a tick while the run of an earlier one has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// It is recorded as skipped.
    #[default]
    Skip,
    /// It waits; while one waits, further ones are skipped.
    QueueOne,
    /// The earlier run is cancelled, and this one runs after it.
    CancelOther,
}

/// Whose a schedule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", content = "node", rename_all = "kebab-case")]
pub enum Owner {
    /// One node fires it.
    Node(NodeId),
    /// Any node fires it, one of them each time.
    Cluster,
}

/// What an operator can set of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// The sync that runs.
    pub sync: Name,
    /// When.
    pub when: When,
    /// Each tick is moved later by up to so many seconds: always the same for one tick of one schedule.
    #[serde(default)]
    pub jitter_seconds: u32,
    /// What happens to a tick while an earlier run has not ended.
    #[serde(default)]
    pub overlap: Overlap,
    /// A tick that is late by more than this many seconds (the host was down) is skipped. Of several late ones, only
    /// the last runs.
    #[serde(default = "hour")]
    pub catch_up_seconds: u32,
    /// Why it is paused; it is not if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: String,
}

const fn hour() -> u32 {
    3_600
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Schedule {
    /// Id.
    pub id: ScheduleId,
    /// What an operator set.
    #[serde(flatten)]
    pub spec: ScheduleSpec,
    /// Whose it is.
    pub owner: Owner,
    /// When it was made.
    pub created_at: Timestamp,
    /// The next tick by the rule, without jitter; none if there is none.
    pub next_nominal: Option<Timestamp>,
    /// When that tick fires.
    pub next_run: Option<Timestamp>,
    /// The last tick that fired or was skipped.
    pub last_nominal: Option<Timestamp>,
    /// Counts changes; the `ETag` of the API.
    pub revision: i64,
}

/// Schedules that somebody asked to run at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunNow {
    /// Id.
    pub id: OperationId,
    /// Who asked.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
    /// What became of each.
    pub entries: Vec<RunNowEntry>,
}

/// What became of one schedule that was asked to run at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunNowEntry {
    /// The schedule.
    pub schedule: ScheduleId,
    /// Its sync, if there is such a schedule.
    pub sync: Option<Name>,
    /// The run that was queued.
    pub run: Option<RunId>,
    /// Why none was.
    pub refusal: Option<Refusal>,
}

/// Why something was not begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Refusal {
    /// HTTP status that the same call for this one alone has.
    pub status: u16,
    /// Stable word.
    pub code: String,
    /// What stands in the way, what to do.
    pub detail: String,
}

/// Why a schedule makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// The interval.
    #[error("an interval of {0} seconds: use 1 to 31536000 (a year)")]
    Interval(u32),
    /// The expression.
    #[error("cron expression {expression:?}: {why}")]
    Cron {
        /// As given.
        expression: String,
        /// By the parser.
        why: String,
    },
    /// The zone.
    #[error("time zone {0:?} is not known: use an IANA name such as Europe/Lisbon, or UTC")]
    TimeZone(String),
    /// Jitter.
    #[error("a jitter of {0} seconds: use at most 86400 (a day)")]
    Jitter(u32),
    /// It would never fire.
    #[error("the schedule would never fire: {0}")]
    Never(String),
}

impl When {
    const YEAR: u32 = 31_536_000;

    /// The first tick after `after` for a schedule made at `created`; `None` if there is none any more.
    pub fn next(&self, created: Timestamp, after: Timestamp) -> Result<Option<Timestamp>, BadSchedule> {
        match self {
            Self::Interval { seconds, anchor } => {
                if !(1..=Self::YEAR).contains(seconds) {
                    return Err(BadSchedule::Interval(*seconds));
                }
                let anchor = anchor.unwrap_or(created);
                let step = i128::from(*seconds) * 1_000_000_000;
                let gone = after.as_nanosecond() - anchor.as_nanosecond();
                let next = anchor.as_nanosecond() + (gone.div_euclid(step) + 1).max(0) * step;
                Ok(Timestamp::from_nanosecond(next).ok())
            }
            Self::Cron { expression, time_zone } => {
                let bad = |why: String| BadSchedule::Cron { expression: expression.clone(), why };
                let cron: Cron = expression.parse().map_err(|error| bad(format!("{error}")))?;
                let zone = TimeZone::get(time_zone).map_err(|_| BadSchedule::TimeZone(time_zone.clone()))?;
                // An expression such as 30 February has no next tick: croner gives up after some thousand years.
                Ok(cron.find_next_occurrence(&after.to_zoned(zone), false).ok().map(|at| at.timestamp()))
            }
            Self::Once { at } => Ok((*at > after).then_some(*at)),
        }
    }
}

impl ScheduleSpec {
    const DAY: u32 = 86_400;

    /// With what holds where nothing else is said.
    pub const fn new(sync: Name, when: When) -> Self {
        Self {
            sync,
            when,
            jitter_seconds: 0,
            overlap: Overlap::Skip,
            catch_up_seconds: hour(),
            paused: None,
            description: String::new(),
        }
    }

    /// Checks all that can be checked without looking anything up.
    pub fn check(&self, now: Timestamp) -> Result<(), BadSchedule> {
        if self.jitter_seconds > Self::DAY {
            return Err(BadSchedule::Jitter(self.jitter_seconds));
        }
        match self.when.next(now, now)? {
            Some(_) => Ok(()),
            None => Err(BadSchedule::Never(match &self.when {
                When::Once { at } => format!("{at} is past"),
                When::Cron { expression, .. } => format!("{expression:?} names no moment in the future"),
                When::Interval { .. } => "its next tick is out of the range of time".to_owned(),
            })),
        }
    }
}

/// How much later than `nominal` a tick fires: always the same for the same schedule and tick, spread evenly.
pub fn jitter(id: ScheduleId, nominal: Timestamp, at_most_seconds: u32) -> Duration {
    if at_most_seconds == 0 {
        return Duration::ZERO;
    }
    // FNV-1a with a finisher: stable across versions and machines, which std's hasher is not.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let bytes = id.0.as_bytes().iter().copied().chain(nominal.as_millisecond().to_le_bytes());
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^= hash >> 32;
    Duration::from_millis(hash % (u64::from(at_most_seconds) * 1_000 + 1))
}

/// What to do about the ticks of a schedule that are due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// Late ticks that are not run, at most [`Due::LISTED`], oldest first.
    pub skipped: Vec<Timestamp>,
    /// How many more were not run.
    pub skipped_more: u64,
    /// The tick to run.
    pub run: Option<Timestamp>,
    /// The next tick after these.
    pub next: Option<Timestamp>,
}

impl Due {
    /// Most skipped ticks that are listed one by one: a schedule of one second was down for a weekend.
    pub const LISTED: usize = 20;
}

/// Goes through the ticks from `next_nominal` that are due at `now`: the last one runs if it is not later than the
/// catch-up window, all before it are skipped.
pub fn due(
    id: ScheduleId,
    spec: &ScheduleSpec,
    created: Timestamp,
    next_nominal: Timestamp,
    now: Timestamp,
) -> Result<Due, BadSchedule> {
    let fires = |nominal: Timestamp| nominal.checked_add(jitter(id, nominal, spec.jitter_seconds));
    let mut due = Due { next: Some(next_nominal), ..Due::default() };
    let mut last = None;
    while let Some(nominal) = due.next {
        if fires(nominal).is_ok_and(|at| at > now) || fires(nominal).is_err() {
            break;
        }
        if let Some(earlier) = last.replace(nominal) {
            due.skip(earlier);
        }
        due.next = spec.when.next(created, nominal)?;
        // A tick every second through a year of standstill: step over all but the last.
        if let (When::Interval { seconds, .. }, Some(next)) = (&spec.when, due.next) {
            let behind = now.duration_since(next).as_secs() / i64::from(*seconds);
            let jump = behind - 2 - i64::from(spec.jitter_seconds / seconds);
            if jump > 0 {
                due.skipped_more += jump.unsigned_abs();
                let ahead = Duration::from_secs(jump.unsigned_abs() * u64::from(*seconds));
                due.next = next.checked_add(ahead).ok();
            }
        }
    }
    if let Some(nominal) = last {
        let late = fires(nominal).map_or(0, |at| now.duration_since(at).as_secs());
        if late > i64::from(spec.catch_up_seconds) {
            due.skip(nominal);
        } else {
            due.run = Some(nominal);
        }
    }
    Ok(due)
}

impl Due {
    fn skip(&mut self, nominal: Timestamp) {
        if self.skipped.len() < Self::LISTED {
            self.skipped.push(nominal);
        } else {
            self.skipped_more += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(expression: &str, time_zone: &str) -> When {
        When::Cron { expression: expression.to_owned(), time_zone: time_zone.to_owned() }
    }

    fn spec(when: When) -> ScheduleSpec {
        let json = serde_json::json!({ "sync": "s", "when": when });
        serde_json::from_value(json).unwrap()
    }

    fn ticks(when: &When, from: &str, count: usize) -> Vec<String> {
        let mut ticks = Vec::new();
        let mut after = at(from);
        while ticks.len() < count {
            let Some(next) = when.next(at(from), after).unwrap() else { break };
            ticks.push(next.to_string());
            after = next;
        }
        ticks
    }

    #[test]
    fn a_time_in_the_gap_fires_once_right_after_it() {
        // Lisbon, 29 March 2026: 01:00 becomes 02:00.
        let daily = cron("30 1 * * *", "Europe/Lisbon");
        assert_eq!(
            ticks(&daily, "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
    }

    #[test]
    fn a_time_that_comes_twice_fires_once() {
        // Lisbon, 25 October 2026: 02:00 becomes 01:00.
        let daily = cron("30 1 * * *", "Europe/Lisbon");
        assert_eq!(
            ticks(&daily, "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
    }

    #[test]
    fn intervals_stay_anchored() {
        let when = When::Interval { seconds: 900, anchor: Some(at("2026-01-01T00:05:00Z")) };
        assert_eq!(ticks(&when, "2026-01-01T00:21:13Z", 2), ["2026-01-01T00:35:00Z", "2026-01-01T00:50:00Z"]);
        assert_eq!(ticks(&when, "2025-12-01T00:00:00Z", 1), ["2026-01-01T00:05:00Z"]);
    }

    #[test]
    fn nonsense_is_refused_with_its_value() {
        let now = at("2026-01-01T00:00:00Z");
        for (when, says) in [
            (When::Interval { seconds: 0, anchor: None }, "0 seconds"),
            (cron("61 * * * *", "UTC"), "61 * * * *"),
            (cron("* * * * *", "Mars/Olympus"), "Mars/Olympus"),
            (cron("0 0 30 2 *", "UTC"), "never fire"),
            (When::Once { at: at("2025-01-01T00:00:00Z") }, "2025-01-01"),
        ] {
            let error = spec(when).check(now).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn of_late_ticks_the_last_runs_if_it_is_recent_enough() {
        let when = When::Interval { seconds: 60, anchor: None };
        let created = at("2026-01-01T00:00:00Z");
        let id = ScheduleId::new(created);
        let next = at("2026-01-01T00:01:00Z");
        let due = due(id, &spec(when.clone()), created, next, at("2026-01-01T00:04:30Z")).unwrap();
        assert_eq!(due.run, Some(at("2026-01-01T00:04:00Z")));
        assert_eq!(due.skipped.len(), 3);
        assert_eq!(due.next, Some(at("2026-01-01T00:05:00Z")));

        let strict = ScheduleSpec { catch_up_seconds: 10, ..spec(when) };
        let none = super::due(id, &strict, created, next, at("2026-01-01T00:04:30Z")).unwrap();
        assert_eq!((none.run, none.skipped.len()), (None, 4));
    }

    #[test]
    fn a_year_of_standstill_is_counted_without_being_walked() {
        let created = at("2025-01-01T00:00:00Z");
        let spec = spec(When::Interval { seconds: 1, anchor: None });
        let next = at("2025-01-01T00:00:01Z");
        let due = due(ScheduleId::new(created), &spec, created, next, at("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(due.run, Some(at("2026-01-01T00:00:00Z")));
        assert_eq!(due.skipped.len() as u64 + due.skipped_more, 31_536_000 - 1);
    }

    proptest! {
        #[test]
        fn no_tick_is_forgotten_and_none_comes_twice(
            seconds in 1u32..5_000, jitter in 0u32..300, window in 0u32..10_000, late in 0i64..100_000,
        ) {
            let created = at("2026-01-01T00:00:00Z");
            let id = ScheduleId::new(created);
            let when = When::Interval { seconds, anchor: None };
            let spec = ScheduleSpec { jitter_seconds: jitter, catch_up_seconds: window, ..spec(when) };
            let first = spec.when.next(created, created).unwrap().unwrap();
            let now = Timestamp::from_second(created.as_second() + late).unwrap();
            let due = due(id, &spec, created, first, now).unwrap();
            let next = due.next.unwrap();
            let passed = (next.as_second() - first.as_second()) / i64::from(seconds);
            let told = due.skipped.len() as u64 + due.skipped_more + u64::from(due.run.is_some());
            prop_assert_eq!(passed.unsigned_abs(), told);
            let fires = next.checked_add(super::jitter(id, next, jitter)).unwrap();
            prop_assert!(fires > now);
        }
    }
}
