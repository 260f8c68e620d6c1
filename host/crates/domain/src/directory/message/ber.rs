//! The little of BER (X.690) that LDAP uses: tags of one byte, definite lengths. Nothing here allocates or calls itself.

use super::BadMessage;

/// Most bytes of one LDAPMessage, its own tag and length included.
pub const MAX_MESSAGE: usize = 4 << 20;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;

/// What stands before the content of an element.
pub(super) struct Head {
    pub(super) tag: u8,
    /// Bytes of tag and length.
    pub(super) bytes: usize,
    /// Bytes of the content.
    pub(super) content: usize,
}

/// The head of the element that `bytes` begins with; none if it goes on after `bytes`.
pub(super) fn head(bytes: &[u8]) -> Result<Option<Head>, BadMessage> {
    let Some(&tag) = bytes.first() else { return Ok(None) };
    // A number that goes on in the next bytes: LDAP has none, and it would be a second way to write an operation.
    if tag & 0x1f == 0x1f {
        return Err(BadMessage::LongTag);
    }
    let Some(&first) = bytes.get(1) else { return Ok(None) };
    let (octets, content) = match first {
        0..=0x7f => (0, u64::from(first)),
        0x80 => return Err(BadMessage::Indefinite),
        // More than four could only say more than 4 GiB, or begin with zeros.
        0x81..=0x84 => {
            let octets = usize::from(first & 0x7f);
            let Some(length) = bytes.get(2..2 + octets) else { return Ok(None) };
            (octets, length.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet)))
        }
        _ => return Err(BadMessage::LengthOctets(first & 0x7f)),
    };
    let bytes = 2 + octets;
    match usize::try_from(content) {
        Ok(content) if content <= MAX_MESSAGE - bytes => Ok(Some(Head { tag, bytes, content })),
        _ => Err(BadMessage::TooLarge(content)),
    }
}

/// Elements one after the other, as the content of one that is made of others.
pub(super) struct Elements<'a>(pub(super) &'a [u8]);

impl<'a> Elements<'a> {
    /// The next one: tag and content. None at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, BadMessage> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let head = head(self.0)?.ok_or(BadMessage::Truncated)?;
        let content = self.0.get(head.bytes..head.bytes + head.content).ok_or(BadMessage::Truncated)?;
        self.0 = &self.0[head.bytes + head.content..];
        Ok(Some((head.tag, content)))
    }

    /// The content of the next one, which has to have this tag. `what` is what it would be.
    pub(super) fn expect(&mut self, tag: u8, what: &'static str) -> Result<&'a [u8], BadMessage> {
        match self.next()? {
            Some((found, content)) if found == tag => Ok(content),
            _ => Err(BadMessage::Missing(what)),
        }
    }

    /// The content of the next one if it has this tag; else it stays where it is.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, BadMessage> {
        if self.0.first() == Some(&tag) { Ok(self.next()?.map(|(_, content)| content)) } else { Ok(None) }
    }
}

/// A whole number from 0 to 2^31 - 1: all that LDAP has.
pub(super) fn number(content: &[u8], what: &'static str) -> Result<u32, BadMessage> {
    let negative = content.first().is_none_or(|first| *first >= 0x80);
    if negative || content.len() > 4 {
        return Err(BadMessage::Number(what));
    }
    Ok(content.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet)))
}
