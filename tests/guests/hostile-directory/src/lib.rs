//! A guest that misbehaves as its settings say when it reads a directory: `{"do": "modify"}`.
//!
//! [`Do`] lists all it can do. [`message`] writes LDAPMessages, right and wrong ones, [`talk`] says them to a server,
//! [`exhaust`] runs into limits, [`lie`] breaks the rules of declaring, [`search`] looks for a password, [`web`]
//! asks web sources. Each behaviour that
//! the host should end, ends in a success if the host does not: a test that expects a failure then sees it.

mod exhaust;
mod lie;
mod message;
mod search;
mod talk;
mod web;

use schemars::JsonSchema;
use serde::Deserialize;
use syncline_plugin::prelude::*;

/// What to do, and how much of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The behaviour.
    #[serde(rename = "do")]
    behaviour: Do,
    /// Name of the directory source; the first that there is if there is none.
    #[serde(default)]
    source: Option<String>,
    /// Distinguished name to search below.
    #[serde(default)]
    base: String,
    /// For `look-for`: a text, backwards, so that the settings do not hold it themselves.
    #[serde(default)]
    backwards: String,
    /// For `send`: an LDAPMessage in hexadecimal digits. For `follow`: a referral. For `web-at` a URL, for others of the web a
    /// path.
    #[serde(default)]
    text: String,
}

/// All that this guest can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Do {
    /// Search below the base and declare each entry as a person: what a good plugin does.
    Good,
    /// Do as `good` without saying that it was all.
    Changes,
    /// Do as `good`, with a search that takes two pages.
    Paged,
    /// Do as `good`, at the server that the referral `text` names.
    Follow,
    /// Declare what came, whatever the result of the search, and say that it was all.
    Swallow,
    /// Search, wait for no answer, and say that it was all.
    Hasty,
    /// Search, give the search up, and say that the one entry it makes up is all.
    Abandon,
    /// Search, give the search up, and send another one under the same message id.
    SameId,
    /// Drop the session, and connect to the same source again, before searching.
    Reconnect,
    /// Search after an unbind request.
    SearchAfterUnbind,
    /// Connect until it works, at most ten times.
    Stubborn,

    /// Send a request to bind as somebody else.
    Bind,
    /// Send a request to change an entry.
    Modify,
    /// Send a request to add an entry.
    Add,
    /// Send a request to delete an entry.
    Delete,
    /// Send a request to rename an entry.
    ModifyDn,
    /// Send a request to compare a value.
    Compare,
    /// Send an extended request: a change of the password.
    Extended,
    /// Send what only servers send.
    Response,
    /// Send a request to delete behind a search, in one call.
    DeleteBehindSearch,
    /// Send a request to change an entry, pass over the failure, and do as `good`.
    CatchModify,
    /// Send `text`, then do as `good`.
    Send,

    /// Look for `backwards`, the other way round, in all that can be seen, and fail with `found` if it is there.
    LookFor,
    /// Connect to a source that is not granted.
    NotGranted,

    /// Count for ever.
    EndlessLoop,
    /// Ask for memory for ever.
    MemoryBomb,
    /// Receive for ever.
    EndlessReceive,
    /// Open nine sessions.
    ManySessions,
    /// Connect 1,001 times.
    ManyConnections,
    /// Send 1,001 searches and receive nothing.
    ManySearches,
    /// Send more than 1 MiB in one call.
    HugeSend,
    /// Ask for 2 MiB in one call.
    HugeReceive,

    /// Declare an entry after `complete`.
    DeclareAfterComplete,
    /// Call `complete` twice.
    CompleteTwice,
    /// Call `complete` with nothing declared.
    CompleteEmpty,
    /// Declare 4,097 entries in one call.
    HugeBatch,
    /// Declare an entry with an id of 129 bytes.
    LongId,
    /// Declare an entry whose attributes are not sorted.
    UnsortedAttributes,
    /// Declare an entry with 17 aliases.
    ManyAliases,
    /// Declare a member without a name.
    NamelessMember,
    /// Put the failure of a forged number on a rejection.
    ForgedRejection,

    /// Ask a web source for `text` and declare a person: what a good plugin does.
    WebGood,
    /// Ask a web source for `text`, and say that it was all, whatever came.
    WebSwallow,
    /// Ask at `text` in a web source's name.
    WebAt,
    /// Ask a web source that is not granted.
    WebNotGranted,
    /// Send a POST to `text`.
    WebPost,
    /// Send a DELETE to `text`.
    WebDelete,
    /// Have a secret sent that is not the source's.
    WebOtherSecret,
    /// Say who is asked, beside the host.
    WebHostHeader,
    /// End a header early, and begin another.
    WebSplitHeader,
    /// Ask for an answer of up to 8 MiB.
    WebHugeAnswer,
    /// Send a body of more than 1 MiB.
    WebHugeBody,
    /// Have the secret sent, and look for `backwards`, the other way round, in what comes back.
    WebLookFor,
}

