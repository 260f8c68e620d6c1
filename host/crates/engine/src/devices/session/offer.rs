//! The documents of a device as they are offered, and whether to send them.

use bytes::Bytes;
use syncline_domain::{
    Name,
    device::{Delivery, DeliveryState, Observation, Wanted},
};
use syncline_protocol::{
    hash::config_hash,
    opamp::{AgentConfigFile, AgentConfigMap, AgentRemoteConfig, ServerToAgentFlags},
};

use super::{Order, Turn};
use crate::{Engine, Result};

/// All documents of a device.
pub(super) struct Offer {
    pub map: AgentConfigMap,
    pub hash: Vec<u8>,
}

impl Engine {
    /// What the device should hold, with the hash that the agent compares.
    pub(super) async fn documents_of(&self, deliveries: &[(Name, Delivery)]) -> Result<Offer> {
        let mut map = AgentConfigMap::default();
        let mut retries = 0;
        for (name, delivery) in deliveries {
            retries += u64::from(delivery.attempt);
            if let Wanted::Document(digest) = &delivery.wanted {
                let document = self.document(digest).await?;
                let file = AgentConfigFile {
                    body: document.body.clone(),
                    content_type: document.content_type.clone(),
                };
                map.config_map.insert(name.to_string(), file);
            }
        }
        let hash = config_hash(map.documents(), retries).to_vec();
        Ok(Offer { map, hash })
    }

    /// The bodies that entries of the effective configuration are compared with.
    pub(super) async fn wanted_bodies(&self, turn: &Turn<'_>) -> Result<Vec<(Name, Bytes)>> {
        if turn.message.effective_config.is_none() || turn.device.abilities.speaks_items {
            return Ok(Vec::new());
        }
        let mut bodies = Vec::new();
        for (name, delivery) in &turn.deliveries {
            if let Wanted::Document(digest) = &delivery.wanted {
                bodies.push((name.clone(), self.document(digest).await?.body.clone()));
            }
        }
        Ok(bodies)
    }

    /// Puts the documents into the answer, if they are to be sent.
    pub(super) async fn offer(&self, turn: &mut Turn<'_>) -> Result<()> {
        if !turn.device.abilities.takes_config || turn.deliveries.is_empty() {
            return Ok(());
        }
        let offer = if turn.message.remote_config_status.is_some() || must_offer(turn) {
            self.documents_of(&turn.deliveries).await?
        } else {
            return Ok(());
        };
        let status = turn.message.remote_config_status.as_ref();
        let has_another = status.is_some_and(|status| status.last_remote_config_hash != offer.hash);
        if !has_another && !must_offer(turn) {
            return Ok(());
        }
        if turn.deliveries.iter().any(|(_, one)| holds_already(one)) {
            // It holds the very document, in another version: it can pass over a hash that it has, so it is asked.
            turn.answer.flags |= u64::from(ServerToAgentFlags::REPORT_FULL_STATE);
        }
        let waiting = turn.deliveries.iter().filter(|(_, one)| one.state.is_waiting());
        let offered: Vec<_> = waiting.map(|(name, _)| (name.clone(), Observation::Offered)).collect();
        self.log_offer(turn, &offered, &offer.hash).await?;
        turn.answer.remote_config =
            Some(AgentRemoteConfig { config: Some(offer.map), config_hash: offer.hash });
        self.step(turn, offered).await
    }
}

fn holds_already(delivery: &Delivery) -> bool {
    delivery.state == DeliveryState::Pending
        && delivery.held.is_some()
        && delivery.held.as_ref() == delivery.wanted.digest()
}

/// Whether the documents are to be sent, whatever hash the agent has.
fn must_offer(turn: &Turn<'_>) -> bool {
    let any = |holds: fn(DeliveryState) -> bool| turn.deliveries.iter().any(|(_, one)| holds(one.state));
    // A full message of an agent that reports configurations and names none: it has none.
    let has_none = turn.message.agent_description.is_some()
        && turn.device.abilities.reports_config
        && turn.message.remote_config_status.is_none()
        && turn.deliveries.iter().any(|(_, one)| one.wanted.digest().is_some());
    any(DeliveryState::is_waiting)
        || has_none
        || (turn.order == Order::Repeated && any(DeliveryState::is_under_way))
}
