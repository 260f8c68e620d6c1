//! Declaring what a directory has. Nothing here changes anything: the host compares with what it knows and takes the
//! difference over, after [`DirectorySync::declare`](crate::DirectorySync::declare) has returned.
//!
//! An entry goes in two ways alone: [`gone`](Directory::gone) names it, or [`complete`](Directory::complete) is called in a
//! run that names it nowhere. So a full read is `put`…, `complete`; a list of changes is `put`…, `gone`…; a refresh that also
//! says what is still there is `put`…, `present`…, `complete`. About one entry, and about one membership, the last word in a
//! run holds.
//!
//! Calls are collected and handed over in batches: what the host refuses can show at a later call.

use crate::{
    Failure,
    failure::Result,
    raw::directory_sync::syncline::plugin::{
        desired_directory::{self as raw, Membership, Rejection},
        directory_types,
    },
};

pub use directory_types::{Attribute, Entry, EntryKind, Reference, Value};
pub use raw::MembershipChange;

/// Most items of one call.
const ITEMS: usize = 2_048;
/// Bytes after which a batch is handed over: memory stays flat, and the largest entry still fits into the same call.
const BYTES: usize = 512 << 10;
/// Most bytes of one entry or list of members: a call carries 8 MiB.
const LARGEST: usize = 7 << 20;
/// What an item costs beside its texts, roughly.
const OVERHEAD: usize = 32;

impl Entry {
    /// An entry with nothing but these: without aliases and attributes, in no unit, enabled.
    ///
    /// `id` is what never changes about it, such as objectGUID or entryUUID: never a distinguished name. `name` is for people
    /// and is cut at 256 bytes.
    pub fn new(kind: EntryKind, id: impl Into<String>, name: impl Into<String>) -> Self {
        let mut name = name.into();
        name.truncate(name.floor_char_boundary(256));
        let (id, aliases, attributes) = (id.into(), Vec::new(), Vec::new());
        Self { id, kind, name, aliases, parent: None, enabled: true, attributes }
    }

    /// With one more name that others may call it by, such as its distinguished name in normal form. At most 16.
    #[must_use]
    pub fn with_alias(mut self, alias: impl Into<String>) -> Self {
        self.aliases.push(alias.into());
        self
    }

    /// Sitting in this unit.
    #[must_use]
    pub fn in_unit(mut self, unit: Reference) -> Self {
        self.parent = Some(unit);
        self
    }

    /// With these values under the platform's name for them; `source` is the directory's. Takes the place of those that are
    /// there under this name. No values: nothing under this name.
    #[must_use]
    pub fn with(mut self, name: &str, source: &str, values: Vec<Value>) -> Self {
        let attribute = || Attribute { name: name.to_owned(), source: source.to_owned(), values };
        match self.attributes.binary_search_by(|have| have.name.as_str().cmp(name)) {
            Ok(at) => self.attributes[at] = attribute(),
            Err(at) => self.attributes.insert(at, attribute()),
        }
        self.attributes.retain(|attribute| !attribute.values.is_empty());
        self
    }

    /// [`with`](Self::with) for texts.
    #[must_use]
    pub fn with_text<T: Into<String>>(
        self,
        name: &str,
        source: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        self.with(name, source, values.into_iter().map(|text| Value::Text(text.into())).collect())
    }
}

/// What is declared, on its way to the host.
///
/// [`complete`](Self::complete) or [`finish`](Self::finish) hand over the last of it: what is dropped before was not
/// declared.
#[derive(Debug, Default)]
pub struct Directory {
    entries: Waiting,
    members: Vec<Membership>,
    members_bytes: usize,
}

/// Words about entries. Of one kind at a time, so that their order is kept.
#[derive(Debug, Default)]
enum Waiting {
    #[default]
    Nothing,
    Put(Vec<Entry>, usize),
    Present(Vec<String>),
    Gone(Vec<String>),
    Reject(Vec<Rejection>),
}

