//! A policy plugin asked about a device that is described in JSON: what a host would give it, in the same sandbox.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use serde::Serialize;
use syncline_domain::{
    Failure, Name,
    clock::Clock,
    log::LogLine,
    plugin::{DEVICE_POLICY, Manifest, SandboxLimits},
    policy::{Answer, Asks, LockedOut, ResolveRequest, Verdict, lock_out},
};
use syncline_sandbox::{LogSink, PolicyCall, StopSignal};

use super::{Ready, ready};
use crate::{Error, Result};

/// What is asked of what.
#[derive(Debug, Clone)]
pub struct TryPolicy {
    /// The package.
    pub package: Vec<u8>,
    /// A [`ResolveRequest`] as JSON, in any order; locked settings can still be in it.
    pub request: serde_json::Value,
    /// Settings of the plugin.
    pub settings: serde_json::Value,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyReport {
    /// What the package says of itself.
    pub plugin: Manifest,
    /// For each application, sorted by name.
    pub answers: Vec<Answer>,
    /// Settings that were taken out before the plugin saw them; only applications with some.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub locked_out: BTreeMap<Name, Vec<LockedOut>>,
    /// What the plugin and the host wrote.
    pub log: Vec<LogLine>,
}

/// Asks a plugin. What fails for one application, or in one call, is the verdict on it.
pub async fn try_policy(what: TryPolicy, clock: Arc<dyn Clock>) -> Result<PolicyReport> {
    let limits = SandboxLimits::for_world(DEVICE_POLICY);
    let Ready { manifest, sandbox, plugin, settings } =
        ready(&what.package, &what.settings, &limits, &clock).await?;
    let mut request = parse(what.request)?;
    let locked_out = lock(&mut request)?;
    let lines = Arc::new(Lines::default());
    let mut answers = Vec::new();
    for request in request.calls(&Asks::from(&manifest)) {
        let asked: Vec<_> = request.applications.iter().map(|one| one.name.clone()).collect();
        let call = PolicyCall {
            settings: settings.clone(),
            request,
            limits,
            log: Arc::clone(&lines) as _,
            stop: StopSignal::never(),
        };
        match sandbox.resolve(&plugin, call).await {
            Ok(answer) => answers.extend(answer.answers),
            Err(failure) => {
                answers.extend(asked.into_iter().map(|application| failed(application, &failure)))
            }
        }
    }
    let log = std::mem::take(&mut *lines.0.lock());
    Ok(PolicyReport { plugin: manifest, answers, locked_out, log })
}

fn parse(json: serde_json::Value) -> Result<ResolveRequest> {
    let mut request: ResolveRequest = serde_json::from_value(json)
        .map_err(|error| Error::invalid("policy-request", format!("the request makes no sense: {error}")))?;
    request.sort().map_err(|error| Error::invalid("policy-request", format!("in the request, {error}")))?;
    Ok(request)
}

/// Takes out what is locked. Fails for locks that could never hold.
fn lock(request: &mut ResolveRequest) -> Result<BTreeMap<Name, Vec<LockedOut>>> {
    let mut locked_out = BTreeMap::new();
    for application in &mut request.applications {
        for (number, layer) in application.layers.iter().enumerate() {
            for lock in &layer.locks {
                lock.check_in(&layer.settings).map_err(|error| {
                    let message = format!("layer {number} of {}: the lock {error}", application.name);
                    Error::invalid("policy-request", message)
                })?;
            }
        }
        let taken = lock_out(&mut application.layers);
        if !taken.is_empty() {
            locked_out.insert(application.name.clone(), taken);
        }
    }
    Ok(locked_out)
}

fn failed(application: Name, failure: &Failure) -> Answer {
    Answer { application, verdict: Verdict::Failed(failure.clone()) }
}

/// Keeps what is logged.
#[derive(Default)]
struct Lines(Mutex<Vec<LogLine>>);

impl LogSink for Lines {
    fn line(&self, line: LogLine) {
        self.0.lock().push(line);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_sorted_and_locked() {
        let mut request = parse(json!({ "applications": [
            { "name": "b", "layers": [{ "settings": {}, "locks": ["/x"] }, { "settings": { "x": 1, "y": 2 } }] },
            { "name": "a" },
        ] }))
        .unwrap();
        let locked_out = lock(&mut request).unwrap();
        assert_eq!(request.applications[0].name.as_str(), "a");
        assert_eq!(json!(request.applications[1].layers[1].settings), json!({ "y": 2 }));
        assert_eq!(locked_out.len(), 1);
    }

    #[test]
    fn a_request_that_makes_no_sense_is_refused() {
        for request in
            [json!({}), json!({ "applications": [{ "name": "A" }] }), json!({ "applications": [], "x": 1 })]
        {
            assert!(parse(request).is_err());
        }
        let layers = json!([{ "settings": { "list": [1] }, "locks": ["/list/0"] }]);
        let mut request = parse(json!({ "applications": [{ "name": "a", "layers": layers }] })).unwrap();
        let message = lock(&mut request).unwrap_err().into_failure().message;
        assert!(message.contains("layer 0 of a") && message.contains("an array"), "{message}");
    }
}
