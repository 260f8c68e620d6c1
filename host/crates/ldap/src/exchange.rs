//! Questions that the host asks for itself: before a session is given out, and in a connection test.

use bytes::BytesMut;
use ldap3_proto::{
    LdapCodec, LdapFilter,
    proto::{
        LdapDerefAliases, LdapMsg, LdapOp, LdapResult, LdapSearchRequest, LdapSearchResultEntry,
        LdapSearchScope,
    },
};
use syncline_domain::{
    Failure, FailureKind, Fault,
    directory::message::{MAX_MESSAGE, parse},
};
use tokio_util::codec::{Decoder as _, Encoder as _};
use zeroize::Zeroize as _;

use crate::{answer, wire::Wire};

/// Asks, and waits for the answer. `room` is about how long the question is: with enough of it, its bytes are nowhere but
/// in one buffer, which is wiped.
pub(crate) async fn ask(wire: &mut Wire, op: LdapOp, room: usize) -> Result<LdapOp, Failure> {
    let id = send(wire, op, room).await?;
    next(wire, id).await
}

/// Entries of one search, at most `limit` of them, and how it ended.
pub(crate) async fn search(
    wire: &mut Wire,
    base: &str,
    scope: LdapSearchScope,
    attributes: &[&str],
    limit: i32,
) -> Result<(Vec<LdapSearchResultEntry>, LdapResult), Failure> {
    let request = LdapSearchRequest {
        base: base.to_owned(),
        scope,
        aliases: LdapDerefAliases::Never,
        sizelimit: limit,
        timelimit: 0,
        typesonly: false,
        filter: LdapFilter::Present("objectClass".to_owned()),
        attrs: attributes.iter().map(|name| (*name).to_owned()).collect(),
    };
    let id = send(wire, LdapOp::SearchRequest(request), 256 + base.len()).await?;
    let mut entries = Vec::new();
    loop {
        match next(wire, id).await? {
            LdapOp::SearchResultEntry(entry) => entries.push(entry),
            LdapOp::SearchResultReference(_) | LdapOp::IntermediateResponse(_) => {}
            LdapOp::SearchResultDone(result) => return Ok((entries, result)),
            _ => return Err(nonsense(wire.server(), "answers a search with something else")),
        }
        if i32::try_from(entries.len()).is_ok_and(|count| count > limit) {
            return Err(nonsense(
                wire.server(),
                &format!("sends more than the {limit} entries it was asked for"),
            ));
        }
    }
}

async fn send(wire: &mut Wire, op: LdapOp, room: usize) -> Result<i32, Failure> {
    let id = wire.next_id();
    let mut buffer = BytesMut::with_capacity(64 + room);
    let encoded = LdapCodec::default().encode(LdapMsg { msgid: id, op, ctrl: Vec::new() }, &mut buffer);
    let sent = match encoded {
        Ok(()) => wire.send(&buffer).await,
        Err(error) => Err(Failure::host("encoding", format!("a question to {}: {error}", wire.server()))),
    };
    buffer.as_mut().zeroize();
    sent.map(|()| id)
}

/// The next answer to the question with this id.
async fn next(wire: &mut Wire, id: i32) -> Result<LdapOp, Failure> {
    // At most one byte: one message comes, however large.
    let bytes = wire.receive(1).await?;
    let decoded = LdapCodec::new(Some(MAX_MESSAGE), None).decode(&mut BytesMut::from(bytes.as_slice()));
    let mut message = match decoded {
        Ok(Some(message)) => message,
        Ok(None) => return Err(nonsense(wire.server(), "sends a message that ends before its content does")),
        Err(error) => return Err(nonsense(wire.server(), &format!("sends what cannot be read: {error}"))),
    };
    // The codec reads past them.
    if let LdapOp::SearchResultDone(result) = &mut message.op
        && let Ok(outcome) = parse(&bytes).and_then(|message| message.outcome())
    {
        let text = |url: &&[u8]| String::from_utf8_lossy(url).into_owned();
        result.referral = outcome.referrals.iter().map(text).collect();
    }
    match message.op {
        // Unasked: notice of disconnection (RFC 4511, section 4.4.1).
        LdapOp::ExtendedResponse(notice) if message.msgid == 0 => Err(Failure::unavailable(
            "closed",
            format!("{} is closing the connection: {}", wire.server(), answer::told(&notice.res)),
        )),
        op if message.msgid == id => Ok(op),
        _ => Err(nonsense(wire.server(), &format!("answers question {}, and {id} was asked", message.msgid))),
    }
}

/// What answers does not keep to the protocol.
pub(crate) fn nonsense(server: &str, what: &str) -> Failure {
    let message = format!("{server} {what}: is it a directory server?");
    Failure::new(FailureKind::Invalid, Fault::Remote, "framing", message)
}
