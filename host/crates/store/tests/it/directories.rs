//! Directories: sources, what a run reads and writes, its users, and what people decide about one entry.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::json;
use syncline_domain::{
    Failure, Name,
    device::{GroupPath, user::KeySets},
    directory::{
        Attribute, Becomes, EntryId, EntryKind, EntryRecord, Given, ImportSpec, LinkState, Origin, Person,
        Reference, RejectionRecord, SourceSpec, Value,
    },
    ids::{DirectoryEntryId, RunId, UserId},
    run::{Ending, RunState},
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
    let new = NewRun { id: RunId::new(lab.now()), sync: name(sync), ..lab.new_run(&[]) };
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
        assert_eq!((run.1.count_present().await.unwrap(), run.1.now()), (4, lab.now()));
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
        let last = db.last_event().await.unwrap();
        {
            let (_, mut preview) = writing(&lab, &db).await;
            preview.put_entries(&people(["ada"])).await.unwrap();
            preview.add_users(&[(id("ada"), user(&lab, "ada"))]).await.unwrap();
            assert_eq!(preview.count_present().await.unwrap(), 1);
        }
        assert_eq!(all(&db).await, []);
        assert_eq!(db.users(&UserFilter::default(), &Page::default()).await.unwrap().items, []);
        assert!(db.last_event().await.unwrap() > last, "the run itself began");
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
        let fenced = late.commit(Some(Some(b"cursor")), vec![event("directory.imported")]).await.unwrap_err();
        assert!(matches!(fenced, Error::Fenced { run } if run == claim.run.id), "{fenced}");
        assert_eq!(all(&db).await, []);
        assert_eq!(db.users(&UserFilter::default(), &Page::default()).await.unwrap().items, []);
        assert_eq!(db.cursor(&name("d")).await.unwrap(), None);
    }
}
