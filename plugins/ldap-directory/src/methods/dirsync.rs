//! The DirSync control of Active Directory: what changed in a naming context since a cookie.
//!
//! With object security, so that the account that binds needs no right to replicate, only to read; and with incremental
//! values, so that a change in a large group is as large as the change. At first everything comes. Later an object comes with
//! the attributes that changed: it is then read by itself, as all others are, so that filters hold for it as it is now.

use ldap3_proto::{
    control::LdapControl,
    proto::{LdapFilter, LdapResultCode, LdapSearchResultEntry},
};
use syncline_plugin::{
    Result,
    directory::{EntryKind, MembershipChange},
};

use super::{Changes, Reader, of_source, present, usn};
use crate::{
    connection::{Answer, Client, Done, Search},
    cursor::{Cookie, Place},
    fields::{Fields, Range},
    plan::{Name, Plan},
    taker::Members,
};

const OBJECT_SECURITY: u32 = 0x0000_0001;
const INCREMENTAL_VALUES: u32 = 0x8000_0000;
/// Most bytes of an answer that the server should make at once.
const BYTES: i64 = 1 << 20;
/// Objects that are read at once.
const BATCH: usize = 64;
/// Come with each object, whether they changed or not.
const ALWAYS: [&str; 4] = ["objectGUID", "instanceType", "parentGUID", "isDeleted"];
const ADDED: Range = Range { from: 1, to: Some(1) };

/// Reads all of the source.
pub(crate) fn all(reader: &mut Reader<'_>) -> Result<Place> {
    let Reader { client, plan, taker, .. } = reader;
    let mut cookies = Vec::new();
    for context in &plan.contexts {
        let mut first = None;
        for kind in &plan.kinds {
            let pass = pass(client, plan, context, &kind.filter, &kind.attributes, None, &mut |entry| {
                if is_deleted(&entry) { Ok(()) } else { taker.take(kind, entry, None, Members::First) }
            })?;
            let cookie = match pass {
                Ok(cookie) => cookie,
                Err(done) => return Err(done.failure()),
            };
            // The earliest: what changed after it is told again.
            first.get_or_insert(cookie);
        }
        cookies.push(Cookie(first.unwrap_or_default()));
    }
    taker.finish(client)?;
    Ok(Place::Dirsync(cookies))
}

/// Reads what changed since these cookies.
pub(crate) fn changes(reader: &mut Reader<'_>, cookies: &[Cookie]) -> Result<Changes> {
    let plan = reader.plan;
    if cookies.len() != plan.contexts.len() {
        return Ok(Changes::Refused("there is no cookie for each naming context".to_owned()));
    }
    let (mut next, mut deleted_seen) = (Vec::new(), true);
    for (context, before) in plan.contexts.iter().zip(cookies) {
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        let attributes = watched(plan);
        let cookie = Some(before.0.clone());
        let pass =
            pass(reader.client, plan, context, &usn::candidates(plan), &attributes, cookie, &mut |entry| {
                let deleted = is_deleted(&entry);
                let fields = Fields::from(entry);
                match fields.guid("objectGUID") {
                    Some(id) if deleted => gone.push(id),
                    Some(id) => changed.push(Changed::of(id, &fields)),
                    None => {}
                }
                Ok(())
            })?;
        match pass {
            Ok(cookie) => next.push(Cookie(cookie)),
            Err(done) if is_trouble(&done) => return Err(done.failure()),
            Err(done) => return Ok(Changes::Refused(done.failure().message().to_owned())),
        }
        for batch in merged(changed).chunks(BATCH) {
            read_again(reader, batch)?;
        }
        gone.into_iter().try_for_each(|id| reader.taker.gone(id))?;
        deleted_seen &= usn::deleted_are_seen(reader.client, plan, context)?;
    }
    reader.taker.finish(reader.client)?;
    let place = Place::Dirsync(next);
    if deleted_seen {
        return Ok(Changes::Listed(place));
    }
    present::all(reader)?;
    Ok(Changes::Whole(place))
}

/// That a search ended so says nothing of the cookie.
fn is_trouble(done: &Done) -> bool {
    use LdapResultCode as Code;
    matches!(
        done.code,
        Code::TimeLimitExceeded
            | Code::SizeLimitExceeded
            | Code::AdminLimitExceeded
            | Code::Referral
            | Code::Busy
            | Code::Unavailable
    )
}

