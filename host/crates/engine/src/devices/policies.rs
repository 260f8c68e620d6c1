//! Policies: made, changed, rolled back, removed; each change is published.

use syncline_domain::{
    Name,
    device::{
        Publication,
        policy::{Place, Policy, PolicySpec},
    },
    event::NewEvent,
    ids::PolicyId,
    policy::Pointer,
};
use syncline_store::PolicyChange;

use super::applications::check_settings;
use crate::{Engine, Error, Result};

impl Engine {
    /// Makes a policy and publishes it.
    pub async fn create_policy(&self, spec: &PolicySpec, note: &str, actor: &str) -> Result<Policy> {
        self.check_policy(spec).await?;
        let event = event("policy.created", actor, "was made", spec.application.as_str());
        let policy = self.db().add_policy(spec, note, event).await?;
        self.publish_policy(&policy, actor).await?;
        Ok(policy)
    }

    /// Changes a policy, and publishes it: a new version. `from` is the version that the caller read.
    pub async fn change_policy(
        &self,
        id: PolicyId,
        spec: PolicySpec,
        from: Option<u64>,
        note: &str,
        actor: &str,
    ) -> Result<Policy> {
        self.check_policy(&spec).await?;
        let before = self.db().policy(id).await?;
        let change = PolicyChange { from: from.unwrap_or(before.version), spec, note: note.to_owned() };
        let event = event("policy.changed", actor, "was changed", before.spec.application.as_str());
        let policy = self.db().change_policy(id, &change, event).await?;
        self.publish_policy(&policy, actor).await?;
        Ok(policy)
    }

    /// Brings the content of an old version back, as a new version, and publishes it.
    pub async fn roll_back_policy(
        &self,
        id: PolicyId,
        to: u64,
        from: Option<u64>,
        note: &str,
        actor: &str,
    ) -> Result<Policy> {
        let before = self.db().policy(id).await?;
        let old = self.db().policy_version(id, to).await?;
        self.check_policy(&old.spec).await?;
        let told = format!("went back to version {to}");
        let event = event("policy.rolled-back", actor, &told, before.spec.application.as_str());
        let from = from.unwrap_or(before.version);
        let policy = self.db().roll_back_policy(id, from, to, note, event).await?;
        self.publish_policy(&policy, actor).await?;
        Ok(policy)
    }

    /// Removes a policy with its versions, and publishes what changes by that.
    pub async fn remove_policy(&self, id: PolicyId, actor: &str) -> Result<()> {
        let policy = self.db().policy(id).await?;
        let event = event("policy.removed", actor, "was removed", policy.spec.application.as_str());
        self.db().remove_policy(id, event).await?;
        self.publish_policy(&policy, actor).await
    }

    async fn publish_policy(&self, policy: &Policy, actor: &str) -> Result<()> {
        // Wherever it held before: a change of its place is one of both places.
        let what =
            Publication { application: Some(policy.spec.application.clone()), ..Publication::default() };
        self.publish_change(what, actor).await
    }

    async fn check_policy(&self, spec: &PolicySpec) -> Result<()> {
        let bad = |message: String| Error::invalid("policy", message);
        spec.check().map_err(|error| bad(error.to_string()))?;
        let settings = spec.settings.as_object().ok_or_else(|| bad("settings are no object".to_owned()))?;
        for lock in &spec.locks {
            let pointer: Pointer = lock.parse().map_err(|error| bad(format!("lock {error}")))?;
            pointer.check_in(settings).map_err(|error| bad(format!("the lock {error}")))?;
        }
        let application = match self.db().application(&spec.application).await.map_err(Error::from) {
            Err(Error::NotFound { name, .. }) => {
                return Err(bad(format!("there is no application {name:?}: make it first")));
            }
            other => other?,
        };
        check_settings(application.spec.schema.as_ref(), &spec.settings, "policy-settings")?;
        if let Place::Selection { name, .. } = &spec.place {
            let selection = match self.db().selection(name).await.map_err(Error::from) {
                Err(Error::NotFound { name, .. }) => {
                    return Err(bad(format!("there is no selection {name:?}: save it first")));
                }
                other => other?,
            };
            if !selection.condition.is_stable() {
                return Err(bad(unstable(name)));
            }
        }
        if let Place::Device(id) = &spec.place {
            let device = self.db().device(*id).await?;
            if device.never_came() && device.enrolled_at.is_none() {
                let message = format!(
                    "device {id} was never in contact, so nothing can be set on it alone: enrol it and force a \
                     synchronisation (POST /api/v1/devices/{id}/sync), then set it"
                );
                return Err(Error::conflict("never-in-contact", message));
            }
        }
        Ok(())
    }
}

/// Why no policy holds on a selection.
pub(super) fn unstable(name: &Name) -> String {
    format!(
        "selection {name} asks for what policies themselves or time change (deliveries, status, contact): a policy can hold on \
         facts and groups alone"
    )
}

fn event(kind: &str, actor: &str, what: &str, application: &str) -> NewEvent {
    NewEvent::new(kind, actor, format!("A policy of application {application} {what}"))
}
