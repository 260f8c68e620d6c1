//! What a person of a directory is as a user.

use serde::{Deserialize, Serialize};

use super::{Attribute, Entry, EntryKind, Value, import::key};
use crate::Name;

/// Attributes that can name the account, in this order; the e-mail, and then the entry's own name, follow.
const USER_NAME: &[&str] = &["user-name", "username", "account-name", "uid"];
/// Attributes that can be what to call the person; the entry's own name follows.
const DISPLAY_NAME: &[&str] = &["display-name"];
/// Attributes that can be the e-mail.
const EMAIL: &[&str] = &["email"];
/// Most bytes of an account's or a person's name: as users have.
const MOST: usize = 256;

/// A value, and the directory's name for what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The value.
    pub value: String,
    /// Such as `mail`.
    pub source: String,
}

/// What a user takes over of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The account's name.
    pub name: Given,
    /// What to call the person.
    pub display_name: Given,
    /// Its e-mail.
    pub email: Option<Given>,
    /// Whether the account is locked or switched off there.
    pub disabled: bool,
}

impl Person {
    /// What a user takes over of this entry; `None` if it is no person.
    pub fn of(entry: &Entry) -> Option<Self> {
        if entry.kind != EntryKind::Person {
            return None;
        }
        let email = first(&entry.attributes, EMAIL);
        let own = || Given { value: short(&entry.name), source: "name".to_owned() };
        let name = first(&entry.attributes, USER_NAME).or_else(|| email.clone()).unwrap_or_else(own);
        let display_name = first(&entry.attributes, DISPLAY_NAME).unwrap_or_else(own);
        Some(Self { name, display_name, email, disabled: !entry.enabled })
    }

    /// The account's name as it is compared.
    pub fn name_key(&self) -> String {
        key(&self.name.value)
    }

    /// The e-mail as it is compared.
    pub fn email_key(&self) -> Option<String> {
        self.email.as_ref().map(|email| key(&email.value))
    }
}

/// The first value that is a text of the first of these attributes that has one.
fn first(attributes: &[Attribute], names: &[&str]) -> Option<Given> {
    names.iter().find_map(|name| {
        let attribute = attributes.iter().find(|one| one.name == *name)?;
        let text = attribute.values.iter().find_map(|value| match value {
            Value::Text(text) => Some(short(text)).filter(|text| !text.is_empty()),
            _ => None,
        })?;
        Some(Given { value: text, source: attribute.source.clone() })
    })
}

/// As names are kept: without control characters and outer spaces, within bounds.
fn short(text: &str) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
    text.truncate(text.floor_char_boundary(MOST));
    text.trim().to_owned()
}

/// Where a value of a user came from, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Origin {
    /// The sync that brought it.
    pub sync: Name,
    /// The directory's name for what it was made from, such as `mail`.
    pub source: String,
    /// When it was last another one.
    pub at: jiff::Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(attributes: &[(&str, &str, &str)]) -> Entry {
        let attribute = |(name, source, text): &(&str, &str, &str)| Attribute {
            name: (*name).to_owned(),
            source: (*source).to_owned(),
            values: vec![Value::Text((*text).to_owned())],
        };
        Entry {
            id: "1".parse().unwrap(),
            kind: EntryKind::Person,
            name: "Ada Lovelace".to_owned(),
            aliases: Vec::new(),
            parent: None,
            enabled: true,
            attributes: attributes.iter().map(attribute).collect(),
        }
    }

    #[test]
    fn a_person_goes_by_the_best_name_there_is() {
        let named = |attributes: &[(&str, &str, &str)]| {
            let person = Person::of(&entry(attributes)).unwrap();
            (person.name.value, person.name.source)
        };
        let all = [("email", "mail", "Ada@x.org"), ("user-name", "uid", "ada")];
        assert_eq!(named(&all), ("ada".to_owned(), "uid".to_owned()));
        assert_eq!(named(&all[..1]), ("Ada@x.org".to_owned(), "mail".to_owned()));
        assert_eq!(named(&[]), ("Ada Lovelace".to_owned(), "name".to_owned()));
        let person = Person::of(&entry(&all)).unwrap();
        assert_eq!(person.email_key().as_deref(), Some("ada@x.org"));
        assert_eq!(person.display_name.value, "Ada Lovelace");
    }

    #[test]
    fn only_people_are_persons_and_names_stay_within_bounds() {
        let group = Entry { kind: EntryKind::Group, ..entry(&[]) };
        assert_eq!(Person::of(&group), None);
        let long = "é".repeat(300);
        let person = Person::of(&entry(&[("user-name", "uid", &long)])).unwrap();
        assert_eq!(person.name.value, "é".repeat(128));
        let blank = Person::of(&entry(&[("user-name", "uid", " \n "), ("email", "mail", "a@b")])).unwrap();
        assert_eq!(blank.name.value, "a@b");
    }
}
