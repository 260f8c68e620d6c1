//! World `file-sync`: the trait that a plugin implements, and the way from the host's call to it.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{
    failure::Result,
    raw::{exports::syncline::plugin::sync, syncline::plugin::types},
    settings,
    sync::{Outcome, Request},
};

/// Keeps files on targets as they should be.
///
/// Implement it for a type without content and hand that to [`export!`](crate::export). Each run has a fresh instance: no
/// state is left from the one before, but the [cursor](Outcome::with_cursor).
pub trait FileSync {
    /// What an administrator can set. Its [JSON Schema](crate::settings::schema) goes into the manifest: doc comments become
    /// descriptions, and `#[serde(default)]` makes a setting optional. [`NoSettings`](crate::NoSettings) if there is nothing.
    type Settings: DeserializeOwned + JsonSchema;

    /// Declare what should be, with [`Tree`](crate::Tree), [`File`](crate::File), [`Content`](crate::Content),
    /// [`Inventory`](crate::Inventory) and [`Prune`](crate::Prune). Nothing is done until it has returned, and then the
    /// host does only what differs.
    ///
    /// # Errors
    ///
    /// A failure discards all that was declared. Return one whenever something could not be read to its end: what is not
    /// declared can be taken for gone.
    fn declare(settings: Self::Settings, request: Request) -> Result<Outcome>;
}

/// Stands between the generated bindings and a plugin.
#[doc(hidden)]
#[derive(Debug)]
pub struct FileSyncAdapter<P>(PhantomData<P>);

impl<P: FileSync + 'static> sync::Guest for FileSyncAdapter<P> {
    fn declare(request: sync::Request) -> Result<sync::Outcome, types::Failure> {
        let request = Request { run: request.run, cursor: request.cursor };
        let outcome = P::declare(settings::load()?, request)?;
        Ok(sync::Outcome { cursor: outcome.cursor })
    }
}
