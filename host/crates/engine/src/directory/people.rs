//! What becomes of users by what a directory says of people.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use syncline_domain::{
    Failure, Name,
    device::GroupPath,
    directory::{EntryId, Given, ImportMode, ImportSpec, LinkState, Origin, Person, import::USERS},
    ids::UserId,
    operation::OperationKind,
};
use syncline_store::{DirectoryUser, DirectoryWriting, Holder, KnownPerson, Taken};

use super::{
    import::{Import, Report, keep_going},
    placement::Placer,
};
use crate::{Result, worker::Control};

/// People that are gone through at once.
const BATCH: u32 = 2_000;
/// Where a user is shown to have been switched off because its entry is gone.
const GONE: &str = "gone";

/// Whose entry a person is, and when it is written.
pub(crate) struct Of<'a> {
    pub sync: &'a Name,
    pub now: Timestamp,
}

impl Of<'_> {
    fn origin(&self, source: &str) -> Origin {
        Origin { sync: self.sync.clone(), source: source.to_owned(), at: self.now }
    }

    /// The user that a person becomes.
    pub fn new_user(&self, person: &Person, group: GroupPath) -> DirectoryUser {
        let user = DirectoryUser {
            user: UserId::new(self.now),
            name: String::new(),
            display_name: String::new(),
            email: None,
            disabled: false,
            group,
            origins: BTreeMap::new(),
        };
        self.updated(&user, person)
    }

    /// A user with what the directory says now. What stays as it was keeps the time of its origin.
    pub fn updated(&self, user: &DirectoryUser, person: &Person) -> DirectoryUser {
        let mut user = user.clone();
        let Person { name, display_name, email, disabled } = person;
        self.set(&mut user.origins, "name", &mut user.name, name);
        self.set(&mut user.origins, "display_name", &mut user.display_name, display_name);
        match email {
            Some(email) => {
                let mut text = user.email.unwrap_or_default();
                self.set(&mut user.origins, "email", &mut text, email);
                user.email = Some(text);
            }
            None => {
                // It is gone there, if it came from there.
                if user.origins.remove("email").is_some() {
                    user.email = None;
                }
            }
        }
        self.set_disabled(&mut user, *disabled, "enabled");
        user
    }

    /// A user whose entry is gone.
    pub fn orphaned(&self, user: &DirectoryUser) -> DirectoryUser {
        let mut user = user.clone();
        self.set_disabled(&mut user, true, GONE);
        user
    }

    /// A user that is nobody's but ours from now on. It stays as it is.
    pub fn let_go(user: &DirectoryUser) -> DirectoryUser {
        DirectoryUser { origins: BTreeMap::new(), ..user.clone() }
    }

    fn set(&self, origins: &mut BTreeMap<String, Origin>, field: &str, value: &mut String, given: &Given) {
        let same = *value == given.value && origins.get(field).is_some_and(|one| one.source == given.source);
        if !same {
            value.clone_from(&given.value);
            origins.insert(field.to_owned(), self.origin(&given.source));
        }
    }

    fn set_disabled(&self, user: &mut DirectoryUser, disabled: bool, source: &str) {
        if user.disabled != disabled || !user.origins.contains_key("disabled") {
            user.disabled = disabled;
            user.origins.insert("disabled".to_owned(), self.origin(source));
        }
    }
}

/// Who else has the name or the e-mail of a person, in a sentence; `None` if nobody has.
pub(crate) fn collision(sync: &Name, one: &KnownPerson, taken: &Taken) -> Option<String> {
    let Person { name, email, .. } = &one.person;
    let by_name = taken.names.get(&one.person.name_key()).map(|all| ("user name", &name.value, all));
    let by_email = email.as_ref().and_then(|email| {
        let key = one.person.email_key()?;
        taken.emails.get(&key).map(|all| ("e-mail", &email.value, all))
    });
    // Another entry first: that is what a person has to decide between.
    for wants_entry in [true, false] {
        for (what, value, holders) in [by_email, by_name].into_iter().flatten() {
            let other = holders.iter().find(|holder| match holder {
                Holder::Entry(of, entry, _) => wants_entry && !(of == sync && *entry == one.entry),
                Holder::User(user, _) => !wants_entry && Some(*user) != one.user,
            });
            match other {
                Some(Holder::Entry(of, entry, name)) => {
                    return Some(format!(
                        "entry {entry} ({name:?}) of sync {of} has the {what} {value:?} too: link one of them by hand, or \
                         ignore one"
                    ));
                }
                Some(Holder::User(_, name)) => {
                    return Some(format!(
                        "user {name:?} has the {what} {value:?} already: link the entry to that user by hand, or change the user"
                    ));
                }
                None => {}
            }
        }
    }
    None
}

