//! How the applications stand, as it is reported.

use syncline_protocol::{
    items::{self, ApplicationState},
    opamp::{AgentConfigFile, AgentConfigMap, RemoteConfigStatus, RemoteConfigStatuses},
};

use super::{Applier, Offer, Record, Stage, Step};
use crate::{digest::Digest, error::Result};

/// Bytes of a file that someone else changed and that is reported as it is.
const FOREIGN_LIMIT: u64 = 1024 * 1024;

/// How all applications stand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Each, in the words of our capability.
    pub applications: Vec<items::Application>,
    /// What is in use, in the words of OpAMP.
    pub effective: AgentConfigMap,
    /// What became of the last offer, in the words of OpAMP; `None` before the first.
    pub status: Option<RemoteConfigStatus>,
}

impl Found {
    /// Whether someone else changed a file.
    pub fn drift(&self) -> bool {
        self.applications.iter().any(|one| one.drift)
    }
}

impl Applier<'_> {
    /// How all applications stand, with each file read anew.
    pub fn look(&self) -> Result<Found> {
        let Some(offer) = Offer::load(self.state)? else { return Ok(Found::default()) };
        let mut found = Found::default();
        for record in Record::all(self.state)? {
            if let Some(application) = self.application(&record, &offer) {
                self.effective(&record, &application, &mut found.effective);
                found.applications.push(application);
            }
        }
        for (name, entry) in &offer.documents {
            if !found.applications.iter().any(|one| one.name == *name) {
                found.applications.push(self.without_record(name, entry.digest));
            }
        }
        found.status = Some(status(&offer, &found.applications));
        Ok(found)
    }

    /// Forgets applications whose document was taken back, now that the server knows.
    pub fn forget_withdrawn(&self) -> Result<()> {
        for record in Record::all(self.state)? {
            if record.withdrawn && record.held.is_none() && record.step.is_none() {
                record.forget(self.state)?;
            }
        }
        Ok(())
    }

    fn without_record(&self, name: &str, document: Digest) -> items::Application {
        let configured = self.config.applications.contains_key(name);
        let (state, error) = if configured {
            (ApplicationState::Applying, "")
        } else {
            (ApplicationState::Unsupported, "the application is not configured on this device")
        };
        items::Application {
            name: name.to_owned(),
            document_digest: document.to_vec(),
            state: state.into(),
            error: error.to_owned(),
            ..items::Application::default()
        }
    }

    /// `None` for one that has nothing to say.
    fn application(&self, record: &Record, offer: &Offer) -> Option<items::Application> {
        let offered = offer.documents.get(&record.name).map(|entry| entry.digest);
        if offered.is_some() && !self.config.applications.contains_key(&record.name) {
            return None;
        }
        let on_disk = self.file_of(record);
        let held = record.held.as_ref();
        let (state, document, error) = match (&record.step, &record.failure, held) {
            (Some(Step { to: None, .. }), ..) => (ApplicationState::Withdrawing, None, ""),
            (Some(Step { to: Some(to), .. }), ..) => (ApplicationState::Applying, Some(to.document), ""),
            (None, Some(failure), _) => (ApplicationState::Failed, failure.document, failure.error.as_str()),
            (None, None, Some(held)) if offered.is_none_or(|offered| offered == held.document) => {
                (ApplicationState::Applied, Some(held.document), "")
            }
            (None, None, _) if offered.is_some() => (ApplicationState::Applying, offered, ""),
            (None, None, _) if record.withdrawn => (ApplicationState::Withdrawn, None, ""),
            (None, None, _) => return None,
        };
        let applied =
            held.filter(|held| Some(held.document) == document && state == ApplicationState::Applied);
        Some(items::Application {
            name: record.name.clone(),
            document_digest: document.map(Digest::to_vec).unwrap_or_default(),
            state: state.into(),
            applied_at_unix_ms: applied.map_or(0, |held| held.applied_at),
            digest_on_disk: on_disk.map(Digest::to_vec).unwrap_or_default(),
            drift: record.step.is_none() && held.is_some_and(|held| Some(held.file) != on_disk),
            error: error.to_owned(),
        })
    }

    fn file_of(&self, record: &Record) -> Option<Digest> {
        let configured = self.config.applications.get(&record.name).map(|application| &application.file);
        let path = configured.or(record.held.as_ref().map(|held| &held.path))?;
        Digest::of_file(path).unwrap_or(None)
    }

    /// A document counts as in use where the file that was made of it is in place; a file that someone else changed is
    /// reported as it is.
    fn effective(&self, record: &Record, application: &items::Application, map: &mut AgentConfigMap) {
        let Some(held) = &record.held else { return };
        let writing =
            matches!(&record.step, Some(Step { stage: Stage::Writing | Stage::Restoring { .. }, .. }));
        if application.digest_on_disk.is_empty() || writing {
            return;
        }
        let body = if application.drift {
            let small = held.path.metadata().is_ok_and(|metadata| metadata.len() <= FOREIGN_LIMIT);
            if small { std::fs::read(&held.path).ok() } else { None }
        } else {
            self.state.kept(held.document).ok()
        };
        if let Some(body) = body {
            let file = AgentConfigFile { body: body.into(), content_type: held.content_type.clone() };
            map.config_map.insert(record.name.clone(), file);
        }
    }
}

/// One word for all: the worst.
fn status(offer: &Offer, applications: &[items::Application]) -> RemoteConfigStatus {
    let failed = [ApplicationState::Failed, ApplicationState::Unsupported];
    let under_way = [ApplicationState::Applying, ApplicationState::Withdrawing];
    let errors: Vec<String> = applications
        .iter()
        .filter(|one| failed.contains(&one.state()))
        .map(|one| format!("{}: {}", one.name, one.error))
        .collect();
    let status = if applications.iter().any(|one| under_way.contains(&one.state())) {
        RemoteConfigStatuses::Applying
    } else if errors.is_empty() {
        RemoteConfigStatuses::Applied
    } else {
        RemoteConfigStatuses::Failed
    };
    RemoteConfigStatus {
        last_remote_config_hash: offer.hash_bytes(),
        status: status.into(),
        error_message: errors.join("; "),
    }
}
