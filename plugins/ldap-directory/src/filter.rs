//! Search filters as administrators write them (RFC 4515).
//!
//! ldap3_proto has a parser, but one that takes no escapes and no spaces within values: `(department=Human Resources)` would be
//! refused, and `(cn=a\2ab)` ask for something else.

use ldap3_proto::proto::{LdapFilter, LdapMatchingRuleAssertion, LdapSubstringFilter};
use syncline_plugin::{Failure, Result};

/// Deepest nesting.
const DEPTH: usize = 32;

/// Reads a filter.
///
/// # Errors
///
/// [`Failure::settings`] that says what is wrong with it, and where.
pub(crate) fn parse(text: &str) -> Result<LdapFilter> {
    let mut parser = Parser { text, at: 0 };
    parser.spaces();
    let wrong = |wrong: Wrong| {
        let Wrong(at, what) = wrong;
        let near: String = text.get(at..).unwrap_or_default().chars().take(20).collect();
        let place = if near.is_empty() { "at its end".to_owned() } else { format!("at {near:?}") };
        Failure::settings(format!("the filter {text:?} cannot be used: {place}, {what}"))
    };
    let filter = parser.filter(DEPTH).map_err(wrong)?;
    parser.spaces();
    if parser.at < text.len() {
        return Err(wrong(Wrong(
            parser.at,
            "nothing should follow; put several conditions into (&…) or (|…)",
        )));
    }
    Ok(filter)
}

/// All of these.
pub(crate) fn all(filters: impl IntoIterator<Item = LdapFilter>) -> LdapFilter {
    let mut filters: Vec<_> = filters.into_iter().collect();
    if filters.len() == 1 { filters.remove(0) } else { LdapFilter::And(filters) }
}

/// One of these.
pub(crate) fn any(filters: impl IntoIterator<Item = LdapFilter>) -> LdapFilter {
    let mut filters: Vec<_> = filters.into_iter().collect();
    if filters.len() == 1 { filters.remove(0) } else { LdapFilter::Or(filters) }
}

/// Where this attribute has this value.
pub(crate) fn equality(attribute: &str, value: &str) -> LdapFilter {
    LdapFilter::Equality(attribute.to_owned(), value.to_owned())
}

/// Where this attribute has this value or a greater one.
pub(crate) fn at_least(attribute: &str, value: &str) -> LdapFilter {
    LdapFilter::GreaterOrEqual(attribute.to_owned(), value.to_owned())
}

/// What is neither this entry nor below it, in the way of OpenLDAP. Servers that do not know it find nothing at all.
pub(crate) fn not_within(base: &str) -> LdapFilter {
    LdapFilter::Not(Box::new(LdapFilter::Extensible(LdapMatchingRuleAssertion {
        matching_rule: Some("dnSubtreeMatch".to_owned()),
        type_: Some("entryDN".to_owned()),
        match_value: base.to_owned(),
        dn_attributes: false,
    })))
}

/// Whatever there is.
pub(crate) fn anything() -> LdapFilter {
    LdapFilter::Present("objectClass".to_owned())
}

