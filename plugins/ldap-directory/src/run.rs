//! One run: each source by the best method that its server has, from where the last run ended or from the beginning.

use std::collections::BTreeMap;

use syncline_plugin::{Failure, Result, info, warn};

use crate::{
    connection::{Client, Connection},
    cursor::{self, Mark, Place},
    declare::Declare,
    methods::{Changes, Reader, dirsync, full, syncrepl, timestamp, usn},
    plan::{Plan, Source},
    root::{self, Root},
    settings::{Method, Settings},
    taker::Taker,
};

/// Connects to a source by its name.
pub type Connect<'a> = dyn FnMut(&str) -> Result<Box<dyn Connection>> + 'a;

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// Where the next one goes on.
    pub cursor: Option<Vec<u8>>,
    /// Whether all that is there was put or named as present, so that the rest is gone.
    pub whole: bool,
}

/// Reads all sources and declares what they have.
///
/// # Errors
///
/// Whatever keeps one of them from being read to its end. What was declared must not count then.
pub(crate) fn run(
    settings: &Settings,
    sources: &[Source],
    cursor: Option<&[u8]>,
    connect: &mut Connect<'_>,
    out: &mut dyn Declare,
) -> Result<Read> {
    if sources.is_empty() {
        return Err(Failure::settings("no directory is bound to this sync: bind one as its source"));
    }
    let digest = cursor::digest(settings, sources)?;
    let mut before = cursor::read(cursor, digest);
    if cursor.is_some() && before.is_empty() {
        info!("the last run was with other settings or sources, or by another version: everything is read");
    }
    let mut reads = Vec::new();
    for source in sources {
        let mark = before.remove(&source.name);
        reads.push(read(settings, source, mark, connect, out)?);
    }
    // That the rest is gone can only be said of all sources together.
    let whole = reads.iter().any(|read| read.whole);
    for (source, read) in sources.iter().zip(&mut reads) {
        if whole && !read.whole {
            *read = self::read(settings, source, None, connect, out)?;
        }
    }
    let marks: Option<BTreeMap<_, _>> =
        sources.iter().zip(reads).map(|(source, read)| Some((source.name.clone(), read.mark?))).collect();
    Ok(Read { cursor: cursor::write(digest, marks.unwrap_or_default())?, whole })
}

struct SourceRead {
    mark: Option<Mark>,
    whole: bool,
}

fn read(
    settings: &Settings,
    source: &Source,
    mark: Option<Mark>,
    connect: &mut Connect<'_>,
    out: &mut dyn Declare,
) -> Result<SourceRead> {
    let in_source = |failure: Failure| failure.context(format_args!("{}", source.name));
    if let Some(mark) = mark {
        let mut session = Session::open(settings, source, connect).map_err(in_source)?;
        match session.changes(settings, &mark, out).map_err(in_source)? {
            Ok(read) => return Ok(read),
            Err(reason) => info!(source = source.name; "everything is read: {reason}"),
        }
    }
    let mut session = Session::open(settings, source, connect).map_err(in_source)?;
    let mut refusals = Vec::new();
    for method in session.candidates(settings) {
        // An attempt can end amid answers: the next one has a connection of its own.
        if !refusals.is_empty() {
            session = Session::open(settings, source, connect).map_err(in_source)?;
        }
        match session.all(method, out) {
            Ok(read) => return Ok(read),
            Err(failure) if settings.method == Method::Auto && is_refusal(&failure) => {
                warn!(source = source.name; "{method:?} cannot be used: {}", failure.message());
                refusals.push(failure);
            }
            Err(failure) => return Err(in_source(failure)),
        }
    }
    let none =
        || Failure::unsupported("the server can be read by none of the methods: set `method` to `full`");
    Err(in_source(refusals.pop().unwrap_or_else(none)))
}

/// Whether the server refused the method rather than the search.
fn is_refusal(failure: &Failure) -> bool {
    !failure.is_of_host() && ["unsupported", "rights"].contains(&failure.code())
}

/// A connection to a source, and what is known of it.
struct Session<'a> {
    source: &'a Source,
    client: Client,
    server: String,
    root: Root,
    plan: Plan,
}

impl<'a> Session<'a> {
    fn open(settings: &Settings, source: &'a Source, connect: &mut Connect<'_>) -> Result<Self> {
        let mut client = Client::new(connect(&source.name)?, settings.search_time_limit_s);
        let server = client.server();
        let root = Root::read(&mut client, &source.kind)?;
        let plan = Plan::new(settings, source, &root)?;
        Ok(Self { source, client, server, root, plan })
    }