impl Directory {
    /// Nothing is declared yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// This entry is as given here, in full.
    ///
    /// # Errors
    ///
    /// `invalid` if an entry breaks a rule; the message names its id.
    pub fn put(&mut self, entry: Entry) -> Result<()> {
        let bytes = entry_bytes(&entry);
        if bytes > LARGEST {
            let message = format!("the entry {} has {bytes} bytes: {LARGEST} can be handed over", entry.id);
            return Err(Failure::invalid(message).with_code("too-large"));
        }
        if !matches!(self.entries, Waiting::Put(..)) {
            self.flush_entries()?;
            self.entries = Waiting::Put(Vec::new(), 0);
        }
        if let Waiting::Put(entries, sum) = &mut self.entries {
            *sum += bytes;
            entries.push(entry);
            if entries.len() < ITEMS && *sum < BYTES {
                return Ok(());
            }
        }
        self.flush_entries()
    }

    /// Direct members of a group, before or after the group itself, in as many parts as it takes. With
    /// [`MembershipChange::LastPart`], an empty list says that nobody else is in it.
    ///
    /// # Errors
    ///
    /// `invalid`.
    pub fn members(
        &mut self,
        group: &str,
        change: MembershipChange,
        members: impl IntoIterator<Item = Reference>,
    ) -> Result<()> {
        // Only the last piece of a last part may say that it is the last.
        let piece = match change {
            MembershipChange::LastPart => MembershipChange::Part,
            other => other,
        };
        let mut list = Vec::new();
        for member in members {
            self.members_bytes += reference_bytes(&member);
            list.push(member);
            if list.len() >= ITEMS || self.members_bytes >= BYTES {
                let members = std::mem::take(&mut list);
                self.members.push(Membership { group: group.to_owned(), change: piece, members });
                self.flush_members()?;
            }
        }
        if !list.is_empty() || change == MembershipChange::LastPart {
            self.members_bytes += group.len() + OVERHEAD;
            self.members.push(Membership { group: group.to_owned(), change, members: list });
        }
        if self.members.len() >= ITEMS || self.members_bytes >= BYTES {
            self.flush_members()?;
        }
        Ok(())
    }

    /// This entry is there, unchanged.
    ///
    /// # Errors
    ///
    /// `invalid` with code `unknown` if one was never put: a full read is due.
    pub fn present(&mut self, id: impl Into<String>) -> Result<()> {
        if !matches!(self.entries, Waiting::Present(_)) {
            self.flush_entries()?;
            self.entries = Waiting::Present(Vec::new());
        }
        if let Waiting::Present(ids) = &mut self.entries {
            ids.push(id.into());
            if ids.len() < ITEMS {
                return Ok(());
            }
        }
        self.flush_entries()
    }

    /// This entry is there no more. Unknown ids are passed over.
    ///
    /// # Errors
    ///
    /// Those of the host alone.
    pub fn gone(&mut self, id: impl Into<String>) -> Result<()> {
        if !matches!(self.entries, Waiting::Gone(_)) {
            self.flush_entries()?;
            self.entries = Waiting::Gone(Vec::new());
        }
        if let Waiting::Gone(ids) = &mut self.entries {
            ids.push(id.into());
            if ids.len() < ITEMS {
                return Ok(());
            }
        }
        self.flush_entries()
    }

    /// Something is there and cannot be taken over: `id` if that much could be read, what a person would find it by, and
    /// why. It is listed in the run; what is known of it stays as it is.
    ///
    /// # Errors
    ///
    /// Those of the host alone.
    pub fn reject(&mut self, id: Option<String>, name: impl Into<String>, reason: Failure) -> Result<()> {
        if !matches!(self.entries, Waiting::Reject(_)) {
            self.flush_entries()?;
            self.entries = Waiting::Reject(Vec::new());
        }
        if let Waiting::Reject(rejections) = &mut self.entries {
            rejections.push(Rejection { id, name: name.into(), reason: reason.into() });
            // Reasons are sentences: fewer fill a batch.
            if rejections.len() < ITEMS / 8 {
                return Ok(());
            }
        }
        self.flush_entries()
    }

