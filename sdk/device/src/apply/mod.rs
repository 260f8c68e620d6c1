//! Keeping applications at their documents.
//!
//! * [`Offer::accept`]: stores what the server offered; nothing is done with it yet.
//! * [`Applier::work`]: brings every application to the stored offer, and ends what an earlier run began. It can be called at
//!   any time; where all is as it should be, it writes nothing and runs nothing.
//! * [`Applier::look`]: how every application stands, with its file read anew: what is reported.
//!
//! # Through a crash
//!
//! Each step is written to the application's [`Record`] before it is taken, see [`Stage`]. So the reload runs once for each
//! change, and once more only where the agent was killed after it wrote that the file is good.

pub mod command;
mod offer;
mod record;
mod render;
mod report;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fs, path::Path};

use command::{Call, Commands, Failed};
pub use offer::{DOCUMENT_LIMIT, Entry, MOST_DOCUMENTS, OFFER_LIMIT, Offer};
pub use record::{Failure, Held, Record, Stage, Step};
pub use report::Found;

use crate::{
    clock::Clock,
    config::{Application, Config, FILE_ARGUMENT},
    digest::Digest,
    disk,
    error::{Error, Result},
    state::StateFolder,
};

/// Works on the applications of one device.
pub struct Applier<'a> {
    /// Where records are.
    pub state: &'a StateFolder,
    /// What each application is here.
    pub config: &'a Config,
    /// Runs checks and reloads.
    pub commands: &'a dyn Commands,
    /// Tells when.
    pub clock: &'a Clock,
}

