//! Directories: sources, what a run reads and writes, its users, and what people decide about one entry.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::json;
use syncline_domain::{
    Failure,
    device::{GroupPath, user::KeySets},
    directory::{
        Attribute, Becomes, EntryId, EntryKind, EntryRecord, Given, ImportSpec, LinkState, Origin, Person,
        Reference, RejectionRecord, SourceSpec, Value,
    },
    ids::{DeviceId, DirectoryEntryId, RunId, UserId},
    run::{Ending, RunState, Subject},
    sync::Sync,
};
use syncline_store::{
    Claim, Db, DirectoryUser, DirectoryWriting, EntryFilter, Error, Holder, KnownEntry, KnownMember, NewRun,
    NewUser, Page, PutEntry, PutMember, UserFilter, UserWrite, reference_key,
};

use crate::{
    devices::{add_groups, enrolled, group, register},
    lab::{LONG, Lab, OVER, both_engines, event, name},
};

fn source(server: &str) -> SourceSpec {
    serde_json::from_value(json!({ "servers": [server], "bases": ["dc=x"], "bind_as": "cn=Übung" })).unwrap()
}

/// A sync that reads the source `corp`.
fn directory_sync(lab: &Lab, sync: &str) -> Sync {
    let spec = json!({ "plugin": "p", "sources": ["corp"], "directory": { "mode": "automatic" } });
    Sync { spec: serde_json::from_value(spec).unwrap(), ..lab.sync(sync) }
}

/// A database with the source `corp` and the sync `d` that reads it.
async fn with_directory(lab: &Lab) -> Db {
    let db = lab.with_sync().await;
    db.add_directory_source(&name("corp"), &source("ldap.x:636"), event("directory-source.added"))
        .await
        .unwrap();
    db.add_sync(&directory_sync(lab, "d"), event("sync.added")).await.unwrap();
    db
}

/// A run of a sync that is under way. Nothing else may be queued.
async fn run_of(lab: &Lab, db: &Db, sync: &str, lease: Duration) -> Claim {
    lab.pass(Duration::from_millis(1));
    let new = NewRun { id: RunId::new(lab.now()), subject: Subject::Sync(name(sync)), ..lab.new_run(&[]) };
    db.enqueue_run(&new, event("run.queued")).await.unwrap();
    let claim = db.claim_run(lease).await.unwrap().unwrap();
    db.begin_run(&claim, "blake3:1").await.unwrap();
    claim
}

async fn writing(lab: &Lab, db: &Db) -> (Claim, DirectoryWriting) {
    let claim = run_of(lab, db, "d", LONG).await;
    let writing = db.write_directory(&claim).await.unwrap();
    (claim, writing)
}

/// Commits what was written and ends its run.
async fn done(db: &Db, (claim, writing): (Claim, DirectoryWriting)) {
    writing.commit(None, Vec::new()).await.unwrap();
    db.end_attempt(&claim, &Ending::new(RunState::Succeeded), &[]).await.unwrap();
}

fn id(text: &str) -> EntryId {
    text.parse().unwrap()
}

fn ids<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<EntryId> {
    texts.into_iter().map(id).collect()
}

fn alias(text: &str) -> Reference {
    Reference::Alias(text.to_owned())
}

/// An entry whose name is its id with a capital, and which is called `cn=ID`.
fn put(kind: EntryKind, entry: &str) -> PutEntry {
    PutEntry {
        entry: id(entry),
        kind,
        name: entry[..1].to_uppercase() + &entry[1..],
        aliases: vec![format!("cn={entry}")],
        parent: None,
        enabled: true,
        attributes: "[]".to_owned(),
        digest: format!("digest of {entry}"),
        person: (kind == EntryKind::Person).then(|| person(entry)),
    }
}

/// Whose account is called so, with an e-mail.
fn person(account: &str) -> Person {
    let given = |value: String, source: &str| Given { value, source: source.to_owned() };
    Person {
        name: given(account.to_owned(), "uid"),
        display_name: given(account.to_uppercase(), "cn"),
        email: Some(given(format!("{account}@x.org"), "mail")),
        disabled: false,
    }
}

fn people<'a>(entries: impl IntoIterator<Item = &'a str>) -> Vec<PutEntry> {
    entries.into_iter().map(|entry| put(EntryKind::Person, entry)).collect()
}

fn member(group: &str, reference: Reference, member: Option<&str>) -> PutMember {
    PutMember { group: id(group), reference, member: member.map(id) }
}

fn user(lab: &Lab, account: &str) -> DirectoryUser {
    let origin = Origin { sync: name("d"), source: "uid".to_owned(), at: lab.now() };
    DirectoryUser {
        user: UserId::new(lab.now()),
        name: account.to_owned(),
        display_name: account.to_uppercase(),
        email: Some(format!("{account}@x.org")),
        disabled: false,
        group: GroupPath::root(),
        origins: BTreeMap::from([("name".to_owned(), origin)]),
    }
}

/// Writes these people; those in `linked` with a user each, of the same name.
async fn import(lab: &Lab, db: &Db, all: &[&str], linked: &[&str]) -> Vec<DirectoryUser> {
    let mut run = writing(lab, db).await;
    run.1.put_entries(&people(all.iter().copied())).await.unwrap();
    let users: Vec<_> = linked.iter().map(|entry| (id(entry), user(lab, entry))).collect();
    run.1.add_users(&users).await.unwrap();
    done(db, run).await;
    users.into_iter().map(|(_, user)| user).collect()
}

async fn all(db: &Db) -> Vec<EntryRecord> {
    db.directory_entries(&EntryFilter::default(), &Page::first(1_000)).await.unwrap().items
}

/// The entry of this id in the directory of the sync `d`.
async fn entry(db: &Db, entry: &str) -> EntryRecord {
    let all = all(db).await;
    all.into_iter().find(|one| one.sync == name("d") && one.entry == id(entry)).unwrap()
}

/// The ids of what is listed, sorted.
async fn listed(db: &Db, filter: EntryFilter) -> Vec<String> {
    let listed = db.directory_entries(&filter, &Page::default()).await.unwrap();
    let mut ids: Vec<_> = listed.items.iter().map(|one| one.entry.to_string()).collect();
    ids.sort();
    ids
}

fn conflicts<T: std::fmt::Debug>(result: syncline_store::Result<T>, says: &str) {
    let error = result.unwrap_err();
    assert!(matches!(&error, Error::Conflict(why) if why.contains(says)), "{error}");
}

/// The run goes on if it would link these.
async fn assert_waiting(mut run: (Claim, DirectoryWriting), waiting: &[&str]) -> (Claim, DirectoryWriting) {
    let found: Vec<_> =
        run.1.waiting_people(None, 10).await.unwrap().0.into_iter().map(|one| one.entry).collect();
    assert_eq!(found, ids(waiting.iter().copied()));
    run
}

