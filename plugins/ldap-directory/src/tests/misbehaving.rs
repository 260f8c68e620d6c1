//! Servers and networks that fail: nothing is ever taken for gone, and the failure says what to do.

use super::{
    Lab,
    memory::{Fault, Memory},
};

/// Whatever the fault: the run fails with these words, the host knows what it knew, and the next run is right again.
#[track_caller]
fn check(fault: Fault, code: &str, words: &str) {
    let mut memory = Memory::openldap();
    (0..20).for_each(|number| memory.person(&format!("p{number:02}")));
    let mut lab = Lab::new(memory, r#"{"page_size":5,"method":"full"}"#);
    lab.run().unwrap();
    let before = lab.host.lines();
    assert_eq!(before.len(), 24);
    lab.change(|memory| memory.fault = Some(fault));
    let failure = lab.run().unwrap_err();
    assert_eq!(failure.code(), code, "{failure}");
    assert!(failure.message().contains(words), "{failure}");
    assert!(failure.message().starts_with("hq: "), "{failure}");
    assert_eq!(lab.host.lines(), before);
    lab.change(|memory| memory.fault = None);
    lab.change(|memory| memory.remove("uid=p00,ou=People,dc=example,dc=com"));
    lab.run().unwrap();
    assert_eq!(lab.host.lines().len(), 23);
}

#[test]
fn a_connection_that_ends_amid_a_page() {
    for page in [1, 2, 3, 5] {
        check(Fault::ClosedOnPage(page), "closed", "closed the connection");
    }
}

#[test]
fn limits_of_size_and_time() {
    check(Fault::LimitOnPage(3, "size"), "size-limit", "raise its size limit");
    check(Fault::LimitOnPage(2, "time"), "time-limit", "`search_time_limit_s`");
    check(Fault::LimitOnPage(4, "admin"), "admin-limit", "`page_size`");
}

#[test]
fn pages_that_do_not_say_whether_more_follow_or_never_end() {
    check(Fault::SilentPage(3), "protocol", "whether a page was the last");
    check(Fault::SameCookie, "protocol", "the same cookie");
}

#[test]
fn lists_that_are_cut() {
    check(Fault::CutList, "protocol", "lengths do not fit together");
}

#[test]
fn a_part_that_lies_elsewhere() {
    check(Fault::Reference, "referral", "ldap://other.example.com/dc=other");
}

#[test]
fn nothing_bound_is_a_matter_of_the_settings() {
    let mut host = super::Recorder::default();
    let failure = host.run(&Default::default(), &[], &mut |_| panic!("nothing to connect to")).unwrap_err();
    assert_eq!(failure.code(), "settings");
}
