//! Searches over a connection that is bound already: requests out, answers in, page by page.
//!
//! All of the plugin works on [`Connection`], which the host fills in a run and tests fill with a directory of their own.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use ldap3_proto::{
    LdapCodec,
    control::LdapControl,
    proto::{
        LdapDerefAliases, LdapFilter, LdapIntermediateResponse, LdapMsg, LdapOp, LdapResultCode,
        LdapSearchRequest, LdapSearchResultEntry, LdapSearchScope,
    },
};
use syncline_plugin::{Failure, FailureKind, Fault, Result};
use tokio_util::codec::{Decoder, Encoder};

/// Largest message that is decoded: what the host lets through is smaller.
const LARGEST: usize = 16 << 20;
/// What is asked for at once: enough to work on while the next comes, little enough to keep in memory decoded.
const CHUNK: u32 = 256 << 10;
/// How long the next answer may take to come, where searches have no limit of their own.
const PATIENCE: Duration = Duration::from_secs(120);
/// Deepest nesting of an answer. LDAP needs six.
const DEPTH: usize = 24;

/// Bytes to and from a server, in whole LDAPMessages. `send` and `receive` are those of wit/ldap.wit.
pub trait Connection {
    /// `host:port` of the server.
    fn server(&self) -> String;

    /// Sends whole messages.
    ///
    /// # Errors
    ///
    /// The connection is over.
    fn send(&mut self, messages: &[u8]) -> Result<()>;

    /// The next whole messages, at least one.
    ///
    /// # Errors
    ///
    /// `timeout`, or the connection is over.
    fn receive(&mut self, max_bytes: u32, wait: Duration) -> Result<Vec<u8>>;
}

/// A search, but for its number.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    pub(crate) base: String,
    pub(crate) scope: LdapSearchScope,
    pub(crate) filter: LdapFilter,
    pub(crate) attributes: Vec<String>,
    pub(crate) controls: Vec<LdapControl>,
}

impl Search {
    /// Of the entry of this name alone.
    pub(crate) fn one(base: &str, filter: LdapFilter, attributes: &[String]) -> Self {
        let scope = LdapSearchScope::Base;
        Self { base: base.to_owned(), scope, filter, attributes: attributes.to_vec(), controls: Vec::new() }
    }

    /// Of everything at and below this name.
    pub(crate) fn below(base: &str, filter: LdapFilter, attributes: &[String]) -> Self {
        Self { scope: LdapSearchScope::Subtree, ..Self::one(base, filter, attributes) }
    }

    pub(crate) fn with(mut self, control: LdapControl) -> Self {
        self.controls.push(control);
        self
    }
}

/// Something that a search brings.
#[derive(Debug)]
pub(crate) enum Answer {
    Entry(LdapSearchResultEntry, Vec<LdapControl>),
    Info(LdapIntermediateResponse),
}

/// How a search ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: LdapResultCode,
    message: String,
    pub(crate) controls: Vec<LdapControl>,
    base: String,
}

impl Done {
    /// Itself if the search came to its end.
    pub(crate) fn whole(self) -> Result<Self> {
        if self.code == LdapResultCode::Success { Ok(self) } else { Err(self.failure()) }
    }

