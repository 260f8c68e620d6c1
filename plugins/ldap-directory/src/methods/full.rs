//! Everything, page by page (RFC 2696).

use syncline_plugin::Result;

use super::{Reader, of_source};
use crate::{connection::Search, taker::Members};

/// Reads all of the source.
pub(crate) fn all(reader: &mut Reader<'_>) -> Result<()> {
    let Reader { client, plan, taker, .. } = reader;
    for base in &plan.bases {
        for kind in &plan.kinds {
            let search = of_source(plan, Search::below(&base.text, kind.filter.clone(), &kind.attributes));
            client
                .pages(&search, plan.page_size, &mut |entry| taker.take(kind, entry, None, Members::All))?;
        }
    }
    taker.finish(client)
}
