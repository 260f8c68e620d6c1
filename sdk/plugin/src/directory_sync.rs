//! World `directory-sync`: the trait that a plugin implements, and the way from the host's call to it.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{
    failure::Result,
    raw::{exports::syncline::plugin::sync, syncline::plugin::types},
    settings,
    sync::{Outcome, Request},
};

/// Reads people, groups, computers and units from a directory.
///
/// Implement it for a type without content and hand that to [`export!`](crate::export):
/// `export!(directory-sync: Hello)`. Each run has a fresh instance: no state is left from the one before, but the
/// [cursor](Outcome::with_cursor).
///
/// ```
/// use syncline_plugin::{directory::EntryKind, prelude::*};
///
/// /// Everybody, from wherever `people` has them.
/// struct Hello;
///
/// impl DirectorySync for Hello {
///     type Settings = NoSettings;
///
///     fn declare(_: NoSettings, _: Request) -> Result<Outcome> {
///         let mut directory = Directory::new();
///         for (id, name, email) in people()? {
///             directory.put(Entry::new(EntryKind::Person, id, name).with_text("email", "mail", [email]))?;
///         }
///         directory.complete()?;
///         Ok(Outcome::done())
///     }
/// }
/// # fn people() -> Result<Vec<(String, String, String)>> { Ok(Vec::new()) }
///
/// syncline_plugin::export!(directory-sync: Hello);
/// ```
pub trait DirectorySync {
    /// What an administrator can set, as for [`FileSync`](crate::FileSync::Settings).
    type Settings: DeserializeOwned + JsonSchema;

    /// Read the directory with [`directory_sources`](crate::directory_sources) and declare what it has with a
    /// [`Directory`](crate::Directory). Nothing is taken over until it has returned.
    ///
    /// # Errors
    ///
    /// A failure discards all that was declared. Return one whenever something could not be read to its end: what a whole
    /// read does not name is taken for gone.
    fn declare(settings: Self::Settings, request: Request) -> Result<Outcome>;
}

/// Stands between the generated bindings and a plugin.
#[doc(hidden)]
#[derive(Debug)]
pub struct DirectorySyncAdapter<P>(PhantomData<P>);

impl<P: DirectorySync + 'static> sync::Guest for DirectorySyncAdapter<P> {
    fn declare(request: sync::Request) -> Result<sync::Outcome, types::Failure> {
        let request = Request { run: request.run, cursor: request.cursor };
        let outcome = P::declare(settings::load()?, request)?;
        Ok(sync::Outcome { cursor: outcome.cursor })
    }
}
