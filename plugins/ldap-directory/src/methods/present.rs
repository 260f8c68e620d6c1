//! What is there, by ids alone: for servers that do not tell what is gone.

use syncline_plugin::Result;

use super::{Reader, of_source};
use crate::{connection::Search, dn, entry, fields::Fields};

/// Names each entry of the source that can be known by its id. After this, and after what changed is put, the source is whole.
pub(crate) fn all(reader: &mut Reader<'_>) -> Result<()> {
    let Reader { client, plan, taker, .. } = reader;
    for base in &plan.bases {
        for kind in &plan.kinds {
            let search = Search::below(&base.text, kind.filter.clone(), &plan.identity_alone());
            client.pages(&of_source(plan, search), plan.page_size, &mut |entry| {
                let fields = Fields::from(entry);
                let in_scope = dn::normal(&fields.dn).is_ok_and(|normal| plan.in_scope(&normal));
                match entry::identity(plan, &fields) {
                    Ok(id) if in_scope => taker.out.present(id),
                    // Out of scope, or reported when it was read.
                    _ => Ok(()),
                }
            })?;
        }
    }
    taker.out.flush()
}