#[derive(Debug)]
struct Wrong(usize, &'static str);

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let eaten = self.rest().starts_with(wanted);
        self.at += if eaten { wanted.len() } else { 0 };
        eaten
    }

    fn spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn filter(&mut self, depth: usize) -> Result<LdapFilter, Wrong> {
        if depth == 0 {
            return Err(Wrong(self.at, "it is nested too deeply"));
        }
        if !self.eat("(") {
            return Err(Wrong(self.at, "a `(` is expected"));
        }
        self.spaces();
        let filter = if self.eat("&") {
            LdapFilter::And(self.list(depth)?)
        } else if self.eat("|") {
            LdapFilter::Or(self.list(depth)?)
        } else if self.eat("!") {
            self.spaces();
            LdapFilter::Not(Box::new(self.filter(depth - 1)?))
        } else {
            self.item()?
        };
        self.spaces();
        if !self.eat(")") {
            return Err(Wrong(self.at, "a `)` is expected"));
        }
        Ok(filter)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<LdapFilter>, Wrong> {
        let mut filters = Vec::new();
        self.spaces();
        while self.rest().starts_with('(') {
            filters.push(self.filter(depth - 1)?);
            self.spaces();
        }
        if filters.is_empty() {
            return Err(Wrong(self.at, "at least one condition is expected"));
        }
        Ok(filters)
    }

    fn item(&mut self) -> Result<LdapFilter, Wrong> {
        let begin = self.at;
        let name = |c: char| c.is_ascii_alphanumeric() || "-.;:_".contains(c);
        let length = self.rest().find(|c| !name(c)).unwrap_or(self.rest().len());
        let mut attribute = self.rest()[..length].to_owned();
        self.at += length;
        if let Some(rule) = attribute.strip_suffix(':') {
            let rule = rule.to_owned();
            return self.extensible(begin, &rule);
        }
        attribute.truncate(attribute.trim_end().len());
        if attribute.is_empty() || attribute.contains(':') {
            return Err(Wrong(begin, "the name of an attribute is expected"));
        }
        if self.eat(">=") {
            return Ok(LdapFilter::GreaterOrEqual(attribute, self.value()?));
        }
        if self.eat("<=") {
            return Ok(LdapFilter::LessOrEqual(attribute, self.value()?));
        }
        if self.eat("~=") {
            return Ok(LdapFilter::Approx(attribute, self.value()?));
        }
        if !self.eat("=") {
            return Err(Wrong(self.at, "one of = >= <= ~= := is expected"));
        }
        let mut pieces = vec![self.value()?];
        while self.eat("*") {
            pieces.push(self.value()?);
        }
        Ok(match &pieces[..] {
            [value] => LdapFilter::Equality(attribute, value.clone()),
            [first, last] if first.is_empty() && last.is_empty() => LdapFilter::Present(attribute),
            [first, any @ .., last] => {
                let filled = |piece: &String| (!piece.is_empty()).then(|| piece.clone());
                let any = any.iter().filter_map(filled).collect();
                let pieces = LdapSubstringFilter { initial: filled(first), any, final_: filled(last) };
                LdapFilter::Substring(attribute, pieces)
            }
            [] => return Err(Wrong(begin, "a value is expected")),
        })
    }

    /// `attribute:dn:rule:=value`; attribute or rule can be left out, and `dn`.
    fn extensible(&mut self, begin: usize, description: &str) -> Result<LdapFilter, Wrong> {
        if !self.eat("=") {
            return Err(Wrong(self.at, "a `=` is expected after `:`"));
        }
        let mut pieces = description.split(':');
        let type_ = pieces.next().filter(|name| !name.is_empty()).map(str::to_owned);
        let mut rest: Vec<_> = pieces.collect();
        let dn_attributes = rest.first().is_some_and(|piece| piece.eq_ignore_ascii_case("dn"));
        if dn_attributes {
            rest.remove(0);
        }
        let matching_rule = match rest[..] {
            [] => None,
            [rule] if !rule.is_empty() => Some(rule.to_owned()),
            _ => return Err(Wrong(begin, "a matching rule is expected, as in (attribute:rule:=value)")),
        };
        if type_.is_none() && matching_rule.is_none() {
            return Err(Wrong(begin, "the name of an attribute or a matching rule is expected"));
        }
        let match_value = self.value()?;
        Ok(LdapFilter::Extensible(LdapMatchingRuleAssertion {
            matching_rule,
            type_,
            match_value,
            dn_attributes,
        }))
    }

    /// Up to an unescaped `*` or the end of the item.
    fn value(&mut self) -> Result<String, Wrong> {
        let begin = self.at;
        let mut bytes = Vec::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(['\\', '*', '(', ')', '\0']).unwrap_or(rest.len());
            bytes.extend_from_slice(&rest.as_bytes()[..plain]);
            self.at += plain;
            if !self.eat("\\") {
                break;
            }
            let digits = self.rest().get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            bytes.push(byte.ok_or(Wrong(self.at - 1, "two hexadecimal digits are expected after `\\`"))?);
            self.at += 2;
        }
        if self.rest().starts_with('(') {
            return Err(Wrong(self.at, "a `(` in a value is written \\28"));
        }
        String::from_utf8(bytes).map_err(|_| Wrong(begin, "only values that are text can be asked for"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_administrators_write() {
        let check = |text: &str, expected: LdapFilter| assert_eq!(parse(text).unwrap(), expected, "{text}");
        check("(cn=a)", equality("cn", "a"));
        check(" ( & (department=Human Resources)( ! (cn=*)) ) ", {
            LdapFilter::And(vec![
                equality("department", "Human Resources"),
                LdapFilter::Not(Box::new(LdapFilter::Present("cn".to_owned()))),
            ])
        });
        check("(cn=a\\2ab\\28)", equality("cn", "a*b("));
        check("(|(a>=1)(a<=2)(a~=x))", {
            let text = |text: &str| text.to_owned();
            LdapFilter::Or(vec![
                LdapFilter::GreaterOrEqual(text("a"), text("1")),
                LdapFilter::LessOrEqual(text("a"), text("2")),
                LdapFilter::Approx(text("a"), text("x")),
            ])
        });
        check("(mail=a*b*@x)", {
            let pieces = LdapSubstringFilter {
                initial: Some("a".to_owned()),
                any: vec!["b".to_owned()],
                final_: Some("@x".to_owned()),
            };
            LdapFilter::Substring("mail".to_owned(), pieces)
        });
        check("(userAccountControl:1.2.840.113556.1.4.803:=2)", {
            LdapFilter::Extensible(LdapMatchingRuleAssertion {
                matching_rule: Some("1.2.840.113556.1.4.803".to_owned()),
                type_: Some("userAccountControl".to_owned()),
                match_value: "2".to_owned(),
                dn_attributes: false,
            })
        });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, words) in [
            ("cn=a", "at \"cn=a\", a `(` is expected"),
            ("(cn=a", "at its end, a `)` is expected"),
            ("(&)", "at least one condition"),
            ("(cn)", "one of = >="),
            ("(=a)", "the name of an attribute"),
            ("(cn=a)(sn=b)", "nothing should follow"),
            ("(cn=\\2)", "two hexadecimal digits"),
            ("(cn=a(b)", "written \\28"),
            ("(objectGUID=\\ff\\fe)", "only values that are text"),
            (&"(!".repeat(40), "nested too deeply"),
        ] {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.code(), "settings");
            assert!(failure.message().contains(words), "{text}: {failure}");
        }
    }
}
