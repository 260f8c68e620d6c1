//! Takes entries as they come, declares them, and keeps what can only be said when all have come.

use std::collections::{BTreeMap, BTreeSet};

use ldap3_proto::proto::LdapSearchResultEntry;
use syncline_plugin::{
    Failure, Result,
    directory::{EntryKind, MembershipChange, Reference},
};

use crate::{
    connection::{Client, Search},
    declare::Declare,
    dn,
    entry::{self, entry_of},
    fields::Fields,
    filter,
    plan::{KindPlan, MEMBERS, Plan},
    root,
    units::Units,
};

/// Progress is told every so many entries.
const STEP: u64 = 500;
/// Members that are handed on at once.
const PART: usize = 1_000;

/// How the members that come with a group are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Members {
    /// All of them, at once or in ranges.
    All,
    /// As DirSync has them at first: all of them, under the range `1-1`.
    First,
    /// None came.
    No,
}

/// Takes what a source brings in one read.
pub(crate) struct Taker<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) out: &'a mut dyn Declare,
    pub(crate) units: Units,
    /// Entries that were read.
    pub(crate) count: u64,
    /// For a read of changes: what was put, and what is gone unless it was put.
    changes: Option<(BTreeSet<String>, Vec<String>)>,
    /// Groups of which all members come in this read.
    groups: BTreeSet<String>,
    /// Lists of members that go on.
    ranged: Vec<Ranged>,
    /// People by the number of their primary group, which does not list them.
    primary: BTreeMap<u32, Vec<String>>,
    /// Groups by their number.
    numbers: BTreeMap<u32, String>,
    domain: Option<String>,
    /// Members whose names are none.
    unreadable: u64,
}

struct Ranged {
    group: String,
    dn: String,
    attribute: &'static str,
    next: u32,
}

impl<'a> Taker<'a> {
    /// For a full read.
    pub(crate) fn all(plan: &'a Plan, out: &'a mut dyn Declare) -> Self {
        Self {
            plan,
            out,
            units: Units::unknown(),
            count: 0,
            changes: None,
            groups: BTreeSet::new(),
            ranged: Vec::new(),
            primary: BTreeMap::new(),
            numbers: BTreeMap::new(),
            domain: None,
            unreadable: 0,
        }
    }

    /// For a read of changes.
    pub(crate) fn changes(plan: &'a Plan, out: &'a mut dyn Declare, units: &[u64]) -> Self {
        let units = Units::known(units);
        Self { units, changes: Some((BTreeSet::new(), Vec::new())), ..Self::all(plan, out) }
    }

    /// Takes an entry. `id` is what the server said beside the entry; without it, it is among the attributes.
    pub(crate) fn take(
        &mut self,
        kind: &KindPlan,
        entry: LdapSearchResultEntry,
        id: Option<String>,
        members: Members,
    ) -> Result<()> {
        let fields = Fields::from(entry);
        self.count += 1;
        if self.count.is_multiple_of(STEP) {
            self.out.progress(self.count);
        }
        let id = match id.map_or_else(|| entry::identity(self.plan, &fields), Ok) {
            Ok(id) => id,
            Err(reason) => return self.out.reject(None, &fields.dn, reason),
        };
        let normal = match dn::normal(&fields.dn) {
            Ok(normal) => normal,
            Err(dn::NoDn(at)) => {
                let message = format!("its name is no distinguished name from byte {at} on: rename it");
                return self.out.reject(Some(id), &fields.dn, Failure::invalid(message).with_code("dn"));
            }
        };
        if !self.plan.in_scope(&normal) {
            return self.gone(id);
        }
        if kind.kind == EntryKind::Unit {
            self.units.see(&id, &normal);
        }
        match entry_of(self.plan, kind, &fields, &id, &normal) {
            Err(reason) => return self.out.reject(Some(id), &fields.dn, reason),
            Ok(None) => return self.gone(id),
            Ok(Some(entry)) => self.out.put(entry)?,
        }
        match kind.kind {
            EntryKind::Group => self.group(&fields, &id, members)?,
            EntryKind::Person => {
                if let Some(number) = fields.number("primaryGroupID").and_then(|n| u32::try_from(n).ok()) {
                    self.primary.entry(number).or_default().push(id.clone());
                    self.domain =
                        self.domain.take().or_else(|| fields.sid("objectSid").map(|(domain, _)| domain));
                }
            }
            EntryKind::Computer | EntryKind::Unit => {}
        }
        if let Some((put, _)) = &mut self.changes {
            put.insert(id);
        }
        Ok(())
    }