/// Links those whom nobody let go of by hand.
pub(crate) async fn link(
    writing: &mut DirectoryWriting,
    of: &Of<'_>,
    import: &Import,
    placer: &mut Placer,
    report: &mut Report,
    control: &Control,
) -> Result<()> {
    let spec = &import.spec;
    if spec.mode == ImportMode::Manual {
        return Ok(());
    }
    let mut after: Option<String> = None;
    loop {
        keep_going(writing, control, import.lease).await?;
        let (people, last) = writing.waiting_people(after.as_deref(), BATCH).await?;
        let Some(last) = last else { return Ok(()) };
        after = Some(last);
        let taken = writing.taken(&people.iter().map(|one| &one.person).collect::<Vec<_>>()).await?;
        let (mut free, mut held) = (Vec::new(), Vec::new());
        for one in people {
            if spec.people_need_email && one.person.email.is_none() {
                report.passed_over += 1;
                held.push((one, "it has no e-mail, and people need one to be linked".to_owned(), false));
            } else if let Some(why) = collision(of.sync, &one, &taken) {
                held.push((one, why, true));
            } else {
                free.push(one);
            }
        }
        let placed = placer.place(writing, &free).await?;
        let users: Vec<_> = free
            .iter()
            .map(|one| {
                let group = placed.get(&one.entry).cloned().unwrap_or_else(GroupPath::root);
                (one.entry.clone(), of.new_user(&one.person, group))
            })
            .collect();
        writing.add_users(&users).await?;
        for (entry, user) in &users {
            let note = format!("user {:?} ({:?}) in group {}", user.name, user.display_name, user.group);
            report.operation(USERS, entry.as_str(), OperationKind::Copy, note)?;
        }
        let news = held.iter().filter(|(one, why, _)| one.held.as_ref() != Some(why));
        let news: Vec<_> = news.map(|(one, why, _)| (one.entry.clone(), Some(why.clone()))).collect();
        writing.set_held(&news).await?;
        for (one, why, collides) in held {
            if collides {
                report.failed(USERS, one.entry.as_str(), OperationKind::Copy, &one.name, collided(why))?;
            }
        }
    }
}

fn collided(why: String) -> Failure {
    Failure::new(syncline_domain::FailureKind::Invalid, syncline_domain::Fault::Remote, "collision", why)
}

/// Brings users up to date with entries that are linked; those whose entry is gone are disabled.
pub(crate) async fn update(
    writing: &mut DirectoryWriting,
    of: &Of<'_>,
    spec: &ImportSpec,
    placer: &mut Placer,
    report: &mut Report,
    entries: HashSet<EntryId>,
) -> Result<()> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort();
    for batch in entries.chunks(BATCH as usize) {
        let people = writing.people(batch).await?;
        let people: Vec<_> = people.into_iter().filter(|one| one.user.is_some()).collect();
        let ids: Vec<_> = people.iter().filter_map(|one| one.user).collect();
        let users = writing.users(&ids).await?;
        let placed = if spec.places() { placer.place(writing, &people).await? } else { HashMap::new() };
        let taken = writing.taken(&people.iter().map(|one| &one.person).collect::<Vec<_>>()).await?;
        let (mut changed, mut held) = (Vec::new(), Vec::new());
        for one in &people {
            let Some(user) = one.user.and_then(|id| users.get(&id)) else { continue };
            let (becomes, why) = updated(of, one, user, placed.get(&one.entry), &taken);
            if one.held != why {
                held.push((one.entry.clone(), why.clone()));
            }
            if let Some(why) = why {
                report.failed(USERS, one.entry.as_str(), OperationKind::Update, &one.name, collided(why))?;
            }
            if becomes != *user {
                report.operation(USERS, one.entry.as_str(), OperationKind::Update, told(user, &becomes))?;
                changed.push(becomes);
            }
        }
        writing.set_held(&held).await?;
        writing.update_users(&changed).await?;
        let ids: Vec<_> = changed.iter().map(|user| user.user).collect();
        report.devices.extend(writing.devices_of(&ids).await?);
    }
    Ok(())
}

/// What a user becomes, and why not all of it: a name or an e-mail that someone else has is not taken over.
fn updated(
    of: &Of<'_>,
    one: &KnownPerson,
    user: &DirectoryUser,
    placed: Option<&GroupPath>,
    taken: &Taken,
) -> (DirectoryUser, Option<String>) {
    if one.state == LinkState::Orphaned {
        return (of.orphaned(user), None);
    }
    let mut becomes = of.updated(user, &one.person);
    let renamed = becomes.name != user.name || becomes.email != user.email;
    let why = if renamed || one.held.is_some() { collision(of.sync, one, taken) } else { None };
    if why.is_some() {
        for (field, origin) in [("name", user.origins.get("name")), ("email", user.origins.get("email"))] {
            match origin {
                Some(origin) => becomes.origins.insert(field.to_owned(), origin.clone()),
                None => becomes.origins.remove(field),
            };
        }
        becomes.name.clone_from(&user.name);
        becomes.email.clone_from(&user.email);
    }
    if let Some(group) = placed.filter(|group| **group != user.group) {
        becomes.group = group.clone();
        becomes.origins.insert("group".to_owned(), of.origin("placement"));
    }
    (becomes, why)
}

fn told(before: &DirectoryUser, after: &DirectoryUser) -> String {
    let mut told = Vec::new();
    if before.name != after.name {
        told.push(format!("name {:?}", after.name));
    }
    if before.display_name != after.display_name {
        told.push(format!("display name {:?}", after.display_name));
    }
    if before.email != after.email {
        told.push(
            after.email.as_ref().map_or_else(|| "no e-mail".to_owned(), |email| format!("e-mail {email:?}")),
        );
    }
    if before.disabled != after.disabled {
        told.push(if after.disabled { "disabled" } else { "enabled" }.to_owned());
    }
    if before.group != after.group {
        told.push(format!("from group {} to {}", before.group, after.group));
    }
    if told.is_empty() {
        told.push("where its values come from".to_owned());
    }
    format!("user {:?}: {}", before.name, told.join(", "))
}
