//! LDAPMessages (RFC 4511) as far as a host looks into them that lets others speak LDAP: where one ends, what it asks or
//! answers, and with which result.
//!
//! * [`Frames`] cuts a stream into whole messages, [`split`] a piece that holds whole ones.
//! * [`parse`] reads id, operation and controls of one. What is inside of an operation is read by the methods of
//!   [`Message`], each where it is asked for.
//!
//! All of it is read strictly where two readers could understand it differently: one way to write a tag, definite
//! lengths, elements that end where the one around them does.

mod ber;
mod frames;

use std::{borrow::Cow, fmt};

use ber::{ENUMERATED, Elements, INTEGER, OCTETS, SEQUENCE, number};

pub use ber::MAX_MESSAGE;
pub use frames::{Frames, Split, split};

const CONTROLS: u8 = 0xa0;
const BOOLEAN: u8 = 0x01;
/// `[3]` of an LDAPResult.
const REFERRAL: u8 = 0xa3;

/// RFC 2696.
const PAGING: &[u8] = b"1.2.840.113556.1.4.319";
/// Active Directory's changes since a cookie ([MS-ADTS] 3.1.1.3.4.1.3), in request and answer.
const DIRSYNC: &[u8] = b"1.2.840.113556.1.4.841";
/// RFC 4533, in a request.
const SYNC: &[u8] = b"1.3.6.1.4.1.4203.1.9.1.1";

/// Bytes that are no LDAPMessage, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// It does not begin as one.
    #[error("a message begins with the byte 0x30, and this begins with 0x{0:02x}")]
    NoMessage(u8),
    /// An indefinite length.
    #[error("an element has an indefinite length, which LDAP does not allow")]
    Indefinite,
    /// A length of this many bytes.
    #[error("a length is written in {0} bytes, and 4 is the most")]
    LengthOctets(u8),
    /// It says that it has so many bytes.
    #[error("an element says that it has {0} bytes, and {MAX_MESSAGE} is the most for a whole message")]
    TooLarge(u64),
    /// A tag of more than one byte.
    #[error("an element has a tag of more than one byte, and LDAP has none")]
    LongTag,
    /// It ends in the middle.
    #[error("the message ends within one of its elements")]
    Truncated,
    /// There is something after its end.
    #[error("there are {0} bytes after the end of the message")]
    Trailing(usize),
    /// This is not where it should be.
    #[error("the {0} of the message is not where it should be")]
    Missing(&'static str),
    /// This is no number that LDAP has.
    #[error("the {0} of the message is no number from 0 to 2147483647")]
    Number(&'static str),
    /// It asks or answers something that there is not.
    #[error("the message has the tag 0x{0:02x}, and LDAP has no such operation")]
    Operation(u8),
}

macro_rules! operations {
    ($($name:ident = $tag:literal, $words:literal;)*) => {
        /// What a message asks or answers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "RFC 4511 documents them")]
        pub enum Operation { $($name,)* }

        impl Operation {
            fn of(tag: u8) -> Result<Self, BadMessage> {
                match tag {
                    $($tag => Ok(Self::$name),)*
                    _ => Err(BadMessage::Operation(tag)),
                }
            }

            /// In words, such as `modify request`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

operations! {
    BindRequest = 0x60, "bind request";
    BindResponse = 0x61, "bind response";
    UnbindRequest = 0x42, "unbind request";
    SearchRequest = 0x63, "search request";
    SearchResultEntry = 0x64, "search result entry";
    SearchResultDone = 0x65, "search result done";
    SearchResultReference = 0x73, "search result reference";
    ModifyRequest = 0x66, "modify request";
    ModifyResponse = 0x67, "modify response";
    AddRequest = 0x68, "add request";
    AddResponse = 0x69, "add response";
    DelRequest = 0x4a, "delete request";
    DelResponse = 0x6b, "delete response";
    ModifyDnRequest = 0x6c, "modify DN request";
    ModifyDnResponse = 0x6d, "modify DN response";
    CompareRequest = 0x6e, "compare request";
    CompareResponse = 0x6f, "compare response";
    AbandonRequest = 0x50, "abandon request";
    ExtendedRequest = 0x77, "extended request";
    ExtendedResponse = 0x78, "extended response";
    IntermediateResponse = 0x79, "intermediate response";
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The frame of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Ties answers to their request; 0 where a server speaks unasked.
    pub id: u32,
    /// What it asks or answers.
    pub operation: Operation,
    /// What is inside of the operation.
    body: &'a [u8],
    /// What is inside of the controls.
    controls: &'a [u8],
    /// Whole elements after that. LDAP lets readers pass over what they do not know.
    pub extra: &'a [u8],
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// The result code, such as 0 for success.
    pub code: u32,
    /// What the server says of it, for people. Not looked at: it can hold anything.
    pub diagnostic: Cow<'a, str>,
    /// LDAP URLs of servers to ask instead.
    pub referrals: Vec<&'a [u8]>,
}

/// What a search is about, as far as it tells one search from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search<'a> {
    /// The distinguished name that it starts at, as it was sent.
    pub base: &'a [u8],
    /// 0 for the base alone, 1 for one level below it, 2 for all below it.
    pub scope: u32,
    /// Filter and attributes, as they were sent.
    pub wanted: &'a [u8],
}

/// RFC 2696, in a request or in the answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging<'a> {
    /// In a request: most entries of a page; 0 ends the paging.
    pub size: u32,
    /// Where to go on. Empty in the first request and in the last answer.
    pub cookie: &'a [u8],
}

/// How a search asks for what has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Changes {
    /// Not at all: for all that there is.
    #[default]
    No,
    /// Content synchronization, RFC 4533.
    Sync,
    /// Active Directory's DirSync.
    DirSync,
}

/// Reads the frame of a message: `message` is one and nothing more.
pub fn parse(message: &[u8]) -> Result<Message<'_>, BadMessage> {
    let mut whole = Elements(message);
    let content = match whole.next()? {
        Some((SEQUENCE, content)) => content,
        Some((tag, _)) => return Err(BadMessage::NoMessage(tag)),
        None => return Err(BadMessage::Truncated),
    };
    if !whole.0.is_empty() {
        return Err(BadMessage::Trailing(whole.0.len()));
    }
    let mut elements = Elements(content);
    let id = number(elements.expect(INTEGER, "message id")?, "message id")?;
    let (tag, body) = elements.next()?.ok_or(BadMessage::Missing("operation"))?;
    let operation = Operation::of(tag)?;
    let controls = elements.optional(CONTROLS)?.unwrap_or_default();
    let extra = elements.0;
    while elements.next()?.is_some() {}
    Ok(Message { id, operation, body, controls, extra })
}

