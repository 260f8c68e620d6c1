//! Reads people, groups, computers and units from LDAP servers and Active Directory.
//!
//! * `settings`: what an administrator says; `plan`: what that means for a source; `defaults`: what is usual.
//! * `run`: one run over all sources; `methods`: the ways of finding what changed; `cursor`: where the next run goes on.
//! * `connection`: searches; `root`, `fields`, `filter`, `dn`: what servers say, and how it is written.
//! * `taker`, `entry`, `units`: from what comes to what is declared; `declare`: where that goes.
//!
//! All of it works on a [`Connection`] and a [`Declare`], which the host fills in a run and tests fill with a directory of their
//! own.

mod connection;
mod cursor;
mod declare;
mod defaults;
mod dn;
mod entry;
mod fields;
mod filter;
mod methods;
mod plan;
mod root;
mod run;
mod settings;
mod taker;
#[cfg(test)]
mod tests;
mod units;

use std::time::Duration;

use syncline_plugin::{Session, prelude::*};

pub use connection::Connection;
pub use declare::Declare;
pub use plan::Source;
pub use run::Read;

use settings::Settings;

struct LdapDirectory;

impl DirectorySync for LdapDirectory {
    type Settings = Settings;

    fn declare(settings: Settings, request: Request) -> Result<Outcome> {
        let bound = directory_sources();
        let sources: Vec<_> = bound.iter().map(source).collect();
        let mut directory = Directory::new();
        let mut connect = |name: &str| -> Result<Box<dyn Connection>> {
            let source = bound.iter().find(|source| source.name == name);
            let source = source.ok_or_else(|| Failure::bug(format!("{name:?} is not bound")))?;
            Ok(Box::new(Bound(source.connect()?)))
        };
        let read = run::run(&settings, &sources, request.cursor.as_deref(), &mut connect, &mut directory)?;
        if read.whole {
            directory.complete()?
        } else {
            directory.finish()?
        }
        Ok(read.cursor.map_or_else(Outcome::done, Outcome::with_cursor))
    }
}

fn source(source: &DirectorySource) -> Source {
    let bases = source.labels.iter().filter(|(name, _)| *name == "base").map(|(_, base)| base.to_owned());
    let kind = source.labels.get("kind").unwrap_or_default().to_owned();
    Source { name: source.name.clone(), kind, bases: bases.collect() }
}

/// A connection that the host keeps.
struct Bound(Session);

impl Connection for Bound {
    fn server(&self) -> String {
        self.0.server()
    }

    fn send(&mut self, messages: &[u8]) -> Result<()> {
        self.0.send(messages)
    }

    fn receive(&mut self, max_bytes: u32, wait: Duration) -> Result<Vec<u8>> {
        self.0.receive(max_bytes, wait)
    }
}

syncline_plugin::export!(directory-sync: LdapDirectory);
