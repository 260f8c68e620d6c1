//! Content synchronisation (RFC 4533), refreshed once in each run. The first read is by it as well, so that the cookie and
//! what was read belong together.

use ldap3_proto::{
    control::LdapControl,
    proto::{LdapIntermediateResponse as Info, LdapResultCode, SyncRequestMode, SyncStateValue},
};
use syncline_plugin::{Failure, Result};
use uuid::Uuid;

use super::{Changes, Reader, of_source};
use crate::{
    connection::{Answer, Client, Done, Search},
    cursor::{Cookie, Place},
    plan::{KindPlan, Plan},
    taker::{Members, Taker},
};

/// Reads all of the source.
pub(crate) fn all(reader: &mut Reader<'_>) -> Result<Place> {
    let mut cookies = Vec::new();
    let Reader { client, plan, taker, .. } = reader;
    for (base, kind) in searches(plan) {
        let refresh = refresh(client, plan, taker, kind, base, None)?;
        let done = refresh.done.whole()?;
        cookies.push(Cookie(cookie(&done.controls).unwrap_or_default()));
    }
    taker.finish(client)?;
    Ok(Place::Syncrepl(cookies))
}

/// Reads what changed since these cookies.
pub(crate) fn changes(reader: &mut Reader<'_>, cookies: &[Cookie]) -> Result<Changes> {
    let Reader { client, plan, taker, .. } = reader;
    let searches: Vec<_> = searches(plan).collect();
    if cookies.len() != searches.len() || cookies.iter().any(|cookie| cookie.0.is_empty()) {
        return Ok(Changes::Refused("there is no cookie for each search".to_owned()));
    }
    let (mut next, mut whole, mut named) = (Vec::new(), Vec::new(), false);
    for ((base, kind), before) in searches.into_iter().zip(cookies) {
        let refresh = refresh(client, plan, taker, kind, base, Some(before.0.clone()))?;
        match refresh.done.code {
            LdapResultCode::Success => {}
            // The search itself, or the server, is in trouble: that is no matter of the cookie.
            LdapResultCode::TimeLimitExceeded
            | LdapResultCode::SizeLimitExceeded
            | LdapResultCode::AdminLimitExceeded
            | LdapResultCode::InsufficentAccessRights
            | LdapResultCode::Referral
            | LdapResultCode::Busy
            | LdapResultCode::Unavailable => return Err(refresh.done.failure()),
            _ => return Ok(Changes::Refused(refresh.done.failure().message().to_owned())),
        }
        match cookie(&refresh.done.controls) {
            Some(cookie) => {
                whole.push(!deletes(&refresh.done.controls));
                next.push(Cookie(cookie));
            }
            // So some servers say that nothing changed.
            None if !refresh.named && !refresh.deleted => {
                whole.push(false);
                next.push(before.clone());
            }
            // Without a cookie before it, ldap3_proto overlooks whether what is gone was named.
            None => return Ok(Changes::Refused("the server gave no cookie to go on from".to_owned())),
        }
        named |= refresh.named;
    }
    taker.finish(client)?;
    let place = Place::Syncrepl(next);
    match whole.iter().filter(|whole| **whole).count() {
        0 => Ok(Changes::Listed(place)),
        all if all == whole.len() && named => Ok(Changes::Whole(place)),
        all if all == whole.len() => {
            Ok(Changes::Refused("the server names nothing as still there".to_owned()))
        }
        // What is gone would have to be taken from one search and not from another.
        _ => Ok(Changes::Refused("the server tells only for a part what is still there".to_owned())),
    }
}

/// A search of its own for each base and kind: so it is always known what an entry was found as.
fn searches(plan: &Plan) -> impl Iterator<Item = (&str, &KindPlan)> {
    plan.bases.iter().flat_map(|base| plan.kinds.iter().map(|kind| (base.text.as_str(), kind)))
}

struct Refresh {
    done: Done,
    /// Whether anything was named as there.
    named: bool,
    /// Whether anything was named as gone.
    deleted: bool,
}

fn refresh(
    client: &mut Client,
    plan: &Plan,
    taker: &mut Taker<'_>,
    kind: &KindPlan,
    base: &str,
    cookie: Option<Vec<u8>>,
) -> Result<Refresh> {
    let mode = SyncRequestMode::RefreshOnly;
    let control = LdapControl::SyncRequest { criticality: true, mode, cookie, reload_hint: false };
    let search = Search::below(base, kind.filter.clone(), &kind.attributes).with(control);
    let (mut named, mut deleted) = (false, false);
    let done = client.search(&of_source(plan, search), &mut |answer| match answer {
        Answer::Entry(entry, controls) => {
            let state = controls.into_iter().find_map(|control| match control {
                LdapControl::SyncState { state, entry_uuid, .. } => Some((state, entry_uuid)),
                _ => None,
            });
            let (state, id) = state.ok_or_else(|| {
                let message = "the server sent an entry without saying what became of it: set `method` to `modify-timestamp`";
                Failure::invalid(message).with_code("protocol")
            })?;
            named |= state != SyncStateValue::Delete;
            deleted |= state == SyncStateValue::Delete;
            match state {
                SyncStateValue::Present => taker.out.present(text(id)),
                SyncStateValue::Delete => taker.gone(text(id)),
                // The id is that of the control only where it is the identity.
                SyncStateValue::Add | SyncStateValue::Modify => {
                    let id = plan.identity.eq_ignore_ascii_case("entryUUID").then(|| text(id));
                    taker.take(kind, entry, id, Members::All)
                }
            }
        }
        Answer::Info(Info::SyncInfoIdSet { refresh_deletes: true, syncuuids, .. }) => {
            deleted |= !syncuuids.is_empty();
            syncuuids.into_iter().try_for_each(|id| taker.gone(text(id)))
        }
        Answer::Info(Info::SyncInfoIdSet { syncuuids, .. }) => {
            named |= !syncuuids.is_empty();
            syncuuids.into_iter().try_for_each(|id| taker.out.present(text(id)))
        }
        Answer::Info(_) => Ok(()),
    })?;
    Ok(Refresh { done, named, deleted })
}

fn text(id: Uuid) -> String {
    id.hyphenated().to_string()
}

fn cookie(controls: &[LdapControl]) -> Option<Vec<u8>> {
    controls.iter().find_map(|control| match control {
        LdapControl::SyncDone { cookie, .. } => cookie.clone(),
        _ => None,
    })
}

/// Whether what is gone was named. Otherwise it is what was not named as there.
fn deletes(controls: &[LdapControl]) -> bool {
    controls.iter().any(|control| matches!(control, LdapControl::SyncDone { refresh_deletes: true, .. }))
}
