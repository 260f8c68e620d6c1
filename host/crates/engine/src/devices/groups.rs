//! The tree of groups.

use syncline_domain::{
    device::{GroupPath, Publication, Scope, user::KeySets},
    event::NewEvent,
};
use syncline_store::GroupRecord;

use super::users::check_keys;
use crate::{Engine, Result};

/// What can be changed of a group. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct GroupChange {
    /// For people.
    pub description: Option<String>,
    /// Key sets of the users in it.
    pub keys: Option<KeySets>,
    /// Where it is to be.
    pub path: Option<GroupPath>,
}

impl Engine {
    /// Makes a group below one that is there.
    pub async fn create_group(
        &self,
        path: &GroupPath,
        description: &str,
        keys: &KeySets,
        actor: &str,
    ) -> Result<GroupRecord> {
        check_keys(keys)?;
        let event = NewEvent::new("group.created", actor, format!("Group {path} was made"));
        Ok(self.db().add_group(path, description, keys, event).await?)
    }

    /// Changes a group, or moves it with all that is in it, and publishes what changes by that.
    pub async fn change_group(
        &self,
        path: &GroupPath,
        change: GroupChange,
        revision: Option<i64>,
        actor: &str,
    ) -> Result<GroupRecord> {
        let mut group = self.db().group(path).await?;
        group.revision = revision.unwrap_or(group.revision);
        if let Some(keys) = &change.keys {
            check_keys(keys)?;
        }
        let users_change = change.keys.is_some() || change.path.is_some();
        if change.description.is_some() || change.keys.is_some() {
            group.description = change.description.unwrap_or(group.description);
            group.keys = change.keys.unwrap_or(group.keys);
            let event = NewEvent::new("group.changed", actor, format!("Group {path} was changed"));
            group = self.db().update_group(&group, event).await?;
        }
        if let Some(to) = change.path.filter(|to| *to != group.path) {
            let event = NewEvent::new("group.moved", actor, format!("Group {path} was moved to {to}"));
            group = self.db().move_group(path, &to, event).await?;
        }
        self.publish_change(Publication::of(Scope::Group(group.path.clone())), actor).await?;
        if users_change {
            // Its users can be on devices that sit elsewhere.
            let devices = self.db().devices_of_users_in(&group.path).await?;
            self.publish_for_users(devices.into_iter().map(Some), actor).await?;
        }
        Ok(group)
    }

    /// Removes a group. Refused while there is anything in it or below it.
    pub async fn remove_group(&self, path: &GroupPath, actor: &str) -> Result<()> {
        let event = NewEvent::new("group.removed", actor, format!("Group {path} was removed"));
        Ok(self.db().remove_group(path, event).await?)
    }
}
