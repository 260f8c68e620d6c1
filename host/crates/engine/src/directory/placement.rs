//! Which group people are put into, by the units that they sit in and the groups that they are in.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use syncline_domain::{
    device::GroupPath,
    directory::{EntryId, EntryKind, ImportSpec, import::key, nesting::Nesting},
};
use syncline_store::{DirectoryWriting, KnownPerson};

use crate::Result;

/// Most units in units; a circle of them ends there.
const DEEPEST: usize = 64;

/// The rules of an import, looked up once a run.
pub(crate) struct Placer {
    spec: ImportSpec,
    /// Units and groups of the directory, by the text of the rule that names them.
    units: BTreeMap<String, BTreeSet<EntryId>>,
    groups: BTreeMap<String, BTreeSet<EntryId>>,
    here: BTreeSet<GroupPath>,
    /// Units by what refers to them; `None` where nothing is found.
    known_units: HashMap<String, Option<(EntryId, Option<String>)>>,
    /// What is wrong with the rules.
    pub complaints: Vec<String>,
}

impl Placer {
    /// Looks up what the rules name.
    pub async fn new(writing: &mut DirectoryWriting, spec: &ImportSpec) -> Result<Self> {
        let here: BTreeSet<_> = writing.groups_here().await?.into_iter().collect();
        let mut placer = Self {
            spec: spec.clone(),
            units: BTreeMap::new(),
            groups: BTreeMap::new(),
            here,
            known_units: HashMap::new(),
            complaints: Vec::new(),
        };
        if !spec.places() {
            placer.spec.placement.clear();
        }
        for (at, rule) in spec.placement.iter().enumerate().filter(|_| spec.places()) {
            let (kind, text) = match (&rule.unit, &rule.member_of) {
                (Some(unit), _) => (EntryKind::Unit, unit),
                (None, Some(group)) => (EntryKind::Group, group),
                (None, None) => continue,
            };
            let named = writing.named(kind, text).await?;
            if named.is_empty() {
                placer.complaints.push(format!("rule {} of placement: there is no {kind} {text:?}", at + 1));
            }
            let table = if kind == EntryKind::Unit { &mut placer.units } else { &mut placer.groups };
            table.insert(key(text), named);
        }
        let targets: Vec<_> = placer.spec.placement.iter().map(|rule| rule.group.clone()).collect();
        for group in targets.into_iter().chain([spec.default_group()]) {
            if !placer.here.contains(&group) {
                placer
                    .complaints
                    .push(format!("there is no group {group} here: make it, or change the import"));
            }
        }
        Ok(placer)
    }

    /// Where each of these people is put. A group that is not there puts nobody.
    pub async fn place(
        &mut self,
        writing: &mut DirectoryWriting,
        people: &[KnownPerson],
    ) -> Result<HashMap<EntryId, GroupPath>> {
        let ids: Vec<_> = people.iter().map(|one| one.entry.clone()).collect();
        let nesting = if self.groups.is_empty() { Nesting::new() } else { above(writing, &ids).await? };
        if !self.units.is_empty() {
            let parents = people.iter().filter_map(|one| one.parent.clone()).collect();
            self.learn_units(writing, parents).await?;
        }
        let mut placed = HashMap::new();
        for one in people {
            let groups = nesting.above(&one.entry);
            let units = self.units_above(one.parent.as_deref());
            let is_any = |named: Option<&BTreeSet<EntryId>>, of: &BTreeSet<EntryId>| {
                named.is_some_and(|named| !named.is_disjoint(of))
            };
            let group = self.spec.place(
                |unit| is_any(self.units.get(unit), &units),
                |group| is_any(self.groups.get(group), &groups),
            );
            let group = Some(group).filter(|group| self.here.contains(group)).unwrap_or_else(GroupPath::root);
            placed.insert(one.entry.clone(), group);
        }
        Ok(placed)
    }

    async fn learn_units(&mut self, writing: &mut DirectoryWriting, keys: BTreeSet<String>) -> Result<()> {
        let mut next: Vec<_> = keys.into_iter().filter(|key| !self.known_units.contains_key(key)).collect();
        while !next.is_empty() {
            let found = writing.units(&next).await?;
            for key in next {
                let unit = found.get(&key).cloned();
                self.known_units.insert(key, unit);
            }
            let parents: BTreeSet<_> = found.into_values().filter_map(|(_, parent)| parent).collect();
            next = parents.into_iter().filter(|key| !self.known_units.contains_key(key)).collect();
        }
        Ok(())
    }

    fn units_above(&self, parent: Option<&str>) -> BTreeSet<EntryId> {
        let mut above = BTreeSet::new();
        let mut at = parent;
        for _ in 0..DEEPEST {
            let Some((unit, parent)) = at.and_then(|key| self.known_units.get(key)).and_then(Option::as_ref)
            else {
                break;
            };
            if !above.insert(unit.clone()) {
                break;
            }
            at = parent.as_deref();
        }
        above
    }
}

/// The groups that these are in, however deep.
async fn above(writing: &mut DirectoryWriting, entries: &[EntryId]) -> Result<Nesting> {
    let mut nesting = Nesting::new();
    let mut seen: HashSet<EntryId> = entries.iter().cloned().collect();
    let mut next = entries.to_vec();
    while !next.is_empty() {
        let mut found = BTreeSet::new();
        for (member, group) in writing.groups_of(&next).await? {
            found.insert(group.clone());
            nesting.add(member, group);
        }
        next = found.into_iter().filter(|group| seen.insert(group.clone())).collect();
    }
    Ok(nesting)
}

/// These entries, and all who are in those of them that are groups, however deep.
pub(crate) async fn below(
    writing: &mut DirectoryWriting,
    entries: HashSet<EntryId>,
) -> Result<HashSet<EntryId>> {
    let mut next: Vec<_> = entries.iter().cloned().collect();
    let mut all = entries;
    while !next.is_empty() {
        let members = writing.members_of(&next).await?;
        let members = members.into_iter().filter_map(|one| one.member);
        next = members.filter(|member| all.insert(member.clone())).collect();
    }
    Ok(all)
}
