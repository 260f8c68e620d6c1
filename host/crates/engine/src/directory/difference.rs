//! What is not as it was declared: entries and memberships, compared within the transaction that writes them.

use std::collections::{BTreeMap, HashMap, HashSet};

use syncline_domain::{
    Name,
    directory::{
        EntryId, EntryKind, Reference,
        import::{ENTRIES, MEMBERSHIPS},
    },
    guard::Size,
};
use syncline_store::{DirectorySize, DirectoryWriting, PutEntry, PutMember, Standing, reference_key};

use super::sink::{Declared, Members};
use crate::{Error, Result};

/// What becomes of an entry that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutKind {
    Added,
    Changed,
    /// It is there again.
    Back,
}

/// What is not as it was declared.
pub(crate) struct Difference {
    /// In the order of their ids.
    pub puts: Vec<(PutEntry, PutKind)>,
    /// What was there before of what is put or gone.
    pub before: HashMap<EntryId, Standing>,
    pub gone: Vec<EntryId>,
    pub members_in: Vec<PutMember>,
    /// Group, key of the reference, and who that was.
    pub members_out: Vec<(EntryId, String, Option<EntryId>)>,
    /// How many of `members_in` are new: the others stay, with another member or under another reference.
    pub members_new: u64,
    /// Memberships that are under another reference and stay otherwise.
    pub members_moved: Vec<(EntryId, String)>,
    /// What lists of members come to.
    pub lists: Vec<(EntryId, Option<String>)>,
    /// Groups of which members were told, and that nobody knows.
    pub groupless: Vec<EntryId>,
    /// Memberships that go with their group.
    pub with_group: u64,
    pub unchanged: u64,
    /// Put, and as they are known.
    pub same: Vec<EntryId>,
}

impl Difference {
    /// Compares what was declared with what is known.
    pub async fn find(writing: &mut DirectoryWriting, declared: &mut Declared) -> Result<Self> {
        let unchanged = declared.unchanged();
        let mut puts: Vec<_> = std::mem::take(&mut declared.puts).into_values().collect();
        puts.sort_by(|a, b| a.entry.cmp(&b.entry));
        let mut gone: Vec<_> = declared.gone.iter().cloned().chain(declared.unnamed()).collect();
        gone.sort();
        gone.dedup();
        let ids: Vec<_> = puts.iter().map(|put| put.entry.clone()).chain(gone.iter().cloned()).collect();
        let known: HashMap<_, _> =
            writing.known(&ids).await?.into_iter().map(|one| (one.entry.clone(), one)).collect();
        // What is gone already is not gone again, and what was never here cannot go.
        gone.retain(|id| known.get(id).is_some_and(|one| !one.gone));
        let is_same =
            |put: &&PutEntry| known.get(&put.entry).is_some_and(|one| !one.gone && one.digest == put.digest);
        let same = puts.iter().filter(is_same).map(|put| put.entry.clone()).collect();
        let puts = puts.into_iter().filter_map(|put| match known.get(&put.entry) {
            None => Some((put, PutKind::Added)),
            Some(one) if one.gone => Some((put, PutKind::Back)),
            Some(one) if one.digest == put.digest => None,
            Some(_) => Some((put, PutKind::Changed)),
        });
        let puts: Vec<_> = puts.collect();
        let changed =
            puts.iter().filter(|(_, kind)| *kind != PutKind::Added).map(|(put, _)| put.entry.clone());
        let ids: Vec<_> = changed.chain(gone.iter().cloned()).collect();
        let before = writing.standings(&ids).await?;
        let mut difference = Self {
            puts,
            before,
            gone,
            members_in: Vec::new(),
            members_new: 0,
            members_out: Vec::new(),
            members_moved: Vec::new(),
            lists: Vec::new(),
            groupless: Vec::new(),
            with_group: 0,
            unchanged,
            same,
        };
        difference.find_members(writing, std::mem::take(&mut declared.members)).await?;
        Ok(difference)
    }

