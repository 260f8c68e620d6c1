//! Whoever comes with an enrolment token.
//!
//! An agent that takes connection settings is offered a credential of its own, and is in once it has come with it. One that
//! does not needs a token for one device, which stays its credential.

use syncline_domain::{
    device::{
        Abilities, Publication, Scope,
        enrolment::{Admits, EnrolmentToken},
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

use super::{Answer, Link, answer_of, facts, refused};
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
        let known = message.agent_description.as_ref().map(facts::facts).unwrap_or_default();
        let new = NewEnrolment {
            instance_uid: hex::encode(uid.as_bytes()),
            name: facts::name(&known, uid),
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
        answer.connection_settings =
            Some(self.connection_settings(enrolling.device.id, &enrolling.credential, link));
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

    /// An offer is complete: what it leaves out is off, not unchanged.
    fn connection_settings(
        &self,
        device: DeviceId,
        credential: &str,
        link: &Link,
    ) -> ConnectionSettingsOffers {
        let interval = self.interval_of(device, self.config().devices.period).as_secs().max(1);
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
