//! Values on the command line that several commands share.

use std::{
    fs,
    io::{self, Read},
    time::Duration,
};

use jiff::{Timestamp, Zoned, civil::DateTime, tz::TimeZone};
use serde_json::Value;
use syncline_domain::clock::{Clock, SystemClock};

use crate::outcome::{CliError, Result};

/// A length of time such as `90s`, `15m`, `1h30m` or `2d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad =
        || format!("{text:?} is not a length of time: use numbers with s, m, h or d, such as 15m or 1h30m");
    let mut rest = text.trim();
    let mut seconds: u64 = 0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        let mut tail = rest[digits..].chars();
        let unit = match tail.next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3_600,
            Some('d') => 86_400,
            _ => return Err(bad()),
        };
        seconds = number.checked_mul(unit).and_then(|more| seconds.checked_add(more)).ok_or_else(bad)?;
        rest = tail.as_str();
    }
    Ok(Duration::from_secs(seconds))
}

/// A length of time in whole seconds that fits the API.
pub fn seconds(text: &str) -> Result<u32, String> {
    let length = duration(text)?;
    u32::try_from(length.as_secs()).map_err(|_| format!("{text:?} is too long"))
}

/// The moment after this length of time.
pub fn from_now(after: Duration) -> Result<Timestamp> {
    let end = SystemClock.now().checked_add(after);
    end.map_err(|error| CliError::usage(format!("--expires is too far: {error}")))
}

/// A moment: RFC 3339 (`2026-12-01T02:00:00Z`), with a zone (`2026-12-01T02:00[Europe/Lisbon]`), or a local time in `zone`.
pub fn moment(text: &str, zone: &str) -> Result<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(at) = text.parse::<Zoned>() {
        return Ok(at.timestamp());
    }
    let local: DateTime = text.parse().map_err(|_| {
        CliError::usage(format!(
            "{text:?} is not a moment: write it as 2026-12-01T02:00 or 2026-12-01T02:00:00Z"
        ))
    })?;
    let zone = TimeZone::get(zone).map_err(|_| {
        CliError::usage(format!(
            "time zone {zone:?} is not known: use an IANA name such as Europe/Lisbon, or UTC"
        ))
    })?;
    zone.to_timestamp(local).map_err(|error| CliError::usage(format!("{text:?}: {error}")))
}

/// JSON as it stands, from `@FILE`, or from standard input for `-`.
pub fn json(text: &str) -> Result<Value, String> {
    let read = match text.strip_prefix('@') {
        Some(file) => fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?,
        None if text == "-" => {
            io::read_to_string(io::stdin().lock()).map_err(|error| format!("standard input: {error}"))?
        }
        None => text.to_owned(),
    };
    serde_json::from_str(&read).map_err(|error| format!("this is not JSON: {error}"))
}

/// `NAME=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} has no name and value: write NAME=VALUE")),
    }
}

/// All of a file, or of standard input for `-`.
pub fn read_file(path: &str) -> Result<Vec<u8>> {
    let cannot = |error| CliError::failed(format!("{path}: {error}"));
    if path == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map_err(cannot)?;
        return Ok(bytes);
    }
    fs::read(path).map_err(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        let of = |text| duration(text).map(|length| length.as_secs());
        assert_eq!(of("90s"), Ok(90));
        assert_eq!(of("1h30m"), Ok(5_400));
        assert_eq!(of("2d"), Ok(172_800));
        for bad in ["", "15", "m", "1w", "1h 2", "-1s", "99999999999999999999d", "18446744073709551615m"] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn moments_in_every_way_of_writing() {
        let want: Timestamp = "2026-07-01T01:00:00Z".parse().unwrap();
        for text in [
            "2026-07-01T01:00:00Z",
            "2026-07-01T02:00[Europe/Lisbon]",
            "2026-07-01T02:00",
            "2026-07-01 02:00",
        ] {
            assert_eq!(moment(text, "Europe/Lisbon").unwrap(), want, "{text}");
        }
        assert!(moment("tomorrow", "UTC").unwrap_err().message.contains("2026-12-01T02:00"));
        assert!(
            moment("2026-07-01T02:00", "Europe/Atlantis").unwrap_err().message.contains("Europe/Atlantis")
        );
    }

    #[test]
    fn json_from_the_line_and_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "{\"a\": 1}").unwrap();
        assert_eq!(json(&format!("@{}", file.path().display())).unwrap(), json("{\"a\":1}").unwrap());
        assert!(json("{a}").is_err());
        assert!(json("@/nowhere/at/all").unwrap_err().contains("/nowhere/at/all"));
    }

    #[test]
    fn pairs_keep_equals_signs_in_the_value() {
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
