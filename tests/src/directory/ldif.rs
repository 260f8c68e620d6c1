//! People and groups of `dc=example,dc=org`, in LDIF (RFC 2849).

use std::fmt::Write as _;

/// What everything is below.
pub const SUFFIX: &str = "dc=example,dc=org";

/// The directory's own administrator, who may do anything.
pub const ADMIN: (&str, &str) = ("cn=admin,dc=example,dc=org", "admin-0123");

/// May read everything.
pub const READER: (&str, &str) = ("cn=reader,dc=example,dc=org", "reader-0123");

/// May bind, and read nothing but the suffix.
pub const BLIND: (&str, &str) = ("cn=blind,dc=example,dc=org", "blind-0123");

/// The suffix, `ou=people`, `ou=groups`, the reader and the blind one.
pub fn base() -> String {
    let account = |(dn, password): (&str, &str)| {
        let (_, name) = dn.split_once('=').expect("a DN has a type");
        let name = name.split(',').next().expect("a DN has a first part");
        format!(
            "dn: {dn}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: {name}\nuserPassword: {password}\n\n"
        )
    };
    let unit =
        |name: &str| format!("dn: ou={name},{SUFFIX}\nobjectClass: organizationalUnit\nou: {name}\n\n");
    [
        format!(
            "dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n"
        ),
        unit("people"),
        unit("groups"),
        account(READER),
        account(BLIND),
    ]
    .concat()
}

/// The distinguished name of person `number`.
pub fn person_dn(number: usize) -> String {
    format!("uid=user{number:06},ou=people,{SUFFIX}")
}

/// Person `number`: `user000007`, `User 7`, `user000007@example.org`.
pub fn person(number: usize) -> String {
    format!(
        "dn: {}\nobjectClass: inetOrgPerson\nuid: user{number:06}\ncn: User {number}\ngivenName: User\nsn: {number}\n\
         mail: user{number:06}@example.org\ntelephoneNumber: +1 555 {number:06}\n\n",
        person_dn(number)
    )
}

/// People with these numbers.
pub fn people(numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(person).collect()
}

/// A group `cn=NAME,ou=groups` with people as its members; it needs one at least.
pub fn group(name: &str, members: impl IntoIterator<Item = usize>) -> String {
    let mut text = format!("dn: cn={name},ou=groups,{SUFFIX}\nobjectClass: groupOfNames\ncn: {name}\n");
    for member in members {
        writeln!(text, "member: {}", person_dn(member)).expect("a text can be written to");
    }
    text.push('\n');
    text
}