    async fn find_members(
        &mut self,
        writing: &mut DirectoryWriting,
        declared: HashMap<EntryId, Members>,
    ) -> Result<()> {
        let is_group = |id: &&EntryId| self.before.get(*id).is_some_and(|one| one.kind == EntryKind::Group);
        let gone_groups: Vec<_> = self.gone.iter().filter(is_group).cloned().collect();
        self.with_group = writing.members_of(&gone_groups).await?.len() as u64;

        let mut declared: BTreeMap<_, _> = declared.into_iter().collect();
        let groups: Vec<_> = declared.keys().cloned().collect();
        let put: HashSet<_> = self.puts.iter().map(|(put, _)| put.entry.clone()).collect();
        let gone: HashSet<_> = self.gone.iter().cloned().collect();
        let known: HashMap<_, _> =
            writing.known(&groups).await?.into_iter().map(|one| (one.entry.clone(), one)).collect();
        for group in &groups {
            let there = put.contains(group) || known.get(group).is_some_and(|one| !one.gone);
            let as_known = declared.get(group).is_some_and(|members| {
                let list = members.list();
                list.is_some() && known.get(group).is_some_and(|one| one.members == list)
            });
            if gone.contains(group) || !there {
                declared.remove(group);
                if !gone.contains(group) {
                    self.groupless.push(group.clone());
                }
            } else if as_known {
                declared.remove(group);
            }
        }
        let groups: Vec<_> = declared.keys().cloned().collect();
        let mut stored: HashMap<EntryId, HashMap<String, Option<EntryId>>> = HashMap::new();
        for one in writing.members_of(&groups).await? {
            stored.entry(one.group).or_default().insert(one.key, one.member);
        }
        let who = self.resolve(writing, &declared, &gone).await?;
        for (group, members) in &declared {
            self.compare(group, members, &who, stored.remove(group).unwrap_or_default());
        }
        Ok(())
    }

    /// Who each reference is: among what this run put first, then among what was known before and did not go.
    async fn resolve(
        &self,
        writing: &mut DirectoryWriting,
        declared: &BTreeMap<EntryId, Members>,
        gone: &HashSet<EntryId>,
    ) -> Result<HashMap<Reference, EntryId>> {
        let mut own: HashMap<Reference, EntryId> = HashMap::new();
        for (put, _) in &self.puts {
            own.insert(Reference::Id(put.entry.clone()), put.entry.clone());
            for alias in &put.aliases {
                own.insert(Reference::Alias(alias.clone()), put.entry.clone());
            }
        }
        let named: HashSet<_> = declared.values().flat_map(|members| members.named.keys()).collect();
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        for reference in named {
            match own.get(reference) {
                Some(entry) => {
                    found.insert(reference.clone(), entry.clone());
                }
                None => missing.push(reference.clone()),
            }
        }
        let put: HashSet<_> = self.puts.iter().map(|(put, _)| &put.entry).collect();
        for (reference, entry) in writing.resolve(&missing).await? {
            // What was put again has the aliases that it has now, and no others.
            if !gone.contains(&entry) && !put.contains(&entry) {
                found.insert(reference, entry);
            }
        }
        Ok(found)
    }