    fn group(&mut self, fields: &Fields, id: &str, members: Members) -> Result<()> {
        if let Some((domain, number)) = fields.sid("objectSid") {
            self.numbers.insert(number, id.to_owned());
            self.domain.get_or_insert(domain);
        }
        if members == Members::No {
            return Ok(());
        }
        self.groups.insert(id.to_owned());
        for attribute in MEMBERS {
            for (range, values) in fields.lists(attribute) {
                match range {
                    Some(range) if members == Members::First && range.to == Some(0) => continue,
                    Some(range) if members == Members::First && (range.from, range.to) == (1, Some(1)) => {}
                    Some(range) => {
                        if let Some(to) = range.to {
                            let (group, dn) = (id.to_owned(), fields.dn.clone());
                            self.ranged.push(Ranged { group, dn, attribute, next: to.saturating_add(1) });
                        }
                    }
                    None => {}
                }
                self.members(id, MembershipChange::Part, attribute, values)?;
            }
        }
        Ok(())
    }

    /// Members, in the form in which an attribute lists them.
    pub(crate) fn members(
        &mut self,
        group: &str,
        change: MembershipChange,
        attribute: &str,
        values: &[Vec<u8>],
    ) -> Result<()> {
        for part in values.chunks(PART) {
            let references: Vec<_> =
                part.iter().filter_map(|value| self.reference(attribute, value)).collect();
            if !references.is_empty() {
                self.out.members(group, change, references)?;
            }
        }
        Ok(())
    }

    fn reference(&mut self, attribute: &str, value: &[u8]) -> Option<Reference> {
        let text = std::str::from_utf8(value).ok();
        let alias = if attribute == "memberUid" {
            text.map(entry::login_alias)
        } else {
            // A unique identifier can follow the name: `cn=a,dc=x#'01'B`.
            let name = text.map(|text| match text.rsplit_once("#'") {
                Some((name, bits)) if bits.ends_with("'B") => name,
                _ => text,
            });
            name.and_then(|name| dn::normal(name).ok())
        };
        match alias {
            // Schemas that want at least one member make people write an empty one.
            Some(alias) => (!alias.is_empty()).then_some(Reference::Alias(alias)),
            None => {
                self.unreadable += 1;
                None
            }
        }
    }

    /// Whether it was put among changes.
    pub(crate) fn has_put(&self, id: &str) -> bool {
        self.changes.as_ref().is_some_and(|(put, _)| put.contains(id))
    }

    /// Something is there no more, or is not to be read any more. A full read does not name it, and that is enough.
    pub(crate) fn gone(&mut self, id: String) -> Result<()> {
        if let Some((_, gone)) = &mut self.changes {
            gone.push(id);
        }
        Ok(())
    }

    /// Says what can be said now that all has come: the rest of long lists, who is in groups by their primary group, that
    /// lists of members are whole, and what is gone.
    pub(crate) fn finish(&mut self, client: &mut Client) -> Result<()> {
        while let Some(ranged) = self.ranged.pop() {
            self.rest_of(client, &ranged)?;
        }
        if self.changes.is_none() {
            self.primary_of_all()?;
        } else {
            self.primary_of_groups(client)?;
        }
        for group in std::mem::take(&mut self.groups) {
            self.out.members(&group, MembershipChange::LastPart, Vec::new())?;
        }
        if self.changes.is_some() {
            self.primary_of_people(client)?;
        }
        if let Some((put, gone)) = self.changes.take() {
            for id in gone.into_iter().filter(|id| !put.contains(id)) {
                self.out.gone(id)?;
            }
        }
        if self.unreadable > 0 {
            syncline_plugin::warn!(members = self.unreadable; "members whose names are no distinguished names were left out");
        }
        self.out.progress(self.count);
        self.out.flush()
    }

