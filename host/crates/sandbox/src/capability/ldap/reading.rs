//! Whether a directory was read to its end, judged by what its servers answered, whatever the plugin says of it.
//!
//! # The rule
//!
//! Two requests are the same search if source, base, scope, filter and attributes are the same. Limits, controls, message
//! ids, connections and servers do not matter: the pages of a search are one search, and so is one that is tried again.
//! Of each search the latest answer counts. It was read whole if that answer is
//!
//! * `success` (0), and the server announced no further page (RFC 2696, DirSync). To say "no further page" with a page size
//!   of 0 does not make it whole.
//! * `noSuchObject` (32) to a search for one entry alone: it is not there. This is no answer for a base that an
//!   administrator set: a directory without its base is not an empty one.
//!
//! It was not read whole if the answer is any other (`sizeLimitExceeded`, `timeLimitExceeded`, `adminLimitExceeded`, `busy`,
//! `unavailable`, `insufficientAccessRights` and so on), or if there is none because the connection closed or the run ended.
//! Beside that:
//!
//! * A search that asks for changes (RFC 4533, DirSync) and is refused before anything came of it, as with
//!   `e-syncRefreshRequired` (4096), does not count any more once the plugin has read in another way: the same search again,
//!   or any search below a base of the same source that does not ask for changes like that.
//! * A referral, as a result or within a search, is a part that is missing until one of its URLs was followed, or until the
//!   same search, begun anew, came without it.
//! * A search that the plugin abandons is as if it had not been asked.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use blake3::Hash;
use syncline_domain::directory::message::{Changes, Outcome};

use super::requests::Asked;
use crate::text::visible;

/// Searches that are kept because they were not read whole, and references of one search. A plugin that has more of them does
/// not read anything whole any more.
const KEPT: usize = 4_096;
/// URLs that are kept of one reference.
const URLS: usize = 16;
/// Bytes of a base, or of what a server says, in a message.
const SHOWN: usize = 300;

const SUCCESS: u32 = 0;
const REFERRAL: u32 = 10;
const NO_SUCH_OBJECT: u32 = 32;

/// All searches of a run that were not read whole, or not yet.
#[derive(Default)]
pub(crate) struct Reading {
    searches: HashMap<Hash, Search>,
    followed: HashSet<Hash>,
    faults: u64,
    too_many: bool,
}

#[derive(Default)]
struct Search {
    /// Requests without an answer so far.
    open: u32,
    fault: Option<Fault>,
    /// Each missing until one of its URLs was followed.
    references: Vec<Vec<Hash>>,
    place: Arc<Place>,
    about: String,
}

struct Fault {
    /// Goes on a sentence about the search.
    why: String,
    /// Which of the run, from 1.
    number: u64,
    /// It asked for changes so, and was refused before anything came.
    refused: Option<Changes>,
    /// Mended by following one of these.
    referrals: Vec<Hash>,
}

/// Which servers a session speaks to: those of a source, or one that a referral named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Name of the source.
    pub(super) source: String,
    /// Empty for the source's own servers.
    pub(super) referral: String,
    /// Distinguished names that an administrator set as bases.
    pub(super) bases: Vec<String>,
}

/// A search that was sent, until its result comes.
pub(super) struct Pending {
    search: Hash,
    changes: Changes,
    /// One entry alone, and none that has to be there.
    may_be_missing: bool,
    /// One entry alone.
    single: bool,
    continues: bool,
    ends: bool,
    entries: bool,
    references: Vec<Vec<Hash>>,
}

impl Place {
    fn is_base(&self, name: &[u8]) -> bool {
        let plain = |name: &[u8]| -> Vec<u8> {
            name.iter().filter(|byte| **byte != b' ').map(u8::to_ascii_lowercase).collect()
        };
        let name = plain(name);
        self.bases.iter().any(|base| plain(base.as_bytes()) == name)
    }
}

impl Pending {
    /// Something came of it.
    pub(super) fn entry(&mut self) {
        self.entries = true;
    }

    /// A part of it is on another server.
    pub(super) fn reference(&mut self, urls: &[&[u8]]) {
        if self.references.len() <= KEPT {
            self.references.push(hashes(urls));
        }
    }
}

impl Reading {
    /// A search is sent.
    pub(super) fn asked(&mut self, asked: &Asked<'_>, place: &Arc<Place>) -> Pending {
        let base = asked.search.base.to_ascii_lowercase();
        let mut hasher = blake3::Hasher::new();
        for part in [place.source.as_bytes(), place.referral.as_bytes(), &base, asked.search.wanted] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let search = hasher.update(&asked.search.scope.to_le_bytes()).finalize();
        if self.searches.len() >= KEPT && !self.searches.contains_key(&search) {
            self.too_many = true;
        } else {
            let known = self.searches.entry(search).or_insert_with(|| Search {
                place: Arc::clone(place),
                about: visible(&String::from_utf8_lossy(asked.search.base), SHOWN),
                ..Search::default()
            });
            known.open += 1;
        }
        let single = asked.search.scope == 0;
        Pending {
            search,
            changes: asked.changes,
            single,
            may_be_missing: single && !place.is_base(asked.search.base),
            continues: asked.continues,
            ends: asked.ends,
            entries: false,
            references: Vec::new(),
        }
    }

