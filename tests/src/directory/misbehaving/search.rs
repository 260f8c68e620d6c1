//! Searches: what is found, which page of it, and what goes wrong on the way.

use bytes::BytesMut;
use ldap3_proto::{
    LdapFilter,
    control::LdapControl,
    proto::{
        LdapOp, LdapPartialAttribute, LdapResultCode, LdapSearchRequest, LdapSearchResultEntry,
        LdapSearchResultReference, LdapSearchScope,
    },
};

use super::{Behaviour, Entry, Next, PAGE, RANGE, SUFFIX, Shared, put, result};

const PAGING: &str = "1.2.840.113556.1.4.319";
const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";
const BIT_AND: &str = "1.2.840.113556.1.4.803";

/// Answers a search.
pub(super) fn respond(
    shared: &Shared,
    id: i32,
    search: &LdapSearchRequest,
    controls: &[LdapControl],
    answer: &mut BytesMut,
) -> Next {
    let root = search.base.is_empty() && search.scope == LdapSearchScope::Base;
    let behaviour = if root { &Behaviour::Well } else { &shared.behaviour };
    match behaviour {
        Behaviour::Silent => return Next::Listen,
        Behaviour::HugeLength => {
            answer.extend_from_slice(&[0x30, 0x84, 0x80, 0, 0, 0]);
            return Next::Listen;
        }
        Behaviour::TruncatedBer => {
            // A search result entry whose name says 100 bytes and has one.
            answer.extend_from_slice(&[0x30, 0x08, 0x02, 0x01, 0x01, 0x64, 0x03, 0x04, 0x64, b'x']);
            return Next::GoOn;
        }
        Behaviour::Refer(url) => {
            let mut done = result(LdapResultCode::Referral, "");
            done.referral.push(url.clone());
            put(answer, id, LdapOp::SearchResultDone(done), Vec::new());
            return Next::GoOn;
        }
        _ => {}
    }
    if controls.iter().any(refused) {
        let done = result(LdapResultCode::UnavailableCriticalExtension, "");
        put(answer, id, LdapOp::SearchResultDone(done), Vec::new());
        return Next::GoOn;
    }
    if root {
        put(answer, id, LdapOp::SearchResultEntry(shown(&root_entry(), &search.attrs)), Vec::new());
        put(answer, id, LdapOp::SearchResultDone(result(LdapResultCode::Success, "")), Vec::new());
        return Next::GoOn;
    }
    if !shared.entries.iter().any(|entry| entry.dn.eq_ignore_ascii_case(&search.base)) {
        let mut done = result(LdapResultCode::NoSuchObject, "0000208D: NameErr");
        SUFFIX.clone_into(&mut done.matcheddn);
        put(answer, id, LdapOp::SearchResultDone(done), Vec::new());
        return Next::GoOn;
    }
    let found: Vec<&Entry> = match behaviour {
        Behaviour::Empty => Vec::new(),
        _ => shared
            .entries
            .iter()
            .filter(|entry| within(entry, search) && matches(entry, &search.filter))
            .collect(),
    };
    if *behaviour == Behaviour::Endless {
        let mut entry = BytesMut::new();
        for one in found.iter().take(100) {
            put(&mut entry, id, LdapOp::SearchResultEntry(shown(one, &search.attrs)), Vec::new());
        }
        return Next::Repeat(entry);
    }
    page(behaviour, id, search, controls, &found, answer)
}

