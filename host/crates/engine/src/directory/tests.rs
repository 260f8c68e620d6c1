//! What a run comes to, from what a plugin declares to what is in the database: the declarations are these tests' own.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;
use syncline_domain::{
    Failure, Name,
    clock::Clock,
    device::user::User,
    directory::{
        Attribute, Entry, EntryId, EntryKind, EntryRecord, ImportSpec, LinkState, Membership,
        MembershipChange, Reference, Rejection, Value,
    },
    event::NewEvent,
    guard::GuardLimits,
    ids::{NodeId, RunId},
    operation::{OperationKind, OperationState},
    plugin::{Manifest, PluginState, PluginVersion, SandboxLimits},
    run::{Ending, RunMode, RunState, Subject, Trigger},
    sync::Sync,
};
use syncline_sandbox::DirectorySink;
use syncline_store::{Claim, Db, EntryFilter, NewRun, Page, SecretKey, UserFilter};

use super::{
    import::{Import, Imported, carry_out},
    sink::{Declared, SharedSink},
};
use crate::worker::Control;

struct TestClock(Mutex<Timestamp>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let mut now = self.0.lock();
        *now += Duration::from_millis(1);
        *now
    }
}

/// A database with a sync, and what its next run goes by.
struct Lab {
    db: Db,
    clock: Arc<TestClock>,
    spec: ImportSpec,
    limits: GuardLimits,
    _folder: tempfile::TempDir,
}

