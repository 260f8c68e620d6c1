//! A host as far as declarations go: it keeps to the rules of wit/desired-directory.wit.

use std::collections::{BTreeMap, BTreeSet};

use syncline_plugin::{
    Entry, Failure, Result,
    directory::{EntryKind, MembershipChange, Reference, Value},
};

use crate::{Declare, Source, run, settings::Settings};

/// What is known, and what the last run came to.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) known: BTreeMap<String, Entry>,
    members: BTreeMap<String, BTreeSet<String>>,
    pub(super) cursor: Option<Vec<u8>>,
    /// Entries that the last run put.
    pub(super) puts: usize,
    /// Whether the last run read everything that is there.
    pub(super) whole: bool,
    pub(super) rejected: Vec<String>,
}

#[derive(Default)]
struct Declared<'a> {
    known: Option<&'a BTreeMap<String, Entry>>,
    words: BTreeMap<String, Word>,
    puts: usize,
    members: Vec<(String, MembershipChange, Vec<Reference>)>,
    rejected: Vec<String>,
}

enum Word {
    Put(Box<Entry>),
    There,
    Gone,
}

impl Declare for Declared<'_> {
    fn put(&mut self, entry: Entry) -> Result<()> {
        assert!((1..=128).contains(&entry.id.len()) && entry.name.len() <= 256 && entry.aliases.len() <= 16);
        assert!(entry.attributes.is_sorted_by(|a, b| a.name < b.name));
        self.puts += 1;
        self.words.insert(entry.id.clone(), Word::Put(Box::new(entry)));
        Ok(())
    }

    fn members(&mut self, group: &str, change: MembershipChange, members: Vec<Reference>) -> Result<()> {
        self.members.push((group.to_owned(), change, members));
        Ok(())
    }

    fn present(&mut self, id: String) -> Result<()> {
        let put = matches!(self.words.get(&id), Some(Word::Put(_)));
        if !put && !self.known.is_some_and(|known| known.contains_key(&id)) {
            return Err(Failure::invalid(format!("{id} was never put")).with_code("unknown"));
        }
        self.words.entry(id).or_insert(Word::There);
        Ok(())
    }

    fn gone(&mut self, id: String) -> Result<()> {
        self.words.insert(id, Word::Gone);
        Ok(())
    }

    fn reject(&mut self, id: Option<String>, name: &str, reason: Failure) -> Result<()> {
        self.rejected.push(format!("{name}: {}", reason.code()));
        if let Some(id) = id {
            self.words.insert(id, Word::There);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn progress(&mut self, _: u64) {}
}

impl Recorder {
    pub(super) fn run(
        &mut self,
        settings: &Settings,
        sources: &[Source],
        connect: &mut run::Connect<'_>,
    ) -> Result<()> {
        let mut declared = Declared { known: Some(&self.known), ..Declared::default() };
        let read = run::run(settings, sources, self.cursor.as_deref(), connect, &mut declared)?;
        let Declared { words, puts, members, rejected, .. } = declared;
        if read.whole {
            self.known.retain(|id, _| words.contains_key(id));
        }
        for (id, word) in words {
            match word {
                Word::Put(entry) => drop(self.known.insert(id, *entry)),
                Word::Gone => drop(self.known.remove(&id)),
                Word::There => {}
            }
        }
        self.members.retain(|group, _| self.known.contains_key(group));
        self.apply(members);
        for list in self.members.values_mut() {
            list.retain(|member| member.starts_with('?') || self.known.contains_key(member));
        }
        (self.cursor, self.whole, self.puts, self.rejected) = (read.cursor, read.whole, puts, rejected);
        Ok(())
    }

    fn apply(&mut self, changes: Vec<(String, MembershipChange, Vec<Reference>)>) {
        let mut lists = BTreeMap::<String, (BTreeSet<String>, bool)>::new();
        for (group, change, members) in changes {
            let members: Vec<_> = members.iter().map(|member| self.resolve(member)).collect();
            match change {
                MembershipChange::Part | MembershipChange::LastPart => {
                    let (list, last) = lists.entry(group).or_default();
                    list.extend(members);
                    *last |= change == MembershipChange::LastPart;
                }
                MembershipChange::Added => self.members.entry(group).or_default().extend(members),
                MembershipChange::Removed => {
                    let list = self.members.entry(group).or_default();
                    list.retain(|member| !members.contains(member));
                }
            }
        }
        for (group, (list, last)) in lists {
            assert!(last, "{group} has no last part");
            self.members.insert(group, list);
        }
    }

    fn resolve(&self, reference: &Reference) -> String {
        let alias = match reference {
            Reference::Id(id) => return id.clone(),
            Reference::Alias(alias) => alias,
        };
        let found = self.known.values().find(|entry| entry.aliases.contains(alias));
        found.map_or_else(|| format!("?{alias}"), |entry| entry.id.clone())
    }

    /// What is known, a line an entry: kind, name, e-mail, the unit's name, members, whether it is off.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.known.values().map(|entry| self.line(entry)).collect();
        lines.sort();
        lines
    }

    fn line(&self, entry: &Entry) -> String {
        let kind = match entry.kind {
            EntryKind::Person => "person",
            EntryKind::Group => "group",
            EntryKind::Computer => "computer",
            EntryKind::Unit => "unit",
        };
        let mut line = format!("{kind} {}", entry.name);
        for attribute in entry.attributes.iter().filter(|attribute| attribute.name == "email") {
            if let [Value::Text(text)] = &attribute.values[..] {
                line.push_str(&format!(" <{text}>"));
            }
        }
        if let Some(parent) = &entry.parent {
            line.push_str(&format!(" in {}", self.name(&self.resolve(parent))));
        }
        if let Some(members) = self.members.get(&entry.id) {
            let mut names: Vec<_> = members.iter().map(|id| self.name(id)).collect();
            names.sort();
            line.push_str(&format!(" of {}", names.join("+")));
        }
        line + if entry.enabled { "" } else { " (off)" }
    }

    fn name(&self, id: &str) -> String {
        self.known.get(id).map_or_else(|| id.to_owned(), |entry| entry.name.clone())
    }

    /// How many members a group has.
    pub(super) fn members_of(&self, name: &str) -> usize {
        let group = self.known.values().find(|entry| entry.name == name);
        group.and_then(|group| self.members.get(&group.id)).map_or(0, BTreeSet::len)
    }
}