    /// Hand over what waits.
    ///
    /// # Errors
    ///
    /// As those of what was declared.
    pub fn flush(&mut self) -> Result<()> {
        self.flush_entries()?;
        self.flush_members()
    }

    /// End a list of changes: what it does not name stays as it is.
    ///
    /// # Errors
    ///
    /// As those of what was declared.
    pub fn finish(mut self) -> Result<()> {
        self.flush()
    }

    /// Say that the whole source was read to its end in this run: what it does not name is gone.
    ///
    /// Never after an error, a limit of size or time, a missing page, or a referral that was not followed: return a failure
    /// then.
    ///
    /// # Errors
    ///
    /// As those of what was declared; `invalid` with code `empty` if nothing was put and nothing found present.
    pub fn complete(mut self) -> Result<()> {
        self.flush()?;
        Ok(raw::complete()?)
    }

    fn flush_entries(&mut self) -> Result<()> {
        Ok(match std::mem::take(&mut self.entries) {
            Waiting::Nothing => {}
            Waiting::Put(entries, _) => raw::put(&entries)?,
            Waiting::Present(ids) => raw::present(&ids)?,
            Waiting::Gone(ids) => raw::gone(&ids)?,
            Waiting::Reject(rejections) => raw::reject(&rejections)?,
        })
    }

    fn flush_members(&mut self) -> Result<()> {
        let members = std::mem::take(&mut self.members);
        self.members_bytes = 0;
        if !members.is_empty() {
            raw::put_members(&members)?;
        }
        Ok(())
    }
}

/// About what it takes to hand it over.
fn entry_bytes(entry: &Entry) -> usize {
    let aliases: usize = entry.aliases.iter().map(|alias| alias.len() + OVERHEAD).sum();
    let attribute = |attribute: &Attribute| {
        let values: usize = attribute.values.iter().map(value_bytes).sum();
        attribute.name.len() + attribute.source.len() + OVERHEAD + values
    };
    let attributes: usize = entry.attributes.iter().map(attribute).sum();
    entry.id.len() + entry.name.len() + OVERHEAD + aliases + attributes
}

fn value_bytes(value: &Value) -> usize {
    OVERHEAD
        + match value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Reference(reference) => reference_bytes(reference),
            Value::Number(_) | Value::Flag(_) | Value::Time(_) => 0,
        }
}

fn reference_bytes(reference: &Reference) -> usize {
    let (Reference::Id(text) | Reference::Alias(text)) = reference;
    text.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_sorted_and_each_name_stands_once() {
        let entry = Entry::new(EntryKind::Person, "1", "Ada")
            .with_text("phone", "telephoneNumber", ["1"])
            .with_text("email", "mail", ["a@x"])
            .with_text("phone", "mobile", ["2"])
            .with_text("title", "title", [] as [&str; 0]);
        let names: Vec<_> = entry.attributes.iter().map(|a| (a.name.as_str(), a.source.as_str())).collect();
        assert_eq!(names, [("email", "mail"), ("phone", "mobile")]);
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        let entry = Entry::new(EntryKind::Person, "1", "ä".repeat(200));
        assert_eq!(entry.name.len(), 256);
        assert_eq!(Entry::new(EntryKind::Person, "1", format!("x{}", entry.name)).name.len(), 255);
    }

    #[test]
    fn what_is_too_large_for_a_call_is_refused_by_its_id() {
        let entry = Entry::new(EntryKind::Person, "big", "").with(
            "photo",
            "jpegPhoto",
            vec![Value::Bytes(vec![0; 8 << 20])],
        );
        let failure = Directory::new().put(entry).unwrap_err();
        assert_eq!(failure.code(), "too-large");
        assert!(failure.message().contains("entry big"), "{failure}");
    }
}
