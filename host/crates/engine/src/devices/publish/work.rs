//! What becomes of each application on one device.

use std::collections::BTreeMap;

use syncline_domain::{
    Failure, Name,
    device::{
        Delivery, Device,
        policy::{Layer, Source},
    },
    policy::{Application, DEVICE_BYTES},
};

use super::Published;
use crate::{
    Engine, Result,
    devices::{
        resolve::{self, Resolved},
        rules::Rules,
    },
};

/// What became of each application, with what that stands on ([`Delivery::basis`]).
pub(super) type OfDevice = BTreeMap<Name, (Resolved, Option<String>)>;

impl Engine {
    /// Asks the plugins about a device, as far as they were not asked the same before.
    pub(super) async fn resolve_device(
        &self,
        rules: &Rules,
        device: &Device,
        deliveries: &[(Name, Delivery)],
        published: &mut Published,
    ) -> Result<OfDevice> {
        let selections = rules.selections_of(device, deliveries, self.clock().now());
        let mut all = BTreeMap::new();
        for (plugin, applications) in &rules.applications {
            let mut asked_about = Vec::new();
            let mut bases = BTreeMap::new();
            for application in applications {
                let layers = rules.layers(application, device, &selections);
                if layers.is_empty() {
                    all.insert(application.name.clone(), (Resolved::Withdrawn, None));
                    continue;
                }
                match resolve::application(&application.name, &layers) {
                    Ok((asked, _)) => {
                        bases.insert(application.name.clone(), basis(&layers));
                        asked_about.push(asked);
                    }
                    Err(failure) => {
                        all.insert(application.name.clone(), (Resolved::Failed(failure), None));
                    }
                }
            }
            for (name, resolved) in self.ask_for(rules, plugin, device, asked_about, published).await? {
                let basis = bases.remove(&name);
                all.insert(name, (resolved, basis));
            }
        }
        limit_size(&mut all);
        Ok(all)
    }

    async fn ask_for(
        &self,
        rules: &Rules,
        plugin: &Name,
        device: &Device,
        applications: Vec<Application>,
        published: &mut Published,
    ) -> Result<Vec<(Name, Resolved)>> {
        if applications.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<_> = applications.iter().map(|one| one.name.clone()).collect();
        let ready = rules.plugin(plugin).and_then(|asked| {
            Ok((asked, resolve::request(device, applications, rules.users_of(device.id))?))
        });
        let (asked, request) = match ready {
            Ok(ready) => ready,
            Err(failure) => {
                let failed = |name| (name, Resolved::Failed(failure.clone()));
                return Ok(names.into_iter().map(failed).collect());
            }
        };
        let mut answers = Vec::new();
        for call in request.calls(&asked.asks) {
            let (kept, called) = self.resolve(asked, call).await?;
            published.calls += u64::from(called);
            answers.extend(kept.iter().cloned());
        }
        Ok(answers)
    }
}

/// A digest of the policies among these layers, with their versions.
fn basis(layers: &[Layer<'_>]) -> String {
    let mut hasher = blake3::Hasher::new();
    for layer in layers {
        if let Source::Policy(policy) = layer.source {
            hasher.update(policy.id.0.as_bytes()).update(&policy.version.to_le_bytes());
        }
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Documents of a device beyond its limit are refused, in the order of their names.
fn limit_size(all: &mut OfDevice) {
    let mut bytes = 0;
    for (name, (resolved, _)) in all {
        let Resolved::Document(_, size) = resolved else { continue };
        bytes += *size;
        if bytes > DEVICE_BYTES {
            let message = format!(
                "the document of {name} brings the device over {DEVICE_BYTES} bytes in all: make its policies smaller"
            );
            *resolved = Resolved::Failed(Failure::settings("device-size", message));
        }
    }
}
