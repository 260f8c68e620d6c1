//! LDAPMessages, byte by byte: a codec would not write the wrong ones.

use syncline_plugin::prelude::*;

/// An element, its length in four bytes.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    [&[tag, 0x84], &length.to_be_bytes()[..], content].concat()
}

fn message(id: u32, operation: Vec<u8>, controls: &[u8]) -> Vec<u8> {
    element(0x30, &[element(2, &id.to_be_bytes()), operation, controls.to_vec()].concat())
}

/// For all below `base`. With a cookie, for pages; an empty one begins.
pub(crate) fn search(id: u32, base: &str, cookie: Option<&[u8]>) -> Vec<u8> {
    let filter = element(0x87, b"objectClass");
    let head = [element(4, base.as_bytes()), element(10, &[2]), element(10, &[0])].concat();
    let limits = [element(2, &[0]), element(2, &[0]), element(1, &[0])].concat();
    let body = [head, limits, filter, element(0x30, &element(4, b"cn"))].concat();
    let controls = cookie.map(|cookie| {
        let value = element(0x30, &[element(2, &[2]), element(4, cookie)].concat());
        let control = [element(4, b"1.2.840.113556.1.4.319"), element(4, &value)].concat();
        element(0xa0, &element(0x30, &control))
    });
    message(id, element(0x63, &body), &controls.unwrap_or_default())
}

pub(crate) fn abandon(id: u32, of: u32) -> Vec<u8> {
    message(id, element(0x50, &of.to_be_bytes()), &[])
}

pub(crate) fn unbind(id: u32) -> Vec<u8> {
    message(id, element(0x42, &[]), &[])
}

pub(crate) fn bind() -> Vec<u8> {
    let body = [element(2, &[3]), element(4, b"cn=admin"), element(0x80, b"guessed")].concat();
    message(1, element(0x60, &body), &[])
}

pub(crate) fn modify(name: &str) -> Vec<u8> {
    let values = [element(4, b"description"), element(0x31, &element(4, b"owned"))].concat();
    let change = element(0x30, &[element(10, &[2]), element(0x30, &values)].concat());
    message(1, element(0x66, &[element(4, name.as_bytes()), element(0x30, &change)].concat()), &[])
}

pub(crate) fn add(above: &str) -> Vec<u8> {
    let attribute = [element(4, b"objectClass"), element(0x31, &element(4, b"device"))].concat();
    let name = format!("cn=owned,{above}");
    let body = [element(4, name.as_bytes()), element(0x30, &element(0x30, &attribute))].concat();
    message(1, element(0x68, &body), &[])
}

pub(crate) fn delete(name: &str) -> Vec<u8> {
    message(2, element(0x4a, name.as_bytes()), &[])
}

pub(crate) fn modify_dn(name: &str) -> Vec<u8> {
    let body = [element(4, name.as_bytes()), element(4, b"cn=owned"), element(1, &[0xff])].concat();
    message(1, element(0x6c, &body), &[])
}

pub(crate) fn compare(name: &str) -> Vec<u8> {
    let assertion = element(0x30, &[element(4, b"userPassword"), element(4, b"guessed")].concat());
    message(1, element(0x6e, &[element(4, name.as_bytes()), assertion].concat()), &[])
}

/// A change of the password of whoever is bound, RFC 3062.
pub(crate) fn extended() -> Vec<u8> {
    message(1, element(0x77, &element(0x80, b"1.3.6.1.4.1.4203.1.11.1")), &[])
}

pub(crate) fn response() -> Vec<u8> {
    message(1, element(0x65, &[element(10, &[0]), element(4, b""), element(4, b"")].concat()), &[])
}

/// The bytes that hexadecimal digits stand for.
pub(crate) fn from_digits(text: &str) -> Result<Vec<u8>> {
    let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<_>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes.ok_or_else(|| Failure::settings("`text` is to be hexadecimal digits"))
}

/// Elements one after the other: tag and content. What a test server sends is well formed.
pub(crate) fn elements(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while let [tag, first, rest @ ..] = bytes {
        let octets = if *first < 0x80 { 0 } else { usize::from(first & 0x7f) };
        let Some((length, rest)) = rest.split_at_checked(octets) else { break };
        let length = match octets {
            0 => usize::from(*first),
            _ => length.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)),
        };
        let Some((content, rest)) = rest.split_at_checked(length) else { break };
        found.push((*tag, content));
        bytes = rest;
    }
    found
}
