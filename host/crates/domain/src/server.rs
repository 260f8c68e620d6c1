//! Distribution servers: stores that are kept up to date from the library, as their operators run them.
//!
//! * [`DistributionServer`]: what is registered
//! * [`Window`]: when runs may reach it
//! * [`Origin`]: what makes a store one that is not written to, since a collection comes from it

use jiff::{
    Timestamp, Zoned,
    civil::{Time, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Name, place::Collection, refresh::CollectionSource};

/// What an operator can set of a distribution server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSpec {
    /// For people.
    pub description: String,
    /// Components (collections) that it should get. Schedules put no others there; empty: all that a schedule has.
    pub components: Vec<Name>,
    /// Where clients find it, such as `https://updates.north.example.com/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where it stands: what a sync says of servers at once holds for each site by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Name>,
    /// When runs may reach it; always if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// A registered distribution server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DistributionServer {
    /// What operators call it.
    pub name: Name,
    /// The store that syncs fill.
    pub store: Name,
    /// What an operator set.
    #[serde(flatten)]
    pub spec: ServerSpec,
    /// Whether the store was registered with it, and goes with it.
    pub brought_store: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Counts changes; the `ETag` of the API.
    pub revision: i64,
}

impl DistributionServer {
    /// Whether schedules put this component there.
    pub fn gets(&self, component: &Name) -> bool {
        self.spec.components.is_empty() || self.spec.components.contains(component)
    }
}

/// When runs may reach a server, in the time of a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// When it opens, such as `22:00`.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    #[schema(value_type = String)]
    pub from: Time,
    /// When it closes, such as `05:30`: on the next day if that is not after `from`.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    #[schema(value_type = String)]
    pub to: Time,
    /// IANA name, such as `Europe/Lisbon`.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Days on which it opens; every day if empty.
    #[serde(default)]
    pub days: Vec<Day>,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// How a window stands at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Open, until then.
    OpenUntil(Timestamp),
    /// Closed, until then.
    OpensAt(Timestamp),
}

/// Why a window makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    /// The zone.
    #[error("time zone {0:?} is not known: use an IANA name such as Europe/Lisbon, or UTC")]
    TimeZone(String),
    /// It does not open in the weeks to come.
    #[error("the window {0} never opens: correct its times or its days")]
    Never(Window),
}

impl Window {
    /// Days that are looked at: where clocks are set forward, a short window can be left out of one week.
    const AHEAD: i32 = 15;

    /// Whether it is open at `now`, and until when.
    pub fn at(&self, now: Timestamp) -> Result<Opening, BadWindow> {
        let zone = TimeZone::get(&self.time_zone).map_err(|_| BadWindow::TimeZone(self.time_zone.clone()))?;
        let today = Zoned::new(now, zone.clone()).date();
        for ahead in -1..=Self::AHEAD {
            let Ok(day) = today.checked_add(jiff::Span::new().days(ahead)) else { continue };
            if !self.opens_on(day.weekday()) {
                continue;
            }
            let ends = if self.to > self.from { Ok(day) } else { day.tomorrow() };
            let moment = |at: jiff::civil::DateTime| zone.to_timestamp(at).ok();
            let opens = moment(day.to_datetime(self.from));
            let closes = ends.ok().and_then(|day| moment(day.to_datetime(self.to)));
            let (Some(opens), Some(closes)) = (opens, closes) else { continue };
            if opens >= closes || closes <= now {
                continue;
            }
            return Ok(if opens <= now { Opening::OpenUntil(closes) } else { Opening::OpensAt(opens) });
        }
        Err(BadWindow::Never(self.clone()))
    }

    fn opens_on(&self, weekday: Weekday) -> bool {
        let day = match weekday {
            Weekday::Monday => Day::Mon,
            Weekday::Tuesday => Day::Tue,
            Weekday::Wednesday => Day::Wed,
            Weekday::Thursday => Day::Thu,
            Weekday::Friday => Day::Fri,
            Weekday::Saturday => Day::Sat,
            Weekday::Sunday => Day::Sun,
        };
        self.days.is_empty() || self.days.contains(&day)
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {} ({}", time_text(self.from), time_text(self.to), self.time_zone)?;
        for day in &self.days {
            write!(f, ", {}", format!("{day:?}").to_lowercase())?;
        }
        write!(f, ")")
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

fn time_text(time: Time) -> String {
    if time.second() == 0 { format!("{:02}:{:02}", time.hour(), time.minute()) } else { time.to_string() }
}

fn write_time<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time_text(*time))
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| serde::de::Error::custom(format!("{text:?} is no time of day: write it as 22:00")))
}

/// Where the files of a collection come from. Such a store is read, and what is read is not filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The collection.
    pub collection: Name,
    /// The store.
    pub store: Name,
    /// How.
    pub how: Comes,
}

/// How a collection comes from a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comes {
    /// Its files are the collection.
    Lives,
    /// It is downloaded from there.
    Downloaded,
}

