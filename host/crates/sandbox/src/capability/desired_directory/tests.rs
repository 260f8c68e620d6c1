use std::sync::Arc;

use parking_lot::Mutex;
use syncline_domain::directory::{Entry, Membership};

use super::*;

/// Counts what it takes.
#[derive(Default)]
struct Counted(usize);

impl DirectorySink for Counted {
    fn put(&mut self, entries: Vec<Entry>) -> Result<(), Failure> {
        self.0 += entries.len();
        Ok(())
    }

    fn put_members(&mut self, _: Vec<Membership>) -> Result<(), Failure> {
        Ok(())
    }

    fn present(&mut self, _: Vec<EntryId>) -> Result<(), Failure> {
        Ok(())
    }

    fn gone(&mut self, _: Vec<EntryId>) -> Result<(), Failure> {
        Ok(())
    }

    fn reject(&mut self, _: Vec<Rejection>) -> Result<(), Failure> {
        Ok(())
    }

    fn complete(&mut self) -> Result<(), Failure> {
        if self.0 == 0 { Err(Failure::plugin("empty", "nothing is there")) } else { Ok(()) }
    }
}

fn grant() -> Capability {
    Capability { capability: INTERFACE.to_owned(), names: None, allow: Vec::new(), reason: String::new() }
}

fn good() -> directory_types::Entry {
    directory_types::Entry {
        id: "4711".to_owned(),
        kind: directory_types::EntryKind::Person,
        name: "Ada".to_owned(),
        aliases: vec!["cn=ada".to_owned()],
        parent: Some(directory_types::Reference::Alias("ou=people".to_owned())),
        enabled: true,
        attributes: vec![attribute("email"), attribute("phone")],
    }
}

fn attribute(name: &str) -> directory_types::Attribute {
    let values = vec![directory_types::Value::Text("x".to_owned())];
    directory_types::Attribute { name: name.to_owned(), source: "mail".to_owned(), values }
}

#[track_caller]
fn refused(change: impl FnOnce(&mut directory_types::Entry), words: &str) {
    let mut entry = good();
    change(&mut entry);
    let failure = entries::entry(entry).unwrap_err();
    assert_eq!((failure.code.as_str(), failure.fault), ("entry", syncline_domain::Fault::Plugin));
    assert!(failure.message.contains(words), "{words:?} is not in: {failure}");
}

#[test]
fn entries_within_the_rules_are_taken_as_they_are() {
    let entry = entries::entry(good()).unwrap();
    assert_eq!((entry.id.as_str(), entry.attributes.len(), entry.enabled), ("4711", 2, true));
    let mut full = good();
    full.id = "i".repeat(128);
    full.name = "é".repeat(128);
    full.aliases = vec!["a".repeat(4_096); 16];
    full.attributes = (0..128).map(|number| attribute(&format!("{number:03}"))).collect();
    full.attributes[0].values = vec![directory_types::Value::Text("y".repeat(256)); 1_024];
    assert!(entries::entry(full).is_ok());
}

#[test]
fn a_name_loses_what_no_database_takes() {
    let mut odd = good();
    odd.name = "Ad\0a\nLove\u{7f}lace \u{200c}é".to_owned();
    assert_eq!(entries::entry(odd).unwrap().name, "AdaLovelace \u{200c}é");
}

#[test]
fn each_rule_of_an_entry_is_held_and_the_refusal_names_it() {
    refused(|entry| entry.id.clear(), "1 to 128 bytes");
    refused(|entry| entry.id = "i".repeat(129), "this one has 129 bytes");
    refused(|entry| entry.id = "a\nb".to_owned(), "\"a\\nb\"");
    refused(|entry| entry.name = "n".repeat(257), "the entry 4711: its name has 257 bytes");
    refused(|entry| entry.aliases = vec!["a".to_owned(); 17], "the entry 4711: it has 17 aliases");
    refused(|entry| entry.aliases.push(String::new()), "the entry 4711: the alias \"\" has 0 bytes");
    refused(|entry| entry.aliases.push("a".repeat(4_097)), "has 4097 bytes");
    refused(|entry| entry.parent = Some(directory_types::Reference::Id(String::new())), "the entry 4711");
    let many = (0..129).map(|number| attribute(&format!("{number:03}"))).collect();
    refused(|entry| entry.attributes = many, "the entry 4711: it has 129 attributes");
    refused(|entry| entry.attributes.reverse(), "\"email\" stands after \"phone\"");
    refused(|entry| entry.attributes = vec![attribute("a"), attribute("a")], "\"a\" stands after \"a\"");
    refused(|entry| entry.attributes = vec![attribute("")], "no name");
    refused(|entry| entry.attributes = vec![attribute("a\u{7}")], "control character");
    let values = vec![directory_types::Value::Flag(true); 1_025];
    refused(
        |entry| entry.attributes[0].values = values,
        "the entry 4711: its attribute email has 1025 values",
    );
    let values = vec![directory_types::Value::Bytes(vec![0; (256 << 10) + 1])];
    refused(|entry| entry.attributes[0].values = values, "262145 bytes");
    let values = vec![directory_types::Value::Time(i64::MAX)];
    refused(|entry| entry.attributes[0].values = values, "no time that is known here");
}

#[test]
fn members_are_named_as_entries_are() {
    let members = vec![directory_types::Reference::Alias(String::new())];
    let membership = wit::Membership { group: "g".to_owned(), change: wit::MembershipChange::Part, members };
    let failure = entries::membership(membership).unwrap_err();
    assert!(failure.message.contains("the entry g: one of its members"), "{failure}");
}

#[test]
fn nothing_is_declared_without_a_grant_or_past_the_limits() {
    let open = |context: &mut DesiredDirectoryContext, items| context.open("entries", items).map(drop);
    let mut denied = DesiredDirectoryContext::new(Box::new(Arc::new(Mutex::new(Counted::default()))), &[]);
    assert_eq!(open(&mut denied, 1).unwrap_err().code, "grant");
    let mut context = DesiredDirectoryContext::new(Box::new(Counted::default()), &[grant()]);
    assert!(open(&mut context, 4_096).is_ok());
    assert_eq!(open(&mut context, 4_097).unwrap_err().code, "batch");
    assert!(context.charge(MAX_DECLARED).is_ok());
    assert_eq!(context.charge(1).unwrap_err().code, "declared");
    context.complete = true;
    let failure = open(&mut context, 2).unwrap_err();
    assert_eq!(failure.code, "complete");
    assert!(failure.message.contains("2 entries"), "{failure}");
}
