//! World `file-sync`: the trait that a plugin implements, and the way from the host's call to it.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{
    failure::Result,
    raw::{exports::syncline::plugin::sync, syncline::plugin::types},
    settings,
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

/// What the host asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Id of the run, to tell runs apart in what the plugin logs.
    pub run: String,
    /// What the last run whose effects were all written gave to [`Outcome::with_cursor`]. `None` at first, and when an
    /// administrator asked for everything anew: then read everything.
    pub cursor: Option<Vec<u8>>,
}

/// What a run leaves to the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    cursor: Option<Vec<u8>>,
}

impl Outcome {
    /// Nothing to go on from: the next run reads everything again. What most plugins want.
    pub fn done() -> Self {
        Self::default()
    }

    /// Where the next run goes on, at most 64 KiB. Begin it with a version of your own, and treat one that you do not
    /// know as none.
    pub fn with_cursor(cursor: impl Into<Vec<u8>>) -> Self {
        Self { cursor: Some(cursor.into()) }
    }

    /// The cursor, if there is one.
    pub fn cursor(&self) -> Option<&[u8]> {
        self.cursor.as_deref()
    }
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