    /// Asks for the ranges after the first one, to the end of the list.
    fn rest_of(&mut self, client: &mut Client, ranged: &Ranged) -> Result<()> {
        let Ranged { group, dn, attribute, next } = ranged;
        let mut next = *next;
        loop {
            let wanted = [format!("{attribute};range={next}-*")];
            let search = self.search(Search::one(dn, filter::anything(), &wanted));
            let found = root::find(client, &search)?.ok_or_else(|| {
                Failure::changed(format!("the group {dn:?} went while its members were read: read again"))
            })?;
            // No list at all: the one before was the end, by chance.
            let Some((range, values)) = found.lists(attribute).next() else { return Ok(()) };
            self.members(group, MembershipChange::Part, attribute, values)?;
            match range.and_then(|range| range.to) {
                None => return Ok(()),
                Some(to) if to >= next => next = to.saturating_add(1),
                Some(_) => {
                    let message = format!(
                        "the server repeats the members of {dn:?} instead of going on: look into its log"
                    );
                    return Err(Failure::invalid(message).with_code("protocol"));
                }
            }
        }
    }

    fn search(&self, mut search: Search) -> Search {
        search.controls.extend(self.plan.controls.iter().cloned());
        search
    }

    fn primary_of_all(&mut self) -> Result<()> {
        for (number, people) in std::mem::take(&mut self.primary) {
            if let Some(group) = self.numbers.get(&number).cloned() {
                self.by_ids(&group, MembershipChange::Part, people)?;
            }
        }
        Ok(())
    }

    /// Of groups that came whole among changes: who is in them by primary group did not come with them.
    fn primary_of_groups(&mut self, client: &mut Client) -> Result<()> {
        let plan = self.plan;
        let Some(people) = plan.kinds.iter().find(|kind| kind.kind == EntryKind::Person) else {
            return Ok(());
        };
        for (number, group) in self.numbers.clone() {
            if !self.groups.contains(&group) {
                continue;
            }
            let of_group = filter::equality("primaryGroupID", &number.to_string());
            let wanted = filter::all([people.filter.clone(), of_group]);
            let mut ids = Vec::new();
            for base in &plan.bases {
                let search = self.search(Search::below(&base.text, wanted.clone(), &plan.identity_alone()));
                client.pages(&search, plan.page_size, &mut |entry| {
                    ids.extend(entry::identity(plan, &Fields::from(entry)).ok());
                    Ok(())
                })?;
            }
            self.by_ids(&group, MembershipChange::Part, ids)?;
        }
        Ok(())
    }

    /// Of people among changes: last, since the group lists one no more who has made it primary.
    fn primary_of_people(&mut self, client: &mut Client) -> Result<()> {
        let plan = self.plan;
        let Some(groups) = plan.kinds.iter().find(|kind| kind.kind == EntryKind::Group) else {
            return Ok(());
        };
        let Some(domain) = self.domain.clone() else { return Ok(()) };
        for (number, people) in std::mem::take(&mut self.primary) {
            let group = match (self.numbers.get(&number), plan.contexts.first()) {
                (Some(group), _) => Some(group.clone()),
                (None, Some(context)) => {
                    let sid = format!("{domain}-{number}");
                    let wanted = filter::all([groups.filter.clone(), filter::equality("objectSid", &sid)]);
                    let search = self.search(Search::below(&context.text, wanted, &plan.identity_alone()));
                    let found = root::find(client, &search)?;
                    let in_scope =
                        |fields: &Fields| dn::normal(&fields.dn).is_ok_and(|name| plan.in_scope(&name));
                    found.filter(in_scope).and_then(|fields| entry::identity(plan, &fields).ok())
                }
                (None, None) => None,
            };
            if let Some(group) = group {
                self.by_ids(&group, MembershipChange::Added, people)?;
            }
        }
        Ok(())
    }

    fn by_ids(&mut self, group: &str, change: MembershipChange, ids: Vec<String>) -> Result<()> {
        for part in ids.chunks(PART) {
            self.out.members(group, change, part.iter().cloned().map(Reference::Id).collect())?;
        }
        Ok(())
    }
}
