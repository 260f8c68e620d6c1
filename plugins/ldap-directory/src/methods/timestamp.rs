//! By times of modification: where a server offers nothing better.

use ldap3_proto::proto::LdapSearchResultEntry;
use syncline_plugin::Result;

use super::{Changes, Reader, of_source, present};
use crate::{connection::Search, cursor::Place, filter, plan::KindPlan, taker::Members};

const ATTRIBUTE: &str = "modifyTimestamp";

/// Reads all of the source.
pub(crate) fn all(reader: &mut Reader<'_>) -> Result<Place> {
    read(reader, "")
}

/// Reads what was modified since, and then the ids of all.
pub(crate) fn changes(reader: &mut Reader<'_>, since: &str) -> Result<Changes> {
    let place = read(reader, since)?;
    present::all(reader)?;
    Ok(Changes::Whole(place))
}

/// What has this time or a later one: several changes can have the same.
fn read(reader: &mut Reader<'_>, since: &str) -> Result<Place> {
    let Reader { client, plan, taker, .. } = reader;
    let mut latest = since.to_owned();
    for base in &plan.bases {
        for kind in &plan.kinds {
            let search = search(kind, &base.text, since);
            client.pages(&of_source(plan, search), plan.page_size, &mut |entry| {
                if let Some(time) = time(&entry).filter(|time| *time > latest.as_str()) {
                    time.clone_into(&mut latest);
                }
                taker.take(kind, entry, None, Members::All)
            })?;
        }
    }
    taker.finish(client)?;
    Ok(Place::ModifyTimestamp(latest))
}

fn search(kind: &KindPlan, base: &str, since: &str) -> Search {
    let wanted = match since {
        "" => kind.filter.clone(),
        since => filter::all([kind.filter.clone(), filter::at_least(ATTRIBUTE, since)]),
    };
    let mut search = Search::below(base, wanted, &kind.attributes);
    search.attributes.push(ATTRIBUTE.to_owned());
    search
}

/// In the form `20260131120000Z`, in which the order of texts is that of times.
fn time(entry: &LdapSearchResultEntry) -> Option<&str> {
    let attribute = entry.attributes.iter().find(|one| one.atype.eq_ignore_ascii_case(ATTRIBUTE))?;
    let text = std::str::from_utf8(attribute.vals.first()?).ok()?;
    let plain = text.len() >= 15 && text.ends_with('Z') && text.bytes().take(14).all(|b| b.is_ascii_digit());
    plain.then_some(text)
}