    /// A search has its result.
    pub(super) fn answered(&mut self, pending: Pending, outcome: &Outcome<'_>, has_more: bool) {
        let number = self.next_fault();
        let Some(search) = self.searches.get_mut(&pending.search) else { return };
        search.open = search.open.saturating_sub(1);
        if !pending.continues {
            search.references.clear();
        }
        search.references.extend(pending.references);
        if search.references.len() > KEPT {
            self.too_many = true;
            search.references.clear();
        }
        let fault = |why: String, refused, referrals| Some(Fault { why, number, refused, referrals });
        match outcome.code {
            SUCCESS if has_more => {
                search.fault = fault("has more pages that were not asked for".to_owned(), None, Vec::new());
            }
            SUCCESS if pending.ends => {}
            NO_SUCH_OBJECT if pending.may_be_missing => search.fault = None,
            SUCCESS => {
                search.fault = None;
                let place = Arc::clone(&search.place);
                if !pending.single {
                    self.read_otherwise(&place, pending.changes);
                }
            }
            code => {
                let refused = pending.changes != Changes::No && !pending.entries && !is_limit(code);
                let referrals = hashes(&outcome.referrals);
                search.fault = fault(ended(outcome), refused.then_some(pending.changes), referrals);
            }
        }
        self.forget(pending.search);
    }

    /// The session ended before a search had its result; `why` goes on a sentence about the search.
    pub(super) fn lost(&mut self, pending: &Pending, why: &str) {
        let number = self.next_fault();
        let Some(search) = self.searches.get_mut(&pending.search) else { return };
        search.open = search.open.saturating_sub(1);
        search.fault = Some(Fault { why: why.to_owned(), number, refused: None, referrals: Vec::new() });
    }

    /// The plugin gave a search up.
    pub(super) fn abandoned(&mut self, pending: &Pending) {
        if let Some(search) = self.searches.get_mut(&pending.search) {
            search.open = search.open.saturating_sub(1);
        }
        self.forget(pending.search);
    }

    /// The server that a referral names was connected to.
    pub(super) fn followed(&mut self, url: &str) {
        self.followed.insert(blake3::hash(url.as_bytes()));
    }

    /// What says that the read is not whole: a sentence for an administrator.
    pub(super) fn incomplete(&self) -> Option<String> {
        if self.too_many {
            return Some(format!(
                "the directory was not read to its end: more than {KEPT} searches or references of the run were left without a \
                 whole answer"
            ));
        }
        let mut faults: Vec<_> = self.searches.values().filter_map(|search| self.fault(search)).collect();
        faults.sort();
        let (_, first) = faults.first()?;
        let others = match faults.len() - 1 {
            0 => String::new(),
            others => format!(" (and {others} other searches)"),
        };
        Some(format!("the directory was not read to its end: {first}{others}"))
    }

    /// Why a search was not read whole, and its place among the others.
    fn fault(&self, search: &Search) -> Option<(u64, String)> {
        let Place { source, referral, .. } = &*search.place;
        let server =
            if referral.is_empty() { String::new() } else { format!(" at {}", visible(referral, SHOWN)) };
        let about = format!("in {source}{server}, the search from {:?}", search.about);
        if let Some(fault) = &search.fault
            && !self.is_followed(&fault.referrals)
        {
            return Some((fault.number, format!("{about} {}", fault.why)));
        }
        if search.open > 0 {
            return Some((u64::MAX, format!("{about} had no result when the run ended")));
        }
        let missing = search.references.iter().filter(|urls| !self.is_followed(urls)).count();
        (missing > 0).then(|| {
            (u64::MAX, format!("{about} named {missing} parts on other servers, which were not read"))
        })
    }

    fn is_followed(&self, urls: &[Hash]) -> bool {
        urls.iter().any(|url| self.followed.contains(url))
    }

    fn next_fault(&mut self) -> u64 {
        self.faults += 1;
        self.faults
    }

    /// Something below a base was read to its end, asking for changes like this or not at all: what was refused that asked
    /// in another way does not count any more.
    fn read_otherwise(&mut self, place: &Arc<Place>, changes: Changes) {
        self.searches.retain(|_, search| {
            let mended = search.place == *place
                && search
                    .fault
                    .as_ref()
                    .and_then(|fault| fault.refused)
                    .is_some_and(|refused| refused != changes);
            if mended {
                search.fault = None;
            }
            !search.is_whole()
        });
    }

    fn forget(&mut self, search: Hash) {
        if self.searches.get(&search).is_some_and(Search::is_whole) {
            self.searches.remove(&search);
        }
    }
}

impl Search {
    fn is_whole(&self) -> bool {
        self.open == 0 && self.fault.is_none() && self.references.is_empty()
    }
}

fn hashes(urls: &[&[u8]]) -> Vec<Hash> {
    urls.iter().take(URLS).map(|url| blake3::hash(url)).collect()
}

/// Results of a server that could do it and did not, or not now: reading in another way does not mend that.
fn is_limit(code: u32) -> bool {
    matches!(code, 3 | 4 | REFERRAL | 11 | 51 | 52)
}

fn ended(outcome: &Outcome<'_>) -> String {
    let name = match outcome.code {
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        8 => "strongerAuthRequired",
        REFERRAL => "referral",
        11 => "adminLimitExceeded",
        12 => "unavailableCriticalExtension",
        13 => "confidentialityRequired",
        NO_SUCH_OBJECT => "noSuchObject",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        80 => "other",
        4_096 => "e-syncRefreshRequired",
        _ => "result",
    };
    let said = match outcome.diagnostic.trim() {
        "" => String::new(),
        said => format!(", and the server says: {}", visible(said, SHOWN)),
    };
    format!("ended with {name} ({}){said}", outcome.code)
}

#[cfg(test)]
mod tests;