    fn compare(
        &mut self,
        group: &EntryId,
        declared: &Members,
        who: &HashMap<Reference, EntryId>,
        stored: HashMap<String, Option<EntryId>>,
    ) {
        // A member is the same under whichever reference: its id if it is known, else the reference itself.
        let identity = |key: &str, member: Option<&EntryId>| match member {
            Some(member) => format!("m:{member}"),
            None => format!("r:{key}"),
        };
        let mut before: HashMap<String, String> = HashMap::new();
        let mut members: HashMap<String, Option<EntryId>> = stored;
        for (key, member) in &members {
            before.insert(identity(key, member.as_ref()), key.clone());
        }
        let mut kept: HashSet<String> = HashSet::new();
        let mut seen: HashSet<String> = HashSet::new();
        for (reference, is_in) in &declared.named {
            let key = reference_key(reference);
            let member = who.get(reference).cloned();
            if !seen.insert(identity(&key, member.as_ref())) {
                // The same member by another reference.
                continue;
            }
            // One that nobody was found for before is the same reference still.
            let known =
                before.get(&identity(&key, member.as_ref())).or_else(|| before.get(&format!("r:{key}")));
            match (is_in, known) {
                (true, Some(old)) => {
                    let was = members.get(old).cloned().flatten();
                    kept.insert(old.clone());
                    if *old != key || was != member {
                        if *old != key {
                            self.members_moved.push((group.clone(), old.clone()));
                        }
                        self.members_in.push(PutMember {
                            group: group.clone(),
                            reference: reference.clone(),
                            member,
                        });
                    }
                }
                (true, None) => {
                    self.members_new += 1;
                    self.members_in.push(PutMember {
                        group: group.clone(),
                        reference: reference.clone(),
                        member,
                    });
                }
                (false, Some(old)) => {
                    let was = members.remove(old).flatten();
                    self.members_out.push((group.clone(), old.clone(), was));
                }
                (false, None) => {}
            }
        }
        if declared.whole {
            for (key, member) in members {
                if !kept.contains(&key) {
                    self.members_out.push((group.clone(), key, member));
                }
            }
        }
        self.lists.push((group.clone(), declared.list()));
    }

    fn added(&self) -> u64 {
        self.puts.iter().filter(|(_, kind)| *kind != PutKind::Changed).count() as u64
    }

    fn members_out(&self) -> u64 {
        self.members_out.len() as u64 + self.with_group
    }

    /// How much is known once this is written, of a directory of which so much is known now.
    pub fn size_after(&self, now: DirectorySize) -> DirectorySize {
        DirectorySize {
            present: (now.present + self.added()).saturating_sub(self.gone.len() as u64),
            members: (now.members + self.members_new).saturating_sub(self.members_out()),
        }
    }

    /// For the guard, of a directory of which so much is known now.
    pub fn sizes(&self, now: DirectorySize) -> Result<Vec<Size>> {
        let DirectorySize { present, members } = now;
        let added = self.added();
        let deletes = self.gone.len() as u64;
        let members_out = self.members_out();
        let moved = self.members_moved.len() as u64;
        let members_in = (self.members_in.len() as u64).saturating_sub(moved);
        let size = |target: &str, of: Removals, removable: u64, changes: u64, added: u64| {
            let Removals { deletes, digest } = of;
            Ok::<_, Error>(Size {
                target: name(target)?,
                deletes,
                removable,
                changes,
                declared: (removable + added).saturating_sub(deletes),
                first_fill: removable == 0,
                removals: Some(digest),
            })
        };
        let gone = self.gone.iter().map(EntryId::as_str);
        let mut out: Vec<_> =
            self.members_out.iter().map(|(group, key, _)| [group.as_str(), key.as_str()]).collect();
        out.sort_unstable();
        // Which memberships go with a group is known by the group.
        let out = out.into_iter().flatten().chain(gone.clone());
        let entries = Removals { deletes, digest: digest_of(gone) };
        let memberships = Removals { deletes: members_out, digest: digest_of(out) };
        Ok(vec![
            size(ENTRIES, entries, present, self.puts.len() as u64, added)?,
            size(MEMBERSHIPS, memberships, members, members_in, members_in)?,
        ])
    }
}

/// What is removed of a target: how much, and what stands for which.
struct Removals {
    deletes: u64,
    digest: String,
}

/// The same for the same texts in the same order, whatever is in them.
fn digest_of<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// One of the names of targets.
pub(crate) fn name(target: &str) -> Result<Name> {
    target.parse().map_err(Error::internal)
}
