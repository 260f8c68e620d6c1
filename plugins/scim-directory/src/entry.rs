//! From a resource to an entry.

use std::collections::BTreeMap;

use serde_json::Value;
use syncline_plugin::{
    Entry, Failure, Result,
    directory::{self, EntryKind, Reference},
};

use crate::{
    declare::Declare,
    path::{Path, member},
    service::{List, Resource},
    settings::Settings,
};

/// Most bytes of one value. What is longer is no name, address or number of anybody.
const LONGEST: usize = 4_096;
/// Most values of an attribute.
const MOST_VALUES: usize = 1_024;

/// The platform's name of an attribute, and the paths of which the first that has a value is taken.
type DefaultRule = (&'static str, &'static [&'static str]);

const ENTERPRISE_DEPARTMENT: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
const ENTERPRISE_NUMBER: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber";

const PEOPLE: &[DefaultRule] = &[
    ("department", &[ENTERPRISE_DEPARTMENT]),
    ("display-name", &["displayName", "name.formatted"]),
    ("email", &["emails.value"]),
    ("employee-id", &[ENTERPRISE_NUMBER]),
    ("family-name", &["name.familyName"]),
    ("given-name", &["name.givenName"]),
    ("mobile", &["phoneNumbers[type eq \"mobile\"].value"]),
    ("phone", &["phoneNumbers[type eq \"work\"].value"]),
    ("title", &["title"]),
    ("user-name", &["userName"]),
];
const GROUPS: &[DefaultRule] = &[];

/// How one attribute is made.
#[derive(Debug)]
struct Rule {
    name: String,
    /// As an administrator writes it, and as it is looked up.
    from: Vec<(String, Path)>,
    /// One of the defaults: of several values the first is meant.
    one: bool,
}

/// How the resources of one list become entries.
#[derive(Debug)]
pub(crate) struct Taker {
    list: List,
    rules: Vec<Rule>,
    /// Resources that could not be taken over.
    pub(crate) rejected: u64,
}

impl Taker {
    /// # Errors
    ///
    /// [`Failure::settings`] where a path is none.
    pub(crate) fn new(list: List, settings: &Settings) -> Result<Self> {
        let (defaults, given) = match list {
            List::Users => (PEOPLE, &settings.attributes.people),
            List::Groups => (GROUPS, &settings.attributes.groups),
        };
        Ok(Self { list, rules: rules(defaults, given)?, rejected: 0 })
    }

    /// Declares a resource, or says why it cannot be taken over. The first part of the answer is its id.
    pub(crate) fn take(&mut self, resource: &Resource, out: &mut dyn Declare) -> Result<()> {
        let taken = match self.list {
            List::Users => self.person(resource).map(|entry| (entry, None)),
            List::Groups => self.group(resource).map(|(entry, members)| (entry, Some(members))),
        };
        match taken {
            Ok((entry, members)) => {
                let id = entry.id.clone();
                out.put(entry)?;
                members.map_or(Ok(()), |members| out.members(&id, members))
            }
            Err(why) => {
                self.rejected += 1;
                let name =
                    ["userName", "displayName", "id"].into_iter().find_map(|name| text(resource, name));
                let name: String = name.unwrap_or("(without a name)").chars().take(100).collect();
                out.reject(identity(resource).ok(), &name, Failure::invalid(why).with_code("resource"))
            }
        }
    }

    fn person(&self, resource: &Resource) -> std::result::Result<Entry, String> {
        let id = identity(resource)?;
        let user_name = text(resource, "userName").ok_or("it has no userName")?;
        let formatted =
            member(resource, "name").and_then(Value::as_object).and_then(|name| text(name, "formatted"));
        let name = text(resource, "displayName").or(formatted).unwrap_or(user_name);
        let mut entry = Entry::new(EntryKind::Person, id, name);
        // A service that does not speak of it has nobody switched off.
        entry.enabled = match member(resource, "active") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(active)) => *active,
            // Some services write it as a text.
            Some(Value::String(active)) if active.eq_ignore_ascii_case("true") => true,
            Some(Value::String(active)) if active.eq_ignore_ascii_case("false") => false,
            Some(other) => return Err(format!("its active is {other}, which is neither true nor false")),
        };
        self.attributes(entry, resource)
    }

    fn group(&self, resource: &Resource) -> std::result::Result<(Entry, Vec<Reference>), String> {
        let id = identity(resource)?;
        let name = text(resource, "displayName").ok_or("it has no displayName")?;
        let entry = self.attributes(Entry::new(EntryKind::Group, id, name), resource)?;
        let members = match member(resource, "members") {
            None | Some(Value::Null) => return Ok((entry, Vec::new())),
            Some(Value::Array(members)) => members,
            Some(_) => return Err("its members are no list".to_owned()),
        };
        let reference = |one: &Value| {
            let id = one.as_object().and_then(|one| text(one, "value")).filter(|id| is_identity(id));
            id.map(|id| Reference::Id(id.to_owned()))
        };
        let members: Option<Vec<_>> = members.iter().map(reference).collect();
        Ok((entry, members.ok_or("one of its members has no id as its value")?))
    }

    fn attributes(&self, mut entry: Entry, resource: &Resource) -> std::result::Result<Entry, String> {
        for rule in &self.rules {
            let found = rule.from.iter().find_map(|(source, path)| {
                let values: Vec<_> = path.values(resource).into_iter().filter_map(value).collect();
                (!values.is_empty()).then_some((source, values))
            });
            let Some((source, mut values)) = found else { continue };
            if rule.one {
                values.truncate(1);
            }
            let long = |value: &directory::Value| matches!(value, directory::Value::Text(text) if text.len() > LONGEST);
            if values.len() > MOST_VALUES || values.iter().any(long) {
                return Err(format!(
                    "its {source} has {} values, or one of more than {LONGEST} bytes: {MOST_VALUES} values of that length \
                     can be taken over",
                    values.len()
                ));
            }
            if rule.name == "email" {
                values.iter_mut().for_each(|value| {
                    if let directory::Value::Text(text) = value {
                        *text = text.to_lowercase();
                    }
                });
            }
            entry = entry.with(&rule.name, source, values);
        }
        Ok(entry)
    }
}