impl Origin {
    /// The stores that collections come from: the one place where that is looked up.
    pub fn all(collections: &[Collection]) -> Vec<Self> {
        let origin = |one: &Collection, store: &Name, how| Self {
            collection: one.name.clone(),
            store: store.clone(),
            how,
        };
        let lives = collections.iter().map(|one| origin(one, &one.store, Comes::Lives));
        let downloaded = collections.iter().filter_map(|one| match &one.source {
            CollectionSource::Store(from) => Some(origin(one, &from.store, Comes::Downloaded)),
            CollectionSource::None | CollectionSource::Http(_) => None,
        });
        lives.chain(downloaded).collect()
    }

    /// Why nothing is synchronised to this store; `None` if something may be.
    pub fn forbids(origins: &[Self], store: &Name) -> Option<String> {
        let of_store = origins.iter().filter(|origin| origin.store == *store);
        // A download says more than that the library is there as well.
        let origin = of_store.min_by_key(|origin| origin.how == Comes::Lives)?;
        Some(match origin.how {
            Comes::Downloaded => format!(
                "it is the download source of collection {}: what is downloaded from is not filled; give the collection \
                 another source first",
                origin.collection
            ),
            Comes::Lives => format!(
                "collection {} of the library lives in it: a sync cannot fill what it reads",
                origin.collection
            ),
        })
    }

    /// The same, of a store that is downloaded from alone.
    pub fn forbids_download(origins: &[Self], store: &Name) -> Option<String> {
        let downloads: Vec<Self> =
            origins.iter().filter(|one| one.how == Comes::Downloaded).cloned().collect();
        Self::forbids(&downloads, store)
    }
}

/// A stable text for a server's address: printable and not too long.
pub fn check_address(address: &str) -> Result<(), String> {
    const MOST: usize = 1_024;
    if address.is_empty() || address.len() > MOST || address.contains(char::is_control) {
        return Err(format!("an address of {} bytes: use 1 to {MOST} printable ones", address.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn window(json: serde_json::Value) -> Window {
        serde_json::from_value(json).unwrap()
    }

    /// How a window stands, moment by moment.
    fn check(window: &Window, moments: &[(&str, Opening)]) {
        for (moment, expected) in moments {
            assert_eq!(window.at(at(moment)).unwrap(), *expected, "{window} at {moment}");
        }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_opens() {
        use Opening::{OpenUntil, OpensAt};
        // 2026-11-27 is a Friday; Lisbon is at UTC in winter.
        let night = window(serde_json::json!({
            "from": "22:00", "to": "05:30", "time_zone": "Europe/Lisbon", "days": ["fri"],
        }));
        check(
            &night,
            &[
                ("2026-11-27T21:59:59Z", OpensAt(at("2026-11-27T22:00:00Z"))),
                ("2026-11-27T22:00:00Z", OpenUntil(at("2026-11-28T05:30:00Z"))),
                ("2026-11-28T05:29:59Z", OpenUntil(at("2026-11-28T05:30:00Z"))),
                ("2026-11-28T05:30:00Z", OpensAt(at("2026-12-04T22:00:00Z"))),
            ],
        );
    }

    #[test]
    fn a_window_follows_the_clocks_of_its_place() {
        // New York, 1 November 2026: 02:00 becomes 01:00.
        let morning =
            window(serde_json::json!({ "from": "06:00", "to": "07:00", "time_zone": "America/New_York" }));
        check(
            &morning,
            &[
                ("2026-10-31T09:00:00Z", Opening::OpensAt(at("2026-10-31T10:00:00Z"))),
                ("2026-11-01T10:00:00Z", Opening::OpensAt(at("2026-11-01T11:00:00Z"))),
            ],
        );
    }

    #[test]
    fn equal_times_are_a_whole_day() {
        let all = window(serde_json::json!({ "from": "00:00", "to": "00:00" }));
        check(&all, &[("2026-11-27T12:00:00Z", Opening::OpenUntil(at("2026-11-28T00:00:00Z")))]);
        assert_eq!(serde_json::to_value(&all).unwrap()["from"], "00:00");
    }

    #[test]
    fn nonsense_is_refused_with_its_value() {
        let mars = window(serde_json::json!({ "from": "00:00", "to": "01:00", "time_zone": "Mars/Olympus" }));
        assert!(mars.at(at("2026-01-01T00:00:00Z")).unwrap_err().to_string().contains("Mars/Olympus"));
        let error = serde_json::from_value::<Window>(serde_json::json!({ "from": "25:00", "to": "01:00" }));
        assert!(error.unwrap_err().to_string().contains("25:00"));
    }

    #[test]
    fn what_is_downloaded_from_is_told_before_what_lives_there() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let origin =
            |collection: &str, how| Origin { collection: name(collection), store: name("north"), how };
        let origins = [origin("engines", Comes::Lives), origin("patches", Comes::Downloaded)];
        let why = Origin::forbids(&origins, &name("north")).unwrap();
        assert!(why.contains("download source of collection patches"), "{why}");
        assert_eq!(Origin::forbids(&origins, &name("south")), None);
        assert!(Origin::forbids(&origins[..1], &name("north")).is_some());
        assert_eq!(Origin::forbids_download(&origins[..1], &name("north")), None);
    }
}
