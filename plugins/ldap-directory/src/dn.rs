//! Distinguished names in one normal form, so that names that the directory takes for the same are equal texts.
//!
//! What is done about it (RFC 4514, RFC 4518): types in lower case and by name where they are well-known numbers; escapes,
//! quotes and `#` forms resolved; letters in lower case and compatibility form (NFKC), outer spaces gone and inner ones single;
//! the parts of a multi-valued RDN sorted. All that is escaped in the result is escaped as `\xx`, so that a `,` in it always
//! parts two RDNs. Which attributes tell upper from lower case is not known here; none that commonly names entries does.

use std::fmt::Write;

use unicode_normalization::UnicodeNormalization;

/// Longest name that is taken, in bytes of its normal form.
const MAX: usize = 4_096;

/// Names of well-known types (RFC 4519) for those who write their numbers.
const TYPES: &[(&str, &str)] = &[
    ("2.5.4.3", "cn"),
    ("2.5.4.4", "sn"),
    ("2.5.4.6", "c"),
    ("2.5.4.7", "l"),
    ("2.5.4.8", "st"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "o"),
    ("2.5.4.11", "ou"),
    ("0.9.2342.19200300.100.1.1", "uid"),
    ("0.9.2342.19200300.100.1.25", "dc"),
    ("1.2.840.113549.1.9.1", "emailaddress"),
    ("commonname", "cn"),
    ("surname", "sn"),
    ("organizationalunitname", "ou"),
    ("organizationname", "o"),
    ("domaincomponent", "dc"),
    ("userid", "uid"),
];

/// A text that is no distinguished name: where it stops being one, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoDn(pub(crate) usize);

/// The normal form. The empty name is the empty text.
pub(crate) fn normal(text: &str) -> Result<String, NoDn> {
    let mut parser = Parser { text, at: 0 };
    let mut out = String::with_capacity(text.len());
    parser.spaces();
    if parser.at == text.len() {
        return Ok(out);
    }
    loop {
        let mut parts = vec![parser.part()?];
        while parser.eat('+') {
            parts.push(parser.part()?);
        }
        parts.sort();
        parts.dedup();
        out.push_str(&parts.join("+"));
        if parser.at == text.len() {
            break;
        }
        if !parser.eat(',') && !parser.eat(';') {
            return Err(NoDn(parser.at));
        }
        out.push(',');
    }
    if out.len() > MAX { Err(NoDn(MAX)) } else { Ok(out) }
}

/// The name of what holds it, from a normal form. `None` for a name of one part and the empty one.
pub(crate) fn parent(normal: &str) -> Option<&str> {
    normal.split_once(',').map(|(_, parent)| parent)
}