fn event(kind: &str) -> NewEvent {
    NewEvent::new(kind, "tester", "Something happened.")
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn id(text: &str) -> EntryId {
    text.parse().unwrap()
}

fn alias(text: &str) -> Reference {
    Reference::Alias(text.to_owned())
}

fn entry(id_text: &str, kind: EntryKind, name: &str) -> Entry {
    Entry {
        id: id(id_text),
        kind,
        name: name.to_owned(),
        aliases: vec![format!("cn={id_text}")],
        parent: None,
        enabled: true,
        attributes: Vec::new(),
    }
}

fn text(name: &str, source: &str, value: &str) -> Attribute {
    Attribute {
        name: name.to_owned(),
        source: source.to_owned(),
        values: vec![Value::Text(value.to_owned())],
    }
}

/// Somebody of this account, with an e-mail.
fn person(id: &str, account: &str) -> Entry {
    let attributes =
        vec![text("email", "mail", &format!("{account}@x.org")), text("user-name", "uid", account)];
    Entry { attributes, ..entry(id, EntryKind::Person, &account.to_uppercase()) }
}

fn members(group: &str, change: MembershipChange, members: &[&str]) -> Membership {
    Membership {
        group: id(group),
        change,
        members: members.iter().map(|one| alias(&format!("cn={one}"))).collect(),
    }
}

impl Lab {
    async fn new(spec: serde_json::Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock(Mutex::new("2026-01-01T00:00:00Z".parse().unwrap())));
        let url = format!("sqlite://{}", folder.path().join("syncline.db").display());
        let db =
            Db::open(&url, clock.clone(), NodeId::new(clock.now()), SecretKey::generate()).await.unwrap();
        let manifest =
            json!({ "name": "p", "version": "1.0.0", "world": "directory-sync", "contract": "0.1.0" });
        let manifest: Manifest = serde_json::from_value(manifest).unwrap();
        let plugin = PluginVersion {
            name: name("p"),
            version: manifest.version.clone(),
            digest: "blake3:1".to_owned(),
            world: manifest.world.clone(),
            wants: Vec::new(),
            manifest,
            imports: Vec::new(),
            grants: None,
            state: PluginState::Installed,
            suspended: None,
            strikes: 0,
            limits: SandboxLimits::default(),
            size: 7,
            installed_at: clock.now(),
            installed_by: "tester".to_owned(),
        };
        db.add_plugin(&plugin, b"package", event("plugin.uploaded")).await.unwrap();
        let source = serde_json::from_value(json!({ "servers": ["dc1.example.com:636"] })).unwrap();
        db.add_directory_source(&name("corp"), &source, event("directory-source.registered")).await.unwrap();
        let now = clock.now();
        let sync = json!({ "plugin": "p", "sources": ["corp"], "directory": {} });
        let sync = Sync {
            name: name("s"),
            spec: serde_json::from_value(sync).unwrap(),
            made_by: None,
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        db.add_sync(&sync, event("sync.created")).await.unwrap();
        let spec = serde_json::from_value(spec).unwrap();
        Self { db, clock, spec, limits: GuardLimits::default(), _folder: folder }
    }

    async fn claim(&self) -> Claim {
        let run = NewRun {
            id: RunId::new(self.clock.now()),
            subject: Subject::Sync(name("s")),
            mode: RunMode::Apply,
            trigger: Trigger::Manual,
            actor: "tester".to_owned(),
            schedule: None,
            nominal_time: None,
            retry_of: None,
            repair: None,
            anew: false,
            only: None,
            bound_to: None,
            max_attempts: 3,
            locks: Vec::new(),
        };
        self.db.enqueue_run(&run, event("run.queued")).await.unwrap();
        let claim = self.db.claim_run(Duration::from_secs(3_600)).await.unwrap().unwrap();
        self.db.begin_run(&claim, "blake3:1").await.unwrap();
        claim
    }

    /// A run in which `says` is declared; with `full`, what is known was read before.
    async fn try_run(
        &self,
        full: bool,
        import: impl FnOnce(&mut Import),
        says: impl FnOnce(&mut SharedSink),
    ) -> crate::Result<Imported> {
        let (db, sync) = (self.db.clone(), name("s"));
        let runtime = tokio::runtime::Handle::current();
        let mut declared = Declared::new(Box::new(move || {
            let read = tokio::task::block_in_place(|| runtime.block_on(db.known_entries(&sync)));
            Ok(read.unwrap())
        }));
        if full {
            declared.know(self.db.known_entries(&name("s")).await.unwrap());
        }
        let mut sink = SharedSink::new(declared);
        says(&mut sink);
        let mut with = Import {
            spec: self.spec.clone(),
            limits: self.limits,
            mode: RunMode::Apply,
            approved: None,
            incomplete: None,
            cursor: Some(b"next".to_vec()),
            lease: Duration::from_secs(3_600),
        };
        import(&mut with);
        let claim = self.claim().await;
        let mut writing = self.db.write_directory(&claim).await.unwrap();
        let counted = writing.count_size().await.unwrap();
        assert_eq!(writing.size().await.unwrap(), counted, "what the run before wrote down");
        drop(writing);
        let control = Control::new(Instant::now(), Duration::from_secs(3_600));
        let imported = carry_out(&self.db, &claim, sink.take(), &with, &control).await;
        let ending = Ending::new(RunState::Succeeded);
        self.db.end_attempt(&claim, &ending, &[]).await.unwrap();
        if let Ok(imported) = &imported
            && imported.applied
        {
            let wrong = self.db.directory_differences(&name("s"), &imported.written).await.unwrap();
            assert_eq!(wrong, []);
        }
        imported
    }

    /// A directory that is read to its end.
    async fn full(&self, entries: Vec<Entry>, groups: Vec<Membership>) -> Imported {
        self.try_run(true, |_| {}, |sink| says(sink, entries, groups)).await.unwrap()
    }

    /// A list of changes.
    async fn delta(&self, says: impl FnOnce(&mut SharedSink)) -> Imported {
        self.try_run(false, |_| {}, says).await.unwrap()
    }

    async fn users(&self) -> Vec<User> {
        self.db.users(&UserFilter::default(), &Page::first(100)).await.unwrap().items
    }

    async fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.users().await.into_iter().map(|user| user.name).collect();
        names.sort();
        names
    }

    async fn entry(&self, entry: &str) -> EntryRecord {
        self.entry_opt(entry).await.unwrap()
    }

    async fn entry_opt(&self, entry: &str) -> Option<EntryRecord> {
        let filter = EntryFilter { text: Some(entry.to_owned()), ..EntryFilter::default() };
        let all = self.db.directory_entries(&filter, &Page::first(100)).await.unwrap().items;
        all.into_iter().find(|one| one.entry == id(entry))
    }

    async fn user_of(&self, entry: &str) -> User {
        self.db.user(self.entry(entry).await.user.unwrap()).await.unwrap()
    }
}

fn says(sink: &mut SharedSink, entries: Vec<Entry>, groups: Vec<Membership>) {
    sink.put(entries).unwrap();
    sink.put_members(groups).unwrap();
    sink.complete().unwrap();
}

