//! Selections: saved queries over devices.
//!
//! As JSON, a condition is an object with one field:
//!
//! | field | holds where |
//! | --- | --- |
//! | `{"all": […]}`, `{"any": […]}`, `{"not": …}` | all, one or none of the conditions in it hold |
//! | `{"fact": {"name": "os.type", "equals": "linux"}}` | a fact passes a [`Test`] |
//! | `{"group": "/sales"}`, `{"group-exactly": "/sales"}` | the device sits there; with `group` also below it |
//! | `{"state": "enrolled"}`, `{"status": "failed"}`, `{"colour": "red"}` | management, status and colour are so |
//! | `{"last-contact": {"older-than": 86400}}`, `newer-than`, `{"last-contact": "never"}` | in seconds before now |
//! | `{"application": "vpn"}` | it should hold a document of this application |
//! | `{"delivery": {"application": "vpn", "state": "failed"}}` | a delivery is in a state; of any application without one |

mod parse;
#[cfg(test)]
mod tests;
mod write;

use std::{cmp::Ordering, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Colour, Delivery, DeliveryState, Device, DeviceState, GroupPath};
use crate::Name;

pub use parse::BadCondition;

/// What devices are selected by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Condition {
    /// All of these hold; true if there are none.
    All(Vec<Self>),
    /// One of these holds; false if there are none.
    Any(Vec<Self>),
    /// This does not hold.
    Not(Box<Self>),
    /// The fact of this name passes the test. One that is not known passes none but `exists: false`.
    Fact(String, Test),
    /// The device sits in this group or below it.
    Group(GroupPath),
    /// The device sits in this very group.
    GroupExactly(GroupPath),
    /// It is in this state of management.
    State(DeviceState),
    /// Its status is this word.
    Status(String),
    /// Its colour is this.
    Colour(Colour),
    /// Its last contact was so.
    LastContact(Contact),
    /// It should hold a document of this application.
    Application(Name),
    /// A delivery, of this application where there is one, is in this state.
    Delivery(Option<Name>, DeliveryState),
}

/// A test of a fact's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// `exists`: it is known, or not.
    Exists(bool),
    /// `equals`: it is this value.
    Equals(Value),
    /// `in`: it is one of these.
    In(Vec<Value>),
    /// `contains`: a text has this in it, or a list has this as an element.
    Contains(String),
    /// `begins-with`: a text begins so.
    BeginsWith(String),
    /// `at-least`: a number is this or more. Texts are compared as versions: `10.0` is more than `9.1`.
    AtLeast(Value),
    /// `at-most`: the other way about.
    AtMost(Value),
}

/// When a device was last in contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// Longer ago than this. A device that never came has no last contact.
    OlderThan(Duration),
    /// This long ago, or more recently.
    NewerThan(Duration),
    /// Never.
    Never,
}

/// A selection, as saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Selection {
    /// Name.
    pub name: Name,
    /// What devices are selected by.
    #[schema(value_type = Object)]
    pub condition: Condition,
    /// For people.
    pub description: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts changes; the `ETag` of the API.
    pub revision: i64,
}

/// A device with all that a selection can ask for.
#[derive(Debug, Clone, Copy)]
pub struct DeviceView<'a> {
    /// The device, with its status.
    pub device: &'a Device,
    /// Its deliveries.
    pub deliveries: &'a [(Name, Delivery)],
}

impl Condition {
    /// Deepest nesting.
    pub const MAX_DEPTH: usize = 16;
    /// Most conditions in one.
    pub const MAX_SIZE: usize = 256;

    /// The condition in a JSON text. Errors name the line, or the place in the value.
    pub fn from_text(text: &str) -> Result<Self, BadCondition> {
        let value = serde_json::from_str(text)
            .map_err(|error| BadCondition { at: String::new(), why: format!("it is no JSON: {error}") })?;
        parse::condition(&value)
    }

    /// The condition in a JSON value. Errors name the place in it.
    pub fn from_value(value: &Value) -> Result<Self, BadCondition> {
        parse::condition(value)
    }

