//! Applications, the policies that an administrator sets for them, and which of these are in force on a device.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::GroupPath;
use crate::{
    Name,
    ids::{DeviceId, PolicyId},
};

/// What an administrator can set of an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplicationSpec {
    /// The plugin that turns layers into a document.
    pub plugin: Name,
    /// JSON Schema (2020-12) of its settings; anything goes without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub schema: Option<serde_json::Value>,
    /// The weakest layer.
    #[serde(default = "empty_object")]
    #[schema(value_type = Object)]
    pub defaults: serde_json::Value,
    /// For people.
    #[serde(default)]
    pub description: String,
}

fn empty_object() -> serde_json::Value {
    serde_json::json!({})
}

const fn yes() -> bool {
    true
}

/// Something that is configured on devices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Application {
    /// Name; the key of its document in the device's configuration.
    pub name: Name,
    /// What an administrator set.
    #[serde(flatten)]
    pub spec: ApplicationSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts changes; the `ETag` of the API.
    pub revision: i64,
}

/// Where a policy holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In this group and those below it.
    Group(GroupPath),
    /// On the devices of a selection.
    Selection {
        /// The selection.
        name: Name,
        /// The higher one is the stronger.
        #[serde(default)]
        priority: i32,
    },
    /// On this device alone.
    Device(DeviceId),
}

/// What an administrator can set of a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// The application.
    pub application: Name,
    /// Where it holds.
    pub place: Place,
    /// The settings: a JSON object.
    #[serde(default = "empty_object")]
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    /// JSON Pointers (RFC 6901): no stronger layer can change these values or anything below them.
    #[serde(default)]
    pub locks: Vec<String>,
    /// Whether it holds at all.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// Why a policy makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPolicy {
    /// The settings are no object.
    #[error("settings are {0}, and must be a JSON object")]
    NoObject(&'static str),
    /// A lock is no pointer.
    #[error(
        "lock {0:?} is no JSON Pointer: write /name/of/setting, with ~0 for '~' and ~1 for '/'; \"\" locks everything"
    )]
    Lock(String),
}

impl PolicySpec {
    /// Checks what needs no schema.
    pub fn check(&self) -> Result<(), BadPolicy> {
        if !self.settings.is_object() {
            return Err(BadPolicy::NoObject(kind(&self.settings)));
        }
        let bad = |lock: &&String| {
            let escapes = lock.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
            !(escapes && (lock.is_empty() || lock.starts_with('/')))
        };
        self.locks.iter().find(bad).map_or(Ok(()), |lock| Err(BadPolicy::Lock(lock.clone())))
    }
}

const fn kind(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a text",
        serde_json::Value::Array(_) => "an array",
        serde_json::Value::Object(_) => "an object",
    }
}

/// Settings for an application at one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Policy {
    /// Id.
    pub id: PolicyId,
    /// What it says now.
    #[serde(flatten)]
    pub spec: PolicySpec,
    /// Its version: rises with each change. The `ETag` of the API.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What a policy said in one of its versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PolicyVersion {
    /// The version, from 1.
    pub version: u64,
    /// What it said.
    #[serde(flatten)]
    pub spec: PolicySpec,
    /// When it was made.
    pub at: Timestamp,
    /// Who made it.
    pub actor: String,
    /// Why, in that person's words.
    pub note: String,
    /// The version whose content this one brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<u64>,
}

/// Where a device sits, as far as it decides which policies hold.
#[derive(Debug, Clone, Copy)]
pub struct Seat<'a> {
    /// The device.
    pub device: DeviceId,
    /// Its group.
    pub group: &'a GroupPath,
    /// The selections that it is in.
    pub selections: &'a BTreeSet<Name>,
}

/// Where a layer comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source<'a> {
    /// The application's defaults.
    Defaults,
    /// This policy.
    Policy(&'a Policy),
}

/// One layer of settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layer<'a> {
    /// Where it comes from.
    pub source: Source<'a>,
    /// The settings.
    pub settings: &'a serde_json::Value,
    /// What no later layer can change.
    pub locks: &'a [String],
}

