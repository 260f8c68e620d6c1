//! What a run leaves with the host, at first and after changes.

use super::{
    Lab,
    memory::{Fault, Memory},
};

const AT_FIRST: [&str; 4] = [
    "group devs of ada",
    "person ada <ada@example.com> in People",
    "person bob <bob@example.com> in People",
    "unit People",
];

#[test]
fn everything_is_read_page_by_page() {
    for size in [1, 2, 3, 1_000] {
        let mut lab = Lab::new(Memory::openldap(), &format!(r#"{{"method":"full","page_size":{size}}}"#));
        lab.check(&AT_FIRST);
        assert!(lab.host.whole && lab.host.cursor.is_none());
        lab.change(|memory| memory.remove("uid=bob,ou=People,dc=example,dc=com"));
        lab.check(&[AT_FIRST[0], AT_FIRST[1], AT_FIRST[3]]);
    }
}

#[test]
fn kinds_bases_exclusions_and_filters_decide_what_is_read() {
    let check = |settings: &str, expected: &[&str]| Lab::new(Memory::openldap(), settings).check(expected);
    check(r#"{"kinds":["people"]}"#, &AT_FIRST[1..]);
    check(r#"{"bases":["OU=people, dc=example,dc=com"]}"#, &AT_FIRST[1..]);
    check(
        r#"{"exclude":["ou=People,dc=example,dc=com"]}"#,
        &["group devs of ?uid=ada,ou=people,dc=example,dc=com"],
    );
    check(
        r#"{"filters":{"people":"(&(objectClass=inetOrgPerson)(!(uid=bob)))"}}"#,
        &[AT_FIRST[0], AT_FIRST[1], AT_FIRST[3]],
    );
    let failure = Lab::new(Memory::openldap(), r#"{"bases":["people"]}"#).run().unwrap_err();
    assert!(failure.message().contains("\"people\" is no distinguished name"), "{failure}");
}

#[test]
fn attributes_are_mapped_by_rules_and_accounts_switched_off() {
    let settings = r#"{"attributes":{"people":{"email":"","login":{"from":["nick","uid"],"when":{"attribute":"sn","equals":"X"}}}},
        "disabled_when":[{"attribute":"uid","equals":"Bob"}],"kinds":["people"]}"#;
    let mut lab = Lab::new(Memory::openldap(), settings);
    lab.check(&["person ada in People", "person bob in People (off)", "unit People"]);
    let ada = lab.host.known.values().find(|entry| entry.name == "ada").unwrap();
    let login = ada.attributes.iter().find(|attribute| attribute.name == "login").unwrap();
    assert_eq!((login.source.as_str(), login.values.len()), ("uid", 1));
    lab.change(|memory| {
        memory.set("uid=ada,ou=People,dc=example,dc=com", "pwdAccountLockedTime", vec![b"x".to_vec()])
    });
    lab.check(&["person ada in People (off)", "person bob in People (off)", "unit People"]);
}

#[test]
fn people_without_an_address_can_be_left_out() {
    let mut memory = Memory::openldap();
    memory.set("uid=bob,ou=People,dc=example,dc=com", "mail", Vec::new());
    let mut lab = Lab::new(memory, r#"{"people_need_email":true}"#);
    lab.check(&[AT_FIRST[0], AT_FIRST[1], AT_FIRST[3]]);
    lab.change(|memory| memory.set("uid=ada,ou=People,dc=example,dc=com", "mail", vec![b" ".to_vec()]));
    lab.check(&["group devs of ?uid=ada,ou=people,dc=example,dc=com", AT_FIRST[3]]);
}

#[test]
fn what_cannot_be_taken_over_is_reported_and_the_rest_goes_on() {
    let mut memory = Memory::openldap();
    memory.set("uid=bob,ou=People,dc=example,dc=com", "mail", vec![vec![0xff, 0xfe]]);
    memory.set("ou=People,dc=example,dc=com", "entryUUID", Vec::new());
    let mut lab = Lab::new(memory, "{}");
    lab.check(&[AT_FIRST[0], "person ada <ada@example.com> in ?ou=people,dc=example,dc=com"]);
    assert_eq!(
        lab.host.rejected,
        ["ou=People,dc=example,dc=com: no-identity", "uid=bob,ou=People,dc=example,dc=com: not-text"]
    );
}

#[test]
fn posix_groups_list_people_by_login() {
    let mut memory = Memory::openldap();
    memory.add("cn=ops,dc=example,dc=com", "objectClass=posixGroup cn=ops memberUid=BOB");
    memory.add(
        "cn=qa,dc=example,dc=com",
        "objectClass=groupOfUniqueNames cn=qa uniqueMember=uid=bob,ou=people,dc=example,dc=com#'01'B",
    );
    Lab::new(memory, r#"{"kinds":["people","groups"]}"#).check(&[
        AT_FIRST[0],
        "group ops of bob",
        "group qa of bob",
        AT_FIRST[1],
        AT_FIRST[2],
        AT_FIRST[3],
    ]);
}

/// Each method comes to what a full read comes to, after each of a row of changes, and reads little where little changed.
#[test]
fn each_method_follows_changes() {
    let people = "ou=People,dc=example,dc=com";
    type Change<'a> = (&'a str, Box<dyn Fn(&mut Memory)>);
    let changes = || -> Vec<Change<'_>> {
        vec![
            ("nothing", Box::new(|_| {})),
            ("a new person", Box::new(|m| m.person("eve"))),
            (
                "another address",
                Box::new(move |m| m.set(&format!("uid=eve,{people}"), "mail", vec![b"E@x".to_vec()])),
            ),
            (
                "another name",
                Box::new(move |m| m.rename(&format!("uid=eve,{people}"), &format!("uid=eva,{people}"))),
            ),
            (
                "a member",
                Box::new(move |m| {
                    let members = vec![format!("uid=eva,{people}").into_bytes()];
                    m.set("cn=devs,dc=example,dc=com", "member", members);
                }),
            ),
            ("somebody gone", Box::new(move |m| m.remove(&format!("uid=bob,{people}")))),
            ("a group gone", Box::new(|m| m.remove("cn=devs,dc=example,dc=com"))),
        ]
    };
    for (sync, method) in
        [(Some(true), "syncrepl"), (Some(false), "syncrepl"), (None, "modify-timestamp"), (None, "auto")]
    {
        let start = |method: &str| {
            let memory = Memory { sync, ..Memory::openldap() };
            Lab::new(memory, &format!(r#"{{"method":"{method}"}}"#))
        };
        let mut lab = start(method);
        lab.check(&AT_FIRST);
        for (what, change) in changes() {
            lab.change(|memory| change(memory));
            lab.run().unwrap();
            assert!(lab.host.puts <= 2, "{method} {sync:?}: {what}: {} entries were put", lab.host.puts);
            assert_eq!(lab.host.whole, sync != Some(true), "{method} {sync:?}: {what}");
            let mut fresh = Lab { memory: std::rc::Rc::clone(&lab.memory), ..start("full") };
            fresh.run().unwrap();
            assert_eq!(lab.host.lines(), fresh.host.lines(), "{method} {sync:?}: {what}");
            assert!(lab.host.cursor.is_some());
        }
    }
}

#[test]
fn what_a_cursor_does_not_hold_for_is_read_in_full() {
    let begin = || {
        let mut lab = Lab::new(Memory { sync: Some(true), ..Memory::openldap() }, "{}");
        lab.check(&AT_FIRST);
        lab.run().unwrap();
        assert!(!lab.host.whole, "this one was a read of changes");
        lab
    };
    let mut lab = begin();
    lab.change(|memory| memory.server = "other.example.com:636".to_owned());
    lab.check(&AT_FIRST);
    assert!(lab.host.whole, "another server");

    let mut lab = begin();
    lab.settings.kinds.pop();
    lab.check(&AT_FIRST);
    assert!(lab.host.whole, "other settings");

    let mut lab = begin();
    lab.change(|memory| memory.fault = Some(Fault::CookieRefused));
    lab.check(&AT_FIRST);
    assert!(lab.host.whole, "the server refused the cookie");

    let mut lab = begin();
    lab.host.known.clear();
    lab.change(|memory| memory.sync = Some(false));
    lab.check(&AT_FIRST);
    assert!(lab.host.whole && lab.host.puts == 4, "the host does not know what is present");

    let mut lab = begin();
    lab.host.cursor = Some(b"{\"version\":99}".to_vec());
    lab.check(&AT_FIRST);
    assert!(lab.host.whole, "a cursor of another version");
}

#[test]
fn a_unit_that_is_renamed_renames_all_in_it() {
    for (sync, method) in [(Some(true), "syncrepl"), (Some(false), "syncrepl"), (None, "modify-timestamp")] {
        let mut lab = Lab::new(Memory { sync, ..Memory::openldap() }, &format!(r#"{{"method":"{method}"}}"#));
        lab.check(&AT_FIRST);
        lab.change(|memory| {
            memory.rename("ou=People,dc=example,dc=com", "ou=Folk,dc=example,dc=com");
            memory.rename_below("ou=People,dc=example,dc=com", "ou=Folk,dc=example,dc=com");
            memory.set(
                "cn=devs,dc=example,dc=com",
                "member",
                vec![b"uid=ada,ou=Folk,dc=example,dc=com".to_vec()],
            );
        });
        lab.check(&AT_FIRST);
    }
}

const IN_AD: [&str; 4] = [
    "group Domain-Users of ada+bob",
    "person ada <ada@x> in Staff",
    "person bob <bob@x> in Staff (off)",
    "unit Staff",
];

#[test]
fn active_directory_with_primary_groups_and_ranges() {
    let mut memory = Memory::active_directory();
    memory.add("CN=Team,DC=example,DC=com", "objectClass=group objectCategory=group name=Team");
    let members = (0..10).map(|n| format!("CN=u{n},OU=Staff,DC=example,DC=com").into_bytes()).collect();
    memory.set("CN=Team,DC=example,DC=com", "member", members);
    (0..10).for_each(|n| memory.user(&format!("u{n}"), 512));
    let mut lab = Lab::new(memory, r#"{"method":"usn","kinds":["groups","people"]}"#);
    lab.run().unwrap();
    assert_eq!((lab.host.members_of("Team"), lab.host.members_of("Domain-Users")), (10, 12));
    lab.change(|memory| memory.set("CN=Users,DC=example,DC=com", "description", vec![b"all".to_vec()]));
    lab.run().unwrap();
    assert_eq!((lab.host.members_of("Domain-Users"), lab.host.whole), (12, false), "read again by itself");
}

#[test]
fn a_base_of_another_domain_is_refused() {
    let mut lab = Lab::new(Memory::active_directory(), r#"{"bases":["OU=Staff,DC=other,DC=com"]}"#);
    let failure = lab.run().unwrap_err();
    assert!(failure.message().contains("is in none of the domains of hq (DC=example,DC=com)"), "{failure}");
}

#[test]
fn numbers_of_changes_are_followed() {
    for sees_deleted in [true, false] {
        let mut lab = Lab::new(Memory { sees_deleted, ..Memory::active_directory() }, r#"{"method":"usn"}"#);
        lab.check(&IN_AD);
        lab.run().unwrap();
        assert_eq!((lab.host.puts, lab.host.whole), (0, false));
        lab.change(|memory| memory.user("eve", 512));
        lab.check(&[
            "group Domain-Users of ada+bob+eve",
            IN_AD[1],
            IN_AD[2],
            "person eve <eve@x> in Staff",
            IN_AD[3],
        ]);
        assert_eq!((lab.host.puts, lab.host.whole), (1, !sees_deleted));
        lab.change(|memory| memory.remove("CN=eve,OU=Staff,DC=example,DC=com"));
        lab.change(|memory| {
            memory.set("CN=bob,OU=Staff,DC=example,DC=com", "objectCategory", vec![b"thing".to_vec()])
        });
        lab.check(
            &["group Domain-Users of ada+bob+eve".replace("+bob+eve", "").as_str(), IN_AD[1], IN_AD[3]]
                .map(|l| l),
        );
    }
}

#[test]
fn a_domain_controller_that_was_restored_is_read_in_full() {
    let mut lab = Lab::new(Memory::active_directory(), r#"{"method":"usn"}"#);
    lab.check(&IN_AD);
    lab.change(|memory| memory.invocation = 7);
    lab.check(&IN_AD);
    assert!(lab.host.whole && lab.host.puts == 4);
}