impl Applier<'_> {
    /// Brings every application to the stored offer. Says how they stood each time that somebody else's change was about to be
    /// undone: an earlier look may have been too early for it, and a later one is too late.
    pub fn work(&self) -> Result<Vec<Found>> {
        let mut drift = Vec::new();
        // Before the first offer there is nothing that the server decided, and nothing to take back.
        let Some(offer) = Offer::load(self.state)? else { return Ok(drift) };
        let records = Record::all(self.state)?;
        let names: BTreeSet<&str> = records
            .iter()
            .map(|record| record.name.as_str())
            .chain(offer.documents.keys().map(String::as_str))
            .collect();
        for name in names {
            self.settle(name, &offer, &mut drift)?;
        }
        offer.tidy(self.state)?;
        Ok(drift)
    }

    /// Brings one application to the offer.
    fn settle(&self, name: &str, offer: &Offer, drift: &mut Vec<Found>) -> Result<()> {
        let mut record = Record::load(self.state, name)?;
        let application = self.config.applications.get(name);
        if self.resume(&mut record, application, offer)? {
            record = Record::load(self.state, name)?;
        }
        let drifted = |held: &Held| application.is_some_and(|application| !in_place(application, held.file));
        if record.step.is_none() && record.held.as_ref().is_some_and(drifted) {
            // Another mode or owner alone is put back without a word.
            drift.extend(Some(self.look()?).filter(Found::drift));
        }
        match (offer.documents.get(name), application) {
            (None, _) => self.withdraw(&mut record, application, offer),
            (Some(_), None) => Ok(()),
            (Some(entry), Some(application)) => self.provide(&mut record, application, entry, offer),
        }
    }

    /// Ends what a killed run began. Says whether it did: a step that had only begun to write is begun anew by whoever asks.
    fn resume(&self, record: &mut Record, application: Option<&Application>, offer: &Offer) -> Result<bool> {
        let (Some(step), Some(application)) = (record.step.clone(), application) else { return Ok(false) };
        match step.stage {
            Stage::Writing => Ok(false),
            Stage::Restoring { error, reload } => {
                let document = step.to.map(|to| to.document);
                self.restore(record, application, offer, document, error, reload).map(|()| true)
            }
            Stage::Reloading => match step.to {
                Some(to) if on_disk(&application.file) == Some(to.file) => {
                    self.reload(record, application, offer, to).map(|()| true)
                }
                _ => Ok(false),
            },
        }
    }

    /// Gives an application its document, unless it has it or just failed with it.
    fn provide(
        &self,
        record: &mut Record,
        application: &Application,
        entry: &Entry,
        offer: &Offer,
    ) -> Result<()> {
        let failed = record
            .failure
            .as_ref()
            .is_some_and(|failure| failure.offer == offer.hash && failure.document == Some(entry.digest));
        if failed {
            return self.repair(record, application, offer);
        }
        let body = self.state.kept(entry.digest)?;
        let file = match render::render(application, &body) {
            Ok(file) => file,
            Err(error) => return self.restore(record, application, offer, Some(entry.digest), error, false),
        };
        let digest = self.state.keep(&file)?;
        let same = record.held.as_ref().filter(|held| held.document == entry.digest && held.file == digest);
        if same.is_some() && record.step.is_none() && in_place(application, digest) {
            return self.confirm(record, entry);
        }
        // Putting back what was there before is no delivery: the time of that stays.
        let applied_at = same.map_or_else(|| self.clock.now(), |held| held.applied_at);
        let to = Held {
            document: entry.digest,
            content_type: entry.content_type.clone(),
            file: digest,
            path: application.file.clone(),
            applied_at,
        };
        self.change(record, application, offer, to, &file)
    }

    /// All is as it should be: what was said before of another document is over.
    fn confirm(&self, record: &mut Record, entry: &Entry) -> Result<()> {
        let type_differs = record.held.as_ref().is_some_and(|held| held.content_type != entry.content_type);
        if record.failure.is_none() && !record.withdrawn && !type_differs {
            return Ok(());
        }
        record.failure = None;
        record.withdrawn = false;
        if let Some(held) = &mut record.held {
            held.content_type.clone_from(&entry.content_type);
        }
        record.save(self.state)
    }

    /// Puts the last good file back if someone else changed it, while the document that was offered does not work.
    fn repair(&self, record: &mut Record, application: &Application, offer: &Offer) -> Result<()> {
        let Some(held) = record.held.clone() else { return Ok(()) };
        if in_place(application, held.file) {
            return Ok(());
        }
        let (file, failure) = (self.state.kept(held.file)?, record.failure.clone());
        self.change(record, application, offer, held, &file)?;
        if record.failure.is_none() {
            record.failure = failure;
            record.save(self.state)?;
        }
        Ok(())
    }

    /// Writes a file, checks it, and goes on to the reload.
    fn change(
        &self,
        record: &mut Record,
        application: &Application,
        offer: &Offer,
        to: Held,
        file: &[u8],
    ) -> Result<()> {
        self.remember_original(record, application)?;
        record.step = Some(Step { to: Some(to.clone()), stage: Stage::Writing });
        record.save(self.state)?;
        let document = Some(to.document);
        match self.write(application, &record.name, file) {
            Ok(()) => self.reload(record, application, offer, to),
            Err(error) => self.restore(record, application, offer, document, error, false),
        }
    }

    /// What a person put there is no document of ours, and yet the last good file.
    fn remember_original(&self, record: &mut Record, application: &Application) -> Result<()> {
        if record.held.is_some() || record.step.is_some() || record.original.is_some() {
            return Ok(());
        }
        match fs::read(&application.file) {
            Ok(bytes) => record.original = Some(self.state.keep(&bytes)?),
            Err(error) => {
                tracing::debug!(application = record.name, %error, "there is no file to go back to")
            }
        }
        Ok(())
    }

    /// Brings the file to its place, with the check before or after as configured.
    fn write(&self, application: &Application, name: &str, file: &[u8]) -> Result<(), String> {
        let path = &application.file;
        let failed = |error| Error::file("write", path)(error).to_string();
        let beside = disk::prepare(path, file, application.access()?).map_err(failed)?;
        if application.checks_before()
            && let Err(error) = self.run(application, name, &application.check, &beside)
        {
            disk::remove(&beside).map_err(failed)?;
            return Err(error);
        }
        disk::commit(&beside, path).map_err(failed)?;
        if application.checks_before() {
            Ok(())
        } else {
            self.run(application, name, &application.check, path)
        }
    }

    /// Writes that the file is good, has it taken up, and writes that it is in use.
    fn reload(&self, record: &mut Record, application: &Application, offer: &Offer, to: Held) -> Result<()> {
        record.step = Some(Step { to: Some(to.clone()), stage: Stage::Reloading });
        record.save(self.state)?;
        if let Err(error) = self.run(application, &record.name, &application.reload, &application.file) {
            return self.restore(record, application, offer, Some(to.document), error, true);
        }
        record.held = Some(to);
        record.step = None;
        record.failure = None;
        record.withdrawn = false;
        record.save(self.state)
    }

    /// Puts the last good file back, and writes why.
    fn restore(
        &self,
        record: &mut Record,
        application: &Application,
        offer: &Offer,
        document: Option<Digest>,
        error: String,
        reload: bool,
    ) -> Result<()> {
        // Nothing was begun: there is nothing to put back.
        if let Some(step) = &mut record.step {
            step.stage = Stage::Restoring { error: error.clone(), reload };
            record.save(self.state)?;
            if let Err(why) = self.put_back(record, application) {
                tracing::warn!(application = record.name, "the last good file could not be put back: {why}");
            } else if reload
                && let Err(why) = self.run(application, &record.name, &application.reload, &application.file)
            {
                tracing::warn!(
                    application = record.name,
                    "with the last good file, the reload failed too: {why}"
                );
            }
        }
        record.step = None;
        record.failure = Some(Failure { offer: offer.hash.clone(), document, error });
        record.save(self.state)
    }

    fn put_back(&self, record: &Record, application: &Application) -> Result<(), String> {
        let path = &application.file;
        let good = record.held.as_ref().map(|held| held.file).or(record.original);
        match good {
            Some(digest) if in_place(application, digest) => Ok(()),
            Some(digest) => {
                let file = self.state.kept(digest).map_err(|error| error.to_string())?;
                disk::replace(path, &file, application.access()?).map_err(|error| error.to_string())
            }
            None => disk::remove(path).map_err(|error| error.to_string()),
        }
    }

    /// Takes a document back.
    fn withdraw(&self, record: &mut Record, application: Option<&Application>, offer: &Offer) -> Result<()> {
        let failed_before = record.failure.as_ref().is_some_and(|failure| failure.offer == offer.hash);
        if (record.held.is_none() && record.step.is_none()) || failed_before {
            if record.failure.is_some() && !failed_before {
                record.failure = None;
                record.withdrawn = true;
                record.save(self.state)?;
            }
            return Ok(());
        }
        // An application that is not configured any more keeps its file: there is no one to say what should become of it.
        if let Some(application) = application.filter(|application| !application.keep_on_withdraw)
            && !self.take_away(record, application, offer)?
        {
            return Ok(());
        }
        record.held = None;
        record.step = None;
        record.original = None;
        record.failure = None;
        record.withdrawn = true;
        record.save(self.state)
    }

    /// Removes the file and has that taken up. Says whether the file is gone.
    fn take_away(&self, record: &mut Record, application: &Application, offer: &Offer) -> Result<bool> {
        let reloading = matches!(&record.step, Some(Step { to: None, stage: Stage::Reloading }));
        if !reloading || application.file.exists() {
            record.step = Some(Step { to: None, stage: Stage::Writing });
            record.save(self.state)?;
            if let Err(error) =
                disk::remove(&application.file).map_err(Error::file("remove", &application.file))
            {
                record.step = None;
                let error = error.to_string();
                record.failure = Some(Failure { offer: offer.hash.clone(), document: None, error });
                record.save(self.state)?;
                return Ok(false);
            }
            record.step = Some(Step { to: None, stage: Stage::Reloading });
            record.save(self.state)?;
        }
        if let Err(why) = self.run(application, &record.name, &application.reload, &application.file) {
            tracing::warn!(
                application = record.name,
                "the file is removed, and the reload after it failed: {why}"
            );
        }
        Ok(true)
    }

    /// Runs one of the application's commands.
    fn run(
        &self,
        application: &Application,
        name: &str,
        command: &[String],
        file: &Path,
    ) -> Result<(), String> {
        if command.is_empty() {
            return Ok(());
        }
        let path = file.display().to_string();
        let fill =
            |argument: &String| if argument == FILE_ARGUMENT { path.clone() } else { argument.clone() };
        let command: Vec<String> = command.iter().map(fill).collect();
        let environment = [("SYNCLINE_FILE", path.clone()), ("SYNCLINE_APPLICATION", name.to_owned())];
        let call =
            Call { command: &command, environment: &environment, input: b"", timeout: application.timeout() };
        self.commands.run(call).map(|_| ()).map_err(|failed| words(failed, application.report_output))
    }
}

/// Whether the file is there, with its bytes and its mode.
fn in_place(application: &Application, file: Digest) -> bool {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    if on_disk(&application.file) != Some(file) {
        return false;
    }
    let Ok(access) = application.access() else { return true };
    let Ok(metadata) = fs::symlink_metadata(&application.file) else { return false };
    let owner = access.owner.is_none_or(|owner| owner == (metadata.uid(), metadata.gid()));
    metadata.is_file() && metadata.permissions().mode() & 0o7777 == access.mode && owner
}

/// What cannot be read is not what should be there: writing it anew says what is wrong.
fn on_disk(path: &Path) -> Option<Digest> {
    Digest::of_file(path).unwrap_or(None)
}

/// What is reported of a failed command.
pub(crate) fn words(failed: Failed, with_output: bool) -> String {
    match failed.output {
        output if with_output && !output.is_empty() => format!("{}: {output}", failed.why),
        _ => failed.why,
    }
}