/// Whether it is `base` or below it; both in normal form. All is below the empty name.
pub(crate) fn is_within(normal: &str, base: &str) -> bool {
    let Some(rest) = normal.strip_suffix(base) else { return false };
    base.is_empty() || rest.is_empty() || rest.ends_with(',')
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let eaten = self.rest().starts_with(wanted);
        self.at += if eaten { wanted.len_utf8() } else { 0 };
        eaten
    }

    fn spaces(&mut self) {
        while self.eat(' ') || self.eat('\n') || self.eat('\r') || self.eat('\t') {}
    }

    /// `type=value`, in normal form.
    fn part(&mut self) -> Result<String, NoDn> {
        self.spaces();
        let length = self.rest().find(|c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c)));
        let length = length.unwrap_or(self.rest().len());
        if length == 0 {
            return Err(NoDn(self.at));
        }
        let kind = self.rest()[..length].to_ascii_lowercase();
        self.at += length;
        let kind = kind.strip_prefix("oid.").unwrap_or(&kind);
        self.spaces();
        if !self.eat('=') {
            return Err(NoDn(self.at));
        }
        self.spaces();
        let value = self.value()?;
        let kind = TYPES.iter().find(|(other, _)| *other == kind).map_or(kind, |(_, name)| name);
        let mut out = format!("{kind}=");
        match String::from_utf8(value) {
            Ok(text) => write_text(&mut out, &text),
            Err(error) => write_hex(&mut out, "#", error.as_bytes()),
        }
        Ok(out)
    }

    /// The bytes of a value, its trailing spaces and all that was escaped taken as it is.
    fn value(&mut self) -> Result<Vec<u8>, NoDn> {
        if self.rest().starts_with('#') {
            return self.hex_value();
        }
        let quoted = self.eat('"');
        let mut out = Vec::new();
        loop {
            match self.peek() {
                Some('\\') => {
                    self.at += 1;
                    out.extend(self.escaped()?);
                }
                Some('"') if quoted => {
                    self.at += 1;
                    self.spaces();
                    return Ok(out);
                }
                None if quoted => return Err(NoDn(self.at)),
                Some(',' | '+' | ';') | None if !quoted => return Ok(out),
                Some(other) => {
                    self.at += other.len_utf8();
                    out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
                }
                None => return Ok(out),
            }
        }
    }

    /// What follows a backslash: two hexadecimal digits, or a character as it is.
    fn escaped(&mut self) -> Result<Vec<u8>, NoDn> {
        if let Some(byte) = self.rest().get(..2).and_then(hex_byte) {
            self.at += 2;
            return Ok(vec![byte]);
        }
        let Some(one) = self.peek() else { return Err(NoDn(self.at)) };
        self.at += one.len_utf8();
        Ok(one.encode_utf8(&mut [0; 4]).as_bytes().to_vec())
    }

    /// `#` and the BER of a value. Of the usual strings the content is taken, of all else the whole encoding.
    fn hex_value(&mut self) -> Result<Vec<u8>, NoDn> {
        let begin = self.at;
        self.at += 1;
        let mut bytes = Vec::new();
        while let Some(byte) = self.rest().get(..2).and_then(hex_byte) {
            bytes.push(byte);
            self.at += 2;
        }
        self.spaces();
        if bytes.is_empty() || !matches!(self.peek(), None | Some(',' | '+' | ';')) {
            return Err(NoDn(begin));
        }
        Ok(match bytes[..] {
            // OCTET STRING, UTF8String, PrintableString, IA5String, with a length of one byte.
            [0x04 | 0x0c | 0x13 | 0x16, length, ..]
                if length < 0x80 && usize::from(length) == bytes.len() - 2 =>
            {
                bytes.split_off(2)
            }
            _ => bytes,
        })
    }
}

