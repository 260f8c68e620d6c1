//! Whoever comes with an enrolment token.
//!
//! An agent that takes connection settings is offered a credential of its own, and is in once it has come with it. One that
//! does not needs a token for one device, which stays its credential.

use std::time::Duration;

use jiff::Timestamp;
use syncline_domain::{
    device::{
        Abilities, Publication, Scope,
        enrolment::{Admits, EnrolmentToken},
        record::Facts,
    },
    ids::DeviceId,
};
use syncline_protocol::{
    InstanceUid,
    opamp::{
        AgentToServer, ConnectionSettingsOffers, Header, Headers, OpAmpConnectionSettings, ServerToAgentFlags,
    },
};
use syncline_store::{Error as StoreError, NewEnrolment};

use super::{Answer, Link, Login, Turn, answer_of, facts, refused};
use crate::{Engine, Result};

/// What came of it.
pub(super) enum Enrolled {
    /// There is nothing more to say.
    Answered(Box<Answer>),
    /// It is in: its message is taken as that of this device.
    Device(DeviceId),
}

impl Engine {
    pub(super) async fn enrol(
        &self,
        token: &EnrolmentToken,
        bearer: &str,
        link: &Link,
        uid: InstanceUid,
        message: &AgentToServer,
    ) -> Result<Enrolled> {
        let abilities = facts::abilities(message, Abilities::default());
        let known = message.agent_description.as_ref().map(facts::facts);
        let new = NewEnrolment {
            instance_uid: hex::encode(uid.as_bytes()),
            name: facts::name(known.as_ref().unwrap_or(&Facts::new()), uid),
            facts: known,
            abilities,
        };
        if !abilities.takes_credential {
            return self.enrol_for_good(token, bearer, &new, message).await;
        }
        let enrolling = match self.db().enrol(token.id, &new).await {
            Ok(enrolling) => enrolling,
            Err(StoreError::Conflict(why)) => return Ok(Enrolled::Answered(Box::new(refused(message, why)))),
            Err(error) => return Err(error.into()),
        };
        let mut answer = answer_of(message);
        if let Some(enrolling) = enrolling {
            let (device, period) = (enrolling.device.id, self.config().devices.period);
            let settings = self.connection_settings(device, &enrolling.credential, period, link);
            answer.connection_settings = Some(settings);
        }
        if message.agent_description.is_none() {
            answer.flags = u64::from(ServerToAgentFlags::REPORT_FULL_STATE);
        }
        Ok(Enrolled::Answered(Box::new(Answer { message: answer, device: None })))
    }

    async fn enrol_for_good(
        &self,
        token: &EnrolmentToken,
        bearer: &str,
        new: &NewEnrolment,
        message: &AgentToServer,
    ) -> Result<Enrolled> {
        if let Admits::Group(group) = &token.admits {
            let why = format!(
                "this agent takes no credential of its own (capability AcceptsOpAMPConnectionSettings), and the token is for \
                 group {group}: register a device and give the agent a token for it alone"
            );
            return Ok(Enrolled::Answered(Box::new(refused(message, why))));
        }
        match self.db().enrol_lasting(token.id, bearer, new).await {
            Ok(device) => {
                self.publish(Publication::of(Scope::Devices(vec![device.id]))).await?;
                Ok(Enrolled::Device(device.id))
            }
            Err(StoreError::Conflict(why)) => Ok(Enrolled::Answered(Box::new(refused(message, why)))),
            Err(error) => Err(error.into()),
        }
    }

    /// Offers a device another credential where its own has been in use for long, and what it has once more where it says that
    /// it has something else (section "ConnectionSettingsStatus.last_connection_settings_hash").
    pub(super) async fn offer_settings(&self, turn: &mut Turn<'_>, login: Login<'_>) -> Result<()> {
        if !turn.device.abilities.takes_credential {
            return Ok(());
        }
        let device = turn.device.id;
        let lasts = self.config().devices.credential_lasts;
        let is_old = |since: Timestamp| since.checked_add(lasts).is_ok_and(|end| end <= turn.now);
        if login.since.is_some_and(is_old) {
            let fresh = self.db().issue_candidate(device).await?;
            turn.answer.connection_settings =
                Some(self.connection_settings(device, &fresh, turn.period, login.link));
            return Ok(());
        }
        if let Some(status) = &turn.message.connection_settings_status {
            let present = self.connection_settings(device, login.bearer, turn.period, login.link);
            if status.last_connection_settings_hash != present.hash {
                turn.answer.connection_settings = Some(present);
            }
        }
        Ok(())
    }

    /// An offer is complete: what it leaves out is off, not unchanged.
    fn connection_settings(
        &self,
        device: DeviceId,
        credential: &str,
        period: Duration,
        link: &Link,
    ) -> ConnectionSettingsOffers {
        let interval = self.interval_of(device, period).as_secs().max(1);
        let mut hasher = blake3::Hasher::new();
        for part in [link.endpoint.as_bytes(), credential.as_bytes(), &interval.to_le_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let header = Header { key: "Authorization".to_owned(), value: format!("Bearer {credential}") };
        let opamp = OpAmpConnectionSettings {
            destination_endpoint: link.endpoint.clone(),
            headers: Some(Headers { headers: vec![header] }),
            heartbeat_interval_seconds: interval,
            ..OpAmpConnectionSettings::default()
        };
        ConnectionSettingsOffers {
            hash: hasher.finalize().as_bytes().to_vec(),
            opamp: Some(opamp),
            ..ConnectionSettingsOffers::default()
        }
    }
}
