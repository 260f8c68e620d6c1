//! Speaking with a directory server, well and badly.

use syncline_plugin::{FailureKind, Fault, prelude::*, raw::directory_sync::syncline::plugin::ldap as raw};

use crate::message;

/// For each answer, in milliseconds.
pub(crate) const WAIT: u32 = 20_000;

const ENTRY: u8 = 0x64;
const DONE: u8 = 0x65;

fn source(name: Option<&str>) -> Result<String> {
    let first = || directory_sources().into_iter().next().map(|source| source.name);
    let name = name.map(str::to_owned).or_else(first);
    name.ok_or_else(|| Failure::settings("bind a directory source to the sync: there is nothing to read"))
}

/// Connects by name, granted or not.
pub(crate) fn connect(name: Option<&str>) -> Result<raw::Session> {
    Ok(raw::connect(&source(name)?)?)
}

pub(crate) fn follow(name: Option<&str>, referral: &str) -> Result<raw::Session> {
    Ok(raw::follow(&source(name)?, referral)?)
}

pub(crate) fn say(session: &raw::Session, messages: &[u8]) -> Result<()> {
    Ok(session.send(messages)?)
}

/// What a search found, its result, and a cookie if there are more pages.
struct Found {
    names: Vec<String>,
    code: u8,
    cookie: Vec<u8>,
}

/// Reads until the search with this id has its result. `names` gets what came, whatever happens then.
fn answers(session: &raw::Session, id: u32, names: &mut Vec<String>) -> Result<(u8, Vec<u8>)> {
    loop {
        let bytes = session.receive(1 << 20, WAIT)?;
        for (_, content) in message::elements(&bytes) {
            let parts = message::elements(content);
            let [(_, number), (operation, body), controls @ ..] = parts.as_slice() else { continue };
            if number.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet)) != id {
                continue;
            }
            match (*operation, message::elements(body).first()) {
                (ENTRY, Some((_, name))) => names.push(String::from_utf8_lossy(name).into_owned()),
                (DONE, Some((_, code))) => {
                    return Ok((code.last().copied().unwrap_or_default(), cookie(controls).unwrap_or_default()));
                }
                _ => {}
            }
        }
    }
}

/// Of the one control that a test server answers with.
fn cookie(controls: &[(u8, &[u8])]) -> Option<Vec<u8>> {
    let (_, controls) = controls.first()?;
    let (_, control) = *message::elements(controls).first()?;
    let (_, value) = *message::elements(control).last()?;
    let (_, sequence) = *message::elements(value).first()?;
    message::elements(sequence).last().map(|(_, cookie)| cookie.to_vec())
}

fn ask(session: &raw::Session, id: u32, base: &str, page: Option<&[u8]>) -> Result<Found> {
    say(session, &message::search(id, base, page))?;
    let mut names = Vec::new();
    let (code, cookie) = answers(session, id, &mut names)?;
    Ok(Found { names, code, cookie })
}

fn succeeded(found: Found) -> Result<Found> {
    if found.code == 0 {
        return Ok(found);
    }
    let message = format!("the search ended with result {}", found.code);
    Err(Failure::new(FailureKind::Unavailable, Fault::Remote, message).with_code("result"))
}

/// All names below `base`.
pub(crate) fn search(session: &raw::Session, base: &str) -> Result<Vec<String>> {
    Ok(succeeded(ask(session, 1, base, None)?)?.names)
}

/// All names below `base`, page by page.
pub(crate) fn paged(session: &raw::Session, base: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut cookie = Vec::new();
    for id in 1.. {
        let found = succeeded(ask(session, id, base, Some(&cookie))?)?;
        names.extend(found.names);
        cookie = found.cookie;
        if cookie.is_empty() {
            break;
        }
    }
    Ok(names)
}

/// What came before it went wrong, and one name more.
pub(crate) fn whatever(session: &raw::Session, base: &str) -> Vec<String> {
    let mut names = vec!["made up".to_owned()];
    if say(session, &message::search(1, base, Some(b""))).is_ok() {
        drop(answers(session, 1, &mut names));
    }
    names
}

pub(crate) fn unanswered(session: &raw::Session, base: &str) -> Result<Vec<String>> {
    say(session, &message::search(1, base, None))?;
    Ok(vec!["made up".to_owned()])
}

pub(crate) fn abandoned(session: &raw::Session, base: &str) -> Result<Vec<String>> {
    say(session, &[message::search(1, base, None), message::abandon(2, 1)].concat())?;
    Ok(vec!["made up".to_owned()])
}

/// The first session ends within a search; a second one reads it to its end.
pub(crate) fn reconnected(source: Option<&str>, base: &str) -> Result<Vec<String>> {
    let session = connect(source)?;
    say(&session, &message::search(1, base, None))?;
    drop(session);
    search(&connect(source)?, base)
}

pub(crate) fn unbound(session: &raw::Session, base: &str) -> Result<Vec<String>> {
    say(session, &message::unbind(9))?;
    search(session, base)
}

/// Tries again, whatever the server said.
pub(crate) fn stubborn(source: Option<&str>, base: &str) -> Result<Vec<String>> {
    let mut session = connect(source);
    for _ in 0..9 {
        if session.is_ok() {
            break;
        }
        session = connect(source);
    }
    search(&session?, base)
}
