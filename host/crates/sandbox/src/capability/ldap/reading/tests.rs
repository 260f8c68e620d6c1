use std::borrow::Cow;

use syncline_domain::directory::message::Search as About;

use super::*;

/// A run, with what was read in it.
struct Run {
    reading: Reading,
    place: Arc<Place>,
}

/// People below `dc=x`, all of them.
const PEOPLE: Asked<'_> = Asked {
    id: 1,
    search: About { base: b"dc=x", scope: 2, wanted: b"(people)" },
    changes: Changes::No,
    continues: false,
    ends: false,
};

/// A search for one entry alone.
fn single(base: &[u8]) -> Asked<'_> {
    Asked { search: About { base, scope: 0, wanted: b"(any)" }, ..PEOPLE }
}

impl Run {
    fn new() -> Self {
        let bases = vec!["DC=X, DC=Y".to_owned()];
        let place = Place { source: "hr".to_owned(), bases, ..Place::default() };
        Self { reading: Reading::default(), place: Arc::new(place) }
    }

    fn ask(&mut self, asked: &Asked<'_>) -> Pending {
        self.reading.asked(asked, &self.place)
    }

    fn answer(&mut self, pending: Pending, code: u32, has_more: bool) {
        let outcome = Outcome { code, diagnostic: Cow::Borrowed("as\nsaid"), referrals: Vec::new() };
        self.reading.answered(pending, &outcome, has_more);
    }

    fn search(&mut self, asked: &Asked<'_>, code: u32, has_more: bool) {
        let pending = self.ask(asked);
        self.answer(pending, code, has_more);
    }

    fn is_whole(&self) -> bool {
        let incomplete = self.reading.incomplete();
        // What was whole takes no memory, however much is read.
        assert!(incomplete.is_some() || self.reading.searches.is_empty());
        incomplete.is_none()
    }

    #[track_caller]
    fn lacks(&self, words: &str) {
        let incomplete = self.reading.incomplete().unwrap();
        assert!(incomplete.contains(words), "{words:?} is not in: {incomplete}");
    }
}

#[test]
fn what_succeeded_is_whole() {
    let mut run = Run::new();
    assert!(run.is_whole());
    run.search(&PEOPLE, 0, false);
    assert!(run.is_whole());
}

#[test]
fn no_other_result_is() {
    for (code, words) in [
        (1, "operationsError (1)"),
        (3, "timeLimitExceeded (3)"),
        (4, "sizeLimitExceeded (4), and the server says: as\\nsaid"),
        (10, "referral (10)"),
        (11, "adminLimitExceeded (11)"),
        (32, "noSuchObject (32)"),
        (50, "insufficientAccessRights (50)"),
        (51, "busy (51)"),
        (52, "unavailable (52)"),
        (4_711, "result (4711)"),
    ] {
        let mut run = Run::new();
        run.search(&PEOPLE, code, false);
        run.lacks(words);
        run.lacks("in hr, the search from \"dc=x\"");
        // Neither another search nor a part of this one mends that; the same one does.
        run.search(&Asked { search: About { wanted: b"(groups)", ..PEOPLE.search }, ..PEOPLE }, 0, false);
        run.lacks(words);
        run.search(&Asked { search: About { base: b"DC=X", ..PEOPLE.search }, ..PEOPLE }, 0, false);
        assert!(run.is_whole(), "{code}");
    }
}

#[test]
fn an_answer_that_never_came_is_missed() {
    let mut run = Run::new();
    let pending = run.ask(&PEOPLE);
    run.lacks("no result when the run ended");
    run.reading.lost(&pending, "was cut off");
    run.lacks("was cut off");
    run.search(&PEOPLE, 0, false);
    assert!(run.is_whole());
}

#[test]
fn a_search_given_up_is_as_if_not_asked() {
    let mut run = Run::new();
    let pending = run.ask(&PEOPLE);
    run.reading.abandoned(&pending);
    assert!(run.is_whole());
    run.search(&PEOPLE, 4, false);
    let pending = run.ask(&PEOPLE);
    run.reading.abandoned(&pending);
    run.lacks("sizeLimitExceeded");
}

#[test]
fn the_last_page_has_to_come() {
    let next = Asked { continues: true, ..PEOPLE };
    let mut run = Run::new();
    run.search(&PEOPLE, 0, true);
    run.lacks("more pages");
    run.search(&next, 0, true);
    run.lacks("more pages");
    // To end the paging is not to read on.
    run.search(&Asked { ends: true, ..next }, 0, false);
    run.lacks("more pages");
    // A page that fails can be asked for again.
    run.search(&next, 52, false);
    run.lacks("unavailable (52)");
    run.search(&next, 0, false);
    assert!(run.is_whole());
}

