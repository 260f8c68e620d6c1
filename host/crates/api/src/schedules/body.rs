//! What comes in for a schedule: of a sync that is there, or of components and servers.

use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::{Map, Value};
use syncline_domain::{Name, schedule::ScheduleSpec, sync::Pace};
use syncline_engine::schedules::Parts;

use super::OwnerChoice;

/// What GET shows of a schedule and PUT does not set.
const SHOWN: [&str; 8] =
    ["id", "owner", "created_at", "next_nominal", "next_run", "last_nominal", "revision", "warnings"];

/// A new schedule.
pub(crate) struct NewBody {
    pub spec: ScheduleSpec,
    pub owner: OwnerChoice,
    pub of_parts: Option<NewParts>,
}

/// What there is besides, where it is made of components and servers.
pub(crate) struct NewParts {
    pub parts: Parts,
    pub name: Option<Name>,
    pub pace: Pace,
}

/// A changed schedule.
pub(crate) struct EditedBody {
    pub spec: ScheduleSpec,
    pub parts: Option<Parts>,
}

impl<'de> Deserialize<'de> for NewBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut map: Map<String, Value> = Map::deserialize(deserializer)?;
        let owner = take(&mut map, "owner")?.unwrap_or_default();
        let Some(parts) = parts(&mut map)? else {
            return Ok(Self { spec: spec(map)?, owner, of_parts: None });
        };
        let (name, pace) = (take(&mut map, "name")?, take(&mut map, "pace")?.unwrap_or_default());
        if map.contains_key("sync") {
            let message = "give either `sync`, or `components` and `servers`, of which a sync is made";
            return Err(D::Error::custom(message));
        }
        // It is called after the schedule, which has no id yet.
        map.insert("sync".to_owned(), "made".into());
        Ok(Self { spec: spec(map)?, owner, of_parts: Some(NewParts { parts, name, pace }) })
    }
}

impl<'de> Deserialize<'de> for EditedBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut map: Map<String, Value> = Map::deserialize(deserializer)?;
        map.retain(|field, _| !SHOWN.contains(&field.as_str()));
        let parts = parts(&mut map)?;
        Ok(Self { spec: spec(map)?, parts })
    }
}

fn parts<E: serde::de::Error>(map: &mut Map<String, Value>) -> Result<Option<Parts>, E> {
    let (components, servers) = (take(map, "components")?, take(map, "servers")?);
    match (components, servers) {
        (None, None) => Ok(None),
        (Some(components), Some(servers)) => Ok(Some(Parts { components, servers })),
        (None, Some(_)) => Err(E::custom("missing field `components`: it goes with `servers`")),
        (Some(_), None) => Err(E::custom("missing field `servers`: it goes with `components`")),
    }
}

fn take<T: DeserializeOwned, E: serde::de::Error>(
    map: &mut Map<String, Value>,
    field: &str,
) -> Result<Option<T>, E> {
    let value = map.remove(field).filter(|value| !value.is_null());
    let wrong = |error| E::custom(format!("{field}: {error}"));
    value.map(serde_json::from_value).transpose().map_err(wrong)
}

fn spec<E: serde::de::Error>(map: Map<String, Value>) -> Result<ScheduleSpec, E> {
    serde_json::from_value(Value::Object(map)).map_err(|error| {
        let unknown = error.to_string().starts_with("unknown field");
        let also = if unknown { ", `owner`, `components`, `servers`, `name`, `pace`" } else { "" };
        E::custom(format!("{error}{also}"))
    })
}
