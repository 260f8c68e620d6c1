//! Asking plugins, once per distinct input.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use syncline_domain::{
    Failure, Fault, Name,
    device::{
        Device, DocumentDigest,
        policy::{Layer, Source},
    },
    log::{LogLevel, LogLine},
    policy::{self, Answer, Fact, LockedOut, Pointer, ResolveRequest, Verdict, check_fact_name, lock_out},
};
use syncline_sandbox::{LogSink, PolicyCall, PolicyInput, StopSignal};

use super::rules::Asked;
use crate::{Engine, Result};

/// Most answers that are kept.
const MOST: usize = 20_000;
/// The fact that tells where the device sits.
const GROUP: &str = "group.path";

/// What becomes of an application on a device.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Resolved {
    /// It gets this document, of so many bytes.
    Document(DocumentDigest, usize),
    /// It is taken back.
    Withdrawn,
    /// It keeps what it has.
    Failed(Failure),
}

type Kept = Arc<Vec<(Name, Resolved)>>;

/// Answers by the digest of their input, which names the plugin too.
#[derive(Default)]
pub(crate) struct Answers(Mutex<HashMap<String, Kept>>);

/// Where log lines of plugins go that are asked about devices.
struct ToLog(Name);

impl LogSink for ToLog {
    fn line(&self, line: LogLine) {
        match line.level {
            LogLevel::Error | LogLevel::Warn => {
                tracing::warn!(plugin = %self.0, message = line.message, "A plugin that decides for devices logged");
            }
            _ => {
                tracing::debug!(plugin = %self.0, message = line.message, "A plugin that decides for devices logged");
            }
        }
    }
}

/// An application as a plugin is asked about it, and what locks took out of it.
pub(super) fn application(
    name: &Name,
    layers: &[Layer<'_>],
) -> Result<(policy::Application, Vec<LockedOut>), Failure> {
    let mut asked = layers.iter().map(layer).collect::<Result<Vec<_>, Failure>>()?;
    let taken = lock_out(&mut asked);
    Ok((policy::Application { layers: asked, name: name.clone() }, taken))
}

fn layer(layer: &Layer<'_>) -> Result<policy::Layer, Failure> {
    let from = || match layer.source {
        Source::Defaults => "the application's defaults".to_owned(),
        Source::Policy(policy) => format!("policy {}", policy.id),
    };
    let settings = layer.settings.as_object().ok_or_else(|| {
        Failure::settings("policy-settings", format!("settings of {} are no object", from()))
    })?;
    let pointer = |lock: &String| {
        lock.parse::<Pointer>()
            .map_err(|error| Failure::settings("policy-lock", format!("lock of {}: {error}", from())))
    };
    let locks = layer.locks.iter().map(pointer).collect::<Result<Vec<_>, Failure>>()?;
    Ok(policy::Layer { locks, settings: settings.clone() })
}

/// What a plugin is asked about a device.
pub(super) fn request(
    device: &Device,
    applications: Vec<policy::Application>,
    users: Vec<policy::User>,
) -> Result<ResolveRequest, Failure> {
    let known = device.facts.iter().filter(|(name, _)| *name != GROUP && check_fact_name(name).is_ok());
    let mut facts: Vec<_> =
        known.map(|(name, value)| Fact { name: name.clone(), value: value.clone() }).collect();
    facts.push(Fact { name: GROUP.to_owned(), value: device.group.as_str().into() });
    let mut request = ResolveRequest { applications, explain: false, facts, users };
    request.sort().map_err(|error| Failure::host("policy-request", error.to_string()))?;
    Ok(request)
}

impl Engine {
    /// The answers to one call, from memory where the same was asked before; and whether the plugin was called.
    pub(super) async fn resolve(&self, asked: &Asked, call: ResolveRequest) -> Result<(Kept, bool)> {
        let input = PolicyInput { plugin: &asked.version.digest, request: &call, settings: &asked.settings };
        let digest = input.digest()?;
        if let Some(known) = self.inner.devices.answers.0.lock().get(&digest) {
            return Ok((Arc::clone(known), false));
        }
        let names: Vec<_> = call.applications.iter().map(|one| one.name.clone()).collect();
        let answers = match self.ask(asked, call).await {
            Ok(answers) => answers,
            Err(failure) => {
                let failed = |name| (name, Resolved::Failed(failure.clone()));
                return Ok((Arc::new(names.into_iter().map(failed).collect()), true));
            }
        };
        let mut kept = Vec::with_capacity(answers.len());
        for Answer { application, verdict } in answers {
            let resolved = match verdict {
                Verdict::Document(document) => {
                    let digest = self.db().add_document(&document.content_type, &document.body).await?;
                    Resolved::Document(digest, document.body.len())
                }
                Verdict::Withdrawn => Resolved::Withdrawn,
                Verdict::Failed(failure) => Resolved::Failed(failure),
            };
            kept.push((application, resolved));
        }
        let kept = Arc::new(kept);
        let mut all = self.inner.devices.answers.0.lock();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(digest, Arc::clone(&kept));
        Ok((kept, true))
    }

    /// One call into a plugin. Failures by its own fault count against it.
    pub(super) async fn ask(&self, asked: &Asked, request: ResolveRequest) -> Result<Vec<Answer>, Failure> {
        let call = PolicyCall {
            settings: asked.settings.clone(),
            request,
            limits: asked.version.limits,
            log: Arc::new(ToLog(asked.version.name.clone())),
            stop: StopSignal::never(),
        };
        match self.sandbox().resolve(&asked.code, call).await {
            Ok(answer) => Ok(answer.answers),
            Err(failure) => {
                if failure.fault == Fault::Plugin
                    && let Err(error) = self.db().strike(&asked.version.digest, &failure).await
                {
                    tracing::error!(%error, plugin = %asked.version.name, "A strike of a plugin could not be counted");
                }
                Err(failure)
            }
        }
    }
}
