//! Takes what a plugin declares of a directory. What is as it is known is dropped at once, so that a full read of a directory
//! in which little changed is little to remember.
//!
//! What is known is read when it is needed: a list of a few changes is compared later, with what is known of these alone.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use syncline_domain::{
    Failure, FailureKind, Fault,
    directory::{
        Attribute, Entry, EntryId, Membership, MembershipChange, Person, Reference, Rejection, Value,
    },
};
use syncline_sandbox::DirectorySink;
use syncline_store::{KnownEntry, PutEntry, reference_key};

/// Changed entries that are kept before what is known is read.
const FEW: usize = 2_000;

/// Reads all that is known.
pub(crate) type Load = Box<dyn Fn() -> Result<Vec<KnownEntry>, Failure> + Send + Sync>;

/// What a plugin declared so far.
pub(crate) struct Declared {
    load: Load,
    known: Option<HashMap<EntryId, Known>>,
    /// Entries that are not as they are known, or that were not compared yet.
    pub puts: HashMap<EntryId, PutEntry>,
    /// Named as gone.
    pub gone: HashSet<EntryId>,
    /// Members of groups, as far as they are not as they are known.
    pub members: HashMap<EntryId, Members>,
    /// By id.
    pub rejected: BTreeMap<EntryId, Rejection>,
    /// What has no id.
    pub nameless: Vec<Rejection>,
    /// Whether the directory was read to its end.
    pub complete: bool,
    /// Whether anything was put or found present.
    any: bool,
}

struct Known {
    digest: String,
    members: Option<String>,
    gone: bool,
    /// Whether this run named it.
    named: bool,
}

/// Members of one group that a run named: who is in and who is out, by its last word.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Members {
    /// True for those that are in.
    pub named: HashMap<Reference, bool>,
    /// Whether these are all members.
    pub whole: bool,
}

impl Members {
    /// What a whole list comes to, whatever its order.
    pub fn list(&self) -> Option<String> {
        if !self.whole {
            return None;
        }
        let inside = self.named.iter().filter(|(_, is_in)| **is_in);
        let (mut count, mut sum) = (0_u64, 0_u128);
        for (reference, _) in inside {
            count += 1;
            // 32 hexadecimal digits by construction.
            sum = sum.wrapping_add(u128::from_str_radix(&reference_key(reference), 16).unwrap_or_default());
        }
        Some(format!("{count}:{sum:032x}"))
    }

    fn take(&mut self, change: MembershipChange, members: Vec<Reference>) {
        let is_list = matches!(change, MembershipChange::Part | MembershipChange::LastPart);
        if is_list && self.whole {
            // A list after a whole one is told anew.
            *self = Self::default();
        }
        let is_in = change != MembershipChange::Removed;
        self.named.extend(members.into_iter().map(|member| (member, is_in)));
        self.whole |= change == MembershipChange::LastPart;
    }
}

impl Declared {
    /// Nothing is declared yet.
    pub fn new(load: Load) -> Self {
        Self {
            load,
            known: None,
            puts: HashMap::new(),
            gone: HashSet::new(),
            members: HashMap::new(),
            rejected: BTreeMap::new(),
            nameless: Vec::new(),
            complete: false,
            any: false,
        }
    }

    /// Reads what is known, now rather than later: for a run that will name all of it.
    pub fn know(&mut self, known: Vec<KnownEntry>) {
        let mut all: HashMap<_, _> = known
            .into_iter()
            .map(|one| {
                let KnownEntry { entry, digest, members, gone, .. } = one;
                (entry, Known { digest, members, gone, named: false })
            })
            .collect();
        let same = |known: &Known, put: &PutEntry| !known.gone && known.digest == put.digest;
        self.puts.retain(|id, put| match all.get_mut(id) {
            Some(known) => {
                known.named = true;
                !same(known, put)
            }
            None => true,
        });
        for id in self.rejected.keys() {
            if let Some(known) = all.get_mut(id) {
                known.named = true;
            }
        }
        self.members.retain(|group, members| {
            let list = members.list();
            list.is_none() || all.get(group).is_none_or(|known| known.members != list)
        });
        self.known = Some(all);
    }

    fn needs_known(&mut self) -> Result<&mut HashMap<EntryId, Known>, Failure> {
        if self.known.is_none() {
            let known = (self.load)()?;
            self.know(known);
        }
        self.known.as_mut().ok_or_else(|| Failure::host("known", "what is known of a directory was not read"))
    }

    /// Entries that are there and that nobody named, of a directory that was read to its end.
    pub fn unnamed(&self) -> Vec<EntryId> {
        let known = self.known.iter().flatten().filter(|_| self.complete);
        let mut unnamed: Vec<_> =
            known.filter(|(_, known)| !known.named && !known.gone).map(|(id, _)| id.clone()).collect();
        unnamed.sort();
        unnamed
    }

    /// Whether an entry that is known was named, and not rejected.
    pub fn is_taken_over(&self, id: &EntryId) -> bool {
        let named = self.known.as_ref().and_then(|known| known.get(id)).is_some_and(|known| known.named);
        named && !self.rejected.contains_key(id)
    }

    /// How many entries are as they are known, if that is known.
    pub fn unchanged(&self) -> u64 {
        let known = self.known.iter().flatten();
        known.filter(|(id, known)| known.named && !self.puts.contains_key(*id)).count() as u64
    }