#[test]
fn a_base_that_is_not_there_is_not_empty() {
    let mut run = Run::new();
    // An entry that went meanwhile, or that this server does not have.
    run.search(&single(b"cn=schema"), 32, false);
    assert!(run.is_whole());
    run.search(&single(b"dc=x,dc=y"), 32, false);
    run.lacks("noSuchObject (32)");
}

#[test]
fn changes_that_are_refused_are_read_in_another_way() {
    let changes = |changes| Asked { changes, ..PEOPLE };
    let others = Asked { search: About { base: b"ou=a,dc=x", scope: 1, wanted: b"(other)" }, ..PEOPLE };
    // The same search from the beginning.
    let mut run = Run::new();
    run.search(&changes(Changes::Sync), 4_096, false);
    run.lacks("e-syncRefreshRequired (4096)");
    run.search(&changes(Changes::Sync), 0, false);
    assert!(run.is_whole());
    // Without asking for changes, below another base. One entry is not that.
    run.search(&changes(Changes::DirSync), 50, false);
    run.search(&single(b"dc=x"), 0, false);
    run.search(&Asked { changes: Changes::DirSync, ..others }, 0, false);
    run.lacks("insufficientAccessRights (50)");
    run.search(&others, 0, false);
    assert!(run.is_whole());
    // Only if nothing came of it, and only if it was refused.
    let mut pending = run.ask(&changes(Changes::Sync));
    pending.entry();
    run.answer(pending, 4_096, false);
    run.search(&others, 0, false);
    run.lacks("e-syncRefreshRequired (4096)");
    let mut run = Run::new();
    run.search(&changes(Changes::Sync), 51, false);
    run.search(&others, 0, false);
    run.lacks("busy (51)");
}

#[test]
fn referrals_are_missing_until_followed() {
    let urls: [&[u8]; 2] = [b"ldap://b/ou=b", b"ldap://c/ou=b"];
    let mut run = Run::new();
    let mut pending = run.ask(&PEOPLE);
    pending.reference(&urls);
    run.answer(pending, 0, true);
    // A later page without one does not make up for it, and another URL neither.
    run.search(&Asked { continues: true, ..PEOPLE }, 0, false);
    run.reading.followed("ldap://d/ou=b");
    run.lacks("1 parts on other servers");
    run.reading.followed("ldap://c/ou=b");
    assert!(run.reading.incomplete().is_none());

    let mut run = Run::new();
    let mut pending = run.ask(&PEOPLE);
    pending.reference(&urls);
    run.answer(pending, 0, false);
    run.search(&PEOPLE, 0, false);
    assert!(run.is_whole(), "the second time it came without");

    let pending = run.ask(&PEOPLE);
    let outcome = Outcome { code: 10, diagnostic: Cow::Borrowed(""), referrals: urls.to_vec() };
    run.reading.answered(pending, &outcome, false);
    run.lacks("referral (10)");
    run.reading.followed("ldap://b/ou=b");
    assert!(run.reading.incomplete().is_none());
}

#[test]
fn servers_that_are_followed_answer_for_themselves() {
    let mut run = Run::new();
    run.search(&PEOPLE, 52, false);
    let there = Place { referral: "ldap://b/".to_owned(), ..(*run.place).clone() };
    let pending = run.reading.asked(&PEOPLE, &Arc::new(there));
    run.answer(pending, 0, false);
    run.lacks("unavailable (52)");
}

#[test]
fn the_first_fault_is_told_and_the_others_counted() {
    let mut run = Run::new();
    run.search(&single(b"cn=b"), 52, false);
    run.search(&single(b"cn=a"), 51, false);
    run.lacks("\"cn=b\" ended with unavailable");
    run.lacks("(and 1 other searches)");
}

#[test]
fn faults_without_end_take_no_memory_without_end() {
    let mut run = Run::new();
    for number in 0..KEPT + 10 {
        let base = format!("cn={number}");
        run.search(&single(base.as_bytes()), 51, false);
    }
    assert_eq!(run.reading.searches.len(), KEPT);
    run.lacks("more than 4096 searches");
    let mut pending = run.ask(&PEOPLE);
    for _ in 0..KEPT + 10 {
        pending.reference(&[b"ldap://b/"]);
    }
    assert!(pending.references.len() <= KEPT + 1);
}
