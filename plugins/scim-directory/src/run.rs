//! One run: what changed since the last one where the service can say it, or else everything.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use syncline_plugin::{Failure, FailureKind, Result, info};

use crate::{
    cursor::{self, Mark},
    declare::Declare,
    entry::Taker,
    service::{Ask, List, Listed, Service},
    settings::{Kind, Method, Settings},
};

/// What has changed may have been written by a machine whose clock is this much behind.
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);
/// What lists are asked for where only what is there matters.
const IDS: &str = "id,meta";

/// Reads the service and declares all that it has: what was not named is gone. Answers where the next run goes on, where it
/// can.
///
/// # Errors
///
/// Whatever keeps it from being read to its end. What was declared must not count then.
pub(crate) fn run(
    settings: &Settings,
    url: &str,
    cursor: Option<&[u8]>,
    ask: &mut dyn Ask,
    out: &mut dyn Declare,
) -> Result<Option<Vec<u8>>> {
    let digest = cursor::digest(settings, url)?;
    let lists = lists(settings)?;
    let mut service = Service::new(ask, settings.page_size);
    let by_time = match settings.method {
        Method::Full => false,
        Method::LastModified => true,
        Method::Auto => service.filters()?,
    };
    let before = cursor::read(cursor, digest).filter(|_| by_time);
    let mut run = Run { settings, lists, service, out };
    let read = match before {
        None => None,
        Some(mark) => match run.changes(&mark) {
            Ok(read) => Some(read),
            Err(Stop::Anew(why)) => {
                info!("everything is read: {why}");
                None
            }
            Err(Stop::Failed(failure)) => return Err(failure),
        },
    };
    let read = match read {
        Some(read) => read,
        None => run.all()?,
    };
    let began = run.service.began.as_deref().and_then(clock);
    // What was rejected is tried again, so the next run cannot go on behind it.
    match began.filter(|_| by_time && read.rejected == 0) {
        Some(began) => {
            let versions =
                cursor::versions(read.there.iter().map(|one| (one.id.as_str(), one.version.as_deref())));
            Ok(Some(cursor::write(digest, Mark { since: began.to_string(), versions })?))
        }
        None => Ok(None),
    }
}

/// The time that a header tells, less what clocks may differ.
fn clock(date: &str) -> Option<Timestamp> {
    let told = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    told.checked_sub(CLOCKS).ok()
}

fn lists(settings: &Settings) -> Result<Vec<(List, String)>> {
    let all = [
        (Kind::People, List::Users, &settings.filters.people),
        (Kind::Groups, List::Groups, &settings.filters.groups),
    ];
    let lists: Vec<_> = all
        .into_iter()
        .filter(|(kind, ..)| settings.kinds.contains(kind))
        .map(|(_, list, filter)| (list, filter.trim().to_owned()))
        .collect();
    if lists.is_empty() {
        return Err(Failure::settings("`kinds`: nothing is read: name people, groups, or both"));
    }
    Ok(lists)
}

/// What a run came to.
struct Read {
    there: Vec<Listed>,
    rejected: u64,
}

/// Why what changed cannot be read.
enum Stop {
    /// Another way may do.
    Anew(String),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

struct Run<'a> {
    settings: &'a Settings,
    lists: Vec<(List, String)>,
    service: Service<'a>,
    out: &'a mut dyn Declare,
}

impl Run<'_> {
    fn all(&mut self) -> Result<Read> {
        let (mut there, mut rejected) = (Vec::new(), 0);
        for (list, filter) in self.lists.clone() {
            let mut taker = Taker::new(list, self.settings)?;
            let out = &mut *self.out;
            let listed = self.service.list(list, &filter, "", &mut |resource, at, total| {
                out.progress(at, total);
                taker.take(resource, out)
            })?;
            there.extend(listed);
            rejected += taker.rejected;
        }
        Ok(Read { there, rejected })
    }

    /// What changed since a run that saw this, and what is there beside that.
    fn changes(&mut self, mark: &Mark) -> std::result::Result<Read, Stop> {
        let since: Timestamp =
            mark.since.parse().map_err(|_| Stop::Anew("the last run left no time".to_owned()))?;
        let mut there = Vec::new();
        let mut of_list = Vec::new();
        for (list, filter) in self.lists.clone() {
            let listed = self.service.list(list, &filter, IDS, &mut |_, _, _| Ok(()))?;
            of_list.push((list, filter, there.len()..there.len() + listed.len()));
            there.extend(listed);
        }
        if there.iter().any(|one| one.id.is_empty()) {
            return Err(Stop::Anew("something that is there has no id".to_owned()));
        }
        let versions = cursor::versions(there.iter().map(|one| (one.id.as_str(), one.version.as_deref())));
        let mut put = HashSet::new();
        let mut rejected = 0;
        if versions.is_none() || versions != mark.versions {
            for (list, filter, range) in of_list {
                let (changed, refused) = self.changed(list, &filter, since)?;
                rejected += refused;
                missed(&there[range], &changed, since).map_or(Ok(()), |why| Err(Stop::Anew(why)))?;
                put.extend(changed);
            }
        }
        for one in there.iter().filter(|one| !put.contains(&one.id)) {
            known(self.out.present(&one.id))?;
        }
        known(self.out.flush())?;
        Ok(Read { there, rejected })
    }

    /// Declares what changed since. Answers the ids, and how many were rejected.
    fn changed(
        &mut self,
        list: List,
        filter: &str,
        since: Timestamp,
    ) -> std::result::Result<(HashSet<String>, u64), Stop> {
        let newer = format!("meta.lastModified ge \"{since}\"");
        let filter = if filter.is_empty() { newer } else { format!("({filter}) and {newer}") };
        let mut taker = Taker::new(list, self.settings)?;
        let out = &mut *self.out;
        let listed = self.service.list(list, &filter, "", &mut |resource, _, _| taker.take(resource, out));
        match listed {
            Ok(listed) => Ok((listed.into_iter().map(|one| one.id).collect(), taker.rejected)),
            Err(failure) if failure.code() == "refused" && failure.kind() == FailureKind::Invalid => {
                Err(Stop::Anew(format!("the service does not filter by time ({})", failure.message())))
            }
            Err(failure) => Err(failure.into()),
        }
    }
}

/// Why what a service gave as changed is not all that changed, by what it says itself of what is there.
fn missed(there: &[Listed], changed: &HashSet<String>, since: Timestamp) -> Option<String> {
    let mut others = there.iter().filter(|one| !changed.contains(&one.id));
    others.find_map(|one| {
        let modified = one.modified.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        match modified {
            None => Some("the service does not say when its resources were changed".to_owned()),
            Some(modified) if modified >= since => {
                Some(format!("the service does not give {} as changed, which it says changed since", one.id))
            }
            Some(_) => None,
        }
    })
}

/// That something is there is only known of what was put once.
fn known(outcome: Result<()>) -> std::result::Result<(), Stop> {
    outcome.map_err(|failure| match failure.code() {
        "unknown" => Stop::Anew("something is there that was not seen before".to_owned()),
        _ => Stop::Failed(failure),
    })
}