    /// The methods to try, the best first.
    fn candidates(&self, settings: &Settings) -> Vec<Method> {
        if settings.method != Method::Auto {
            return vec![settings.method];
        }
        let has = |control: &str| self.root.controls.contains(control);
        let all = if self.root.active_directory {
            vec![(Method::Dirsync, has(root::DIRSYNC)), (Method::Usn, self.root.highest_usn > 0)]
        } else {
            vec![(Method::Syncrepl, has(root::SYNC)), (Method::ModifyTimestamp, true)]
        };
        all.into_iter().filter(|(_, can)| *can).map(|(method, _)| method).collect()
    }

    fn all(&mut self, method: Method, out: &mut dyn Declare) -> Result<SourceRead> {
        let Self { source, client, server, root, plan } = self;
        let taker = Taker::all(plan, out);
        let mut reader = Reader { client, root, plan, taker };
        let place = match method {
            Method::Syncrepl => Some(syncrepl::all(&mut reader)?),
            Method::Dirsync => Some(dirsync::all(&mut reader)?),
            Method::Usn => Some(usn::all(&mut reader)?),
            Method::ModifyTimestamp => {
                warn!(source = source.name; "by times of modification: what is gone is found by reading all ids in each run");
                Some(timestamp::all(&mut reader)?)
            }
            Method::Full | Method::Auto => {
                full::all(&mut reader)?;
                None
            }
        };
        let entries = reader.taker.count;
        info!(source = source.name, entries = entries, server = server; "read everything, by {method:?}");
        let units = reader.taker.units.to_keep();
        Ok(SourceRead { mark: place.map(|place| self.mark(place, units)), whole: true })
    }

    /// Reads what changed; or says why that cannot be.
    fn changes(
        &mut self,
        settings: &Settings,
        mark: &Mark,
        out: &mut dyn Declare,
    ) -> Result<Result<SourceRead, String>> {
        if let Some(reason) = self.cannot_go_on(settings, mark) {
            return Ok(Err(reason));
        }
        let Self { source, client, server, root, plan } = self;
        let taker = Taker::changes(plan, out, &mark.units);
        let mut reader = Reader { client, root, plan, taker };
        let changes = match &mark.place {
            Place::Syncrepl(cookies) => syncrepl::changes(&mut reader, cookies),
            Place::Dirsync(cookies) => dirsync::changes(&mut reader, cookies),
            Place::Usn(since) => usn::changes(&mut reader, *since),
            Place::ModifyTimestamp(since) => timestamp::changes(&mut reader, since),
        };
        let changes = match changes {
            Err(failure) if failure.code() == "unknown" => Changes::Refused(failure.message().to_owned()),
            other => other?,
        };
        let (place, whole) = match changes {
            Changes::Refused(reason) => return Ok(Err(reason)),
            _ if reader.taker.units.changed => {
                return Ok(Err(
                    "a unit is new, renamed or moved, and with it the names of all in it".to_owned()
                ));
            }
            Changes::Listed(place) => (place, false),
            Changes::Whole(place) => (place, true),
        };
        info!(source = source.name, entries = reader.taker.count, server = server; "read what changed");
        let units = reader.taker.units.to_keep();
        Ok(Ok(SourceRead { mark: Some(self.mark(place, units)), whole }))
    }

    fn mark(&self, place: Place, units: Vec<u64>) -> Mark {
        let (server, host) = (self.server.clone(), self.root.host.clone());
        Mark { server, host, invocation: self.root.invocation.clone(), place, units }
    }

    fn cannot_go_on(&self, settings: &Settings, mark: &Mark) -> Option<String> {
        if mark.server != self.server {
            return Some(format!("{} answers, and the last run was with {}", self.server, mark.server));
        }
        if (&mark.host, &mark.invocation) != (&self.root.host, &self.root.invocation) {
            return Some("the domain controller is another one, or was restored".to_owned());
        }
        let method = match mark.place {
            Place::Syncrepl(_) => Method::Syncrepl,
            Place::Dirsync(_) => Method::Dirsync,
            Place::Usn(_) => Method::Usn,
            Place::ModifyTimestamp(_) => Method::ModifyTimestamp,
        };
        let fits = self.candidates(settings).contains(&method);
        (!fits).then(|| format!("the last run was by {method:?}"))
    }
}
