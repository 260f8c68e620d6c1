//! Many users at once, as they come out of another system. Each is taken or refused for itself.

use serde::{Deserialize, Serialize};
use syncline_domain::{
    device::{GroupPath, user::User},
    ids::UserId,
};
use syncline_store::{NewUser, Page, UserFilter};

use super::users::UserChange;
use crate::{Engine, Error, Result};

/// Most users of one import.
pub const MOST_USERS: usize = 1_000;

/// A user of an import. What is absent is left as it is where the user is there, and is empty where it is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportedUser {
    /// The account's name; by this a user is known.
    pub name: String,
    /// What to call the person.
    pub display_name: Option<String>,
    /// Its e-mail.
    pub email: Option<String>,
    /// The group whose keys it has; `/` where it is new and none is given.
    pub group: Option<GroupPath>,
}

/// What becomes of those who are there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Existing {
    /// They are refused.
    #[default]
    Refuse,
    /// They stay as they are.
    Keep,
    /// They get what is given.
    Change,
}

/// What became of one user.
#[derive(Debug)]
pub enum Taken {
    /// It was made.
    Created(UserId),
    /// It was there and was changed.
    Changed(UserId),
    /// It was there and is as it was.
    Unchanged(UserId),
    /// It was not taken over.
    Refused(Error),
}

impl Engine {
    /// Makes or changes users, one after the other, and publishes what that means for devices once. The answers are in the order of
    /// `users`.
    pub async fn import_users(
        &self,
        users: Vec<ImportedUser>,
        existing: Existing,
        actor: &str,
    ) -> Result<Vec<Taken>> {
        if users.is_empty() || users.len() > MOST_USERS {
            let message = format!("{} users: give 1 to {MOST_USERS} at a time", users.len());
            return Err(Error::invalid("users", message));
        }
        let (mut taken, mut devices) = (Vec::with_capacity(users.len()), Vec::new());
        for user in users {
            let one = match self.import_user(user, existing, actor).await {
                Ok((one, changed)) => {
                    devices.push(changed.and_then(|user| user.device));
                    one
                }
                // What is wrong with the host is wrong for all that follow.
                Err(error @ Error::Internal(_)) => return Err(error),
                Err(error) => Taken::Refused(error),
            };
            taken.push(one);
        }
        self.publish_for_users(devices, actor).await?;
        Ok(taken)
    }

    async fn import_user(
        &self,
        new: ImportedUser,
        existing: Existing,
        actor: &str,
    ) -> Result<(Taken, Option<User>)> {
        let made = NewUser {
            name: new.name.clone(),
            display_name: new.display_name.clone().unwrap_or_default(),
            email: new.email.clone().filter(|email| !email.is_empty()),
            group: new.group.clone().unwrap_or_else(GroupPath::root),
            keys: Default::default(),
        };
        let there = match self.create_user(&made, actor).await {
            Ok(user) => return Ok((Taken::Created(user.id), None)),
            Err(error @ Error::Exists { .. }) if existing != Existing::Refuse => {
                self.user_named(&new.name).await?.ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        let change = UserChange {
            display_name: new.display_name,
            email: new.email,
            group: new.group,
            ..UserChange::default()
        };
        if existing == Existing::Keep || change.is_in(&there) {
            return Ok((Taken::Unchanged(there.id), None));
        }
        let changed = self.store_change(there.id, change, Some(there.revision), actor).await?;
        Ok((Taken::Changed(changed.id), Some(changed)))
    }

    /// The user of exactly this name.
    async fn user_named(&self, name: &str) -> Result<Option<User>> {
        let filter = UserFilter { name: Some(name.to_owned()), ..UserFilter::default() };
        let page = Page { limit: 1, after: None };
        Ok(self.db().users(&filter, &page).await?.items.into_iter().next())
    }
}

impl UserChange {
    /// Whether a user has all of it already.
    fn is_in(&self, user: &User) -> bool {
        fn same<T: PartialEq>(wanted: Option<&T>, present: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == present)
        }
        let email = user.email.clone().unwrap_or_default();
        same(self.name.as_ref(), &user.name)
            && same(self.display_name.as_ref(), &user.display_name)
            && same(self.email.as_ref(), &email)
            && same(self.group.as_ref(), &user.group)
            && same(self.disabled.as_ref(), &user.disabled)
            && same(self.keys.as_ref(), &user.keys)
    }
}
