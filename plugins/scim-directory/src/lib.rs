//! Reads people and groups from services that speak SCIM 2.0 (RFC 7643, RFC 7644).
//!
//! * `settings`: what an administrator says; `path`: how attributes are named in it.
//! * `run`: one run, in full or from where the last one ended; `cursor`: where the next one goes on.
//! * `service`: what is asked, page by page, and when an answer is none.
//! * `entry`: from resources to what is declared; `declare`: where that goes.
//!
//! All of it works on an [`Ask`] and a [`Declare`], which the host fills in a run and tests fill with a service of their own.

mod cursor;
mod declare;
mod entry;
mod path;
mod run;
mod service;
mod settings;
#[cfg(test)]
mod tests;

use std::time::Duration;

use syncline_plugin::prelude::*;

pub use declare::Declare;
pub use service::{Answer, Ask};

use settings::Settings;

/// For one answer, however long the service takes to find what it lists.
const TIMEOUT: Duration = Duration::from_secs(60);

struct ScimDirectory;

impl DirectorySync for ScimDirectory {
    type Settings = Settings;

    fn declare(settings: Settings, request: Request) -> Result<Outcome> {
        let sources = web_sources();
        let [source] = sources.as_slice() else {
            return Err(Failure::settings(format!(
                "{} sources of kind scim are bound to this sync, and it reads one: bind one to each sync",
                sources.len()
            )));
        };
        let mut directory = Directory::new();
        let read =
            run::run(&settings, &source.url, request.cursor.as_deref(), &mut Bound(source), &mut directory);
        let cursor = read.map_err(|failure| failure.context(&source.name))?;
        directory.complete()?;
        Ok(cursor.map_or_else(Outcome::done, Outcome::with_cursor))
    }
}

/// A source that the host asks.
struct Bound<'a>(&'a WebSource);

impl Ask for Bound<'_> {
    fn get(&mut self, path: &str) -> Result<Answer> {
        let request = self.0.get(path).header("accept", "application/scim+json, application/json");
        let response = request.bearer().timeout(TIMEOUT).send()?;
        let header = |name: &str| response.headers.get(name).map(str::to_owned);
        let (date, retry_after) = (header("date"), header("retry-after"));
        Ok(Answer { status: response.status, date, retry_after, body: response.body })
    }
}

syncline_plugin::export!(directory-sync: ScimDirectory);
