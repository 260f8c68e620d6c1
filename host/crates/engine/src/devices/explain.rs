//! Why a device has the values that it has.

use std::collections::BTreeSet;

use serde::Serialize;
use syncline_domain::{
    Failure, Name,
    device::{
        Delivery, Device,
        policy::{Layer, Place, Source},
    },
    ids::{DeviceId, PolicyId},
    policy::{Answer, Document, LockedOut, Verdict},
};

use super::{resolve, rules::Rules};
use crate::{Engine, Error, Result};

/// Where the document of an application on a device comes from.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Explanation {
    /// The application.
    pub application: Name,
    /// The layers in force, from the weakest to the strongest: what `layer` in the rest counts, from 0.
    pub layers: Vec<ExplainedLayer>,
    /// The document as it comes out now, with where each value comes from and what it overruled; null if the application is
    /// withdrawn, or could not be worked out.
    pub document: Option<Document>,
    /// Settings that locks took out before the plugin saw them.
    pub locked_out: Vec<LockedOut>,
    /// Why it could not be worked out.
    pub failure: Option<Failure>,
    /// How far the device is with it; null if it never should have held it.
    pub delivery: Option<Delivery>,
}

/// A layer of settings.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ExplainedLayer {
    /// The policy; null for the application's defaults.
    pub policy: Option<PolicyId>,
    /// Its version.
    pub version: Option<u64>,
    /// Where it holds.
    pub place: Option<Place>,
    /// What it says.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    /// What it locks.
    pub locks: Vec<String>,
}

impl ExplainedLayer {
    fn of(layer: &Layer<'_>) -> Self {
        let policy = match layer.source {
            Source::Policy(policy) => Some(policy),
            Source::Defaults => None,
        };
        Self {
            policy: policy.map(|one| one.id),
            version: policy.map(|one| one.version),
            place: policy.map(|one| one.spec.place.clone()),
            settings: layer.settings.clone(),
            locks: layer.locks.to_vec(),
        }
    }
}

impl Engine {
    /// Works out the document of an application for a device once more, and says where its values come from.
    pub async fn explain_document(&self, id: DeviceId, name: &Name) -> Result<Explanation> {
        let device = self.db().device(id).await?;
        let deliveries = self.db().deliveries_of(id).await?;
        let rules = Rules::read(self, Some(name), Some(id)).await?;
        let Some((plugin, application)) = rules.application(name) else {
            return Err(Error::NotFound { what: "application", name: name.to_string() });
        };
        let selections = rules.selections_of(&device, &deliveries, self.clock().now());
        let layers = rules.layers(application, &device, &selections);
        let delivery = deliveries.into_iter().find(|(one, _)| one == name).map(|(_, delivery)| delivery);
        let mut explanation = Explanation {
            application: name.clone(),
            layers: layers.iter().map(ExplainedLayer::of).collect(),
            document: None,
            locked_out: Vec::new(),
            failure: None,
            delivery,
        };
        if layers.is_empty() {
            return Ok(explanation);
        }
        match self.explained(&rules, &device, &selections, (plugin, name), &mut explanation).await {
            Ok(Some(answer)) => match answer.verdict {
                Verdict::Document(document) => explanation.document = Some(document),
                Verdict::Withdrawn => {}
                Verdict::Failed(failure) => explanation.failure = Some(failure),
            },
            Ok(None) => {}
            Err(failure) => explanation.failure = Some(failure),
        }
        Ok(explanation)
    }
    /// What the plugin says of one application, asked to explain it.
    async fn explained(
        &self,
        rules: &Rules,
        device: &Device,
        selections: &BTreeSet<Name>,
        (plugin, name): (&Name, &Name),
        explanation: &mut Explanation,
    ) -> Result<Option<Answer>, Failure> {
        let asked = rules.plugin(plugin)?;
        let mut all = Vec::new();
        for one in rules.applications.get(plugin).into_iter().flatten() {
            let layers = rules.layers(one, device, selections);
            if layers.is_empty() || (one.name != *name && !asked.asks.whole_device) {
                continue;
            }
            let (application, taken) = resolve::application(&one.name, &layers)?;
            if one.name == *name {
                explanation.locked_out = taken;
            }
            all.push(application);
        }
        let mut request = resolve::request(device, all, rules.users_of(device.id))?;
        request.explain = true;
        for call in request.calls(&asked.asks) {
            let answers = self.ask(asked, call).await?;
            if let Some(answer) = answers.into_iter().find(|answer| answer.application == *name) {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }
}
