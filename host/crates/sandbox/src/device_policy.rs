//! The world `device-policy`: a plugin that decides what devices should hold.
//!
//! Its answers depend on its input alone: there is no clock, no progress and no source in it. So an answer can be kept
//! under the digest of its [`PolicyInput`]. [`answers`] holds it to what the contract says of answers.

mod answers;
mod request;

use std::sync::Arc;

use serde::Serialize;
use syncline_domain::{
    Failure,
    clock::Clock,
    plugin::SandboxLimits,
    policy::{Answer, ResolveRequest},
};
use wasmtime::{
    Engine, Store,
    component::{HasSelf, InstancePre, Linker},
};

use crate::{
    bindings::{
        device_policy::{DevicePolicy, DevicePolicyPre, exports::syncline::plugin::policy as wit},
        syncline::plugin::types,
    },
    call::{Call, CallBasis, Entry, Gate, Usage, guarded},
    host::{LogSink, NoProgress, StopSignal},
    outcome::returned,
};

/// The export by which a component of this world is known.
pub(crate) const EXPORT: &str = "syncline:plugin/policy@0.1.0";

/// One resolve, and all that it may use.
pub struct PolicyCall {
    /// The settings of the plugin: one JSON object, valid by its schema, defaults filled in, members sorted.
    pub settings: String,
    /// What is asked, sorted (`ResolveRequest::sort`), with locked settings taken out (`policy::lock_out`) and without
    /// what the plugin does not ask for (`ResolveRequest::calls`). Its names are all different.
    pub request: ResolveRequest,
    /// Limits of its sandbox: `SandboxLimits::for_world` to begin with.
    pub limits: SandboxLimits,
    /// Takes what it logs.
    pub log: Arc<dyn LogSink>,
    /// Ends it from outside.
    pub stop: StopSignal,
}

/// What a `device-policy` plugin decided.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyAnswer {
    /// One for each application asked about, in the same order.
    pub answers: Vec<Answer>,
    /// What the call cost.
    pub usage: Usage,
}

/// All that an answer depends on.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PolicyInput<'a> {
    /// Digest of the plugin's package.
    pub plugin: &'a str,
    /// What is asked, as in [`PolicyCall::request`].
    pub request: &'a ResolveRequest,
    /// The settings of the plugin, as in [`PolicyCall::settings`].
    pub settings: &'a str,
}

impl PolicyInput<'_> {
    /// `blake3:` and 64 hexadecimal digits: BLAKE3 of its canonical JSON, with members sorted and no spaces. Equal inputs
    /// have equal digests, on any machine.
    ///
    /// # Errors
    ///
    /// The host's fault: it cannot be written as JSON.
    pub fn digest(&self) -> Result<String, Failure> {
        let json = serde_json::to_vec(self).map_err(|error| {
            Failure::host("policy-input", format!("the input of a policy cannot be written as JSON: {error}"))
        })?;
        Ok(format!("blake3:{}", blake3::hash(&json).to_hex()))
    }
}

/// Gives a linker all that this world imports.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Call>> {
    let mut linker = Linker::new(engine);
    DevicePolicy::add_to_linker::<_, HasSelf<Call>>(&mut linker, |call| call)?;
    Ok(linker)
}

/// A component of this world, ready to be instantiated.
pub(crate) fn prepare(pre: InstancePre<Call>) -> wasmtime::Result<DevicePolicyPre<Call>> {
    DevicePolicyPre::new(pre)
}

/// Calls `policy.resolve` in a fresh instance.
pub(crate) async fn resolve(
    gate: &Gate,
    clock: Arc<dyn Clock>,
    plugin: &DevicePolicyPre<Call>,
    call: PolicyCall,
) -> Result<PolicyAnswer, Failure> {
    let PolicyCall { settings, request: asked, limits, log, stop } = call;
    let progress = Arc::new(NoProgress);
    let data = Call::new(CallBasis { limits, settings, clock, log, progress })?;
    let request = request::lower(&asked)?;
    let ended = guarded(gate, data, &stop, Resolve { plugin, request }).await?;
    let given = &ended.call.given;
    match ended.result? {
        Ok(raw) => {
            Ok(PolicyAnswer { answers: answers::lift(raw, &asked, given)?, usage: ended.call.usage() })
        }
        Err(failure) => Err(returned(failure, given)),
    }
}

struct Resolve<'a> {
    plugin: &'a DevicePolicyPre<Call>,
    request: wit::Request,
}

impl Entry for Resolve<'_> {
    type Output = Result<Vec<wit::Answer>, types::Failure>;

    async fn enter(self, store: &mut Store<Call>) -> wasmtime::Result<Self::Output> {
        let instance = self.plugin.instantiate_async(&mut *store).await?;
        instance.syncline_plugin_policy().call_resolve(&mut *store, &self.request).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(settings: &str, request: serde_json::Value) -> String {
        let request = serde_json::from_value(request).unwrap();
        PolicyInput { plugin: "blake3:00", request: &request, settings }.digest().unwrap()
    }

    #[test]
    fn equal_inputs_have_equal_digests_and_others_others() {
        let request = |layer| json!({ "applications": [{ "name": "a", "layers": [{ "settings": layer }] }] });
        let one = digest("{}", request(json!({ "x": 1, "y": { "b": 1, "a": 2 } })));
        assert_eq!(one, digest("{}", request(json!({ "y": { "a": 2, "b": 1 }, "x": 1 }))));
        assert_ne!(one, digest("{ }", request(json!({ "x": 1, "y": { "b": 1, "a": 2 } }))));
        assert_ne!(one, digest("{}", request(json!({ "x": 2, "y": { "b": 1, "a": 2 } }))));
        assert!(one.starts_with("blake3:") && one.len() == 71, "{one}");
    }

    #[test]
    fn what_is_digested_is_canonical() {
        let request = ResolveRequest::default();
        let input = PolicyInput { plugin: "p", request: &request, settings: "{}" };
        // `to_value` sorts members by name.
        assert_eq!(serde_json::to_string(&input).unwrap(), serde_json::to_value(input).unwrap().to_string());
    }
}
