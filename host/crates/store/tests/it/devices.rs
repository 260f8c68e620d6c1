//! Devices: groups, the way in, credentials, lists.

use std::time::Duration;

use syncline_domain::{
    device::{
        Abilities, Device, DeviceState, GroupPath,
        enrolment::{Admits, CredentialState},
        record::Facts,
        user::KeySets,
    },
    ids::EnrolmentTokenId,
};
use syncline_store::{
    Accepted, Db, DeviceFilter, Enrolling, Error, EventFilter, NewEnrolment, NewEnrolmentToken, Page,
};

use crate::lab::{LONG, Lab, both_engines, event};

pub fn group(text: &str) -> GroupPath {
    text.parse().unwrap()
}

pub async fn add_groups(db: &Db, paths: &[&str]) {
    for path in paths {
        db.add_group(&group(path), "", &KeySets::new(), event("group.added")).await.unwrap();
    }
}

/// A registered device in the root, a moment after the one before.
pub async fn register(lab: &Lab, db: &Db, name: &str) -> Device {
    lab.pass(Duration::from_millis(1));
    db.register_device(name, &GroupPath::root(), event("device.registered")).await.unwrap()
}

/// A device in the root whose own credential was accepted.
pub async fn enrolled(lab: &Lab, db: &Db, name: &str) -> Device {
    let device = register(lab, db, name).await;
    let text = db.issue_lasting_credential(device.id, event("credential.made")).await.unwrap();
    assert_eq!(accept(db, &text).await, Accepted::First);
    db.device(device.id).await.unwrap()
}

async fn accept(db: &Db, text: &str) -> Accepted {
    let credential = db.credential_by_secret(text).await.unwrap().unwrap();
    db.accept_credential(credential.id).await.unwrap()
}

async fn token(lab: &Lab, db: &Db, admits: Admits, single_use: bool) -> EnrolmentTokenId {
    let expires_at = lab.now().checked_add(LONG).unwrap();
    let new = NewEnrolmentToken { name: "site".to_owned(), admits, single_use, expires_at };
    db.create_enrolment_token(&new, event("enrolment-token.made")).await.unwrap().0.id
}

async fn enrol(lab: &Lab, db: &Db, token: EnrolmentTokenId, uid: &str) -> syncline_store::Result<Enrolling> {
    lab.pass(Duration::from_millis(1));
    let facts = Facts::from([("os.type".to_owned(), "linux".into())]);
    Ok(db.enrol(token, &enrolment(uid, Some(facts))).await?.unwrap())
}

fn enrolment(uid: &str, facts: Option<Facts>) -> NewEnrolment {
    NewEnrolment {
        instance_uid: uid.to_owned(),
        name: format!("host-{uid}"),
        facts,
        abilities: Abilities::default(),
    }
}

async fn names(db: &Db, filter: DeviceFilter) -> Vec<String> {
    let listed = db.devices(&filter, &Page::default()).await.unwrap().items;
    assert_eq!(db.count_devices(&filter).await.unwrap(), listed.len() as u64);
    assert_eq!(db.device_ids(&filter).await.unwrap().len(), listed.len());
    listed.into_iter().map(|device| device.name).collect()
}