    /// Why it did not, for whoever can do something about it.
    pub(crate) fn failure(&self) -> Failure {
        use LdapResultCode as Code;
        let (kind, fault, code, advice) = match self.code {
            Code::TimeLimitExceeded => (
                FailureKind::Limit,
                Fault::Settings,
                "time-limit",
                "raise the setting `search_time_limit_s`, or the server's time limit for the account that binds",
            ),
            Code::SizeLimitExceeded => (
                FailureKind::Limit,
                Fault::Remote,
                "size-limit",
                "the server gives this account only so many entries: raise its size limit there (in OpenLDAP `limits`), or set \
                 `method` to `modify-timestamp`, which reads page by page",
            ),
            Code::AdminLimitExceeded => (
                FailureKind::Limit,
                Fault::Remote,
                "admin-limit",
                "the server gives up on searches of this size: raise its limits for the account that binds, or lower the \
                 setting `page_size`",
            ),
            Code::Referral => (
                FailureKind::Invalid,
                Fault::Settings,
                "referral",
                "it lies on another server: name that server in the source, or set other `bases`",
            ),
            Code::NoSuchObject => (
                FailureKind::NotFound,
                Fault::Settings,
                "no-such-object",
                "there is no such entry, or the account that binds may not see it: correct `bases`, or its rights",
            ),
            Code::InvalidDNSyntax => (
                FailureKind::Invalid,
                Fault::Settings,
                "dn-syntax",
                "the server takes it for no distinguished name: correct `bases`",
            ),
            Code::InsufficentAccessRights
            | Code::InappropriateAuthentication
            | Code::StrongerAuthRequired => (
                FailureKind::Denied,
                Fault::Remote,
                "rights",
                "the account that binds may not read it: give it the right to",
            ),
            Code::Busy | Code::Unavailable => {
                (FailureKind::Unavailable, Fault::Remote, "busy", "the server is too busy: wait")
            }
            Code::UnavailableCriticalExtension | Code::UnwillingToPerform => (
                FailureKind::Unsupported,
                Fault::Settings,
                "unsupported",
                "the server does not read in this way: set `method` to another one",
            ),
            _ => (FailureKind::Invalid, Fault::Remote, "search", "look into the server's log"),
        };
        let (what, at, said) = (&self.code, &self.base, &self.message);
        let said = if said.is_empty() { String::new() } else { format!(", saying {said:?}") };
        let message = format!("the search below {at:?} ended with {what:?}{said}: {advice}");
        Failure::new(kind, fault, message).with_code(code)
    }
}

/// A connection that is searched on. Searches go one after the other, but for the next page, which is asked for while the
/// entries of the one before are worked on.
pub(crate) struct Client {
    connection: Box<dyn Connection>,
    codec: LdapCodec,
    last_id: i32,
    /// Seconds, 0 for none.
    time_limit: u32,
    waiting: VecDeque<LdapMsg>,
}

impl Client {
    pub(crate) fn new(connection: Box<dyn Connection>, time_limit: u32) -> Self {
        let codec = LdapCodec::new(Some(LARGEST), None);
        Self { connection, codec, last_id: 0, time_limit, waiting: VecDeque::new() }
    }

    pub(crate) fn server(&self) -> String {
        self.connection.server()
    }

    /// Searches without pages. That the search did not come to its end is told by the code in [`Done`], not by a failure.
    pub(crate) fn search(
        &mut self,
        search: &Search,
        take: &mut dyn FnMut(Answer) -> Result<()>,
    ) -> Result<Done> {
        let id = self.start(search)?;
        loop {
            if let Some(done) = self.next(id, &search.base, take)? {
                return Ok(done);
            }
        }
    }

    /// Searches page by page, to the end of the last one.
    pub(crate) fn pages(
        &mut self,
        search: &Search,
        size: u32,
        take: &mut dyn FnMut(LdapSearchResultEntry) -> Result<()>,
    ) -> Result<()> {
        let page =
            |cookie| search.clone().with(LdapControl::SimplePagedResults { size: i64::from(size), cookie });
        let mut take = |answer| match answer {
            Answer::Entry(entry, _) => take(entry),
            Answer::Info(_) => Ok(()),
        };
        let (mut id, mut first, mut before) = (self.start(&page(Vec::new()))?, true, Vec::new());
        loop {
            if self.waiting.is_empty() {
                self.receive()?;
            }
            // Where the end of the page has come with the entries before it, the next one can come while these are worked on.
            let cookie = self.waiting.iter().rev().find_map(|message| cookie_of(message, id));
            let ahead = match &cookie {
                Some(cookie) if !cookie.is_empty() && *cookie == before && !first => {
                    return Err(broken("gave the same cookie for two pages"));
                }
                Some(cookie) if !cookie.is_empty() => Some(self.start(&page(cookie.clone()))?),
                _ => None,
            };
            while !self.waiting.is_empty() {
                let Some(done) = self.next(id, &search.base, &mut take)? else { continue };
                let done = done.whole()?;
                if let Some(next) = ahead {
                    (id, first, before) = (next, false, cookie.unwrap_or_default());
                    break;
                }
                let said = done.controls.iter().any(|c| matches!(c, LdapControl::SimplePagedResults { .. }));
                // A server that knows no pages gives everything at once and no control.
                return if said || first {
                    Ok(())
                } else {
                    Err(broken("did not say whether a page was the last"))
                };
            }
        }
    }