fn hex_byte(digits: &str) -> Option<u8> {
    // `from_str_radix` takes a sign.
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

fn write_text(out: &mut String, text: &str) {
    let folded = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        text.nfkc().flat_map(char::to_lowercase).nfkc().collect()
    };
    let mut first = true;
    for word in folded.split_ascii_whitespace() {
        if !first {
            out.push(' ');
        }
        for c in word.chars() {
            let special = matches!(c, ',' | '+' | ';' | '"' | '\\' | '<' | '>') || (first && c == '#');
            if special || c.is_control() {
                write_hex(out, "\\", c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                out.push(c);
            }
            first = false;
        }
        first = false;
    }
}

/// Each byte as two digits. With `\` before each, with `#` before all.
fn write_hex(out: &mut String, mark: &str, bytes: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        if index == 0 || mark == "\\" {
            out.push_str(mark);
        }
        // Writing to a text cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(normal(text).as_deref(), Ok(expected), "{text}");
        assert_eq!(normal(expected).as_deref(), Ok(expected), "the normal form of {text} is its own");
    }

    #[test]
    fn names_that_are_the_same_are_equal() {
        check("", "");
        check("  ", "");
        check("DC=Example, dc = COM", "dc=example,dc=com");
        check("cn=Ada   Lovelace ,ou=R\\26D,dc=x", "cn=ada lovelace,ou=r&d,dc=x");
        check("2.5.4.3=a,OID.2.5.4.11=b;commonName=c", "cn=a,ou=b,cn=c");
        check("uid=b+CN=a,dc=x", "cn=a+uid=b,dc=x");
        check("cn=\"Doe, Jane\",dc=x", "cn=doe\\2c jane,dc=x");
        check("cn=Doe\\, Jane\\ ,dc=x", "cn=doe\\2c jane,dc=x");
        check("cn=\\#1\\+\\\\,dc=x", "cn=\\231\\2b\\5c,dc=x");
        check("cn=a=b,dc=x", "cn=a=b,dc=x");
        check("cn=,dc=x", "cn=,dc=x");
    }

    #[test]
    fn letters_of_all_kinds_and_ways_to_write_them() {
        check("cn=Ärzte,dc=x", "cn=ärzte,dc=x");
        check("cn=A\u{308}rzte,dc=x", "cn=ärzte,dc=x");
        check("cn=\\c3\\84rzte,dc=x", "cn=ärzte,dc=x");
        check("cn=ΣΟΦΟΣ,dc=x", "cn=σοφοσ,dc=x");
        check("cn=山田 太郎,dc=x", "cn=山田 太郎,dc=x");
    }

    #[test]
    fn values_as_ber_and_values_that_are_no_text() {
        check("cn=#0403616263,dc=x", "cn=abc,dc=x");
        check("cn=#0C03416263", "cn=abc");
        check("cn=\\ff\\fe,dc=x", "cn=#fffe,dc=x");
        check("cn=#FFFE,dc=x", "cn=#fffe,dc=x");
    }

    #[test]
    fn what_is_no_name_is_told_where() {
        for (text, at) in
            [("cn", 2), ("=a", 0), ("cn=a,", 5), ("cn=\"a", 5), ("cn=a\\", 5), ("cn=#0g,dc=x", 3)]
        {
            assert_eq!(normal(text), Err(NoDn(at)), "{text}");
        }
    }

    #[test]
    fn what_is_within_what() {
        assert!(is_within("cn=a,dc=x", "dc=x") && is_within("dc=x", "dc=x") && is_within("dc=x", ""));
        assert!(
            !is_within("cn=a,dc=xx", "dc=x")
                && !is_within("cn=a,adc=x", "dc=x")
                && !is_within("dc=x", "cn=a,dc=x")
        );
        let tricky = normal("cn=a\\,dc=x").unwrap();
        assert!(!is_within(&tricky, "dc=x"), "{tricky}");
        assert_eq!(parent("cn=a,dc=x,dc=y"), Some("dc=x,dc=y"));
        assert_eq!(parent("dc=y"), None);
    }

    /// A value, written with escapes where it must have them.
    fn escaped(value: &str) -> String {
        let mut out = String::new();
        for (index, c) in value.char_indices() {
            let edge = index == 0 || index + c.len_utf8() == value.len();
            if ",+\"\\<>;=".contains(c) || (edge && (c == ' ' || c == '#')) {
                out.push('\\');
            }
            out.push(c);
        }
        out
    }

    proptest! {
        #[test]
        fn any_text_ends_in_a_normal_form_or_an_error(text in "\\PC{0,60}") {
            if let Ok(once) = normal(&text) {
                prop_assert_eq!(normal(&once), Ok(once.clone()));
            }
        }

        #[test]
        fn a_well_written_name_is_taken_and_its_writing_does_not_matter(
            parts in prop::collection::vec(("(cn|ou|uid)", "[^\\x00-\\x1f#]{1,12}"), 1..5)
        ) {
            let plain: Vec<_> = parts.iter().map(|(k, v)| format!("{k}={}", escaped(v))).collect();
            let hex: Vec<_> = parts
                .iter()
                .map(|(k, v)| {
                    let value: String = v.bytes().map(|b| format!("\\{b:02X}")).collect();
                    format!("{} = {value}", k.to_uppercase())
                })
                .collect();
            let one = normal(&plain.join(","));
            prop_assert!(one.is_ok());
            prop_assert_eq!(&one, &normal(&hex.join(" , ")));
            if let Ok(one) = one {
                let parent = normal(&plain[1..].join(",")).unwrap();
                prop_assert!(is_within(&one, &parent));
                prop_assert_eq!(super::parent(&one).unwrap_or_default(), parent.as_str());
            }
        }
    }
}