    fn put_one(&mut self, entry: Entry) -> Result<(), Failure> {
        let put = as_put(entry)?;
        let id = put.entry.clone();
        self.any = true;
        self.gone.remove(&id);
        self.rejected.remove(&id);
        if let Some(known) = self.known.as_mut().and_then(|known| known.get_mut(&id)) {
            known.named = true;
            if !known.gone && known.digest == put.digest {
                self.puts.remove(&id);
                return Ok(());
            }
        }
        self.puts.insert(id, put);
        Ok(())
    }

    fn take_members(&mut self, membership: Membership) {
        let Membership { group, change, members } = membership;
        let whole = change == MembershipChange::LastPart;
        let taken = self.members.entry(group.clone()).or_default();
        taken.take(change, members);
        if !whole {
            return;
        }
        let known =
            self.known.as_ref().and_then(|known| known.get(&group)).and_then(|one| one.members.as_ref());
        if known.is_some() && taken.list().as_ref() == known {
            self.members.remove(&group);
        }
    }

    fn name(&mut self, id: &EntryId) {
        if let Some(known) = self.known.as_mut().and_then(|known| known.get_mut(id)) {
            known.named = true;
        }
    }
}

/// The sink of one run: the sandbox has one, whoever started the call the other.
#[derive(Clone)]
pub(crate) struct SharedSink(Arc<Mutex<Declared>>);

impl SharedSink {
    pub fn new(declared: Declared) -> Self {
        Self(Arc::new(Mutex::new(declared)))
    }

    /// What was declared. Nobody declares any more.
    pub fn take(&self) -> Declared {
        std::mem::replace(&mut *self.0.lock(), Declared::new(Box::new(|| Ok(Vec::new()))))
    }
}

impl DirectorySink for SharedSink {
    fn put(&mut self, entries: Vec<Entry>) -> Result<(), Failure> {
        let mut declared = self.0.lock();
        for entry in entries {
            declared.put_one(entry)?;
        }
        if declared.puts.len() > FEW {
            declared.needs_known()?;
        }
        Ok(())
    }

    fn put_members(&mut self, memberships: Vec<Membership>) -> Result<(), Failure> {
        let mut declared = self.0.lock();
        for membership in memberships {
            declared.take_members(membership);
        }
        if declared.members.len() > FEW {
            declared.needs_known()?;
        }
        Ok(())
    }

    fn present(&mut self, ids: Vec<EntryId>) -> Result<(), Failure> {
        let mut declared = self.0.lock();
        declared.needs_known()?;
        for id in ids {
            let put = declared.puts.contains_key(&id);
            let known = declared.needs_known()?.get_mut(&id).filter(|known| !known.gone);
            match known {
                Some(known) => known.named = true,
                None if put => {}
                None => return Err(unknown(&id)),
            }
            declared.any = true;
            declared.gone.remove(&id);
        }
        Ok(())
    }

    fn gone(&mut self, ids: Vec<EntryId>) -> Result<(), Failure> {
        let mut declared = self.0.lock();
        for id in ids {
            declared.puts.remove(&id);
            declared.rejected.remove(&id);
            declared.gone.insert(id);
        }
        Ok(())
    }

    fn reject(&mut self, rejections: Vec<Rejection>) -> Result<(), Failure> {
        let mut declared = self.0.lock();
        for rejection in rejections {
            match rejection.id.clone() {
                None => declared.nameless.push(rejection),
                Some(id) => {
                    declared.puts.remove(&id);
                    declared.gone.remove(&id);
                    declared.name(&id);
                    declared.rejected.insert(id, rejection);
                }
            }
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<(), Failure> {
        let mut declared = self.0.lock();
        if !declared.any {
            let message = "nothing was read: a directory without anything in it is taken for a mistake, so that it cannot \
                empty what is here; look at bases, filters and rights";
            return Err(Failure::new(FailureKind::Invalid, Fault::Settings, "empty", message));
        }
        declared.needs_known()?;
        declared.complete = true;
        Ok(())
    }
}

fn unknown(id: &EntryId) -> Failure {
    let message = format!("entry {id} was found present and is not known: a full read is due");
    Failure::new(FailureKind::Invalid, Fault::Remote, "unknown", message)
}

/// An entry as it is written down.
fn as_put(entry: Entry) -> Result<PutEntry, Failure> {
    let digest = digest(&entry)?;
    let person = Person::of(&entry);
    let Entry { id, kind, name, aliases, parent, enabled, attributes } = entry;
    let attributes = serde_json::to_string(&attributes).map_err(|error| unwritable(&id, &error))?;
    Ok(PutEntry { entry: id, kind, name, aliases, parent, enabled, attributes, digest, person })
}

/// BLAKE3 of all that is declared of an entry, in which the order of aliases and values does not count.
fn digest(entry: &Entry) -> Result<String, Failure> {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(entry.kind.as_str());
    add(&entry.name);
    add(if entry.enabled { "enabled" } else { "disabled" });
    add(&entry.parent.as_ref().map(reference_key).unwrap_or_default());
    let mut aliases: Vec<_> = entry.aliases.iter().map(String::as_str).collect();
    aliases.sort_unstable();
    add(&aliases.len().to_string());
    aliases.into_iter().for_each(&mut add);
    for Attribute { name, source, values } in &entry.attributes {
        add(name);
        add(source);
        let text =
            |value: &Value| serde_json::to_string(value).map_err(|error| unwritable(&entry.id, &error));
        let mut values = values.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        values.sort_unstable();
        add(&values.len().to_string());
        values.iter().for_each(|value| add(value));
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn unwritable(id: &EntryId, error: &serde_json::Error) -> Failure {
    Failure::host("entry", format!("entry {id} cannot be written down: {error}"))
}
