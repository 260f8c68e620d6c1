//! What a plugin may ask of a directory server: to search, to give up a search, to end. The operation is read from the
//! message itself, and in one way only: what is not surely one of these does not reach a server.

use syncline_domain::{
    Failure, Name,
    directory::message::{BadMessage, Changes, Message, Operation, Search, parse, split},
};

use super::super::Refusal;

/// Most bytes in one call.
const SEND: usize = 1 << 20;

/// A request that passes.
pub(super) enum Request<'a> {
    Search(Asked<'a>),
    Abandon(u32),
    Unbind,
}

/// What a search asks for.
pub(super) struct Asked<'a> {
    pub(super) id: u32,
    pub(super) search: Search<'a>,
    pub(super) changes: Changes,
    /// Goes on with a search of which there were pages before.
    pub(super) continues: bool,
    /// Asks for no further page of such a search.
    pub(super) ends: bool,
}

/// Looks at all that a plugin sends at once. A failure with code `framing` ends the session. An operation that does not
/// pass ends the instance: a plugin that tries to change something is not asked twice.
pub(super) fn vet<'a>(bytes: &'a [u8], source: &Name) -> Result<Vec<Request<'a>>, Refusal> {
    if bytes.len() > SEND {
        let message = format!("{} bytes sent in one call: send at most {SEND}", bytes.len());
        return Err(Failure::plugin_limit("send", message).into());
    }
    let framing = |why: &str| {
        let message = format!(
            "what the plugin sent to the directory {source} is not made of LDAPMessages: {why}; its author has to mend it"
        );
        Refusal::from(Failure::plugin("framing", message))
    };
    let mut requests = Vec::new();
    for message in split(bytes) {
        if matches!(requests.last(), Some(Request::Unbind)) {
            return Err(framing("something stands after an unbind request"));
        }
        let request = match message.and_then(parse) {
            Ok(message) => request(message, source)?,
            Err(BadMessage::Operation(tag)) => {
                return Err(forbidden(&format!("operation 0x{tag:02x}"), source));
            }
            Err(bad) => return Err(framing(&bad.to_string())),
        };
        requests.push(request.map_err(|bad| framing(&bad.to_string()))?);
    }
    if requests.is_empty() { Err(framing("it is empty")) } else { Ok(requests) }
}

fn request<'a>(message: Message<'a>, source: &Name) -> Result<Result<Request<'a>, BadMessage>, Refusal> {
    Ok(match message.operation {
        Operation::SearchRequest => asked(&message).map(Request::Search),
        Operation::AbandonRequest => message.abandoned().map(Request::Abandon),
        Operation::UnbindRequest => Ok(Request::Unbind),
        other => return Err(forbidden(other.name(), source)),
    })
}

fn asked<'a>(message: &Message<'a>) -> Result<Asked<'a>, BadMessage> {
    // A server would answer this as if it had not been asked.
    if message.id == 0 {
        return Err(BadMessage::Number("message id"));
    }
    if !message.extra.is_empty() {
        return Err(BadMessage::Trailing(message.extra.len()));
    }
    let paging = message.paging()?;
    let continues = paging.is_some_and(|paging| !paging.cookie.is_empty());
    Ok(Asked {
        id: message.id,
        search: message.search()?,
        changes: message.changes()?,
        continues,
        ends: continues && paging.is_some_and(|paging| paging.size == 0),
    })
}

/// Ends the instance.
fn forbidden(operation: &str, source: &Name) -> Refusal {
    let message = format!(
        "the plugin sent a {operation} to the directory {source}, and only search, abandon and unbind requests pass: it was \
         not sent on, and the run has ended; the author has to say why it was tried"
    );
    Refusal::End(wasmtime::Error::new(Failure::plugin("ldap-operation", message)))
}
