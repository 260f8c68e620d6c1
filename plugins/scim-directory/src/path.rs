//! Names of attributes, as RFC 7644 writes paths: `userName`, `name.givenName`, `emails[type eq "work"].value`, and with the
//! schema before them where it is an extension's.

use serde_json::{Map, Value};
use syncline_plugin::{Failure, Result};

/// Where a value stands in a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    schema: Option<String>,
    attribute: String,
    /// Of several, those of which this part has this value.
    only: Option<(String, String)>,
    part: Option<String>,
}

impl Path {
    /// # Errors
    ///
    /// [`Failure::settings`].
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Self::read(text).ok_or_else(|| {
            Failure::settings(format!(
                "`attributes`: {text:?} is no path of a SCIM attribute: write it as in `name.givenName`, \
                 `emails[type eq \"work\"].value`, or `urn:…:User:department`"
            ))
        })
    }

    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (schema, rest) =
            if text.len() > 4 && text.is_char_boundary(4) && text[..4].eq_ignore_ascii_case("urn:") {
                // A filter's value may have a colon in it.
                let end = text.find('[').unwrap_or(text.len());
                let (schema, _) = text[..end].rsplit_once(':')?;
                (Some(schema.to_owned()), &text[schema.len() + 1..])
            } else {
                (None, text)
            };
        let (attribute, only, rest) = match rest.split_once('[') {
            None => {
                let (attribute, part) = rest.split_once('.').map_or((rest, ""), |(a, part)| (a, part));
                (attribute, None, if part.is_empty() && !rest.ends_with('.') { None } else { Some(part) })
            }
            Some((attribute, rest)) => {
                let (filter, rest) = rest.split_once(']')?;
                let (name, value) = filter.trim().split_once(' ')?;
                let (eq, value) = value.trim().split_once(' ')?;
                let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
                if !eq.eq_ignore_ascii_case("eq") || !is_name(name) {
                    return None;
                }
                let part = if rest.is_empty() { None } else { Some(rest.strip_prefix('.')?) };
                (attribute, Some((name.to_owned(), value.to_owned())), part)
            }
        };
        let good = is_name(attribute) && rest.is_none_or(is_name);
        good.then(|| Self { schema, attribute: attribute.to_owned(), only, part: rest.map(str::to_owned) })
    }

    /// The values that stand there: the one that is marked as primary first. Objects without a named part give their `value`.
    pub(crate) fn values<'a>(&self, resource: &'a Map<String, Value>) -> Vec<&'a Value> {
        let object = match &self.schema {
            // An attribute of a schema of the core stands in the resource itself.
            Some(schema) => member(resource, schema).and_then(Value::as_object).unwrap_or(resource),
            None => resource,
        };
        let Some(found) = member(object, &self.attribute) else { return Vec::new() };
        let mut all: Vec<&Value> = match found {
            Value::Array(several) => several.iter().collect(),
            one => vec![one],
        };
        if let Some((name, value)) = &self.only {
            all.retain(|one| {
                let has = one.as_object().and_then(|one| member(one, name)).and_then(Value::as_str);
                has.is_some_and(|has| has.eq_ignore_ascii_case(value))
            });
        }
        let is_primary = |one: &&Value| one.get("primary").and_then(Value::as_bool).unwrap_or(false);
        all.sort_by_key(|one| !is_primary(one));
        let part = |one: &'a Value| match one {
            Value::Object(parts) => member(parts, self.part.as_deref().unwrap_or("value")),
            plain => self.part.is_none().then_some(plain),
        };
        all.into_iter().filter_map(part).filter(|one| !one.is_null()).collect()
    }
}

/// A member by its name: attributes are the same in upper and lower case.
pub(crate) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object
        .get(name)
        .or_else(|| object.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-$".contains(&b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_finds_what_it_names_primary_first() {
        let resource = json!({
            "userName": "ada", "Name": { "givenName": "Ada" }, "nothing": null,
            "emails": [{ "value": "h", "type": "home" }, { "value": "w", "type": "Work", "primary": true }],
            "urn:x:2.0:User": { "department": "R&D" },
        });
        let resource = resource.as_object().unwrap();
        for (path, found) in [
            ("userName", json!(["ada"])),
            ("username", json!(["ada"])),
            ("name.givenName", json!(["Ada"])),
            ("emails", json!(["w", "h"])),
            ("emails.type", json!(["Work", "home"])),
            ("emails[type eq \"work\"].value", json!(["w"])),
            ("emails[type eq \"none\"]", json!([])),
            ("urn:x:2.0:User:department", json!(["R&D"])),
            ("urn:ietf:params:scim:schemas:core:2.0:User:userName", json!(["ada"])),
            ("nothing", json!([])),
            ("absent.part", json!([])),
            ("userName.part", json!([])),
        ] {
            assert_eq!(json!(Path::parse(path).unwrap().values(resource)), found, "{path}");
        }
        for bad in [
            "",
            "a.",
            ".a",
            "a b",
            "a[b]",
            "a[b eq c]",
            "a[b ne \"c\"]",
            "a[b eq \"c\"",
            "a[b eq \"c\"]d",
            "urn:",
        ] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }
}