    /// Searches for many single entries at once; `take` is told which search an entry is of. A name that is not there brings
    /// no entry.
    pub(crate) fn each(
        &mut self,
        searches: &[Search],
        take: &mut dyn FnMut(usize, LdapSearchResultEntry) -> Result<()>,
    ) -> Result<()> {
        let first = self.last_id + 1;
        let mut requests = BytesMut::new();
        for search in searches {
            let message = self.request(search);
            self.encode(message, &mut requests)?;
        }
        self.connection.send(&requests)?;
        let mut left = searches.len();
        while left > 0 {
            let message = self.message()?;
            let index = usize::try_from(message.msgid - first).ok().filter(|index| *index < searches.len());
            let index = index.ok_or_else(|| broken("answered a request that was not made"))?;
            let done = self.answer(message, &searches[index].base, &mut |answer| match answer {
                Answer::Entry(entry, _) => take(index, entry),
                Answer::Info(_) => Ok(()),
            })?;
            if let Some(done) = done {
                left -= 1;
                if done.code != LdapResultCode::NoSuchObject {
                    done.whole()?;
                }
            }
        }
        Ok(())
    }

    fn request(&mut self, search: &Search) -> LdapMsg {
        self.last_id = if self.last_id == i32::MAX { 1 } else { self.last_id + 1 };
        let request = LdapSearchRequest {
            base: search.base.clone(),
            scope: search.scope.clone(),
            aliases: LdapDerefAliases::Never,
            sizelimit: 0,
            timelimit: i32::try_from(self.time_limit).unwrap_or(i32::MAX),
            typesonly: false,
            filter: search.filter.clone(),
            attrs: search.attributes.clone(),
        };
        LdapMsg { msgid: self.last_id, op: LdapOp::SearchRequest(request), ctrl: search.controls.clone() }
    }

    fn encode(&mut self, message: LdapMsg, to: &mut BytesMut) -> Result<()> {
        self.codec
            .encode(message, to)
            .map_err(|error| Failure::bug(format!("a request cannot be encoded: {error}")))
    }

    fn start(&mut self, search: &Search) -> Result<i32> {
        let (message, mut bytes) = (self.request(search), BytesMut::new());
        let id = message.msgid;
        self.encode(message, &mut bytes)?;
        self.connection.send(&bytes)?;
        Ok(id)
    }

    /// The next message of the search `id`: what it brings is taken, or the search is done.
    fn next(
        &mut self,
        id: i32,
        base: &str,
        take: &mut dyn FnMut(Answer) -> Result<()>,
    ) -> Result<Option<Done>> {
        let message = self.message()?;
        if message.msgid != id {
            return Err(match message.op {
                LdapOp::ExtendedResponse(notice) if message.msgid == 0 => {
                    let said = notice.res.message;
                    Failure::unavailable(format!("the server closes the connection, saying {said:?}: wait"))
                        .with_code("closed")
                }
                _ => broken("answered a request that was not made"),
            });
        }
        self.answer(message, base, take)
    }

    fn answer(
        &mut self,
        message: LdapMsg,
        base: &str,
        take: &mut dyn FnMut(Answer) -> Result<()>,
    ) -> Result<Option<Done>> {
        match message.op {
            LdapOp::SearchResultEntry(entry) => take(Answer::Entry(entry, message.ctrl))?,
            LdapOp::IntermediateResponse(info) => take(Answer::Info(info))?,
            LdapOp::SearchResultReference(reference) => {
                let to = reference.uris.join(", ");
                let message = format!(
                    "a part of {base:?} lies on another server ({to}), which is not followed: give it a source of its own, and \
                     set `referrals` to `ignore` here"
                );
                return Err(
                    Failure::new(FailureKind::Invalid, Fault::Settings, message).with_code("referral")
                );
            }
            LdapOp::SearchResultDone(result) => {
                let (code, message, controls) = (result.code, result.message, message.ctrl);
                return Ok(Some(Done { code, message, controls, base: base.to_owned() }));
            }
            _ => return Err(broken("answered a search with something else")),
        }
        Ok(None)
    }

