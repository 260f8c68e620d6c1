//! Refreshes: a collection is brought to what its source has.
//!
//! * here: what both kinds of source share
//! * [`listed`]: a manifest on a server, and the files that it lists
//! * [`mirror`]: that server, over HTTP
//! * [`copied`]: a folder of another store, by the copying of syncs
//!
//! The road is the one of syncs: what should be is read (from the source, in place of a plugin), compared, held to the collection's
//! limits, and carried out. Files that come from a server get their names when all of them have come.

mod copied;
mod listed;
mod mirror;

use std::sync::Arc;

use syncline_domain::{
    Failure, Name,
    guard::{self, Size},
    place::Collection,
    refresh::CollectionSource,
    run::Run,
};
use syncline_files::Source;
use syncline_store::Claim;

use super::{Outcome, failed, files::digests::StoredDigests, journal::Journal, sources::Memory};
use crate::{Engine, Result, worker::Control};

/// What a refresh goes by, as it stood when the attempt began.
struct Refreshing<'a> {
    engine: &'a Engine,
    run: &'a Run,
    collection: Collection,
    /// The collection's place.
    to: Source,
    digests: Memory,
    control: Arc<Control>,
    journal: Arc<Journal>,
}

/// Takes a claimed refresh down its road.
pub(super) async fn begin(
    engine: &Engine,
    claim: &Claim,
    name: &Name,
    control: &Arc<Control>,
    journal: &Arc<Journal>,
) -> Result<Outcome> {
    let collection = engine.db().collection(name).await?;
    engine.db().begin_run(claim, None).await?;
    engine.db().clear_operations(claim).await?;
    let record = engine.db().store(&collection.store).await?;
    let store = engine.open_store(&record).await?;
    let to = Source { name: collection.name.clone(), store, prefix: collection.prefix.clone() };
    let work = Refreshing {
        engine,
        run: &claim.run,
        to,
        digests: Arc::new(StoredDigests::new(engine.db().clone())),
        control: Arc::clone(control),
        journal: Arc::clone(journal),
        collection,
    };
    let outcome = match &work.collection.source {
        CollectionSource::Http(source) => listed::road(&work, source).await,
        CollectionSource::Store(source) => copied::road(&work, source).await,
        CollectionSource::None => {
            let message =
                format!("collection {name} has no source any more: give it one, or fill it by hand");
            Err(Failure::settings("no-source", message).into())
        }
    };
    Ok(outcome.unwrap_or_else(|error| failed(claim, error)))
}

impl Refreshing<'_> {
    /// The limits that hold a difference of this size.
    fn guard(&self, outcome: &mut Outcome, size: Size) {
        outcome.sizes = vec![size];
        outcome.excesses = guard::check(&self.collection.limits, &outcome.sizes);
        if let Some(approval) = &self.run.approval
            && guard::within_approved(&approval.sizes, &outcome.sizes)
        {
            outcome.excesses.clear();
        }
    }
}
