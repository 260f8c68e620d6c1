//! Conditions from JSON, with errors that name the place.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Condition, Contact, Test};
use crate::device::{record::MAX_FACT_NAME, status};

/// A value that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("condition{}: {why}", if at.is_empty() { String::new() } else { format!(" at {at}") })]
pub struct BadCondition {
    /// The place in it: a JSON Pointer, empty for all of it.
    pub at: String,
    /// What is wrong there, with which value, and what would be right.
    pub why: String,
}

impl TryFrom<Value> for Condition {
    type Error = BadCondition;
    fn try_from(value: Value) -> Result<Self, BadCondition> {
        condition(&value)
    }
}

const WORDS: &str =
    "all, any, not, fact, group, group-exactly, state, status, colour, last-contact, application, delivery";

const TESTS: &str = "exists, equals, in, contains, begins-with, at-least, at-most";

pub(super) fn condition(value: &Value) -> Result<Condition, BadCondition> {
    Parser { at: Vec::new(), depth: 0, size: 0 }.condition(value)
}

struct Parser {
    at: Vec<String>,
    depth: usize,
    size: usize,
}

impl Parser {
    fn bad<T>(&self, why: impl Into<String>) -> Result<T, BadCondition> {
        let escape = |part: &String| format!("/{}", part.replace('~', "~0").replace('/', "~1"));
        Err(BadCondition { at: self.at.iter().map(escape).collect(), why: why.into() })
    }

    /// Goes to a field or element, and comes back from it; not after an error, which names the place.
    fn below<T>(
        &mut self,
        part: impl Into<String>,
        parse: impl FnOnce(&mut Self) -> Result<T, BadCondition>,
    ) -> Result<T, BadCondition> {
        self.at.push(part.into());
        let parsed = parse(self)?;
        self.at.pop();
        Ok(parsed)
    }

    fn condition(&mut self, value: &Value) -> Result<Condition, BadCondition> {
        self.size += 1;
        if self.size > Condition::MAX_SIZE {
            return self.bad(format!("there are more than {} conditions in all", Condition::MAX_SIZE));
        }
        if self.depth >= Condition::MAX_DEPTH {
            return self.bad(format!("it is nested more than {} levels deep", Condition::MAX_DEPTH));
        }
        let fields = self.object(value)?;
        let mut all = fields.iter();
        let (Some((word, inner)), None) = (all.next(), all.next()) else {
            return self.bad(format!("it has {} fields, and must have one of: {WORDS}", fields.len()));
        };
        self.depth += 1;
        let parsed = self.below(word, |parser| parser.of_word(word, inner))?;
        self.depth -= 1;
        Ok(parsed)
    }

    fn of_word(&mut self, word: &str, value: &Value) -> Result<Condition, BadCondition> {
        match word {
            "all" => Ok(Condition::All(self.conditions(value)?)),
            "any" => Ok(Condition::Any(self.conditions(value)?)),
            "not" => Ok(Condition::Not(Box::new(self.condition(value)?))),
            "fact" => self.fact(value),
            "group" => Ok(Condition::Group(self.word(value)?)),
            "group-exactly" => Ok(Condition::GroupExactly(self.word(value)?)),
            "state" => Ok(Condition::State(self.word(value)?)),
            "status" => {
                let word: String = self.word(value)?;
                if status::device_row(&word).is_none() {
                    let known: Vec<_> = status::DEVICE.iter().map(|row| row.state).collect();
                    return self.bad(format!("{word:?} is no status: use one of {}", known.join(", ")));
                }
                Ok(Condition::Status(word))
            }
            "colour" => Ok(Condition::Colour(self.word(value)?)),
            "last-contact" => self.last_contact(value),
            "application" => Ok(Condition::Application(self.word(value)?)),
            "delivery" => self.delivery(value),
            _ => self.bad(format!("there is no such condition: use one of {WORDS}")),
        }
    }