both_engines! {
    async fn a_source_reads_back_and_is_changed(lab: Lab) {
        let db = lab.open().await;
        let corp = name("corp");
        let added = db.add_directory_source(&corp, &source("a:636"), event("x")).await.unwrap();
        assert_eq!((&added.name, &added.spec, added.revision), (&corp, &source("a:636"), 1));
        assert_eq!((added.created_at, added.updated_at), (lab.now(), lab.now()));
        let twice = db.add_directory_source(&corp, &source("a:636"), event("x")).await.unwrap_err();
        assert!(matches!(twice, Error::Exists { what: "directory source", .. }), "{twice}");
        db.add_directory_source(&name("branch"), &source("b:636"), event("x")).await.unwrap();
        let names: Vec<_> = db.directory_sources().await.unwrap().into_iter().map(|one| one.name).collect();
        assert_eq!(names, [name("branch"), corp.clone()]);

        lab.pass(LONG);
        let before = db.last_event().await.unwrap();
        let mut change = added.clone();
        change.spec.servers.push("c:636".to_owned());
        let changed = db.update_directory_source(&change, event("directory-source.changed")).await.unwrap();
        assert_eq!(db.directory_source(&corp).await.unwrap(), changed);
        assert_eq!((changed.spec.servers.len(), changed.revision), (2, 2));
        assert_eq!((changed.created_at, changed.updated_at), (added.created_at, lab.now()));
        let stale = db.update_directory_source(&change, event("x")).await.unwrap_err();
        assert!(matches!(stale, Error::Stale { what: "directory source", .. }), "{stale}");
        assert_eq!(db.last_event().await.unwrap(), before + 1, "a refusal is no event");

        db.remove_directory_source(&corp, event("directory-source.removed")).await.unwrap();
        for missing in [
            db.directory_source(&corp).await.unwrap_err(),
            db.update_directory_source(&changed, event("x")).await.unwrap_err(),
            db.remove_directory_source(&corp, event("x")).await.unwrap_err(),
        ] {
            assert!(matches!(missing, Error::NotFound { what: "directory source", .. }), "{missing}");
        }
    }

    async fn a_source_that_a_sync_reads_stays(lab: Lab) {
        let db = with_directory(&lab).await;
        let used = db.remove_directory_source(&name("corp"), event("x")).await.unwrap_err();
        assert_eq!(used.to_string(), "directory source \"corp\" is in use by sync d");
        let mut other = directory_sync(&lab, "e");
        other.spec.sources = vec![name("corp"), name("nowhere")];
        let missing = db.add_sync(&other, event("x")).await.unwrap_err();
        assert_eq!(missing.to_string(), "there is no directory source \"nowhere\"");
        // A collection of the same name is another thing.
        db.add_collection(&lab.collection("corp", "site"), event("x")).await.unwrap();
        let mut files = lab.sync("f");
        files.spec.sources = vec![name("corp")];
        db.add_sync(&files, event("x")).await.unwrap();
        db.remove_sync(&name("d"), event("x")).await.unwrap();
        db.remove_directory_source(&name("corp"), event("x")).await.unwrap();
    }

    async fn an_entry_reads_back_as_it_was_written(lab: Lab) {
        let db = with_directory(&lab).await;
        let attributes = vec![Attribute {
            name: "email".to_owned(),
            source: "mail".to_owned(),
            values: vec![
                Value::Text("Ä\0\"\\\u{1f980}".to_owned()),
                Value::Bytes(vec![0, 255]),
                Value::Number(i64::MIN),
                Value::Flag(true),
                Value::Time(lab.now()),
                Value::Reference(alias("cn=Ö\0")),
            ],
        }];
        let ada = PutEntry {
            name: "Ädä 'Lövelace'".to_owned(),
            aliases: vec!["cn=ada".to_owned(), "x".repeat(4_096), "nul \0".to_owned()],
            parent: Some(alias("ou=people")),
            enabled: false,
            attributes: serde_json::to_string(&attributes).unwrap(),
            ..put(EntryKind::Person, "ada")
        };
        let kinds = [EntryKind::Group, EntryKind::Computer, EntryKind::Unit];
        let others = kinds.map(|kind| put(kind, kind.as_str()));
        let mut run = writing(&lab, &db).await;
        run.1.put_entries(std::slice::from_ref(&ada)).await.unwrap();
        run.1.put_entries(&others).await.unwrap();
        assert_eq!((run.1.count_size().await.unwrap().present, run.1.now()), (4, lab.now()));
        done(&db, run).await;

        let found = entry(&db, "ada").await;
        let expected = EntryRecord {
            id: found.id,
            sync: name("d"),
            entry: id("ada"),
            kind: EntryKind::Person,
            name: ada.name.clone(),
            aliases: ada.aliases.clone(),
            parent: ada.parent.clone(),
            enabled: false,
            attributes,
            state: LinkState::Unlinked,
            user: None,
            device: None,
            held: None,
            created_at: lab.now(),
            changed_at: lab.now(),
            gone_at: None,
            revision: 1,
        };
        assert_eq!(found, expected);
        assert_eq!(db.directory_entry(found.id).await.unwrap(), expected);
        let missing = db.directory_entry(DirectoryEntryId::new(lab.now())).await.unwrap_err();
        assert!(matches!(missing, Error::NotFound { what: "directory entry", .. }), "{missing}");
        for kind in kinds {
            assert_eq!(entry(&db, kind.as_str()).await.kind, kind);
        }
        let mut known = db.known_entries(&name("d")).await.unwrap();
        known.sort_by(|a, b| a.entry.cmp(&b.entry));
        let digest = ada.digest.clone();
        let first = KnownEntry { entry: id("ada"), kind: EntryKind::Person, digest, members: None, gone: false };
        assert_eq!((&known[0], known.len()), (&first, 4));
        assert_eq!(db.known_entries(&name("s")).await.unwrap(), []);
    }

    async fn a_rename_keeps_the_entry_and_frees_its_aliases(lab: Lab) {
        let db = with_directory(&lab).await;
        import(&lab, &db, &["ada", "bob"], &["ada"]).await;
        let before = entry(&db, "ada").await;
        lab.pass(LONG);
        let mut run = writing(&lab, &db).await;
        let renamed = PutEntry {
            name: "Ada King".to_owned(),
            aliases: vec!["cn=king".to_owned()],
            digest: "another".to_owned(),
            ..put(EntryKind::Person, "ada")
        };
        // Bob is called now as Ada was.
        let bob = PutEntry { aliases: vec!["cn=ada".to_owned()], ..put(EntryKind::Person, "bob") };
        run.1.put_entries(&[renamed, bob]).await.unwrap();
        let keys = ["cn=king", "cn=ada", "cn=bob"].map(|text| reference_key(&alias(text)));
        let aliases = run.1.aliases(&keys).await.unwrap();
        let owners: Vec<_> = keys.iter().map(|key| aliases.get(key).map(EntryId::as_str)).collect();
        assert_eq!(owners, [Some("ada"), Some("bob"), None]);
        let known = run.1.known(&ids(["ada", "nobody"])).await.unwrap();
        assert_eq!((known.len(), known[0].digest.as_str()), (1, "another"));
        done(&db, run).await;
        let after = entry(&db, "ada").await;
        let expected = EntryRecord {
            name: "Ada King".to_owned(),
            aliases: vec!["cn=king".to_owned()],
            changed_at: lab.now(),
            revision: before.revision + 1,
            ..before
        };
        assert_eq!(after, expected, "its user, state and first time stay");
        assert_eq!(all(&db).await.len(), 2);
    }

    async fn what_is_not_committed_was_a_preview(lab: Lab) {
        let db = with_directory(&lab).await;
        {
            let (_, mut preview) = writing(&lab, &db).await;
            preview.put_entries(&people(["ada"])).await.unwrap();
            preview.add_users(&[(id("ada"), user(&lab, "ada"))]).await.unwrap();
            assert_eq!(preview.count_size().await.unwrap().present, 1);
        }
        assert_eq!(all(&db).await, []);
        assert_eq!(db.users(&UserFilter::default(), &Page::default()).await.unwrap().items, []);
    }

    async fn a_cursor_is_committed_with_what_it_stands_for(lab: Lab) {
        let db = with_directory(&lab).await;
        for (given, then) in [
            (Some(Some(b"one\0".as_slice())), Some(b"one\0".to_vec())),
            (None, Some(b"one\0".to_vec())),
            (Some(None), None),
        ] {
            let (claim, writing) = writing(&lab, &db).await;
            let before = db.last_event().await.unwrap();
            writing.commit(given, vec![event("directory.imported"), event("directory.held")]).await.unwrap();
            assert_eq!(db.cursor(&name("d")).await.unwrap(), then);
            let kinds: Vec<_> =
                db.events_after(before, 10).await.unwrap().into_iter().map(|one| one.event.kind).collect();
            assert_eq!(kinds, ["directory.imported", "directory.held"]);
            db.end_attempt(&claim, &Ending::new(RunState::Succeeded), &[]).await.unwrap();
        }
    }

    async fn a_run_that_lost_its_lease_writes_nothing(lab: Lab) {
        let db = with_directory(&lab).await;
        let claim = run_of(&lab, &db, "d", OVER).await;
        db.expire_leases().await.unwrap();
        let mut late = db.write_directory(&claim).await.unwrap();
        late.put_entries(&people(["ada"])).await.unwrap();
        late.add_users(&[(id("ada"), user(&lab, "ada"))]).await.unwrap();
        let fenced = late.commit(Some(Some(b"cursor".as_slice())), vec![event("directory.imported")]).await.unwrap_err();
        assert!(matches!(fenced, Error::Fenced { run } if run == claim.run.id), "{fenced}");
        assert_eq!(all(&db).await, []);
        assert_eq!(db.users(&UserFilter::default(), &Page::default()).await.unwrap().items, []);
        assert_eq!(db.cursor(&name("d")).await.unwrap(), None);
    }

    async fn members_are_found_when_they_come(lab: Lab) {
        let db = with_directory(&lab).await;
        let mut run = writing(&lab, &db).await;
        let writing = &mut run.1;
        let groups = ["staff", "admins"].map(|group| put(EntryKind::Group, group));
        writing.put_entries(&groups).await.unwrap();
        writing.put_entries(&people(["ada"])).await.unwrap();
        let members = [
            member("staff", Reference::Id(id("ada")), Some("ada")),
            member("staff", alias("cn=bob"), None),
            member("staff", Reference::Id(id("eve")), None),
            member("admins", alias("cn=bob"), None),
            member("admins", alias("cn=elsewhere"), None),
        ];
        writing.put_members(&members).await.unwrap();
        assert_eq!((writing.count_size().await.unwrap().members, writing.waiting_members().await.unwrap()), (5, 4));

        // Some come: by an alias and by their id.
        let come = people(["bob", "eve"]);
        writing.put_entries(&come).await.unwrap();
        let mut settled = writing.settle_members(&come).await.unwrap();
        settled.sort();
        let pairs = [("admins", "bob"), ("staff", "bob"), ("staff", "eve")].map(|(a, b)| (id(a), id(b)));
        assert_eq!(settled, pairs);
        assert_eq!(writing.settle_members(&come).await.unwrap(), []);
        assert_eq!(writing.waiting_members().await.unwrap(), 1);
        let mut of_staff = writing.members_of(&ids(["staff"])).await.unwrap();
        of_staff.sort_by(|a, b| a.member.cmp(&b.member));
        let key = reference_key(&Reference::Id(id("ada")));
        assert_eq!(of_staff[0], KnownMember { group: id("staff"), key, member: Some(id("ada")) });
        assert_eq!(of_staff[1].key, reference_key(&alias("cn=bob")));
        let mut groups = writing.groups_of(&ids(["bob", "eve"])).await.unwrap();
        groups.sort();
        let pairs = [("bob", "admins"), ("bob", "staff"), ("eve", "staff")].map(|(a, b)| (id(a), id(b)));
        assert_eq!(groups, pairs);

        // The same reference is somebody else's, and one goes out.
        writing.put_members(&[member("staff", alias("cn=bob"), Some("eve"))]).await.unwrap();
        writing.remove_members(&[(id("admins"), reference_key(&alias("cn=elsewhere")))]).await.unwrap();
        assert_eq!((writing.count_size().await.unwrap().members, writing.waiting_members().await.unwrap()), (4, 0));
        assert_eq!(writing.groups_of(&ids(["bob"])).await.unwrap(), [(id("bob"), id("admins"))]);
        done(&db, run).await;
    }

    async fn what_is_let_go_is_waited_for(lab: Lab) {
        let db = with_directory(&lab).await;
        let mut run = writing(&lab, &db).await;
        let writing = &mut run.1;
        writing.put_entries(&["staff", "all"].map(|group| put(EntryKind::Group, group))).await.unwrap();
        writing.put_entries(&people(["ada"])).await.unwrap();
        let members = [
            member("staff", alias("cn=ada"), Some("ada")),
            member("all", Reference::Id(id("staff")), Some("staff")),
        ];
        writing.put_members(&members).await.unwrap();
        writing.let_go(&ids(["staff", "nobody"])).await.unwrap();
        assert_eq!(writing.members_of(&ids(["staff"])).await.unwrap(), []);
        assert_eq!((writing.count_size().await.unwrap().members, writing.waiting_members().await.unwrap()), (1, 1));
        let key = reference_key(&alias("cn=staff"));
        assert!(writing.aliases(&[key]).await.unwrap().is_empty());
        let back = [put(EntryKind::Group, "staff")];
        writing.put_entries(&back).await.unwrap();
        assert_eq!(writing.settle_members(&back).await.unwrap(), [(id("all"), id("staff"))]);
        done(&db, run).await;
    }

    async fn references_are_resolved_by_id_and_alias(lab: Lab) {
        let db = with_directory(&lab).await;
        let mut run = writing(&lab, &db).await;
        let writing = &mut run.1;
        let inner = PutEntry { parent: Some(alias("cn=outer")), ..put(EntryKind::Unit, "inner") };
        writing.put_entries(&[put(EntryKind::Unit, "outer"), inner]).await.unwrap();
        writing.put_entries(&people(["ada", "gone"])).await.unwrap();
        writing.set_state(&ids(["gone"]), LinkState::Orphaned).await.unwrap();
        let by_id = |text| Reference::Id(id(text));
        let asked = [by_id("ada"), by_id("gone"), by_id("nobody"), alias("cn=ada"), alias("cn=nobody")];
        let mut found: Vec<_> = writing.resolve(&asked).await.unwrap().into_iter().collect();
        found.sort();
        assert_eq!(found, [(by_id("ada"), id("ada")), (alias("cn=ada"), id("ada"))]);

        let keys = [by_id("outer"), alias("cn=inner"), by_id("nobody")].map(|one| reference_key(&one));
        let units = writing.units(&keys).await.unwrap();
        assert_eq!(units.len(), 2);
        assert_eq!(units[&keys[0]], (id("outer"), None));
        assert_eq!(units[&keys[1]], (id("inner"), Some(reference_key(&alias("cn=outer")))));

        let standings = writing.standings(&ids(["inner", "gone", "nobody"])).await.unwrap();
        assert_eq!(standings.len(), 2);
        let inner = &standings[&id("inner")];
        assert_eq!((inner.kind, inner.name.as_str(), inner.user), (EntryKind::Unit, "Inner", None));
        assert_eq!((&inner.aliases, &inner.parent), (&vec!["cn=inner".to_owned()], &units[&keys[1]].1));
        assert_eq!(standings[&id("gone")].state, LinkState::Orphaned);
        done(&db, run).await;
    }

    async fn a_rule_names_an_entry_in_any_case(lab: Lab) {
        let db = with_directory(&lab).await;
        let mut run = writing(&lab, &db).await;
        let writing = &mut run.1;
        let named = |entry: &str, name: &str| PutEntry { name: name.to_owned(), ..put(EntryKind::Group, entry) };
        let groups = [named("g1", "Öl & Gas"), named("g2", "Öl & Gas"), named("g3", "GONE"), named("g4", "50%")];
        writing.put_entries(&groups).await.unwrap();
        writing.put_entries(&[put(EntryKind::Unit, "g5")]).await.unwrap();
        writing.set_state(&ids(["g3"]), LinkState::Orphaned).await.unwrap();
        for (text, found) in [
            ("g1", vec!["g1"]),
            ("Öl & Gas", vec!["g1", "g2"]),
            ("öl & gas", vec!["g1", "g2"]),
            ("ÖL & GAS", vec!["g1", "g2"]),
            ("CN=G1", vec!["g1"]),
            ("gone", vec![]),
            ("5_%", vec![]),
            ("g5", vec![]),
        ] {
            let found: BTreeSet<_> = ids(found).into_iter().collect();
            assert_eq!(writing.named(EntryKind::Group, text).await.unwrap(), found, "{text}");
        }
        done(&db, run).await;
    }

    async fn who_is_gone_comes_back_or_is_forgotten(lab: Lab) {
        let db = with_directory(&lab).await;
        import(&lab, &db, &["ada", "bob", "eve"], &["ada", "bob"]).await;
        let mut run = writing(&lab, &db).await;
        run.1.set_held(&[(id("ada"), Some("a collision".to_owned()))]).await.unwrap();
        run.1.set_state(&ids(["ada", "bob"]), LinkState::Orphaned).await.unwrap();
        run.1.forget(&ids(["eve"])).await.unwrap();
        conflicts(run.1.set_state(&ids(["ada", "nobody"]), LinkState::Linked).await, "1 of 2 entries of sync d");
        conflicts(run.1.forget(&ids(["eve"])).await, "0 of 1 entries");
        drop(run.1);
        assert_eq!(entry(&db, "eve").await.state, LinkState::Unlinked, "a conflict ends in nothing");
        db.end_attempt(&run.0, &Ending::new(RunState::Failed), &[]).await.unwrap();

        let mut run = writing(&lab, &db).await;
        let gone_at = lab.now();
        run.1.set_state(&ids(["ada", "bob"]), LinkState::Orphaned).await.unwrap();
        run.1.forget(&ids(["eve"])).await.unwrap();
        assert_eq!(run.1.count_size().await.unwrap().present, 0);
        assert_eq!(run.1.orphans_before(gone_at).await.unwrap(), []);
        done(&db, run).await;
        let ada = entry(&db, "ada").await;
        assert_eq!((ada.state, ada.gone_at, ada.held), (LinkState::Orphaned, Some(gone_at), None));
        assert!(ada.user.is_some(), "its user waits with it");
        assert_eq!(all(&db).await.len(), 2);
        assert!(db.known_entries(&name("d")).await.unwrap().iter().all(|one| one.gone));
        let counts = db.directory_counts(&name("d")).await.unwrap();
        assert_eq!(counts, BTreeMap::from([(LinkState::Orphaned, 2)]));

        lab.pass(LONG);
        let mut run = writing(&lab, &db).await;
        let mut orphans = run.1.orphans_before(lab.now()).await.unwrap();
        orphans.sort();
        assert_eq!(orphans, ids(["ada", "bob"]));
        run.1.put_entries(&people(["ada"])).await.unwrap();
        run.1.set_state(&ids(["ada"]), LinkState::Linked).await.unwrap();
        assert_eq!(run.1.orphans_before(lab.now()).await.unwrap(), ids(["bob"]));
        done(&db, run).await;
        let back = entry(&db, "ada").await;
        assert_eq!((back.state, back.gone_at, back.user), (LinkState::Linked, None, ada.user));
    }

    async fn lists_and_reasons_to_wait_are_kept(lab: Lab) {
        let db = with_directory(&lab).await;
        let mut run = writing(&lab, &db).await;
        run.1.put_entries(&[put(EntryKind::Group, "staff")]).await.unwrap();
        run.1.put_entries(&people(["ada", "bob"])).await.unwrap();
        run.1.set_lists(&[(id("staff"), Some("2:ff".to_owned()))]).await.unwrap();
        let waits = |why: &str| Some(why.to_owned());
        run.1.set_held(&[(id("ada"), waits("two have \"it\"")), (id("bob"), waits("no e-mail"))]).await.unwrap();
        run.1.set_held(&[(id("bob"), None)]).await.unwrap();
        assert_eq!(run.1.held_people().await.unwrap(), [], "only who is linked and waits all the same");
        assert_eq!(run.1.known(&ids(["staff"])).await.unwrap()[0].members.as_deref(), Some("2:ff"));
        assert_eq!(run.1.people(&ids(["ada"])).await.unwrap()[0].held.as_deref(), Some("two have \"it\""));
        done(&db, run).await;
        assert_eq!(entry(&db, "ada").await.held.as_deref(), Some("two have \"it\""));
        assert_eq!(entry(&db, "bob").await.held, None);
        let mut run = writing(&lab, &db).await;
        run.1.set_lists(&[(id("staff"), None)]).await.unwrap();
        assert_eq!(run.1.known(&ids(["staff"])).await.unwrap()[0].members, None);
        // Who is linked waits no more, until something else is found.
        run.1.add_users(&[(id("ada"), user(&lab, "ada"))]).await.unwrap();
        assert_eq!(run.1.held_people().await.unwrap(), []);
        run.1.set_held(&[(id("ada"), waits("renamed to a name that is taken"))]).await.unwrap();
        assert_eq!(run.1.held_people().await.unwrap(), ids(["ada"]));
        done(&db, run).await;
    }

    async fn computers_are_matched_by_a_name_that_one_device_has(lab: Lab) {
        let db = with_directory(&lab).await;
        let host = enrolled(&lab, &db, "HOST-1").await.id;
        for twice in ["twin", "TWIN"] {
            enrolled(&lab, &db, twice).await;
        }
        register(&lab, &db, "waiting").await;
        let mut run = writing(&lab, &db).await;
        let all = ["host-1", "twin", "waiting", "gone"].map(|computer| put(EntryKind::Computer, computer));
        run.1.put_entries(&all).await.unwrap();
        run.1.set_state(&ids(["gone"]), LinkState::Orphaned).await.unwrap();
        let mut computers = run.1.computers().await.unwrap();
        computers.sort();
        let there = ["host-1", "twin", "waiting"].map(|name| (id(name), name.to_owned(), None::<DeviceId>));
        assert_eq!(computers, there);
        let names: Vec<_> = computers.into_iter().map(|(_, name, _)| name).collect();
        let devices = run.1.devices_named(&names).await.unwrap();
        assert_eq!(devices, BTreeMap::from([("host-1".to_owned(), host)]));
        run.1.set_devices(&[(id("host-1"), Some(host)), (id("twin"), Some(host))]).await.unwrap();
        run.1.set_devices(&[(id("twin"), None)]).await.unwrap();
        done(&db, run).await;
        assert_eq!((entry(&db, "host-1").await.device, entry(&db, "twin").await.device), (Some(host), None));
        db.decommission_device(host, "sold", event("device.decommissioned")).await.unwrap();
        let mut run = writing(&lab, &db).await;
        assert!(run.1.devices_named(&names).await.unwrap().is_empty());
        done(&db, run).await;
    }

    async fn a_rejection_keeps_its_time_until_it_is_settled(lab: Lab) {
        let db = with_directory(&lab).await;
        let rejected = |entry: Option<&str>, name: &str, why: &str| RejectionRecord {
            sync: "d".parse().unwrap(),
            entry: entry.map(id),
            name: name.to_owned(),
            reason: Failure::settings("bad", why),
            since: lab.now(),
        };
        let first = [
            rejected(Some("a"), "A", "no \0 here"),
            rejected(Some("b"), "B", "x"),
            rejected(None, "Z", "x"),
            rejected(None, "Z", "the later word"),
        ];
        let mut run = writing(&lab, &db).await;
        let begun = lab.now();
        run.1.put_rejections(&first, &[], true).await.unwrap();
        let found = run.1.rejections().await.unwrap();
        done(&db, run).await;
        let at = |one: &RejectionRecord, since| RejectionRecord { since, ..one.clone() };
        assert_eq!(found, [at(&first[0], begun), at(&first[1], begun), at(&first[3], begun)]);
        assert_eq!(db.directory_rejections(&name("d")).await.unwrap(), found);
        assert_eq!(db.directory_rejections(&name("s")).await.unwrap(), []);

        // A part of the directory was read: what it does not name stays as it is.
        lab.pass(LONG);
        let mut run = writing(&lab, &db).await;
        let again = rejected(Some("a"), "A2", "still");
        run.1.put_rejections(std::slice::from_ref(&again), &ids(["b", "nobody"]), false).await.unwrap();
        done(&db, run).await;
        let found = db.directory_rejections(&name("d")).await.unwrap();
        assert_eq!(found, [at(&again, begun), at(&first[3], begun)]);
        // All of it was read.
        let mut run = writing(&lab, &db).await;
        let other = rejected(Some("c"), "C", "x");
        run.1.put_rejections(&[again.clone(), other], &[], true).await.unwrap();
        done(&db, run).await;
        let found = db.directory_rejections(&name("d")).await.unwrap();
        assert_eq!(found, [at(&again, begun), rejected(Some("c"), "C", "x")]);
        let mut run = writing(&lab, &db).await;
        run.1.put_rejections(&[], &[], true).await.unwrap();
        done(&db, run).await;
        assert_eq!(db.directory_rejections(&name("d")).await.unwrap(), []);
    }

    async fn another_import_is_told_from_the_same(lab: Lab) {
        let db = with_directory(&lab).await;
        let manual = ImportSpec::default();
        let automatic: ImportSpec = serde_json::from_value(json!({ "mode": "automatic" })).unwrap();
        let mut run = writing(&lab, &db).await;
        for (spec, another) in [(&manual, true), (&manual, false), (&automatic, true), (&automatic, false)] {
            assert_eq!(run.1.set_import(spec).await.unwrap(), another, "{spec:?}");
        }
        done(&db, run).await;
        lab.raw("UPDATE directory_imports SET spec = '{\"mode\":\"of another version\"}'").await;
        let mut run = writing(&lab, &db).await;
        assert!(run.1.set_import(&automatic).await.unwrap());
        assert!(!run.1.set_import(&automatic).await.unwrap());
        done(&db, run).await;
    }

    async fn people_become_users_a_page_at_a_time(lab: Lab) {
        let db = with_directory(&lab).await;
        let mut run = writing(&lab, &db).await;
        let writing = &mut run.1;
        // As bytes are sorted, so that a preview goes the same way: capitals first.
        writing.put_entries(&people(["b", "a", "C", "d"])).await.unwrap();
        writing.put_entries(&[put(EntryKind::Group, "aa")]).await.unwrap();
        let mut after: Option<String> = None;
        let mut seen = Vec::new();
        loop {
            let (people, last) = writing.waiting_people(after.as_deref(), 3).await.unwrap();
            seen.extend(people.iter().map(|one| one.entry.to_string()));
            let Some(last) = last else { break };
            after = Some(last);
        }
        assert_eq!(seen, ["C", "a", "b", "d"]);

        let mut locked = user(&lab, "b");
        locked.disabled = true;
        locked.email = None;
        let users = [(id("a"), user(&lab, "a")), (id("b"), locked.clone())];
        writing.add_users(&users).await.unwrap();
        assert_eq!(writing.waiting_people(None, 10).await.unwrap().0.len(), 2);
        let mut linked = writing.linked_people().await.unwrap();
        linked.sort();
        assert_eq!(linked, ids(["a", "b"]));
        let people = writing.people(&ids(["a", "C", "aa", "nobody"])).await.unwrap();
        assert_eq!(people.len(), 2);
        let a = people.iter().find(|one| one.entry == id("a")).unwrap();
        assert_eq!((a.state, a.user, &a.person), (LinkState::Linked, Some(users[0].1.user), &person("a")));
        let all = writing.users(&[users[0].1.user, users[1].1.user, UserId::new(lab.now())]).await.unwrap();
        assert_eq!((all.len(), &all[&locked.user]), (2, &locked));
        done(&db, run).await;

        let stored = db.user(locked.user).await.unwrap();
        assert_eq!((stored.name.as_str(), stored.disabled, stored.revision), ("b", true, 1));
        assert_eq!((&stored.origins, stored.changed_at, stored.created_at), (&locked.origins, lab.now(), lab.now()));
        let disabled = UserFilter { disabled: Some(true), ..UserFilter::default() };
        assert_eq!(db.users(&disabled, &Page::default()).await.unwrap().items, [stored]);
        let by_email = UserFilter { email: Some("A@X.org".to_owned()), ..UserFilter::default() };
        assert_eq!(db.users(&by_email, &Page::default()).await.unwrap().items[0].id, users[0].1.user);
    }

    async fn only_who_waits_is_linked(lab: Lab) {
        let db = with_directory(&lab).await;
        import(&lab, &db, &["ada", "bob"], &["ada"]).await;
        let (_, mut run) = writing(&lab, &db).await;
        let again = [(id("ada"), user(&lab, "another")), (id("bob"), user(&lab, "bob"))];
        conflicts(run.add_users(&again).await, "1 of 2 entries of sync d");
        drop(run);
        assert_eq!(db.users(&UserFilter::default(), &Page::default()).await.unwrap().items.len(), 1);
    }

    async fn who_has_a_name_or_an_e_mail_is_told(lab: Lab) {
        let db = with_directory(&lab).await;
        db.add_sync(&directory_sync(&lab, "e"), event("sync.added")).await.unwrap();
        let new = NewUser {
            name: "ÄDA".to_owned(),
            display_name: "Ada".to_owned(),
            email: Some("Ada@X.ORG".to_owned()),
            group: GroupPath::root(),
            keys: KeySets::new(),
        };
        let ours = db.add_user(&new, event("user.added")).await.unwrap();
        let mut run = writing(&lab, &db).await;
        run.1.put_entries(&people(["ada", "bob", "eve"])).await.unwrap();
        done(&db, run).await;
        db.decide_directory_entry(
            &entry(&db, "eve").await, Becomes::State(LinkState::Ignored), true, &UserWrite::Nothing, event("x"),
        ).await.unwrap();
        let claim = run_of(&lab, &db, "e", LONG).await;
        let mut other = db.write_directory(&claim).await.unwrap();
        let (mut ada, bob, eve) = (person("ada"), person("Bob"), person("eve"));
        ada.name.value = "äda".to_owned();
        let taken = other.taken(&[&ada, &bob, &eve]).await.unwrap();
        let ours = Holder::User(ours.id, "ÄDA".to_owned());
        let of_d = |entry: &str, called: &str| Holder::Entry(name("d"), id(entry), called.to_owned());
        assert_eq!(taken.names.len(), 2);
        assert_eq!(taken.names["äda"], std::slice::from_ref(&ours));
        assert_eq!(taken.names["bob"], [of_d("bob", "Bob")]);
        assert_eq!(taken.emails.len(), 2);
        assert_eq!(taken.emails["ada@x.org"], [ours, of_d("ada", "Ada")]);
        assert_eq!(taken.emails["bob@x.org"], [of_d("bob", "Bob")]);
        drop(other);
    }

    async fn users_change_and_go_with_a_run(lab: Lab) {
        let db = with_directory(&lab).await;
        add_groups(&db, &["/sales"]).await;
        let users = import(&lab, &db, &["ada", "bob"], &["ada", "bob"]).await;
        let device = enrolled(&lab, &db, "laptop").await.id;
        db.issue_subscription(users[0].user, None, event("x")).await.unwrap();
        let ends = lab.now().checked_add(LONG).unwrap();
        let code = db.create_activation_code(users[0].user, ends, event("x")).await.unwrap().1;
        let activation = syncline_store::NewActivation {
            id: syncline_domain::ids::MessageId::new(lab.now()), device, code,
        };
        db.activate(&activation, |_| event("user.activated")).await.unwrap().unwrap();

        let mut run = writing(&lab, &db).await;
        let becomes = DirectoryUser {
            name: "king".to_owned(),
            email: None,
            disabled: true,
            group: group("/sales"),
            origins: BTreeMap::new(),
            ..users[0].clone()
        };
        run.1.update_users(std::slice::from_ref(&becomes)).await.unwrap();
        assert_eq!(run.1.users(&[becomes.user]).await.unwrap()[&becomes.user], becomes);
        let both = [users[0].user, users[1].user];
        assert_eq!(run.1.devices_of(&both).await.unwrap(), [device]);
        assert_eq!(run.1.groups_here().await.unwrap(), [group("/"), group("/sales")]);
        run.1.remove_users(&[users[1].user]).await.unwrap();
        conflicts(run.1.update_users(&users).await, "1 of 2 users");
        // What the conflict wrote is undone with all the rest.
        drop(run.1);
        db.end_attempt(&run.0, &Ending::new(RunState::Failed), &[]).await.unwrap();
        assert_eq!(db.user(users[0].user).await.unwrap().name, "ada");

        let mut run = writing(&lab, &db).await;
        run.1.update_users(std::slice::from_ref(&becomes)).await.unwrap();
        run.1.forget(&ids(["bob"])).await.unwrap();
        run.1.remove_users(&[users[1].user]).await.unwrap();
        done(&db, run).await;
        let stored = db.user(users[0].user).await.unwrap();
        assert_eq!((stored.name.as_str(), stored.email, stored.disabled), ("king", None, true));
        assert_eq!((stored.group, stored.changed_at, stored.device), (group("/sales"), lab.now(), Some(device)));
        assert!(matches!(db.user(users[1].user).await.unwrap_err(), Error::NotFound { .. }));
    }

    async fn a_decision_writes_entry_and_user_together(lab: Lab) {
        let db = with_directory(&lab).await;
        import(&lab, &db, &["ada"], &[]).await;
        let before = db.last_event().await.unwrap();
        let new = user(&lab, "ada");
        let add = UserWrite::Add(new.clone());
        let linked = Becomes::State(LinkState::Linked);
        let unlinked = Becomes::State(LinkState::Unlinked);
        let first = entry(&db, "ada").await;
        let ada = db.decide_directory_entry(&first, linked, true, &add, event("x")).await.unwrap().unwrap();
        assert_eq!((ada.state, ada.user, ada.revision), (LinkState::Linked, Some(new.user), 2));
        assert_eq!(db.directory_entry(ada.id).await.unwrap(), ada);
        let stored = db.user(new.user).await.unwrap();
        assert_eq!((&stored.name, &stored.email, &stored.origins), (&new.name, &new.email, &new.origins));

        let stale = db.decide_directory_entry(&first, unlinked, true, &UserWrite::Nothing, event("x")).await;
        let stale = stale.unwrap_err();
        assert!(matches!(stale, Error::Stale { what: "directory entry", .. }), "{stale}");

        // Unlinked by hand: its user stays, and no run links it again.
        let ours = DirectoryUser { origins: BTreeMap::new(), ..new.clone() };
        let change = UserWrite::Change(ours.clone());
        let ada = db.decide_directory_entry(&ada, unlinked, true, &change, event("x")).await.unwrap().unwrap();
        assert_eq!((ada.state, ada.user, ada.revision), (LinkState::Unlinked, None, 3));
        assert!(db.user(new.user).await.unwrap().origins.is_empty());
        let run = writing(&lab, &db).await;
        done(&db, assert_waiting(run, &[]).await).await;

        // Linked again to the user that is there.
        let ada = db.decide_directory_entry(&ada, linked, true, &UserWrite::Change(new.clone()), event("x"))
            .await.unwrap().unwrap();
        assert_eq!(ada.user, Some(new.user));
        // Ignored, and wanted again: runs may link it.
        let ignored = Becomes::State(LinkState::Ignored);
        let ada = db.decide_directory_entry(&ada, ignored, true, &change, event("x")).await.unwrap().unwrap();
        assert_eq!((ada.state, ada.user), (LinkState::Ignored, None));
        let ada = db.decide_directory_entry(&ada, unlinked, false, &UserWrite::Nothing, event("x"))
            .await.unwrap().unwrap();
        let run = writing(&lab, &db).await;
        done(&db, assert_waiting(run, &["ada"]).await).await;

        // Deleted with its user.
        let ada = db.decide_directory_entry(&ada, linked, true, &UserWrite::Change(new.clone()), event("x"))
            .await.unwrap().unwrap();
        let remove = UserWrite::Remove(new.user);
        let ada = db.decide_directory_entry(&ada, ignored, true, &remove, event("x")).await.unwrap().unwrap();
        assert_eq!((ada.state, ada.user), (LinkState::Ignored, None));
        assert!(matches!(db.user(new.user).await.unwrap_err(), Error::NotFound { what: "user", .. }));
        let forgotten = db
            .decide_directory_entry(&ada, Becomes::Forgotten, true, &UserWrite::Nothing, event("x"))
            .await
            .unwrap();
        assert_eq!(forgotten, None);
        let gone = db.decide_directory_entry(&ada, unlinked, true, &UserWrite::Nothing, event("x")).await;
        assert!(matches!(gone.unwrap_err(), Error::NotFound { what: "directory entry", .. }));
        let decided = db.events_after(before, 100).await.unwrap();
        assert_eq!(decided.iter().filter(|one| one.event.kind == "x").count(), 8, "refusals are no events");
    }

    async fn a_decision_that_does_not_fit_changes_nothing(lab: Lab) {
        let db = with_directory(&lab).await;
        let users = import(&lab, &db, &["ada", "bob"], &["ada"]).await;
        let bob = entry(&db, "bob").await;
        let linked = Becomes::State(LinkState::Linked);
        let nowhere = DirectoryUser { group: group("/nowhere"), ..user(&lab, "bob") };
        let last = db.last_event().await.unwrap();
        for (write, told) in [
            (UserWrite::Add(user(&lab, "ada")), "user \"ada\" exists already".to_owned()),
            (UserWrite::Add(nowhere), "there is no group \"/nowhere\"".to_owned()),
            (
                UserWrite::Change(users[0].clone()),
                format!("entry that goes by user \"{}\" exists already", users[0].user),
            ),
        ] {
            let refused = db.decide_directory_entry(&bob, linked, true, &write, event("x")).await.unwrap_err();
            assert_eq!(refused.to_string(), told);
        }
        let nobody = UserWrite::Change(user(&lab, "nobody"));
        let nobody = db.decide_directory_entry(&bob, linked, true, &nobody, event("x")).await.unwrap_err();
        assert!(matches!(nobody, Error::NotFound { what: "user", .. }), "{nobody}");
        assert_eq!(db.directory_entry(bob.id).await.unwrap(), bob);
        assert_eq!(db.users(&UserFilter::default(), &Page::default()).await.unwrap().items.len(), 1);
        assert_eq!(db.last_event().await.unwrap(), last);
    }

    async fn a_user_that_is_removed_is_not_made_again(lab: Lab) {
        let db = with_directory(&lab).await;
        let users = import(&lab, &db, &["ada", "bob"], &["ada", "bob"]).await;
        let mut run = writing(&lab, &db).await;
        run.1.set_state(&ids(["bob"]), LinkState::Orphaned).await.unwrap();
        done(&db, run).await;
        for user in &users {
            db.remove_user(user.user, event("user.removed")).await.unwrap();
        }
        assert_eq!(entry(&db, "ada").await.state, LinkState::Ignored);
        assert_eq!(all(&db).await.len(), 1, "who is gone there is forgotten");
    }

    async fn entries_are_found_by_all_that_is_asked(lab: Lab) {
        let db = with_directory(&lab).await;
        db.add_sync(&directory_sync(&lab, "e"), event("sync.added")).await.unwrap();
        let users = import(&lab, &db, &["ada", "bob", "eve"], &["ada"]).await;
        let mut run = writing(&lab, &db).await;
        let odd = PutEntry { name: "ÄRGER 100%_!".to_owned(), ..put(EntryKind::Group, "odd") };
        run.1.put_entries(&[odd]).await.unwrap();
        run.1.set_held(&[(id("bob"), Some("no e-mail".to_owned()))]).await.unwrap();
        done(&db, run).await;
        let claim = run_of(&lab, &db, "e", LONG).await;
        let mut other = db.write_directory(&claim).await.unwrap();
        // The same id in another directory is another entry.
        other.put_entries(&people(["ada", "zoe"])).await.unwrap();
        other.commit(None, Vec::new()).await.unwrap();

        let any = EntryFilter::default;
        let text = |text: &str| EntryFilter { text: Some(text.to_owned()), ..any() };
        for (filter, found) in [
            (any(), vec!["ada", "ada", "bob", "eve", "odd", "zoe"]),
            (EntryFilter { state: Some(LinkState::Linked), ..any() }, vec!["ada"]),
            (EntryFilter { state: Some(LinkState::Ignored), ..any() }, vec![]),
            (EntryFilter { kind: Some(EntryKind::Group), ..any() }, vec!["odd"]),
            (EntryFilter { syncs: Some(vec![name("e")]), ..any() }, vec!["ada", "zoe"]),
            (EntryFilter { syncs: Some(vec![name("e"), name("x"), name("d")]), kind: Some(EntryKind::Person), ..any() },
                vec!["ada", "ada", "bob", "eve", "zoe"]),
            (EntryFilter { syncs: Some(Vec::new()), ..any() }, vec![]),
            (EntryFilter { user: Some(users[0].user), ..any() }, vec!["ada"]),
            (EntryFilter { user: Some(UserId::new(lab.now())), ..any() }, vec![]),
            (EntryFilter { held: Some(true), ..any() }, vec!["bob"]),
            (EntryFilter { held: Some(false), ..any() }, vec!["ada", "ada", "eve", "odd", "zoe"]),
            (text("DA"), vec!["ada", "ada"]),
            (text("ve@X.or"), vec!["eve"]),
            (text("odd"), vec!["odd"]),
            (text("ÄRGER"), vec!["odd"]),
            (text("ärger"), vec!["odd"]),
            (text("Ärger"), vec!["odd"]),
            (text("0%_!"), vec!["odd"]),
            (text("_"), vec!["odd"]),
            (text("!"), vec!["odd"]),
            (text("0_"), vec![]),
            (text("' OR TRUE"), vec![]),
            (EntryFilter { state: Some(LinkState::Unlinked), syncs: Some(vec![name("d")]), held: Some(true),
                kind: Some(EntryKind::Person), ..text("bob") }, vec!["bob"]),
        ] {
            assert_eq!(listed(&db, filter.clone()).await, found, "{filter:?}");
        }
        let counts = BTreeMap::from([(LinkState::Linked, 1), (LinkState::Unlinked, 3)]);
        assert_eq!(db.directory_counts(&name("d")).await.unwrap(), counts);
        assert!(db.directory_counts(&name("s")).await.unwrap().is_empty());

        let wrong = Page { limit: 2, after: Some("not a cursor".to_owned()) };
        let wrong = db.directory_entries(&any(), &wrong).await.unwrap_err();
        assert!(matches!(wrong, Error::Cursor(_)), "{wrong}");
    }

    async fn thousands_are_written_at_once_and_listed_in_pages(lab: Lab) {
        const MANY: usize = 5_000;
        let db = with_directory(&lab).await;
        let names: Vec<_> = (0..MANY).map(|n| format!("p{n:04}")).collect();
        let entries = people(names.iter().map(String::as_str));
        let mut run = writing(&lab, &db).await;
        let write = &mut run.1;
        write.put_entries(&entries).await.unwrap();
        write.put_entries(&[put(EntryKind::Group, "everybody")]).await.unwrap();
        let members: Vec<_> =
            names.iter().map(|one| member("everybody", alias(&format!("cn={one}")), None)).collect();
        write.put_members(&members).await.unwrap();
        assert_eq!(write.settle_members(&entries).await.unwrap().len(), MANY);
        let users: Vec<_> = names.iter().map(|one| (id(one), user(&lab, one))).collect();
        write.add_users(&users).await.unwrap();
        let all_ids: Vec<_> = names.iter().map(|one| id(one)).collect();
        assert_eq!(write.known(&all_ids).await.unwrap().len(), MANY);
        assert_eq!(write.standings(&all_ids).await.unwrap().len(), MANY);
        assert_eq!(write.people(&all_ids).await.unwrap().len(), MANY);
        assert_eq!(write.groups_of(&all_ids).await.unwrap().len(), MANY);
        let user_ids: Vec<_> = users.iter().map(|(_, user)| user.user).collect();
        assert_eq!(write.users(&user_ids).await.unwrap().len(), MANY);
        let everybody: Vec<_> = entries.iter().filter_map(|one| one.person.as_ref()).collect();
        let taken = write.taken(&everybody).await.unwrap();
        assert_eq!((taken.names.len(), taken.emails.len()), (MANY, MANY));
        done(&db, run).await;

        let digest = |one: &PutEntry| (one.entry.clone(), Some(one.digest.clone()));
        let mut written: Vec<_> = entries.iter().map(digest).collect();
        assert_eq!(db.directory_differences(&name("d"), &written).await.unwrap(), []);
        written[4_321].1 = Some("another".to_owned());
        written[17].1 = None;
        written.push((id("nobody"), None));
        written.push((id("missing"), Some("x".to_owned())));
        let wrong = db.directory_differences(&name("d"), &written).await.unwrap();
        assert_eq!(wrong, ids(["p0017", "p4321", "missing"]));

        let mut page = Page::first(Page::MAX);
        let mut seen = Vec::new();
        loop {
            let listed = db.directory_entries(&EntryFilter::default(), &page).await.unwrap();
            assert!(listed.items.len() <= Page::MAX as usize);
            seen.extend(listed.items.into_iter().map(|one| one.id));
            page.after = listed.next;
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), MANY + 1);
        assert!(seen.is_sorted(), "in the order in which they were first read");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), MANY + 1, "each once");

        let mut run = writing(&lab, &db).await;
        run.1.let_go(&all_ids).await.unwrap();
        run.1.set_state(&all_ids, LinkState::Orphaned).await.unwrap();
        run.1.forget(&all_ids).await.unwrap();
        run.1.remove_users(&user_ids).await.unwrap();
        done(&db, run).await;
        assert_eq!(all(&db).await.len(), 1);
    }

    async fn a_sync_goes_with_its_entries_and_leaves_its_users(lab: Lab) {
        let db = with_directory(&lab).await;
        let users = import(&lab, &db, &["ada"], &["ada"]).await;
        let mut run = writing(&lab, &db).await;
        let bad = RejectionRecord {
            sync: name("d"), entry: None, name: "Z".to_owned(), reason: Failure::settings("bad", "x"), since: lab.now(),
        };
        run.1.put_rejections(&[bad], &[], true).await.unwrap();
        run.1.put_members(&[member("g", alias("cn=ada"), Some("ada"))]).await.unwrap();
        run.1.set_import(&ImportSpec::default()).await.unwrap();
        done(&db, run).await;
        db.remove_sync(&name("d"), event("sync.removed")).await.unwrap();
        assert_eq!(all(&db).await, []);
        assert_eq!(db.directory_rejections(&name("d")).await.unwrap(), []);
        let user = db.user(users[0].user).await.unwrap();
        assert_eq!((user.name.as_str(), user.disabled), ("ada", false));
        assert!(user.origins.is_empty(), "nothing of it is the directory's to change any more");

        // Another of that name starts from nothing.
        db.add_sync(&directory_sync(&lab, "d"), event("sync.added")).await.unwrap();
        let mut run = writing(&lab, &db).await;
        assert_eq!((run.1.count_size().await.unwrap().present, run.1.count_size().await.unwrap().members), (0, 0));
        assert!(run.1.aliases(&[reference_key(&alias("cn=ada"))]).await.unwrap().is_empty());
        assert!(run.1.set_import(&ImportSpec::default()).await.unwrap());
        done(&db, run).await;
    }

    async fn a_copy_of_the_database_has_its_directories(lab: Lab) {
        let db = with_directory(&lab).await;
        assert_eq!(db.schema_version().await.unwrap(), syncline_store::known_schema());
        let users = import(&lab, &db, &["ada"], &["ada"]).await;
        if !lab.is_sqlite() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.db");
        db.backup_to(&path).await.unwrap();
        let restored = Lab { url: format!("sqlite://{}", path.display()), ..lab };
        let copy = restored.open().await;
        assert_eq!(all(&copy).await, all(&db).await);
        assert_eq!(copy.directory_sources().await.unwrap(), db.directory_sources().await.unwrap());
        assert_eq!(copy.user(users[0].user).await.unwrap(), db.user(users[0].user).await.unwrap());
    }
}
