//! By update sequence numbers of Active Directory: each domain controller numbers its changes, and an object has the number of
//! its latest one. They hold on one controller and its database only.

use ldap3_proto::{control::LdapControl, proto::LdapFilter};
use syncline_plugin::Result;

use super::{Changes, Reader, of_source, present};
use crate::{
    connection::{Client, Search},
    cursor::Place,
    entry,
    fields::Fields,
    filter,
    plan::{Name, Plan},
    root,
    taker::Members,
};

const CHANGED: &str = "uSNChanged";
/// Whatever can be a person, group, computer or unit by any settings: what changes and is none of these any more is gone.
const CANDIDATES: [&str; 5] = ["user", "group", "contact", "organizationalUnit", "container"];

/// Reads all of the source. The number was asked for before: what changes meanwhile is read again.
pub(crate) fn all(reader: &mut Reader<'_>) -> Result<Place> {
    super::full::all(reader)?;
    Ok(Place::Usn(reader.root.highest_usn))
}

/// Reads what has a higher number.
pub(crate) fn changes(reader: &mut Reader<'_>, since: u64) -> Result<Changes> {
    let Reader { client, plan, taker, root } = reader;
    let place = Place::Usn(root.highest_usn);
    if root.highest_usn < since {
        return Ok(Changes::Refused("the domain controller's numbers went back".to_owned()));
    }
    let later = filter::at_least(CHANGED, &since.saturating_add(1).to_string());
    let mut all_deleted_seen = true;
    for context in plan.contexts.iter().filter(|_| root.highest_usn > since) {
        // In the whole context, so that what moved out of the bases is come upon.
        for kind in &plan.kinds {
            let wanted = filter::all([kind.filter.clone(), later.clone()]);
            let search = of_source(plan, Search::below(&context.text, wanted, &kind.attributes));
            client
                .pages(&search, plan.page_size, &mut |entry| taker.take(kind, entry, None, Members::All))?;
        }
        let search = Search::below(&context.text, none_any_more(plan, &later), &plan.identity_alone());
        client.pages(&of_source(plan, search), plan.page_size, &mut |entry| {
            entry::identity(plan, &Fields::from(entry)).map_or(Ok(()), |id| taker.gone(id))
        })?;
        if !deleted_are_seen(client, plan, context)? {
            all_deleted_seen = false;
            continue;
        }
        let wanted = filter::all([filter::equality("isDeleted", "TRUE"), later.clone()]);
        let search =
            Search::below(&deleted_objects(context), wanted, &plan.identity_alone()).with(show_deleted());
        client.pages(&of_source(plan, search), plan.page_size, &mut |entry| {
            entry::identity(plan, &Fields::from(entry)).map_or(Ok(()), |id| taker.gone(id))
        })?;
    }
    taker.finish(client)?;
    if all_deleted_seen {
        return Ok(Changes::Listed(place));
    }
    present::all(reader)?;
    Ok(Changes::Whole(place))
}

/// Changed, and not what is read, but something that may have been.
fn none_any_more(plan: &Plan, later: &LdapFilter) -> LdapFilter {
    let read = filter::any(plan.kinds.iter().map(|kind| kind.filter.clone()));
    filter::all([candidates(plan), LdapFilter::Not(Box::new(read)), later.clone()])
}

/// Whatever is read, or may have been before it changed.
pub(crate) fn candidates(plan: &Plan) -> LdapFilter {
    let classes = CANDIDATES.map(|class| filter::equality("objectClass", class));
    filter::any(plan.kinds.iter().map(|kind| kind.filter.clone()).chain(classes))
}

fn deleted_objects(context: &Name) -> String {
    format!("CN=Deleted Objects,{}", context.text)
}

pub(crate) fn show_deleted() -> LdapControl {
    LdapControl::ShowDeleted { criticality: true }
}

/// Whether the account that binds sees deleted objects: few may. Samba shows the container itself to everybody, and what says
/// that it is one only to whom it shows what is in it.
pub(crate) fn deleted_are_seen(client: &mut Client, plan: &Plan, context: &Name) -> Result<bool> {
    let wanted = ["isDeleted".to_owned()];
    let container = Search::one(&deleted_objects(context), filter::anything(), &wanted).with(show_deleted());
    let found = root::find(client, &of_source(plan, container))?;
    Ok(found.is_some_and(|container| container.has("isDeleted", "TRUE")))
}