both_engines! {
    async fn the_tree_holds_together(lab: Lab) {
        let db = lab.open().await;
        assert_eq!(db.groups().await.unwrap().len(), 1, "the root is always there");
        let orphan = db.add_group(&group("/a/b"), "", &KeySets::new(), event("x")).await.unwrap_err();
        assert!(matches!(&orphan, Error::NotFound { what: "group", name } if name == "/a"), "{orphan}");
        add_groups(&db, &["/a", "/a/b", "/a/b/c", "/ab"]).await;
        let twice = db.add_group(&group("/a"), "", &KeySets::new(), event("x")).await.unwrap_err();
        assert!(matches!(twice, Error::Exists { what: "group", .. }));

        let device = db.register_device("d", &group("/a/b/c"), event("x")).await.unwrap();
        let used = db.remove_group(&group("/a/b"), event("x")).await.unwrap_err();
        let Error::InUse { by, .. } = used else { panic!("{used}") };
        assert_eq!(by, ["group /a/b/c".to_owned(), format!("device {}", device.id)]);
        assert!(db.group(&group("/a/b")).await.is_ok(), "a refusal leaves it as it was");
        assert!(matches!(db.remove_group(&group("/"), event("x")).await.unwrap_err(), Error::Conflict(_)));
        db.remove_group(&group("/ab"), event("x")).await.unwrap();
        let gone = db.remove_group(&group("/ab"), event("x")).await.unwrap_err();
        assert!(matches!(gone, Error::NotFound { .. }));
        let nowhere = db.register_device("d", &group("/ab"), event("x")).await.unwrap_err();
        assert!(matches!(nowhere, Error::NotFound { what: "group", .. }));
    }

    async fn a_move_takes_all_along(lab: Lab) {
        let db = lab.open().await;
        add_groups(&db, &["/a", "/a/b", "/a/b/c", "/a/bc", "/x"]).await;
        let below = db.register_device("below", &group("/a/b/c"), event("x")).await.unwrap();
        let beside = db.register_device("beside", &group("/a/bc"), event("x")).await.unwrap();
        db.move_group(&group("/a/b"), &group("/x/new"), event("group.moved")).await.unwrap();
        let paths: Vec<_> = db.groups().await.unwrap().iter().map(|group| group.path.to_string()).collect();
        assert_eq!(paths, ["/", "/a", "/a/bc", "/x", "/x/new", "/x/new/c"]);
        assert_eq!(db.device(below.id).await.unwrap().group, group("/x/new/c"));
        assert_eq!(db.device(beside.id).await.unwrap().group, group("/a/bc"));
        for (from, to) in [("/", "/y"), ("/x", "/x/y"), ("/x", "/x")] {
            let refused = db.move_group(&group(from), &group(to), event("x")).await.unwrap_err();
            assert!(matches!(refused, Error::Conflict(_)), "{from} to {to}: {refused}");
        }
        let taken = db.move_group(&group("/x"), &group("/a/bc"), event("x")).await.unwrap_err();
        assert!(matches!(taken, Error::Exists { .. }));
        let nowhere = db.move_group(&group("/x"), &group("/none/x"), event("x")).await.unwrap_err();
        assert!(matches!(nowhere, Error::NotFound { .. }));
    }

    async fn a_token_is_used_up_by_the_credential_and_not_by_the_contact(lab: Lab) {
        let db = lab.open().await;
        add_groups(&db, &["/site"]).await;
        let token = token(&lab, &db, Admits::Group(group("/site")), true).await;
        let first = enrol(&lab, &db, token, "aa").await.unwrap();
        assert_eq!((first.device.state, first.device.group.clone()), (DeviceState::Registered, group("/site")));
        assert_eq!(first.device.facts["os.type"], "linux");
        // The answer was lost: the same process comes again, and is the same device. Another is another.
        let again = db.enrol(token, &enrolment("aa", None)).await.unwrap().unwrap();
        assert_eq!((again.device.id, &again.device.facts), (first.device.id, &first.device.facts));
        let other = enrol(&lab, &db, token, "bb").await.unwrap();
        assert_ne!(other.device.id, first.device.id);
        assert!(db.credential_by_secret(&first.credential).await.unwrap().is_some(), "up to two candidates live");

        assert_eq!(accept(&db, &again.credential).await, Accepted::First);
        assert_eq!(accept(&db, &again.credential).await, Accepted::Known);
        assert_eq!(db.credential_by_secret(&first.credential).await.unwrap(), None, "the other candidate is over");
        let device = db.device(first.device.id).await.unwrap();
        assert_eq!((device.state, device.enrolled_at), (DeviceState::Enrolled, Some(lab.now())));
        // The token had one use.
        assert_eq!(accept(&db, &other.credential).await, Accepted::TokenEnded);
        assert_eq!(db.credential_by_secret(&other.credential).await.unwrap(), None);
        assert_eq!(db.device(other.device.id).await.unwrap().state, DeviceState::Registered);
        assert!(matches!(enrol(&lab, &db, token, "cc").await.unwrap_err(), Error::NotFound { .. }));
        let tokens = db.enrolment_tokens().await.unwrap();
        assert_eq!((tokens[0].uses, tokens[0].ended_at.is_some()), (1, true));
        let told = EventFilter { device: Some(first.device.id), ..EventFilter::default() };
        assert_eq!(db.events(&told, &Page::default()).await.unwrap().items[0].event.kind, "device.enrolled");
    }

    async fn a_token_is_known_by_its_secret_and_ends(lab: Lab) {
        let db = lab.open().await;
        let expires_at = lab.now().checked_add(LONG).unwrap();
        let new = NewEnrolmentToken {
            name: "site".to_owned(), admits: Admits::Group(group("/")), single_use: false, expires_at,
        };
        let (record, text) = db.create_enrolment_token(&new, event("x")).await.unwrap();
        assert_eq!(db.enrolment_token_by_secret(&text).await.unwrap(), Some(record.clone()));
        assert_eq!(db.enrolment_token_by_secret(&text.to_uppercase()).await.unwrap(), None);
        for uid in ["aa", "bb"] {
            let one = enrol(&lab, &db, record.id, uid).await.unwrap();
            assert_eq!(accept(&db, &one.credential).await, Accepted::First);
            // What it had under way when it took its own credential makes no second device.
            assert_eq!(db.enrol(record.id, &enrolment(uid, None)).await.unwrap(), None);
        }
        assert_eq!(names(&db, DeviceFilter::default()).await, ["host-aa", "host-bb"]);
        let late = enrol(&lab, &db, record.id, "cc").await.unwrap();
        lab.pass(LONG);
        assert_eq!(db.enrolment_token_by_secret(&text).await.unwrap(), None);
        assert_eq!(accept(&db, &late.credential).await, Accepted::First, "it came while the token was valid");
        db.revoke_enrolment_token(record.id, event("x")).await.unwrap();
        assert!(db.revoke_enrolment_token(record.id, event("x")).await.is_err());
        assert_eq!(db.enrolment_tokens().await.unwrap()[0].uses, 3);
    }

    async fn a_candidate_retires_the_old_one_when_it_is_used(lab: Lab) {
        let db = lab.open().await;
        let device = register(&lab, &db, "d").await;
        let lasting = db.issue_lasting_credential(device.id, event("x")).await.unwrap();
        assert_eq!(accept(&db, &lasting).await, Accepted::First);
        let mut offers = Vec::new();
        for _ in 0..3 {
            lab.pass(Duration::from_millis(1));
            offers.push(db.issue_candidate(device.id).await.unwrap());
        }
        assert_eq!(db.credential_by_secret(&offers[0]).await.unwrap(), None, "two candidates at a time");
        assert_eq!(accept(&db, &lasting).await, Accepted::Known, "valid until a new one was used");
        assert_eq!(accept(&db, &offers[1]).await, Accepted::First);
        assert_eq!(db.credential_by_secret(&lasting).await.unwrap(), None);
        assert_eq!(db.credential_by_secret(&offers[2]).await.unwrap(), None);
        let states: Vec<_> = db.credentials(device.id).await.unwrap().iter().map(|one| one.state).collect();
        assert_eq!(states.iter().filter(|state| **state == CredentialState::Current).count(), 1);
        assert_eq!(db.revoke_credentials(device.id, event("x")).await.unwrap(), 1);
        assert_eq!(db.credential_by_secret(&offers[1]).await.unwrap(), None);
    }

    async fn a_clone_is_quarantined_and_enrolled_anew(lab: Lab) {
        let db = lab.open().await;
        let device = enrolled(&lab, &db, "d").await;
        let rotated = db.issue_candidate(device.id).await.unwrap();
        let quarantined = db.quarantine_device(device.id, "seen twice", event("device.quarantined")).await.unwrap();
        assert_eq!((quarantined.state, quarantined.status.state.as_str()), (DeviceState::Quarantined, "quarantined"));
        assert_eq!(quarantined.reason.as_deref(), Some("seen twice"));
        assert_eq!(accept(&db, &rotated).await, Accepted::First);
        assert_eq!(db.device(device.id).await.unwrap().state, DeviceState::Quarantined, "a rotation is no way out");
        let token = token(&lab, &db, Admits::Device(device.id), false).await;
        let anew = enrol(&lab, &db, token, "aa").await.unwrap();
        assert_eq!(anew.device.id, device.id);
        assert_eq!(accept(&db, &anew.credential).await, Accepted::First);
        assert_eq!(db.device(device.id).await.unwrap().state, DeviceState::Enrolled);
        assert!(enrol(&lab, &db, token, "bb").await.is_err(), "a token for one device has one use");
    }

    async fn decommissioning_revokes(lab: Lab) {
        let db = lab.open().await;
        let device = register(&lab, &db, "d").await;
        let text = db.issue_lasting_credential(device.id, event("x")).await.unwrap();
        accept(&db, &text).await;
        let token = token(&lab, &db, Admits::Device(device.id), true).await;
        let gone = db.decommission_device(device.id, "sold", event("device.decommissioned")).await.unwrap();
        assert_eq!((gone.state, gone.status.state.as_str()), (DeviceState::Decommissioned, "decommissioned"));
        assert_eq!(db.credential_by_secret(&text).await.unwrap(), None);
        assert!(enrol(&lab, &db, token, "aa").await.is_err());
        assert!(db.issue_candidate(device.id).await.is_err());
        assert!(db.quarantine_device(device.id, "x", event("x")).await.is_err());
        let last = db.last_event().await.unwrap();
        db.decommission_device(device.id, "again", event("x")).await.unwrap();
        assert_eq!(db.last_event().await.unwrap(), last, "once is enough");
    }

    async fn facts_are_written_when_they_are_news(lab: Lab) {
        let db = lab.open().await;
        let device = register(&lab, &db, "d").await;
        let facts = Facts::from([("os.type".to_owned(), "linux".into())]);
        let able = Abilities { takes_config: true, ..Abilities::default() };
        assert!(db.set_facts(device.id, &facts, able).await.unwrap());
        assert!(!db.set_facts(device.id, &facts, able).await.unwrap());
        let stored = db.device(device.id).await.unwrap();
        assert_eq!((stored.facts, stored.abilities, stored.revision), (facts, able, 1));
    }

    async fn lists_filter_page_and_count(lab: Lab) {
        let db = lab.open().await;
        add_groups(&db, &["/a", "/a/b", "/ab"]).await;
        for (name, path) in [("one", "/"), ("two", "/a"), ("Three_3", "/a/b"), ("four", "/ab")] {
            lab.pass(Duration::from_millis(1));
            db.register_device(name, &group(path), event("x")).await.unwrap();
        }
        let all = DeviceFilter::default;
        assert_eq!(names(&db, all()).await, ["one", "two", "Three_3", "four"]);
        assert_eq!(names(&db, DeviceFilter { group: Some(group("/a")), ..all() }).await, ["two", "Three_3"]);
        assert_eq!(names(&db, DeviceFilter { group: Some(group("/")), ..all() }).await.len(), 4);
        assert_eq!(names(&db, DeviceFilter { name: Some("E_3".to_owned()), ..all() }).await, ["Three_3"]);
        assert_eq!(names(&db, DeviceFilter { name: Some("%".to_owned()), ..all() }).await, [""; 0]);
        assert_eq!(names(&db, DeviceFilter { state: Some(DeviceState::Enrolled), ..all() }).await, [""; 0]);
        assert_eq!(names(&db, DeviceFilter { status: vec!["silent", "registered"], ..all() }).await.len(), 4);
        assert_eq!(names(&db, DeviceFilter { status: vec!["silent"], ..all() }).await, [""; 0]);
        assert_eq!(names(&db, DeviceFilter { silent_since: Some(lab.now()), ..all() }).await.len(), 4);
        assert_eq!(names(&db, DeviceFilter { seen_since: Some(lab.now()), ..all() }).await, [""; 0]);
        assert_eq!(db.devices_by_status(&all()).await.unwrap(), [("registered".to_owned(), 4)]);
        let first = db.devices(&all(), &Page::first(3)).await.unwrap();
        let rest = db.devices(&all(), &Page { limit: 3, after: first.next }).await.unwrap();
        assert_eq!((first.items.len(), rest.items.len(), rest.next), (3, 1, None));
    }

    async fn a_device_is_renamed_and_moved(lab: Lab) {
        let db = lab.open().await;
        add_groups(&db, &["/a"]).await;
        let device = register(&lab, &db, "d").await;
        let changed = Device { name: "new".to_owned(), group: group("/a"), ..device.clone() };
        let stored = db.update_device(&changed, event("device.changed")).await.unwrap();
        assert_eq!((stored.name.as_str(), stored.group, stored.revision), ("new", group("/a"), 2));
        assert!(matches!(db.update_device(&changed, event("x")).await.unwrap_err(), Error::Stale { .. }));
    }
}