impl<'a> Message<'a> {
    /// How it ended: of any response but a search result entry or reference, and an intermediate response.
    pub fn outcome(&self) -> Result<Outcome<'a>, BadMessage> {
        let mut elements = Elements(self.body);
        let code = number(elements.expect(ENUMERATED, "result code")?, "result code")?;
        elements.expect(OCTETS, "matched DN")?;
        let diagnostic = String::from_utf8_lossy(elements.expect(OCTETS, "diagnostic message")?);
        let referrals = match elements.optional(REFERRAL)? {
            Some(urls) => octet_strings(urls, "referral")?,
            None => Vec::new(),
        };
        Ok(Outcome { code, diagnostic, referrals })
    }

    /// Of a search request: what it is about.
    pub fn search(&self) -> Result<Search<'a>, BadMessage> {
        let mut elements = Elements(self.body);
        let base = elements.expect(OCTETS, "base of the search")?;
        let scope = number(elements.expect(ENUMERATED, "scope")?, "scope")?;
        elements.expect(ENUMERATED, "handling of aliases")?;
        number(elements.expect(INTEGER, "size limit")?, "size limit")?;
        number(elements.expect(INTEGER, "time limit")?, "time limit")?;
        elements.expect(BOOLEAN, "wish for types alone")?;
        let wanted = elements.0;
        elements.next()?.ok_or(BadMessage::Missing("filter"))?;
        elements.expect(SEQUENCE, "list of attributes")?;
        if !elements.0.is_empty() {
            return Err(BadMessage::Trailing(elements.0.len()));
        }
        Ok(Search { base, scope, wanted })
    }

    /// Of an abandon request: the id of the request that is abandoned.
    pub fn abandoned(&self) -> Result<u32, BadMessage> {
        number(self.body, "id of the abandoned request")
    }

    /// Of a search result reference: LDAP URLs, any of which leads to what is missing.
    pub fn references(&self) -> Result<Vec<&'a [u8]>, BadMessage> {
        octet_strings(self.body, "reference")
    }

    /// Paging, if the message has that control.
    pub fn paging(&self) -> Result<Option<Paging<'a>>, BadMessage> {
        let Some(value) = self.control(PAGING)? else { return Ok(None) };
        let mut elements = Elements(Elements(value).expect(SEQUENCE, "value of the paging control")?);
        let size = number(elements.expect(INTEGER, "page size")?, "page size")?;
        let cookie = elements.expect(OCTETS, "cookie of the paging control")?;
        Ok(Some(Paging { size, cookie }))
    }

    /// Of a search request: how it asks for what has changed.
    pub fn changes(&self) -> Result<Changes, BadMessage> {
        Ok(match (self.control(SYNC)?, self.control(DIRSYNC)?) {
            (Some(_), _) => Changes::Sync,
            (None, Some(_)) => Changes::DirSync,
            (None, None) => Changes::No,
        })
    }

    /// Of a search result done: whether the server has more to give, by paging or DirSync, once it is asked again.
    pub fn has_more(&self) -> Result<bool, BadMessage> {
        if self.paging()?.is_some_and(|paging| !paging.cookie.is_empty()) {
            return Ok(true);
        }
        let Some(value) = self.control(DIRSYNC)? else { return Ok(false) };
        let mut elements = Elements(Elements(value).expect(SEQUENCE, "value of the DirSync control")?);
        // Any other number than 0, negative ones too.
        Ok(elements.expect(INTEGER, "flag of the DirSync control")?.iter().any(|octet| *octet != 0))
    }

    /// The value of a control, by its object identifier; empty if it has none.
    fn control(&self, oid: &[u8]) -> Result<Option<&'a [u8]>, BadMessage> {
        let mut controls = Elements(self.controls);
        while let Some((tag, control)) = controls.next()? {
            if tag != SEQUENCE {
                return Err(BadMessage::Missing("list of controls"));
            }
            let mut parts = Elements(control);
            let found = parts.expect(OCTETS, "name of a control")?;
            parts.optional(BOOLEAN)?;
            let value = parts.optional(OCTETS)?;
            if found == oid {
                return Ok(Some(value.unwrap_or_default()));
            }
        }
        Ok(None)
    }
}

fn octet_strings<'a>(bytes: &'a [u8], what: &'static str) -> Result<Vec<&'a [u8]>, BadMessage> {
    let mut elements = Elements(bytes);
    let mut strings = Vec::new();
    while !elements.0.is_empty() {
        strings.push(elements.expect(OCTETS, what)?);
    }
    Ok(strings)
}

#[cfg(test)]
mod tests;