    /// Whether it holds for a device at `now`.
    pub fn matches(&self, view: &DeviceView<'_>, now: Timestamp) -> bool {
        let device = view.device;
        match self {
            Self::All(all) => all.iter().all(|one| one.matches(view, now)),
            Self::Any(any) => any.iter().any(|one| one.matches(view, now)),
            Self::Not(one) => !one.matches(view, now),
            Self::Fact(name, test) => test.passes(device.facts.get(name)),
            Self::Group(group) => device.group.is_within(group),
            Self::GroupExactly(group) => device.group == *group,
            Self::State(state) => device.state == *state,
            Self::Status(word) => device.status.state == *word,
            Self::Colour(colour) => device.status.colour == *colour,
            Self::LastContact(contact) => contact.was(device.last_contact, now),
            Self::Application(name) => {
                view.deliveries.iter().any(|(of, delivery)| of == name && delivery.wanted.digest().is_some())
            }
            Self::Delivery(name, state) => view.deliveries.iter().any(|(of, delivery)| {
                delivery.state == *state && name.as_ref().is_none_or(|name| name == of)
            }),
        }
    }

    /// Whether what it says of a device can change by time alone, or by deliveries: then it is no ground for a policy, whose
    /// publishing would change what it follows from.
    pub fn is_stable(&self) -> bool {
        match self {
            Self::All(some) | Self::Any(some) => some.iter().all(Self::is_stable),
            Self::Not(one) => one.is_stable(),
            Self::Fact(..) | Self::Group(_) | Self::GroupExactly(_) => true,
            _ => false,
        }
    }
}

impl Contact {
    fn was(self, last: Option<Timestamp>, now: Timestamp) -> bool {
        let ago = last.map(|last| now.duration_since(last));
        let within = |time: Duration| {
            let time = jiff::SignedDuration::try_from(time).unwrap_or(jiff::SignedDuration::MAX);
            ago.map(|ago| ago <= time)
        };
        match self {
            Self::OlderThan(time) => within(time) == Some(false),
            Self::NewerThan(time) => within(time) == Some(true),
            Self::Never => last.is_none(),
        }
    }
}

impl Test {
    /// Whether a fact passes.
    pub fn passes(&self, fact: Option<&Value>) -> bool {
        let Some(fact) = fact else { return *self == Self::Exists(false) };
        match self {
            Self::Exists(exists) => *exists,
            Self::Equals(value) => same(fact, value),
            Self::In(values) => values.iter().any(|value| same(fact, value)),
            Self::Contains(part) => match fact {
                Value::String(text) => text.contains(part.as_str()),
                Value::Array(items) => items.iter().any(|item| item.as_str() == Some(part)),
                _ => false,
            },
            Self::BeginsWith(start) => fact.as_str().is_some_and(|text| text.starts_with(start.as_str())),
            Self::AtLeast(value) => compare(fact, value).is_some_and(Ordering::is_ge),
            Self::AtMost(value) => compare(fact, value).is_some_and(Ordering::is_le),
        }
    }
}

/// 1 and 1.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) => a == b || x.total_cmp(&y).is_eq(),
        _ => a == b,
    }
}

fn compare(fact: &Value, value: &Value) -> Option<Ordering> {
    match (fact, value) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(compare_versions(a, b)),
        _ => None,
    }
}

/// Runs of digits as numbers, the rest as text: `10.0.9` is less than `10.0.10`.
fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (piece(&mut a), piece(&mut b)) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => match compare_pieces(one, other) {
                Ordering::Equal => {}
                decided => return decided,
            },
        }
    }
}

fn piece<'t>(rest: &mut &'t str) -> Option<&'t str> {
    let digit = rest.starts_with(|c: char| c.is_ascii_digit());
    let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
    let (piece, after) = rest.split_at(end);
    *rest = after;
    (!piece.is_empty()).then_some(piece)
}

fn compare_pieces(a: &str, b: &str) -> Ordering {
    let number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if number(a) && number(b) {
        let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
        a.len().cmp(&b.len()).then_with(|| a.cmp(b))
    } else {
        a.cmp(b)
    }
}