/// Added, changed and gone: of entries, memberships and users.
fn told(imported: &Imported) -> [(u64, u64, u64); 3] {
    let report = &imported.report;
    [report.entries, report.memberships, report.users].map(|one| (one.copied, one.updated, one.removed))
}

fn failures(imported: &Imported) -> Vec<String> {
    let failed = imported.report.operations.iter().filter(|one| one.state == OperationState::Failed);
    failed.map(|one| one.failure.as_ref().unwrap().message.clone()).collect()
}

fn automatic() -> serde_json::Value {
    json!({ "mode": "automatic" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_become_users_and_what_did_not_change_is_not_touched() {
    let lab = Lab::new(automatic()).await;
    let all = || vec![person("1", "ada"), person("2", "bob"), entry("g", EntryKind::Group, "Staff")];
    let groups = || vec![members("g", MembershipChange::LastPart, &["1", "2", "nobody"])];
    let first = lab.full(all(), groups()).await;
    assert_eq!(told(&first), [(3, 0, 0), (3, 0, 0), (2, 0, 0)]);
    assert_eq!(lab.names().await, ["ada", "bob"]);
    let ada = lab.user_of("1").await;
    assert_eq!((ada.email.as_deref(), ada.display_name.as_str()), (Some("ada@x.org"), "ADA"));
    assert_eq!((ada.origins["name"].source.as_str(), ada.origins["email"].source.as_str()), ("uid", "mail"));
    assert_eq!(lab.db.cursor(&name("s")).await.unwrap(), Some(b"next".to_vec()));

    let again = lab.full(all(), groups()).await;
    assert_eq!(told(&again), [(0, 0, 0); 3]);
    assert_eq!(again.report.entries.unchanged, 3);
    let nothing = lab.delta(|_| {}).await;
    assert_eq!(told(&nothing), [(0, 0, 0); 3]);
    assert_eq!(lab.user_of("1").await, ada);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_keeps_user_and_memberships() {
    let lab = Lab::new(automatic()).await;
    let groups = vec![members("g", MembershipChange::LastPart, &["1"])];
    lab.full(vec![person("1", "ada"), entry("g", EntryKind::Group, "Staff")], groups).await;
    let before = lab.user_of("1").await;
    let renamed = Entry { aliases: vec!["cn=moved".to_owned()], ..person("1", "countess") };
    let moved = lab.delta(|sink| sink.put(vec![renamed]).unwrap()).await;
    assert_eq!(told(&moved), [(0, 1, 0), (0, 0, 0), (0, 1, 0)]);
    let after = lab.user_of("1").await;
    assert_eq!((after.id, after.name.as_str()), (before.id, "countess"));
    assert!(after.origins["name"].at > before.origins["name"].at);
    // The list names it anew by its new name: nobody came, nobody went.
    let list = members("g", MembershipChange::LastPart, &["moved"]);
    let listed = lab.delta(|sink| sink.put_members(vec![list]).unwrap()).await;
    assert_eq!(told(&listed)[1], (0, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_gone_is_disabled_and_who_is_back_is_enabled() {
    let lab = Lab::new(automatic()).await;
    let (ada, bob) = (person("1", "ada"), person("2", "bob"));
    lab.full(vec![ada.clone(), bob.clone()], Vec::new()).await;
    let gone = lab.full(vec![ada.clone()], Vec::new()).await;
    assert_eq!(told(&gone), [(0, 0, 1), (0, 0, 0), (0, 1, 0)]);
    let entry = lab.entry("2").await;
    assert_eq!((entry.state, entry.gone_at.is_some()), (LinkState::Orphaned, true));
    let user = lab.user_of("2").await;
    assert!(user.disabled && user.origins["disabled"].source == "gone", "{user:?}");
    assert_eq!(user.status(lab.clock.now()).state, "disabled");

    let back = lab.full(vec![ada, bob], Vec::new()).await;
    assert_eq!(told(&back)[0], (1, 0, 0));
    assert_eq!((lab.entry("2").await.state, lab.user_of("2").await.disabled), (LinkState::Linked, false));
    assert_eq!(lab.names().await, ["ada", "bob"]);
    let named = lab.delta(|sink| sink.gone(vec![id("1"), id("unknown")]).unwrap()).await;
    assert_eq!(told(&named)[0], (0, 0, 1));
    assert!(lab.user_of("1").await.disabled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_lists_what_a_run_does_and_writes_nothing() {
    let lab = Lab::new(automatic()).await;
    let all = || vec![person("1", "ada"), entry("g", EntryKind::Group, "Staff"), person("3", "ada")];
    let groups = || vec![members("g", MembershipChange::LastPart, &["1"])];
    let preview = |import: &mut Import| import.mode = RunMode::Preview;
    let planned = lab.try_run(true, preview, |sink| says(sink, all(), groups())).await.unwrap();
    assert!(!planned.applied && lab.users().await.is_empty() && lab.entry_opt("1").await.is_none());
    assert_eq!(lab.db.cursor(&name("s")).await.unwrap(), None);
    let done = lab.full(all(), groups()).await;
    let listed = |imported: &Imported| {
        let operations = imported.report.operations.iter();
        operations
            .map(|one| (one.target.clone(), one.path.clone(), one.kind, one.note.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(&planned), listed(&done));
    assert_eq!(planned.sizes, done.sizes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_limit_nothing_is_written_until_an_administrator_says_so() {
    let mut lab = Lab::new(automatic()).await;
    lab.limits = serde_json::from_value(json!({ "max_deletes": 1, "max_delete_percent": 100 })).unwrap();
    let (ada, bob, cid) = (person("1", "ada"), person("2", "bob"), person("3", "cid"));
    lab.full(vec![ada.clone(), bob.clone(), cid], Vec::new()).await;
    let held = lab.full(vec![ada.clone()], Vec::new()).await;
    assert!(!held.applied);
    assert_eq!(held.excesses.len(), 1);
    assert_eq!(held.excesses[0].to_string(), "entries: max_deletes allows 1, the difference has 2");
    assert_eq!(lab.entry("2").await.state, LinkState::Linked);
    let listed = held.report.operations.iter().filter(|one| one.kind == OperationKind::Remove);
    assert_eq!(listed.count(), 2);

    // By then it would be all of them: that is not what was looked at.
    let approved = held.sizes.clone();
    let anew = |import: &mut Import| import.approved = Some(approved.clone());
    let grown =
        lab.try_run(true, anew, |sink| says(sink, vec![person("9", "new")], Vec::new())).await.unwrap();
    assert!(!grown.applied);
    // As many, and not the same ones.
    let anew = |import: &mut Import| import.approved = Some(approved.clone());
    let others =
        lab.try_run(true, anew, |sink| says(sink, vec![person("3", "cid")], Vec::new())).await.unwrap();
    assert!(!others.applied);
    assert_eq!(others.excesses.len(), 1);
    let anew = |import: &mut Import| import.approved = Some(approved.clone());
    let applied = lab.try_run(true, anew, |sink| says(sink, vec![ada], Vec::new())).await.unwrap();
    assert!(applied.applied);
    assert_eq!(lab.entry("2").await.state, LinkState::Orphaned);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memberships_have_limits_of_their_own() {
    let mut lab = Lab::new(automatic()).await;
    lab.limits = serde_json::from_value(json!({ "max_deletes": 1, "max_delete_percent": 100 })).unwrap();
    let people = || vec![person("1", "ada"), person("2", "bob"), entry("g", EntryKind::Group, "Staff")];
    let groups = vec![members("g", MembershipChange::LastPart, &["1", "2"])];
    lab.full(people(), groups).await;
    let emptied = vec![members("g", MembershipChange::LastPart, &[])];
    let held = lab.full(people(), emptied).await;
    assert_eq!(held.excesses[0].target, name("memberships"));
    // The group takes all of its memberships with it.
    let held = lab.full(vec![person("1", "ada"), person("2", "bob")], Vec::new()).await;
    assert_eq!(held.excesses[0].target, name("memberships"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incomplete_read_removes_nobody() {
    let lab = Lab::new(automatic()).await;
    let (ada, bob) = (person("1", "ada"), person("2", "bob"));
    lab.full(vec![ada.clone(), bob], Vec::new()).await;
    let incomplete = |import: &mut Import| {
        import.incomplete = Some("a search ended with sizeLimitExceeded".to_owned());
    };
    let failed = lab.try_run(false, incomplete, |sink| sink.gone(vec![id("2")]).unwrap()).await;
    let failed = failed.unwrap_err();
    assert!(failed.to_string().contains("sizeLimitExceeded"), "{failed}");
    let incomplete = |import: &mut Import| import.incomplete = Some("a referral was not followed".to_owned());
    let held = lab.try_run(true, incomplete, |sink| says(sink, vec![ada], Vec::new())).await.unwrap();
    assert!(!held.applied && held.held.as_deref().unwrap().contains("referral"), "{:?}", held.held);
    // Read and not said to be all: nobody is gone.
    lab.delta(|sink| sink.put(vec![person("1", "ada")]).unwrap()).await;
    assert_eq!(lab.entry("2").await.state, LinkState::Linked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_directory_and_unknown_entries_are_refused() {
    let lab = Lab::new(automatic()).await;
    lab.full(vec![person("1", "ada")], Vec::new()).await;
    lab.delta(|sink| {
        assert_eq!(sink.complete().unwrap_err().code, "empty");
        assert_eq!(sink.present(vec![id("9")]).unwrap_err().code, "unknown");
    })
    .await;
    let present = lab
        .delta(|sink| {
            sink.put(vec![person("2", "bob")]).unwrap();
            sink.present(vec![id("1")]).unwrap();
            sink.complete().unwrap();
        })
        .await;
    assert_eq!(told(&present)[0], (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_with_one_email_are_held_and_never_merged() {
    let lab = Lab::new(automatic()).await;
    let twin = |id: &str, account: &str| Entry {
        attributes: vec![text("email", "mail", "Same@x.org"), text("user-name", "uid", account)],
        ..person(id, account)
    };
    let held = lab.full(vec![twin("1", "ada"), twin("2", "bob"), person("3", "cid")], Vec::new()).await;
    assert_eq!(lab.names().await, ["cid"]);
    assert_eq!(held.report.users.failed, 2);
    assert!(failures(&held).iter().all(|why| why.contains("Same@x.org")), "{:?}", failures(&held));
    assert!(lab.entry("1").await.held.unwrap().contains("\"BOB\""));
    // A run that is told nothing of them looks at them again.
    assert_eq!(failures(&lab.delta(|_| {}).await).len(), 2);
    lab.delta(|sink| sink.put(vec![person("2", "bob")]).unwrap()).await;
    assert_eq!(lab.names().await.len(), 3);
    // Who is linked stays so, with what it had; who comes later is held.
    let taken = lab.delta(|sink| sink.put(vec![twin("2", "bob"), person("4", "cid")]).unwrap()).await;
    assert_eq!(taken.report.users.failed, 2);
    let bob = lab.user_of("2").await;
    assert_eq!(bob.email.as_deref(), Some("bob@x.org"));
    assert_eq!(lab.entry("4").await.state, LinkState::Unlinked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_was_here_before_is_left_to_a_person() {
    let lab = Lab::new(automatic()).await;
    let own = syncline_store::NewUser {
        name: "Ada".to_owned(),
        display_name: String::new(),
        email: None,
        group: syncline_domain::device::GroupPath::root(),
        keys: BTreeMap::new(),
    };
    lab.db.add_user(&own, event("user.created")).await.unwrap();
    let held = lab.full(vec![person("1", "ada")], Vec::new()).await;
    assert!(failures(&held)[0].contains("user \"Ada\" has the user name \"ada\""), "{:?}", failures(&held));
    assert_eq!(lab.entry("1").await.state, LinkState::Unlinked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manual_import_links_nobody_and_people_without_email_can_be_left_out() {
    let mut lab = Lab::new(json!({})).await;
    let bare = Entry { attributes: vec![text("user-name", "uid", "bare")], ..person("2", "bare") };
    let all = vec![person("1", "ada"), bare];
    lab.full(all.clone(), Vec::new()).await;
    assert!(lab.users().await.is_empty());
    assert_eq!(lab.entry("1").await.state, LinkState::Unlinked);
    lab.spec = serde_json::from_value(json!({ "mode": "automatic", "people_need_email": true })).unwrap();
    let run = lab.full(all, Vec::new()).await;
    assert_eq!((lab.names().await, run.report.passed_over), (vec!["ada".to_owned()], 1));
    assert!(failures(&run).is_empty() && lab.entry("2").await.held.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rejected_stays_as_it_is_and_is_told_in_every_run() {
    let lab = Lab::new(automatic()).await;
    lab.full(vec![person("1", "ada"), person("2", "bob")], Vec::new()).await;
    let rejection = |id_text: &str| Rejection {
        id: Some(id(id_text)),
        name: "uid=bob".to_owned(),
        reason: Failure::unavailable("attribute", "mail cannot be read"),
    };
    let rejected = lab
        .try_run(
            true,
            |_| {},
            |sink| {
                sink.put(vec![person("1", "ada")]).unwrap();
                sink.reject(vec![rejection("2")]).unwrap();
                sink.complete().unwrap();
            },
        )
        .await
        .unwrap();
    assert_eq!(failures(&rejected), ["mail cannot be read"]);
    assert_eq!(lab.entry("2").await.state, LinkState::Linked);
    assert_eq!(failures(&lab.delta(|_| {}).await).len(), 1);
    lab.delta(|sink| sink.put(vec![person("2", "bob")]).unwrap()).await;
    assert_eq!(lab.db.directory_rejections(&name("s")).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_put_where_the_rules_say_and_follow_moves() {
    let mut lab = Lab::new(json!({})).await;
    for path in ["/sales", "/admins"] {
        let path = path.parse().unwrap();
        lab.db.add_group(&path, "", &BTreeMap::new(), event("group.created")).await.unwrap();
    }
    lab.spec = serde_json::from_value(json!({
        "mode": "automatic-with-groups",
        "placement": [{ "member_of": "Admins", "group": "/admins" }, { "unit": "CN=u", "group": "/sales" }],
    }))
    .unwrap();
    let within = |entry: Entry, unit: &str| Entry { parent: Some(alias(unit)), ..entry };
    let unit = |id: &str| entry(id, EntryKind::Unit, id);
    let group = |id: &str, name: &str| entry(id, EntryKind::Group, name);
    let all = vec![
        unit("u"),
        within(unit("below"), "cn=u"),
        unit("other"),
        within(person("1", "ada"), "cn=below"),
        within(person("2", "bob"), "cn=other"),
        group("a", "Admins"),
        group("n", "Nested"),
    ];
    // Nested groups, in a circle.
    let nested = vec![
        members("a", MembershipChange::LastPart, &["n"]),
        members("n", MembershipChange::LastPart, &["a", "2"]),
    ];
    lab.full(all, nested).await;
    let put = async |entry: &str| lab.user_of(entry).await.group.to_string();
    assert_eq!((put("1").await, put("2").await), ("/sales".to_owned(), "/admins".to_owned()));
    lab.delta(|sink| sink.put_members(vec![members("n", MembershipChange::Removed, &["2"])]).unwrap()).await;
    assert_eq!(put("2").await, "/");
    lab.delta(|sink| sink.put(vec![within(unit("below"), "cn=other")]).unwrap()).await;
    assert_eq!(put("1").await, "/");
    assert_eq!(lab.user_of("1").await.origins["group"].source, "placement");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_are_purged_only_where_that_was_set() {
    let mut lab = Lab::new(automatic()).await;
    lab.full(vec![person("1", "ada"), person("2", "bob")], Vec::new()).await;
    lab.full(vec![person("1", "ada")], Vec::new()).await;
    *lab.clock.0.lock() += Duration::from_secs(40 * 86_400);
    lab.delta(|_| {}).await;
    assert_eq!(lab.names().await, ["ada", "bob"]);
    lab.spec.purge_orphans_after_days = Some(30);
    let purged = lab.delta(|_| {}).await;
    assert_eq!(told(&purged)[2], (0, 0, 1));
    assert_eq!(lab.names().await, ["ada"]);
    assert!(lab.entry_opt("2").await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_who_comes_later_is_found_then() {
    let lab = Lab::new(automatic()).await;
    let group = entry("g", EntryKind::Group, "Staff");
    lab.full(vec![person("1", "ada"), group], vec![members("g", MembershipChange::LastPart, &["1", "2"])])
        .await;
    let waiting = async || {
        let mut writing = lab.db.write_directory(&lab.claim().await).await.unwrap();
        writing.waiting_members().await.unwrap()
    };
    assert_eq!(waiting().await, 1);
    lab.delta(|sink| sink.put(vec![person("2", "bob")]).unwrap()).await;
    assert_eq!(waiting().await, 0);
}