    fn conditions(&mut self, value: &Value) -> Result<Vec<Condition>, BadCondition> {
        let Value::Array(items) = value else {
            return self.bad(format!("{} is no array of conditions", shown(value)));
        };
        let mut parsed = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            parsed.push(self.below(index.to_string(), |parser| parser.condition(item))?);
        }
        Ok(parsed)
    }

    fn fact(&mut self, value: &Value) -> Result<Condition, BadCondition> {
        let fields = self.object(value)?;
        let name = match fields.get("name") {
            Some(Value::String(name)) if (1..=MAX_FACT_NAME).contains(&name.len()) => name.clone(),
            _ => return self.bad(format!("it needs the field name: a text of 1 to {MAX_FACT_NAME} bytes")),
        };
        let mut tests = fields.iter().filter(|(word, _)| *word != "name");
        let (Some((word, inner)), None) = (tests.next(), tests.next()) else {
            return self.bad(format!("it must have one test beside name: {TESTS}"));
        };
        let test = self.below(word, |parser| parser.test(word, inner))?;
        Ok(Condition::Fact(name, test))
    }

    fn test(&mut self, word: &str, value: &Value) -> Result<Test, BadCondition> {
        let ordered = value.is_number() || value.is_string();
        match (word, value) {
            ("exists", Value::Bool(exists)) => Ok(Test::Exists(*exists)),
            ("exists", _) => self.bad(format!("{} is neither true nor false", shown(value))),
            ("equals", _) => Ok(Test::Equals(value.clone())),
            ("in", Value::Array(values)) => Ok(Test::In(values.clone())),
            ("in", _) => self.bad(format!("{} is no array of values", shown(value))),
            ("contains", Value::String(part)) => Ok(Test::Contains(part.clone())),
            ("begins-with", Value::String(start)) => Ok(Test::BeginsWith(start.clone())),
            ("contains" | "begins-with", _) => self.bad(format!("{} is no text", shown(value))),
            ("at-least", _) if ordered => Ok(Test::AtLeast(value.clone())),
            ("at-most", _) if ordered => Ok(Test::AtMost(value.clone())),
            ("at-least" | "at-most", _) => {
                self.bad(format!("{} is neither a number nor a text with a version", shown(value)))
            }
            _ => self.bad(format!("there is no such test: use one of {TESTS}")),
        }
    }

    fn last_contact(&mut self, value: &Value) -> Result<Condition, BadCondition> {
        const RIGHT: &str = "\"never\", {\"older-than\": seconds} or {\"newer-than\": seconds}";
        if value == "never" {
            return Ok(Condition::LastContact(Contact::Never));
        }
        let Value::Object(fields) = value else {
            return self.bad(format!("{} is none of {RIGHT}", shown(value)));
        };
        let mut all = fields.iter();
        let (Some((word, inner)), None) = (all.next(), all.next()) else {
            return self.bad(format!("it is none of {RIGHT}"));
        };
        self.below(word, |parser| {
            let Some(seconds) = inner.as_u64() else {
                return parser.bad(format!("{} is no number of seconds", shown(inner)));
            };
            let time = Duration::from_secs(seconds);
            match word.as_str() {
                "older-than" => Ok(Condition::LastContact(Contact::OlderThan(time))),
                "newer-than" => Ok(Condition::LastContact(Contact::NewerThan(time))),
                _ => parser.bad(format!("there is no such comparison: use {RIGHT}")),
            }
        })
    }

    fn delivery(&mut self, value: &Value) -> Result<Condition, BadCondition> {
        let fields = self.object(value)?;
        if let Some(other) = fields.keys().find(|key| !matches!(key.as_str(), "application" | "state")) {
            return self.bad(format!("it has the field {other:?}, and can have application and state"));
        }
        let Some(state) = fields.get("state") else {
            return self.bad("it needs the field state: a state of a delivery");
        };
        let state = self.below("state", |parser| parser.word(state))?;
        let application = match fields.get("application") {
            None => None,
            Some(name) => Some(self.below("application", |parser| parser.word(name))?),
        };
        Ok(Condition::Delivery(application, state))
    }

    fn object<'v>(&self, value: &'v Value) -> Result<&'v Map<String, Value>, BadCondition> {
        match value {
            Value::Object(fields) => Ok(fields),
            _ => self.bad(format!("{} is no object", shown(value))),
        }
    }

    /// A text that parses.
    fn word<T: std::str::FromStr<Err: std::fmt::Display>>(&self, value: &Value) -> Result<T, BadCondition> {
        match value {
            Value::String(text) => text.parse().or_else(|error: T::Err| self.bad(error.to_string())),
            _ => self.bad(format!("{} is no text", shown(value))),
        }
    }
}

/// A value in an error: short.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 {
        text
    } else {
        format!("{}…", text.chars().take(60).collect::<String>())
    }
}
