//! A service and a host in memory.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use syncline_plugin::{
    Entry, Failure, Result,
    directory::{self, Reference},
};

use crate::{Answer, Ask, Declare, run, settings::Settings};

/// What becomes of an answer: it is given the path, and what would be answered.
type Spoil = Box<dyn FnMut(&str, Answer) -> Result<Answer>>;

/// A service. Its clock is the time of the latest change, and more.
pub(super) struct Memory {
    pub(super) users: Vec<Value>,
    pub(super) groups: Vec<Value>,
    pub(super) filters: bool,
    /// Gives no more resources than this at a time, whatever it is asked for.
    pub(super) most: usize,
    pub(super) hour: u32,
    pub(super) asked: Vec<String>,
    pub(super) spoil: Spoil,
}

impl Memory {
    pub(super) fn of(people: usize) -> Self {
        let mut memory = Self {
            users: Vec::new(),
            groups: Vec::new(),
            filters: true,
            most: 1_000,
            hour: 1,
            asked: Vec::new(),
            spoil: Box::new(|_, answer| Ok(answer)),
        };
        (1..=people).for_each(|n| memory.user(&format!("u{n}"), json!({})));
        memory
    }

    /// Adds or changes somebody.
    pub(super) fn user(&mut self, id: &str, more: Value) {
        let mut user = json!({
            "id": id, "userName": id, "displayName": format!("User {id}"), "active": true,
            "emails": [{ "value": format!("{id}@home.example") },
                       { "value": format!("{}@Example.org", id.to_uppercase()), "primary": true }],
            "name": { "givenName": "U", "familyName": id },
        });
        merge(&mut user, more);
        self.users.retain(|one| one["id"] != id);
        self.stamp(&mut user);
        self.users.push(user);
    }

    pub(super) fn group(&mut self, id: &str, members: &[&str]) {
        let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
        let mut group = json!({ "id": id, "displayName": format!("Group {id}"), "members": members });
        self.groups.retain(|one| one["id"] != id);
        self.stamp(&mut group);
        self.groups.push(group);
    }

    fn stamp(&self, resource: &mut Value) {
        let modified = format!("2026-11-25T{:02}:00:00Z", self.hour);
        resource["meta"] = json!({ "lastModified": modified, "version": format!("W/\"{}\"", self.hour) });
    }

    fn answer(&self, path: &str) -> Value {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parameter = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap_or_default()
        };
        if path == "/ServiceProviderConfig" {
            return json!({ "filter": { "supported": self.filters } });
        }
        let all = if path == "/Users" { &self.users } else { &self.groups };
        let filter = parameter("filter");
        let newer = filter.split_once("lastModified%20ge%20%22").map(|(_, newer)| newer.replace("%3A", ":"));
        let since = newer.as_deref().and_then(|newer| newer.split('%').next()).unwrap_or_default();
        let found: Vec<_> = all
            .iter()
            .filter(|one| one["meta"]["lastModified"].as_str().is_none_or(|time| time >= since))
            .collect();
        let start: usize = parameter("startIndex").parse().unwrap();
        let count: usize = parameter("count").parse().unwrap();
        let page: Vec<_> = found.iter().skip(start - 1).take(count.min(self.most)).collect();
        json!({ "totalResults": found.len(), "startIndex": start, "itemsPerPage": page.len(), "Resources": page })
    }
}

impl Ask for Memory {
    fn get(&mut self, path: &str) -> Result<Answer> {
        self.asked.push(path.to_owned());
        let answer = Answer {
            status: 200,
            date: Some(format!("Wed, 25 Nov 2026 {:02}:30:00 GMT", self.hour)),
            retry_after: None,
            body: self.answer(path).to_string().into_bytes(),
        };
        (self.spoil)(path, answer)
    }
}

pub(super) fn merge(into: &mut Value, more: Value) {
    for (name, value) in more.as_object().unwrap() {
        into[name] = value.clone();
    }
}

/// A host as far as declarations go: it keeps to the rules of wit/desired-directory.wit.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) known: BTreeMap<String, Entry>,
    pub(super) members: BTreeMap<String, BTreeSet<String>>,
    pub(super) cursor: Option<Vec<u8>>,
    /// Ids that the last run put.
    pub(super) puts: Vec<String>,
    pub(super) rejected: Vec<String>,
    there: BTreeSet<String>,
}

impl Recorder {
    /// One run. Like the host, it takes over nothing of one that fails.
    pub(super) fn run(&mut self, settings: Value, service: &mut Memory) -> Result<()> {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        service.asked.clear();
        let mut next = Self { known: self.known.clone(), members: self.members.clone(), ..Self::default() };
        let cursor = run::run(&settings, "https://scim.example", self.cursor.as_deref(), service, &mut next)?;
        next.known.retain(|id, _| next.there.contains(id));
        next.cursor = cursor;
        *self = next;
        Ok(())
    }

    pub(super) fn texts(&self, id: &str, name: &str) -> Vec<String> {
        let attributes = &self.known[id].attributes;
        let found = attributes.iter().find(|attribute| attribute.name == name);
        let text = |value: &directory::Value| match value {
            directory::Value::Text(text) => text.clone(),
            other => format!("{other:?}"),
        };
        found.map(|found| found.values.iter().map(text).collect()).unwrap_or_default()
    }
}

impl Declare for Recorder {
    fn put(&mut self, entry: Entry) -> Result<()> {
        assert!((1..=128).contains(&entry.id.len()) && entry.name.len() <= 256);
        assert!(entry.attributes.is_sorted_by(|a, b| a.name < b.name));
        self.puts.push(entry.id.clone());
        self.there.insert(entry.id.clone());
        self.known.insert(entry.id.clone(), entry);
        Ok(())
    }

    fn members(&mut self, group: &str, members: Vec<Reference>) -> Result<()> {
        let ids = members.into_iter().map(|member| match member {
            Reference::Id(id) => id,
            Reference::Alias(alias) => panic!("{alias} is no id"),
        });
        self.members.insert(group.to_owned(), ids.collect());
        Ok(())
    }

    fn present(&mut self, id: &str) -> Result<()> {
        if !self.known.contains_key(id) {
            return Err(Failure::invalid(format!("{id} was never put")).with_code("unknown"));
        }
        self.there.insert(id.to_owned());
        Ok(())
    }

    fn reject(&mut self, id: Option<String>, name: &str, reason: Failure) -> Result<()> {
        self.rejected.push(format!("{name}: {}", reason.message()));
        self.there.extend(id);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn progress(&mut self, entries: u64, total: u64) {
        assert!(entries <= total);
    }
}