fn rules(defaults: &[DefaultRule], given: &BTreeMap<String, String>) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for (name, from) in defaults.iter().filter(|(name, _)| !given.contains_key(*name)) {
        let from =
            from.iter().map(|text| Ok(((*text).to_owned(), Path::parse(text)?))).collect::<Result<_>>()?;
        rules.push(Rule { name: (*name).to_owned(), from, one: true });
    }
    for (name, text) in given.iter().filter(|(_, text)| !text.is_empty()) {
        if name.is_empty() {
            return Err(Failure::settings("`attributes`: one of them has an empty name"));
        }
        let from = vec![(text.clone(), Path::parse(text)?)];
        rules.push(Rule { name: name.clone(), from, one: false });
    }
    Ok(rules)
}

/// A value that an entry can have. Objects and lists are none.
fn value(value: &Value) -> Option<directory::Value> {
    match value {
        Value::String(text) => {
            let text = text.trim();
            (!text.is_empty()).then(|| directory::Value::Text(text.to_owned()))
        }
        Value::Bool(flag) => Some(directory::Value::Flag(*flag)),
        Value::Number(number) => number.as_i64().map(directory::Value::Number),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text<'a>(resource: &'a Resource, name: &str) -> Option<&'a str> {
    member(resource, name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

fn identity(resource: &Resource) -> std::result::Result<String, String> {
    match member(resource, "id") {
        Some(Value::String(id)) if is_identity(id) => Ok(id.clone()),
        None | Some(Value::Null) => Err("it has no id".to_owned()),
        Some(_) => Err("its id is no text of 1 to 128 printable bytes".to_owned()),
    }
}

fn is_identity(id: &str) -> bool {
    (1..=128).contains(&id.len()) && !id.chars().any(char::is_control)
}