/// Asks until there is no more, and tells the cookie for the next time; or how the search ended that did not come to its end.
fn pass(
    client: &mut Client,
    plan: &Plan,
    context: &Name,
    wanted: &LdapFilter,
    attributes: &[String],
    mut cookie: Option<Vec<u8>>,
    take: &mut dyn FnMut(LdapSearchResultEntry) -> Result<()>,
) -> Result<Result<Vec<u8>, Done>> {
    loop {
        // The flags are 32 bits with a sign on the wire.
        let flags = i64::from((OBJECT_SECURITY | INCREMENTAL_VALUES).cast_signed());
        let control = LdapControl::AdDirsync { flags, max_bytes: BYTES, cookie };
        let search = of_source(plan, Search::below(&context.text, wanted.clone(), attributes)).with(control);
        let done = client.search(&search, &mut |answer| match answer {
            Answer::Entry(entry, _) => take(entry),
            Answer::Info(_) => Ok(()),
        })?;
        if done.code != LdapResultCode::Success {
            return Ok(Err(done));
        }
        let answer = done.controls.iter().find_map(|control| match control {
            LdapControl::AdDirsync { flags, cookie, .. } => {
                Some((*flags, cookie.clone().unwrap_or_default()))
            }
            _ => None,
        });
        match answer {
            Some((0, next)) if !next.is_empty() => return Ok(Ok(next)),
            Some((_, next)) if !next.is_empty() => cookie = Some(next),
            _ => {
                let message = "the server gave no cookie to go on from: set `method` to `usn`";
                return Err(syncline_plugin::Failure::unsupported(message).with_code("unsupported"));
            }
        }
    }
}

/// All that any kind is made from; the name as well, since only with it is told that an object moved.
fn watched(plan: &Plan) -> Vec<String> {
    let mut names: Vec<_> = plan.kinds.iter().flat_map(|kind| kind.attributes.iter().cloned()).collect();
    names.extend(["name", "isDeleted", "objectGUID"].map(str::to_owned));
    names.sort_by_key(|name| name.to_ascii_lowercase());
    names.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
    names
}

fn is_deleted(entry: &LdapSearchResultEntry) -> bool {
    let is = |name: &str| name.eq_ignore_ascii_case("isDeleted");
    entry
        .attributes
        .iter()
        .any(|one| is(&one.atype) && one.vals.iter().any(|value| value.eq_ignore_ascii_case(b"TRUE")))
}

/// An object that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Changed {
    id: String,
    /// Whether nothing changed but who is in it, and that is told value by value.
    members_only: bool,
    added: Vec<Vec<u8>>,
    removed: Vec<Vec<u8>>,
}

impl Changed {
    fn of(id: String, fields: &Fields) -> Self {
        let is_member = |name: &str| name.eq_ignore_ascii_case("member");
        let always = |name: &str| ALWAYS.iter().any(|one| one.eq_ignore_ascii_case(name));
        let (mut members_only, mut added, mut removed) = (false, Vec::new(), Vec::new());
        for (range, values) in fields.lists("member") {
            members_only = true;
            match range {
                Some(Range { from: 0, to: Some(0) }) => removed.extend_from_slice(values),
                Some(ADDED) => added.extend_from_slice(values),
                // A list by itself: then it is read as a whole.
                _ => return Self { id, members_only: false, added: Vec::new(), removed: Vec::new() },
            }
        }
        members_only &= fields.names().all(|name| is_member(name) || always(name));
        Self { id, members_only, added, removed }
    }
}

/// One of each: an object with many values can come several times.
fn merged(changed: Vec<Changed>) -> Vec<Changed> {
    let mut by_id = std::collections::BTreeMap::<String, Changed>::new();
    for mut one in changed {
        match by_id.get_mut(&one.id) {
            Some(have) => {
                have.members_only &= one.members_only;
                have.added.append(&mut one.added);
                have.removed.append(&mut one.removed);
            }
            None => {
                by_id.insert(one.id.clone(), one);
            }
        }
    }
    by_id.into_values().collect()
}

/// Reads these as they are now. What no filter finds is none of what is read any more.
fn read_again(reader: &mut Reader<'_>, batch: &[Changed]) -> Result<()> {
    let Reader { client, plan, taker, .. } = reader;
    let mut searches = Vec::new();
    let mut of = Vec::new();
    for (index, changed) in batch.iter().enumerate() {
        for kind in &plan.kinds {
            let mut attributes = kind.attributes.clone();
            attributes.retain(|name| !changed.members_only || !name.eq_ignore_ascii_case("member"));
            let search = Search::one(&format!("<GUID={}>", changed.id), kind.filter.clone(), &attributes);
            searches.push(of_source(plan, search));
            of.push((index, kind));
        }
    }
    let mut found = vec![None; batch.len()];
    client.each(&searches, &mut |search, entry| {
        let (index, kind) = of[search];
        found[index] = Some(kind.kind);
        let members = if batch[index].members_only { Members::No } else { Members::All };
        taker.take(kind, entry, None, members)
    })?;
    for (changed, found) in batch.iter().zip(found) {
        match found {
            None => taker.gone(changed.id.clone())?,
            Some(EntryKind::Group) if changed.members_only && taker.has_put(&changed.id) => {
                taker.members(&changed.id, MembershipChange::Removed, "member", &changed.removed)?;
                taker.members(&changed.id, MembershipChange::Added, "member", &changed.added)?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}
