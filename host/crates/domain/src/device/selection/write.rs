//! Conditions as JSON.

use serde_json::{Value, json};

use super::{Condition, Contact, Test};

impl From<Condition> for Value {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::All(some) => json!({ "all": some }),
            Condition::Any(some) => json!({ "any": some }),
            Condition::Not(one) => json!({ "not": one }),
            Condition::Fact(name, test) => {
                let (word, value) = written(test);
                json!({ "fact": { "name": name, word: value } })
            }
            Condition::Group(group) => json!({ "group": group }),
            Condition::GroupExactly(group) => json!({ "group-exactly": group }),
            Condition::State(state) => json!({ "state": state }),
            Condition::Status(word) => json!({ "status": word }),
            Condition::Colour(colour) => json!({ "colour": colour }),
            Condition::LastContact(Contact::Never) => json!({ "last-contact": "never" }),
            Condition::LastContact(Contact::OlderThan(time)) => {
                json!({ "last-contact": { "older-than": time.as_secs() } })
            }
            Condition::LastContact(Contact::NewerThan(time)) => {
                json!({ "last-contact": { "newer-than": time.as_secs() } })
            }
            Condition::Application(name) => json!({ "application": name }),
            Condition::Delivery(None, state) => json!({ "delivery": { "state": state } }),
            Condition::Delivery(Some(name), state) => {
                json!({ "delivery": { "application": name, "state": state } })
            }
        }
    }
}

fn written(test: Test) -> (&'static str, Value) {
    match test {
        Test::Exists(exists) => ("exists", exists.into()),
        Test::Equals(value) => ("equals", value),
        Test::In(values) => ("in", values.into()),
        Test::Contains(part) => ("contains", part.into()),
        Test::BeginsWith(start) => ("begins-with", start.into()),
        Test::AtLeast(value) => ("at-least", value),
        Test::AtMost(value) => ("at-most", value),
    }
}