/// The layers in force for a device, the weakest first: the application's defaults, groups from the root down, selections by
/// priority, the device. Of two policies at one place the one made later is the stronger. Empty if no policy concerns the
/// device, which means that the application is withdrawn there.
pub fn layers_for<'a>(
    application: &'a Application,
    policies: &'a [Policy],
    seat: &Seat<'_>,
) -> Vec<Layer<'a>> {
    let mut ranked: Vec<_> = policies
        .iter()
        .filter(|policy| policy.spec.enabled && policy.spec.application == application.name)
        .filter_map(|policy| rank(&policy.spec.place, seat).map(|rank| (rank, policy.id, policy)))
        .collect();
    ranked.sort_by(|(a, a_id, _), (b, b_id, _)| a.cmp(b).then_with(|| a_id.cmp(b_id)));
    if ranked.is_empty() {
        return Vec::new();
    }
    let defaults = Layer { source: Source::Defaults, settings: &application.spec.defaults, locks: &[] };
    let layer = |policy: &'a Policy| Layer {
        source: Source::Policy(policy),
        settings: &policy.spec.settings,
        locks: &policy.spec.locks,
    };
    [defaults].into_iter().chain(ranked.into_iter().map(|(_, _, policy)| layer(policy))).collect()
}

/// How strong a place is for a device; `None` if it does not concern it.
fn rank<'p>(place: &'p Place, seat: &Seat<'_>) -> Option<(u8, i64, Option<&'p Name>)> {
    match place {
        Place::Group(group) => {
            let depth = i64::try_from(group.depth()).unwrap_or(i64::MAX);
            seat.group.is_within(group).then_some((0, depth, None))
        }
        Place::Selection { name, priority } => {
            seat.selections.contains(name).then_some((1, i64::from(*priority), Some(name)))
        }
        Place::Device(device) => (*device == seat.device).then_some((2, 0, None)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(number: u128) -> PolicyId {
        PolicyId(uuid::Uuid::from_u128(number))
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn policy(number: u128, place: Place) -> Policy {
        let spec = PolicySpec {
            application: name("app"),
            place,
            settings: json!({ "n": 1 }),
            locks: Vec::new(),
            enabled: true,
        };
        let at = Timestamp::UNIX_EPOCH;
        Policy { id: id(number), spec, version: 1, created_at: at, updated_at: at }
    }

    fn application() -> Application {
        let spec = ApplicationSpec {
            plugin: name("device-policy"),
            schema: None,
            defaults: json!({}),
            description: String::new(),
        };
        let at = Timestamp::UNIX_EPOCH;
        Application { name: name("app"), spec, created_at: at, updated_at: at, revision: 1 }
    }

    fn numbers(policies: &[Policy], group: &str, selections: &[&str]) -> Vec<u128> {
        let application = application();
        let selections = selections.iter().map(|text| name(text)).collect();
        let group = group.parse().unwrap();
        let device = DeviceId(uuid::Uuid::from_u128(7));
        let layers =
            layers_for(&application, policies, &Seat { device, group: &group, selections: &selections });
        let number = |layer: &Layer<'_>| match layer.source {
            Source::Defaults => 0,
            Source::Policy(policy) => policy.id.0.as_u128(),
        };
        layers.iter().map(number).collect()
    }

    #[test]
    fn the_order_is_defaults_groups_selections_device() {
        let group = |text: &str| Place::Group(text.parse().unwrap());
        let selection = |text: &str, priority| Place::Selection { name: name(text), priority };
        let mut off = policy(9, group("/"));
        off.spec.enabled = false;
        let all = [
            policy(1, Place::Device(DeviceId(uuid::Uuid::from_u128(7)))),
            policy(2, selection("laptops", 10)),
            policy(3, group("/sales/berlin")),
            policy(4, selection("linux", 5)),
            policy(5, group("/")),
            policy(6, group("/sales")),
            policy(7, group("/sales")),
            policy(8, Place::Device(DeviceId(uuid::Uuid::from_u128(8)))),
            off,
        ];
        assert_eq!(numbers(&all, "/sales/berlin", &["linux", "laptops"]), [0, 5, 6, 7, 3, 4, 2, 1]);
        assert_eq!(numbers(&all, "/sales", &[]), [0, 5, 6, 7, 1]);
        assert_eq!(numbers(&all[1..4], "/other", &[]), [0_u128; 0], "no policy, no layer");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut policy = policy(1, Place::Group(GroupPath::root()));
        policy.spec.locks = vec![String::new(), "/a/~0b~1c".to_owned()];
        policy.spec.check().unwrap();
        for lock in ["a", "/~", "/~2"] {
            policy.spec.locks = vec![lock.to_owned()];
            assert_eq!(policy.spec.check(), Err(BadPolicy::Lock(lock.to_owned())));
        }
        policy.spec.settings = json!([]);
        assert_eq!(
            policy.spec.check().unwrap_err().to_string(),
            "settings are an array, and must be a JSON object"
        );
    }
}
