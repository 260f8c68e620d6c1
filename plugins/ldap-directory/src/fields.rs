//! The attributes of an entry as the server sent them.

use ldap3_proto::proto::{LdapPartialAttribute, LdapSearchResultEntry};
use uuid::Uuid;

/// An entry as it came.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(crate) dn: String,
    attributes: Vec<LdapPartialAttribute>,
}

/// Which of the values of an attribute came, where the server says so: `member;range=0-1499`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: u32,
    /// `None`: to the last one.
    pub(crate) to: Option<u32>,
}

impl From<LdapSearchResultEntry> for Fields {
    fn from(entry: LdapSearchResultEntry) -> Self {
        Self { dn: entry.dn, attributes: entry.attributes }
    }
}

impl Fields {
    /// The values of an attribute; none if it did not come.
    pub(crate) fn values(&self, name: &str) -> &[Vec<u8>] {
        let is = |attribute: &&LdapPartialAttribute| {
            let came = attribute.atype.as_str();
            // With `;binary` or a language they are values of another form.
            came.eq_ignore_ascii_case(name)
        };
        self.attributes.iter().find(is).map_or(&[], |attribute| &attribute.vals)
    }

    /// Those of its values that are text.
    pub(crate) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name).iter().filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// Whether a value is this one, upper and lower case being the same.
    pub(crate) fn has(&self, name: &str, wanted: &str) -> bool {
        let wanted = wanted.to_lowercase();
        self.texts(name).any(|value| value.to_lowercase() == wanted)
    }

    /// The first value as a number.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.texts(name).next()?.parse().ok()
    }

    /// The first value as Active Directory's GUID, in its usual text form: the first three groups of bytes are turned round.
    pub(crate) fn guid(&self, name: &str) -> Option<String> {
        let bytes: [u8; 16] = self.values(name).first()?.as_slice().try_into().ok()?;
        Some(Uuid::from_bytes_le(bytes).hyphenated().to_string())
    }

    /// The first value as a security identifier: its domain, and the number within that.
    pub(crate) fn sid(&self, name: &str) -> Option<(String, u32)> {
        let (&[revision, count, ref rest @ ..], mut text) =
            (self.values(name).first()?.as_slice(), String::new())
        else {
            return None;
        };
        let (authority, subs) = rest.split_at_checked(6)?;
        if count == 0 || subs.len() != usize::from(count) * 4 {
            return None;
        }
        let authority = authority.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        text.push_str(&format!("S-{revision}-{authority}"));
        let (subs, _) = subs.as_chunks::<4>();
        let mut numbers = subs.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let last = numbers.next_back()?;
        for number in numbers {
            text.push_str(&format!("-{number}"));
        }
        Some((text, last))
    }

    /// The lists that came of an attribute, whole or ranges of it.
    pub(crate) fn lists<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (Option<Range>, &'a [Vec<u8>])> {
        self.attributes.iter().filter_map(move |attribute| {
            let (base, option) = match attribute.atype.split_once(';') {
                Some((base, option)) => (base, Some(option)),
                None => (attribute.atype.as_str(), None),
            };
            if !base.eq_ignore_ascii_case(name) {
                return None;
            }
            match option {
                None => Some((None, attribute.vals.as_slice())),
                Some(option) => Some((Some(Range::parse(option)?), attribute.vals.as_slice())),
            }
        })
    }

    /// The names of the attributes that came, without options.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(|attribute| attribute.atype.split(';').next().unwrap_or_default())
    }
}

impl Range {
    fn parse(option: &str) -> Option<Self> {
        let (name, range) = option.split_at_checked("range=".len())?;
        let (from, to) = range.split_once('-').filter(|_| name.eq_ignore_ascii_case("range="))?;
        let to = if to == "*" { None } else { Some(to.parse().ok()?) };
        Some(Self { from: from.parse().ok()?, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(attributes: &[(&str, &[u8])]) -> Fields {
        let attribute = |(name, value): &(&str, &[u8])| LdapPartialAttribute {
            atype: (*name).to_owned(),
            vals: vec![value.to_vec()],
        };
        Fields { dn: String::new(), attributes: attributes.iter().map(attribute).collect() }
    }

    #[test]
    fn guids_and_sids_in_their_usual_form() {
        let guid: Vec<u8> = (0..16).collect();
        let sid = [1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0x01, 0x02, 0, 0];
        let fields = fields(&[("objectGUID", &guid), ("objectSid", &sid)]);
        assert_eq!(fields.guid("objectguid").unwrap(), "03020100-0504-0706-0809-0a0b0c0d0e0f");
        assert_eq!(fields.sid("objectSid").unwrap(), ("S-1-5-21-1-2-3".to_owned(), 513));
        assert_eq!((fields.guid("objectSid"), fields.sid("objectGUID")), (None, None));
    }

    #[test]
    fn ranges_are_told_from_whole_lists() {
        let fields =
            fields(&[("member;range=0-1499", b"a"), ("MEMBER;Range=1500-*", b"b"), ("member;x-y", b"c")]);
        let ranges: Vec<_> = fields.lists("member").map(|(range, _)| range.unwrap()).collect();
        assert_eq!(ranges, [Range { from: 0, to: Some(1499) }, Range { from: 1500, to: None }]);
        assert!(fields.values("member").is_empty());
        assert_eq!(fields.names().filter(|name| name.eq_ignore_ascii_case("member")).count(), 3);
    }
}
