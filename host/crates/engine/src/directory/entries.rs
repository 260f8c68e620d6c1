//! What people decide about entries: link, unlink, ignore, un-ignore, delete.

use syncline_domain::{
    Name,
    device::user::User,
    directory::{EntryRecord, Happening, ImportSpec, Person, UserBecomes, link::step},
    event::NewEvent,
    ids::{DeviceId, DirectoryEntryId, UserId},
};
use syncline_store::{DirectoryUser, EntryFilter, UserWrite};

use super::{import::group_by_hand, people::Of};
use crate::{Engine, Error, Result};

/// What a person decides about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A user goes by it: this one, or a new one.
    Link(Option<UserId>),
    /// Its user is let go.
    Unlink,
    /// It is not wanted here.
    Ignore,
    /// It is wanted here after all.
    Unignore,
    /// It is deleted here, with its user. One that is still in the directory is ignored from then on.
    Delete,
}

impl Decision {
    fn happening(self) -> Happening {
        match self {
            Self::Link(_) => Happening::Link,
            Self::Unlink => Happening::Unlink,
            Self::Ignore => Happening::Ignore,
            Self::Unignore => Happening::Unignore,
            Self::Delete => Happening::Delete,
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Link(_) => "linked",
            Self::Unlink => "unlinked",
            Self::Ignore => "ignored",
            Self::Unignore => "un-ignored",
            Self::Delete => "deleted",
        }
    }
}

impl Engine {
    /// Does what a person decided about an entry. Gives it as it is now; `None` if nothing is known of it any more.
    pub async fn decide_directory_entry(
        &self,
        id: DirectoryEntryId,
        decision: Decision,
        actor: &str,
    ) -> Result<Option<EntryRecord>> {
        let entry = self.db().directory_entry(id).await?;
        let step = step(entry.kind, entry.state, decision.happening()).map_err(|refused| {
            let message = format!("entry {:?} cannot be {}: {refused}", entry.name, decision.told());
            Error::conflict("directory-entry-state", message)
        })?;
        let sync = self.db().sync(&entry.sync).await?;
        let spec = sync.spec.directory.unwrap_or_default();
        let of = Of { sync: &entry.sync, now: self.clock().now() };
        let mut devices: Vec<Option<DeviceId>> = Vec::new();
        let write = match (decision, entry.user) {
            (Decision::Link(wanted), _) => {
                let write = self.linked(&entry, &of, &spec, wanted).await?;
                if let Some(user) = wanted {
                    devices.push(self.db().user(user).await?.device);
                }
                write
            }
            (_, None) => UserWrite::Nothing,
            (_, Some(user)) => {
                let user = self.db().user(user).await?;
                devices.push(user.device);
                match step.user {
                    UserBecomes::Removed => UserWrite::Remove(user.id),
                    UserBecomes::LetGo => UserWrite::Change(Of::let_go(&directory_user(&user))),
                    UserBecomes::Disabled => UserWrite::Change(of.orphaned(&directory_user(&user))),
                    UserBecomes::Same | UserBecomes::Kept => UserWrite::Nothing,
                }
            }
        };
        let message =
            format!("Directory entry {:?} of sync {} was {}", entry.name, entry.sync, decision.told());
        let event = NewEvent::new(&format!("directory-entry.{}", decision.told()), actor, message)
            .sync(&entry.sync)
            .data(serde_json::json!({ "entry": entry.id, "user": entry.user }));
        let by_hand = decision == Decision::Unlink;
        let stored = self.db().decide_directory_entry(&entry, step.entry, by_hand, &write, event).await?;
        self.publish_for_users(devices, actor).await?;
        Ok(stored)
    }

    async fn linked(
        &self,
        entry: &EntryRecord,
        of: &Of<'_>,
        spec: &ImportSpec,
        wanted: Option<UserId>,
    ) -> Result<UserWrite> {
        let person = person(entry)?;
        let Some(id) = wanted else { return Ok(UserWrite::Add(of.new_user(&person, group_by_hand(spec)))) };
        let filter = EntryFilter { user: Some(id), ..EntryFilter::default() };
        let other = self.db().directory_entries(&filter, &syncline_store::Page::first(1)).await?.items.pop();
        if let Some(other) = other {
            let message = format!(
                "user {id} goes by entry {:?} of sync {} already: unlink that one first",
                other.name, other.sync
            );
            return Err(Error::conflict("user-linked", message));
        }
        let user = self.db().user(id).await?;
        Ok(UserWrite::Change(of.updated(&directory_user(&user), &person)))
    }

    /// The syncs that read a directory source.
    pub async fn syncs_of_source(&self, source: &Name) -> Result<Vec<Name>> {
        let syncs = self.db().syncs().await?.into_iter();
        let reads = syncs.filter(|sync| sync.spec.directory.is_some() && sync.spec.sources.contains(source));
        Ok(reads.map(|sync| sync.name).collect())
    }
}

/// What a user takes over of an entry that is kept here.
fn person(entry: &EntryRecord) -> Result<Person> {
    let declared = syncline_domain::directory::Entry {
        id: entry.entry.clone(),
        kind: entry.kind,
        name: entry.name.clone(),
        aliases: Vec::new(),
        parent: None,
        enabled: entry.enabled,
        attributes: entry.attributes.clone(),
    };
    Person::of(&declared).ok_or_else(|| {
        Error::conflict(
            "directory-entry-kind",
            format!("entry {:?} is a {}, and no person", entry.name, entry.kind),
        )
    })
}

fn directory_user(user: &User) -> DirectoryUser {
    DirectoryUser {
        user: user.id,
        name: user.name.clone(),
        display_name: user.display_name.clone(),
        email: user.email.clone(),
        disabled: user.disabled,
        group: user.group.clone(),
        origins: user.origins.clone(),
    }
}
