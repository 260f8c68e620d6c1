//! JSON Pointers (RFC 6901) through objects.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A place in a JSON object: `` is all of it, `/a/b` the member `b` of the member `a`. In names, `~` is written `~0` and
/// `/` is written `~1`. Ordered by its bytes.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "/updates/channel")]
pub struct Pointer(String);

/// A text that is no [`Pointer`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no JSON pointer: write \"\" for all, or \"/\" before each name, with ~ as ~0 and / as ~1 in names"
)]
pub struct BadPointer(pub String);

/// What stands in the way of a pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{pointer}\" goes through {kind} at \"{at}\", and pointers go through objects alone: name \"{at}\" as a whole"
)]
pub struct NotThroughObjects {
    /// The whole pointer.
    pub pointer: Pointer,
    /// Where there is no object.
    pub at: Pointer,
    /// What is there, in words.
    pub kind: &'static str,
}

/// What a pointer leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Found<'a> {
    /// This value.
    Value(&'a Value),
    /// Nothing: an object on the way has no such member.
    Nothing,
    /// No object on the way, but this value, which stands at `at`.
    Blocked {
        /// Above the place that was looked for.
        at: Pointer,
        /// Neither object nor nothing.
        value: &'a Value,
    },
}

impl Pointer {
    /// All of a value.
    pub fn root() -> Self {
        Self::default()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is all of a value.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The member of this name here.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let mut text = String::with_capacity(self.0.len() + 1 + name.len());
        text.push_str(&self.0);
        text.push('/');
        for c in name.chars() {
            match c {
                '~' => text.push_str("~0"),
                '/' => text.push_str("~1"),
                c => text.push(c),
            }
        }
        Self(text)
    }

    /// Names from the outermost to the innermost.
    pub fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.0.split('/').skip(1).map(|escaped| {
            if escaped.contains('~') {
                // In this order: `~01` is the name `~1`.
                escaped.replace("~1", "/").replace("~0", "~").into()
            } else {
                escaped.into()
            }
        })
    }

    /// Whether `other` is this place or one below it.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Follows it. `Blocked` where something that is no object stands in the way; the root leads to `Nothing`, for an
    /// object's members are all there is to find.
    pub fn find<'a>(&self, object: &'a Map<String, Value>) -> Found<'a> {
        let mut members = object;
        let mut at = Self::root();
        let mut names = self.names().peekable();
        while let Some(name) = names.next() {
            at = at.child(&name);
            match members.get(name.as_ref()) {
                None => return Found::Nothing,
                Some(value) if names.peek().is_none() => return Found::Value(value),
                Some(Value::Object(inner)) => members = inner,
                Some(value) => return Found::Blocked { at, value },
            }
        }
        Found::Nothing
    }

    /// Checks that this can be a place in `object`: that nothing but objects is on the way. What is not there yet can
    /// come to be.
    ///
    /// # Errors
    ///
    /// Something else is on the way, such as an array.
    pub fn check_in(&self, object: &Map<String, Value>) -> Result<(), NotThroughObjects> {
        match self.find(object) {
            Found::Value(_) | Found::Nothing => Ok(()),
            Found::Blocked { at, value } => {
                let kind = match value {
                    Value::Array(_) => "an array",
                    Value::Null => "null",
                    _ => "a single value",
                };
                Err(NotThroughObjects { pointer: self.clone(), at, kind })
            }
        }
    }
}

impl FromStr for Pointer {
    type Err = BadPointer;

    fn from_str(text: &str) -> Result<Self, BadPointer> {
        let begins = text.is_empty() || text.starts_with('/');
        // What follows a `~`, if anything does, is 0 or 1.
        let escaped = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if begins && escaped {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadPointer(text.chars().take(100).collect()))
        }
    }
}

impl TryFrom<String> for Pointer {
    type Error = BadPointer;
    fn try_from(text: String) -> Result<Self, BadPointer> {
        text.parse()
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pointer(text: &str) -> Pointer {
        text.parse().unwrap()
    }

    #[test]
    fn only_pointers_are_pointers() {
        for good in ["", "/", "/a", "/a//b", "/~0~1", "/0"] {
            assert_eq!(pointer(good).as_str(), good);
        }
        for bad in ["a", "a/b", "/~", "/~2", "/a~/b", "#/a"] {
            assert!(bad.parse::<Pointer>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_place_covers_itself_and_what_is_below() {
        assert!(pointer("/a").covers(&pointer("/a")));
        assert!(pointer("/a").covers(&pointer("/a/b")));
        assert!(pointer("").covers(&pointer("/a")));
        assert!(!pointer("/a").covers(&pointer("/ab")));
        assert!(!pointer("/a/b").covers(&pointer("/a")));
    }

    #[test]
    fn pointers_go_through_objects_alone() {
        let value = json!({ "a": { "b": 1, "/~": 2 }, "list": [{ "x": 1 }], "none": null, "": { "": 3 } });
        let object = value.as_object().unwrap();
        assert_eq!(pointer("/a/~1~0").find(object), Found::Value(&json!(2)));
        assert_eq!(pointer("//").find(object), Found::Value(&json!(3)));
        assert_eq!(pointer("/a/c/d").find(object), Found::Nothing);
        assert!(pointer("/list").check_in(object).is_ok());
        let error = pointer("/list/0/x").check_in(object).unwrap_err();
        assert_eq!((error.at.as_str(), error.kind), ("/list", "an array"));
        assert!(pointer("/none/x").check_in(object).is_err());
        assert!(pointer("/a/b/c").check_in(object).is_err());
    }

    proptest! {
        #[test]
        fn any_names_come_back(names in prop::collection::vec("[a~/01]{0,4}", 0..5)) {
            let made = names.iter().fold(Pointer::root(), |at, name| at.child(name));
            prop_assert_eq!(&pointer(made.as_str()), &made);
            prop_assert_eq!(made.names().map(Cow::into_owned).collect::<Vec<_>>(), names);
        }
    }
}