/// One page, or all there may be without pages.
fn page(
    behaviour: &Behaviour,
    id: i32,
    search: &LdapSearchRequest,
    controls: &[LdapControl],
    found: &[&Entry],
    answer: &mut BytesMut,
) -> Next {
    let paging = controls.iter().find_map(|control| match control {
        LdapControl::SimplePagedResults { size, cookie } => {
            Some((usize::try_from(*size).unwrap_or(0), cookie))
        }
        _ => None,
    });
    let size = paging.map_or(PAGE, |(size, _)| size.clamp(1, PAGE));
    let from = match paging {
        Some((_, cookie)) if !cookie.is_empty() => {
            let position =
                std::str::from_utf8(cookie).ok().and_then(|text| text.strip_prefix("page:")?.parse().ok());
            match position {
                Some(position) if position <= found.len() => position,
                _ => {
                    let done = result(
                        LdapResultCode::UnwillingToPerform,
                        "00000057: LdapErr: the cookie is not known",
                    );
                    put(answer, id, LdapOp::SearchResultDone(done), Vec::new());
                    return Next::GoOn;
                }
            }
        }
        _ => 0,
    };
    let number = from / size + 1;
    let limit = usize::try_from(search.sizelimit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let to = found.len().min(from + size).min(limit);
    let dropped = *behaviour == Behaviour::DropOnPage(number);
    let shown_to = if dropped { from + (to - from) / 2 } else { to };
    for entry in &found[from..shown_to] {
        put(answer, id, LdapOp::SearchResultEntry(shown(entry, &search.attrs)), Vec::new());
    }
    if dropped {
        return Next::Close;
    }
    if let Behaviour::Reference(url) = behaviour {
        let reference = LdapSearchResultReference { uris: vec![url.clone()] };
        put(answer, id, LdapOp::SearchResultReference(reference), Vec::new());
    }
    let more = to < found.len();
    let code = match behaviour {
        Behaviour::EndPage(page, code) if *page == number => code.clone(),
        _ if more && (paging.is_none() || to == limit) => LdapResultCode::SizeLimitExceeded,
        _ => LdapResultCode::Success,
    };
    let cookie = match behaviour {
        Behaviour::ForgetPages => String::new(),
        Behaviour::SameCookie if more => format!("page:{from}"),
        Behaviour::RefuseCookie if more => "unknown".to_owned(),
        _ if more => format!("page:{to}"),
        _ => String::new(),
    };
    let control = paging.map(|_| LdapControl::SimplePagedResults { size: 0, cookie: cookie.into_bytes() });
    put(answer, id, LdapOp::SearchResultDone(result(code, "")), control.into_iter().collect());
    Next::GoOn
}

/// Controls that are not there, and must be.
fn refused(control: &LdapControl) -> bool {
    match control {
        LdapControl::SyncRequest { criticality, .. } | LdapControl::Unknown { criticality, .. } => {
            *criticality
        }
        LdapControl::AdDirsync { .. } | LdapControl::ServerSort { .. } => true,
        _ => false,
    }
}

fn root_entry() -> Entry {
    let mut root = Entry { dn: String::new(), attributes: Vec::new() };
    for (name, value) in [
        ("objectClass", "top"),
        ("defaultNamingContext", SUFFIX),
        ("namingContexts", SUFFIX),
        ("dnsHostName", "dc1.lab.example"),
        ("dsServiceName", "CN=NTDS Settings,CN=DC1,CN=Servers,CN=Configuration,DC=lab,DC=example"),
        ("highestCommittedUSN", "2000000"),
        ("supportedLDAPVersion", "3"),
        ("supportedControl", PAGING),
        ("supportedControl", SHOW_DELETED),
        ("supportedCapabilities", "1.2.840.113556.1.4.800"),
    ] {
        root.add(name, value);
    }
    root
}

fn within(entry: &Entry, search: &LdapSearchRequest) -> bool {
    let (dn, base) = (entry.dn.to_ascii_lowercase(), search.base.to_ascii_lowercase());
    let below = dn.strip_suffix(&base).and_then(|above| above.strip_suffix(','));
    match search.scope {
        LdapSearchScope::Base => dn == base,
        LdapSearchScope::OneLevel => below.is_some_and(|above| !above.contains(',')),
        LdapSearchScope::Subtree => dn == base || below.is_some(),
        LdapSearchScope::Children => below.is_some(),
    }
}

fn matches(entry: &Entry, filter: &LdapFilter) -> bool {
    let any = |name: &str, test: &dyn Fn(&str) -> bool| {
        let found = entry.attributes.iter().filter(|(one, _)| one.eq_ignore_ascii_case(name));
        found.flat_map(|(_, values)| values).any(|value| test(&String::from_utf8_lossy(value)))
    };
    match filter {
        LdapFilter::And(all) => all.iter().all(|one| matches(entry, one)),
        LdapFilter::Or(some) => some.iter().any(|one| matches(entry, one)),
        LdapFilter::Not(one) => !matches(entry, one),
        LdapFilter::Present(name) => any(name, &|_| true),
        LdapFilter::Equality(name, wanted) | LdapFilter::Approx(name, wanted) => {
            any(name, &|value| value.eq_ignore_ascii_case(wanted))
        }
        LdapFilter::GreaterOrEqual(name, wanted) => any(name, &|value| compare(value, wanted).is_ge()),
        LdapFilter::LessOrEqual(name, wanted) => any(name, &|value| compare(value, wanted).is_le()),
        LdapFilter::Substring(name, parts) => any(name, &|value| {
            let value = value.to_ascii_lowercase();
            let lower = |part: &Option<String>| part.as_deref().unwrap_or_default().to_ascii_lowercase();
            let Some(mut rest) = value.strip_prefix(&lower(&parts.initial)) else { return false };
            for part in &parts.any {
                let Some((_, after)) = rest.split_once(&part.to_ascii_lowercase()) else { return false };
                rest = after;
            }
            rest.ends_with(&lower(&parts.final_))
        }),
        LdapFilter::Extensible(rule) if rule.matching_rule.as_deref() == Some(BIT_AND) => {
            let Ok(bits) = rule.match_value.parse::<u64>() else { return false };
            any(rule.type_.as_deref().unwrap_or_default(), &|value| {
                value.parse::<u64>().is_ok_and(|value| value & bits == bits)
            })
        }
        LdapFilter::Extensible(_) => false,
    }
}

fn compare(a: &str, b: &str) -> std::cmp::Ordering {
    match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

/// An entry with the attributes that were asked for, and no more values of each than are given at once.
fn shown(entry: &Entry, wanted: &[String]) -> LdapSearchResultEntry {
    let mut attributes = Vec::new();
    for (name, values) in &entry.attributes {
        let asked =
            wanted.iter().find(|one| one.split(';').next().is_some_and(|one| one.eq_ignore_ascii_case(name)));
        let range = asked.and_then(|asked| range(asked));
        if asked.is_none() && !wanted.is_empty() && !wanted.iter().any(|one| one == "*") {
            continue;
        }
        let (from, to) = range.unwrap_or((0, usize::MAX));
        if range.is_none() && values.len() <= RANGE {
            attributes.push(LdapPartialAttribute { atype: name.clone(), vals: values.clone() });
            continue;
        }
        let to = to.min(from.saturating_add(RANGE - 1));
        let part: Vec<_> = values.iter().skip(from).take(to - from + 1).cloned().collect();
        let last = from + part.len() >= values.len();
        let end = if last { "*".to_owned() } else { (from + part.len() - 1).to_string() };
        if range.is_none() {
            // So does Active Directory: the plain name stays, without values.
            attributes.push(LdapPartialAttribute { atype: name.clone(), vals: Vec::new() });
        }
        attributes.push(LdapPartialAttribute { atype: format!("{name};range={from}-{end}"), vals: part });
    }
    LdapSearchResultEntry { dn: entry.dn.clone(), attributes }
}

/// First and last position of `name;range=FIRST-LAST`.
fn range(asked: &str) -> Option<(usize, usize)> {
    let (first, last) = asked.split(';').find_map(|option| option.strip_prefix("range="))?.split_once('-')?;
    let last = if last == "*" { usize::MAX } else { last.parse().ok()? };
    let first = first.parse().ok()?;
    (first <= last).then_some((first, last))
}