    fn message(&mut self) -> Result<LdapMsg> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Ok(message);
            }
            self.receive()?;
        }
    }

    fn receive(&mut self) -> Result<()> {
        let wait = match self.time_limit {
            0 => PATIENCE,
            // The server's own answer, that its time is over, should come first.
            seconds => Duration::from_secs(u64::from(seconds) + 10),
        };
        let received = self.connection.receive(CHUNK, wait).map_err(|failure| match failure.code() {
            "message-size" => {
                failure.context("an entry is too large, most likely a group with very many members")
            }
            _ => failure,
        })?;
        if !is_well_formed(&received, DEPTH) {
            return Err(broken("sent an answer whose lengths do not fit together"));
        }
        // Not copied: a list of members can take most of what memory there is.
        let received = Bytes::from(received).try_into_mut();
        let mut bytes = received.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        while !bytes.is_empty() {
            let message =
                self.codec.decode(&mut bytes).map_err(|error| broken(&format!("sent no LDAP ({error})")))?;
            self.waiting.push_back(message.ok_or_else(|| broken("sent a part of a message"))?);
        }
        Ok(())
    }
}

fn broken(what: &str) -> Failure {
    Failure::invalid(format!("the server {what}: it is broken, or something on the way is"))
        .with_code("protocol")
}

/// The cookie for the next page, if this is the successful end of search `id` and has one; empty after the last page.
fn cookie_of(message: &LdapMsg, id: i32) -> Option<Vec<u8>> {
    let ended =
        matches!(&message.op, LdapOp::SearchResultDone(result) if result.code == LdapResultCode::Success);
    if !ended || message.msgid != id {
        return None;
    }
    message.ctrl.iter().find_map(|control| match control {
        LdapControl::SimplePagedResults { cookie, .. } => Some(cookie.clone()),
        _ => None,
    })
}

/// Whether each length fits into what is around it. The decoder does not tell a cut list from a short one, and a short list
/// of members is one that others are taken out of.
fn is_well_formed(mut bytes: &[u8], depth: usize) -> bool {
    while let [tag, length, rest @ ..] = bytes {
        let (length, rest) = match usize::from(*length) {
            length @ 0..=0x7f => (length, rest),
            size @ 0x81..=0x84 if rest.len() >= size - 0x80 => {
                let (digits, rest) = rest.split_at(size - 0x80);
                (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
            }
            _ => return false,
        };
        // Tags of several bytes are not used in LDAP.
        if tag & 0x1f == 0x1f || rest.len() < length {
            return false;
        }
        let (content, rest) = rest.split_at(length);
        if tag & 0x20 != 0 && (depth == 0 || !is_well_formed(content, depth - 1)) {
            return false;
        }
        bytes = rest;
    }
    bytes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_list_is_told_from_a_short_one() {
        let whole = [0x30, 0x06, 0x04, 0x01, b'a', 0x04, 0x01, b'b'];
        assert!(is_well_formed(&whole, DEPTH) && is_well_formed(&[], DEPTH));
        // The second value says that it has more than there is.
        assert!(!is_well_formed(&[0x30, 0x06, 0x04, 0x01, b'a', 0x04, 0x02, b'b'], DEPTH));
        assert!(!is_well_formed(&whole[..7], DEPTH));
        assert!(!is_well_formed(&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x00], DEPTH));
        assert!(!is_well_formed(&[0x30, 0x80, 0x00, 0x00], DEPTH));
        assert!(is_well_formed(&[0x30, 0x81, 0x03, 0x04, 0x01, b'a'], DEPTH));
        let deep: Vec<u8> = (0..60_u8).rev().flat_map(|left| [0x30, left * 2]).collect();
        assert!(!is_well_formed(&deep, DEPTH));
    }
}