struct Hostile;

impl DirectorySync for Hostile {
    type Settings = Settings;

    fn declare(settings: Settings, _request: Request) -> Result<Outcome> {
        let base = settings.base.as_str();
        let session = || talk::connect(settings.source.as_deref());
        match settings.behaviour {
            Do::Good => lie::all(&talk::search(&session()?, base)?)?,
            Do::Changes => lie::some(&talk::search(&session()?, base)?)?,
            Do::Paged => lie::all(&talk::paged(&session()?, base)?)?,
            Do::Follow => {
                lie::all(&talk::search(&talk::follow(settings.source.as_deref(), &settings.text)?, base)?)?
            }
            Do::Swallow => lie::all(&talk::whatever(&session()?, base))?,
            Do::Hasty => lie::all(&talk::unanswered(&session()?, base)?)?,
            Do::Abandon => lie::all(&talk::abandoned(&session()?, base)?)?,
            Do::SameId => lie::all(&talk::same_id(&session()?, base)?)?,
            Do::Reconnect => lie::all(&talk::reconnected(settings.source.as_deref(), base)?)?,
            Do::SearchAfterUnbind => lie::all(&talk::unbound(&session()?, base)?)?,
            Do::Stubborn => lie::all(&talk::stubborn(settings.source.as_deref(), base)?)?,

            Do::Bind => talk::say(&session()?, &message::bind())?,
            Do::Modify => talk::say(&session()?, &message::modify(base))?,
            Do::Add => talk::say(&session()?, &message::add(base))?,
            Do::Delete => talk::say(&session()?, &message::delete(base))?,
            Do::ModifyDn => talk::say(&session()?, &message::modify_dn(base))?,
            Do::Compare => talk::say(&session()?, &message::compare(base))?,
            Do::Extended => talk::say(&session()?, &message::extended())?,
            Do::Response => talk::say(&session()?, &message::response())?,
            Do::DeleteBehindSearch => {
                talk::say(&session()?, &[message::search(1, base, None), message::delete(base)].concat())?;
            }
            Do::CatchModify => {
                let session = session()?;
                drop(talk::say(&session, &message::modify(base)));
                lie::all(&talk::search(&session, base)?)?;
            }
            Do::Send => {
                let session = session()?;
                talk::say(&session, &message::from_digits(&settings.text)?)?;
                lie::all(&talk::search(&session, base)?)?;
            }

            Do::LookFor => search::look_for(&settings.backwards, settings.source.as_deref(), base)?,
            Do::NotGranted => drop(talk::connect(Some("not-granted"))?),

            Do::EndlessLoop => exhaust::endless_loop(),
            Do::MemoryBomb => exhaust::memory_bomb(),
            Do::EndlessReceive => exhaust::endless_receive(&session()?, base)?,
            Do::ManySessions => exhaust::many_sessions(settings.source.as_deref())?,
            Do::ManyConnections => exhaust::many_connections(settings.source.as_deref())?,
            Do::ManySearches => exhaust::many_searches(&session()?, base)?,
            Do::HugeSend => talk::say(&session()?, &message::search(1, base, None).repeat(40_000))?,
            Do::HugeReceive => drop(session()?.receive(2 << 20, talk::WAIT)?),

            Do::DeclareAfterComplete => lie::declare_after_complete()?,
            Do::CompleteTwice => lie::complete_twice()?,
            Do::CompleteEmpty => lie::all(&[])?,
            Do::HugeBatch => lie::huge_batch()?,
            Do::LongId => lie::long_id()?,
            Do::UnsortedAttributes => lie::unsorted_attributes()?,
            Do::ManyAliases => lie::many_aliases()?,
            Do::NamelessMember => lie::nameless_member()?,
            Do::ForgedRejection => lie::forged_rejection()?,

            Do::WebGood => web::good(&settings.text)?,
            Do::WebSwallow => web::swallow(&settings.text)?,
            Do::WebAt => web::at(&settings.text)?,
            Do::WebNotGranted => web::not_granted()?,
            Do::WebPost => web::sends("POST", &settings.text)?,
            Do::WebDelete => web::sends("DELETE", &settings.text)?,
            Do::WebOtherSecret => web::first(|asked| asked.secret("authorization", "Bearer ", "other"))?,
            Do::WebHostHeader => web::first(|asked| asked.header("Host", "elsewhere.example"))?,
            Do::WebSplitHeader => web::first(|asked| asked.header("x-a", "b\r\nhost: elsewhere.example"))?,
            Do::WebHugeAnswer => web::first(|asked| asked.max_bytes(8 << 20))?,
            Do::WebHugeBody => web::first(|asked| asked.body(vec![b' '; (1 << 20) + 1]))?,
            Do::WebLookFor => web::look_for(&settings.backwards)?,
        }
        Ok(Outcome::done())
    }
}

syncline_plugin::export!(directory-sync: Hostile);
