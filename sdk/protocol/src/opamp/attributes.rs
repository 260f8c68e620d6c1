//! Reading and making attributes.

use super::{AgentDescription, AnyValue, KeyValue, Value};

impl AgentDescription {
    /// The attribute of this name. If there are several, the first that identifies, or else the first. `None` also if it has no
    /// value.
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        let all = self.identifying_attributes.iter().chain(&self.non_identifying_attributes);
        all.filter(|attribute| attribute.key == key).find_map(KeyValue::inner)
    }

    /// The text of an attribute; `None` if it is something else.
    pub fn string(&self, key: &str) -> Option<&str> {
        match self.attribute(key)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number of an attribute; `None` if it is something else.
    pub fn int(&self, key: &str) -> Option<i64> {
        match self.attribute(key)? {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The yes or no of an attribute; `None` if it is something else.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        match self.attribute(key)? {
            Value::Bool(yes) => Some(*yes),
            _ => None,
        }
    }
}

impl KeyValue {
    /// An attribute: `KeyValue::new("os.type", "linux")`.
    pub fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { key: key.into(), value: Some(AnyValue { value: Some(value.into()) }) }
    }

    /// Its value, if it has one.
    pub fn inner(&self) -> Option<&Value> {
        self.value.as_ref()?.value.as_ref()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> AgentDescription {
        AgentDescription {
            identifying_attributes: vec![KeyValue::new("service.name", "till")],
            non_identifying_attributes: vec![
                KeyValue { key: "host.cpus".to_owned(), value: None },
                KeyValue::new("host.cpus", 4),
                KeyValue::new("service.name", "other"),
                KeyValue::new("host.virtual", false),
            ],
        }
    }

    #[test]
    fn attributes_are_found_by_name_and_kind() {
        let it = description();
        assert_eq!(it.string("service.name"), Some("till"));
        assert_eq!(it.int("host.cpus"), Some(4));
        assert_eq!(it.boolean("host.virtual"), Some(false));
        assert_eq!(it.string("host.cpus"), None);
        assert_eq!(it.int("service.name"), None);
        assert_eq!(it.boolean("absent"), None);
    }
}
