//! World `directory-sync`: what a good plugin reads and declares, and what becomes of one that misbehaves, on both ways to
//! allocate.

use std::sync::{Arc, OnceLock, atomic::Ordering::Relaxed};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use syncline_domain::{
    Failure, FailureKind, Fault,
    directory::message::Operation,
    ids::RunId,
    plugin::{DIRECTORY_SYNC, SandboxLimits},
};
use syncline_sandbox::{BoundDirectory, DirectorySyncAnswer, DirectorySyncCall, Plugin, Sandbox, StopSignal};

use crate::{
    directory::{Answers, Declared, Directory},
    guests::{component_of, contract, idle, module, with_manifest},
    support::{BOTH, Kept, built, call, grant, load, name, run as run_files, sandbox},
};

pub async fn hostile(sandbox: &Sandbox) -> Plugin {
    static PACKAGE: OnceLock<Vec<u8>> = OnceLock::new();
    load(sandbox, PACKAGE.get_or_init(|| built("guests/hostile-directory"))).await
}

/// A call that reads `directory` as source `hr`, and what takes its declarations.
fn reading(settings: Value, directory: &Arc<Directory>) -> (DirectorySyncCall, Arc<Mutex<Declared>>) {
    let declared = Arc::new(Mutex::new(Declared::default()));
    let call = DirectorySyncCall {
        run: RunId::new(Timestamp::UNIX_EPOCH),
        cursor: None,
        settings: settings.to_string(),
        allowed: vec![grant("ldap", &[]), grant("desired-directory", &[])],
        limits: SandboxLimits::for_world(DIRECTORY_SYNC),
        sources: vec![BoundDirectory {
            name: name("hr"),
            labels: vec![("kind".to_owned(), "openldap".to_owned())],
            connector: Arc::clone(directory) as _,
        }],
        web: Vec::new(),
        sink: Box::new(Arc::clone(&declared)),
        log: Arc::new(Kept::default()),
        progress: Arc::new(Kept::default()),
        stop: StopSignal::never(),
    };
    (call, declared)
}

async fn run(sandbox: &Sandbox, call: DirectorySyncCall) -> Result<DirectorySyncAnswer, Failure> {
    sandbox.declare_directory(&hostile(sandbox).await, call).await
}

/// Has the guest do something with a directory, once.
async fn does(behaviour: &str, directory: &Arc<Directory>) -> Result<Option<String>, Failure> {
    let (call, _) = reading(json!({ "do": behaviour, "base": "dc=x" }), directory);
    Ok(run(&sandbox(BOTH[0]), call).await?.incomplete)
}

/// On both allocators: it must fail with `code` by its own fault, and a good one must run afterwards.
async fn check(settings: Value, limits: SandboxLimits, code: &str, kind: FailureKind, words: &[&str]) {
    for allocation in BOTH {
        let sandbox = sandbox(allocation);
        let directory = Directory::that(Answers::Whole);
        let (call, _) = reading(settings.clone(), &directory);
        let Err(failure) = run(&sandbox, DirectorySyncCall { limits, ..call }).await else {
            panic!("{settings} went through")
        };
        let found = (failure.code.as_str(), failure.fault, failure.kind);
        assert_eq!(found, (code, Fault::Plugin, kind), "{allocation:?} {settings}: {failure}");
        for word in words {
            assert!(failure.message.contains(word), "{word:?} is not in: {failure}");
        }
        let (call, declared) = reading(json!({ "do": "good" }), &directory);
        run(&sandbox, call).await.unwrap();
        assert_eq!(declared.lock().names(), ["ada", "bob"]);
    }
}

async fn refused(behaviour: &str, code: &str, words: &[&str]) {
    let limits = SandboxLimits::for_world(DIRECTORY_SYNC);
    check(json!({ "do": behaviour, "base": "dc=x" }), limits, code, FailureKind::Invalid, words).await;
}

async fn limited(behaviour: &str, code: &str, limits: SandboxLimits, words: &[&str]) {
    check(json!({ "do": behaviour, "base": "dc=x" }), limits, code, FailureKind::Limit, words).await;
}

#[tokio::test]
async fn what_a_good_plugin_reads_reaches_the_host() {
    for allocation in BOTH {
        let directory = Directory::that(Answers::Whole);
        let (call, declared) = reading(json!({ "do": "good", "base": "dc=x" }), &directory);
        let answer = run(&sandbox(allocation), call).await.unwrap();
        assert_eq!((answer.incomplete, answer.cursor), (None, None));
        assert!(answer.usage.calls > 4, "{:?}", answer.usage);
        assert_eq!(directory.heard(), [Operation::SearchRequest]);
        // The answer's own handle is the other one.
        drop(answer.sink);
        let declared = Arc::into_inner(declared).unwrap().into_inner();
        assert_eq!(declared.names(), ["ada", "bob"]);
        assert!(declared.complete);
    }
    let (call, declared) = reading(json!({ "do": "changes" }), &Directory::that(Answers::Whole));
    run(&sandbox(BOTH[0]), call).await.unwrap();
    assert!(!declared.lock().complete);
}

#[tokio::test]
async fn who_tries_to_change_something_is_cut_off_and_named() {
    for (behaviour, operation) in [
        ("bind", "bind request"),
        ("modify", "modify request"),
        ("add", "add request"),
        ("delete", "delete request"),
        ("modify-dn", "modify DN request"),
        ("compare", "compare request"),
        ("extended", "extended request"),
        ("response", "search result done"),
        ("delete-behind-search", "delete request"),
        ("catch-modify", "modify request"),
    ] {
        let words = [operation, "the directory hr", "the run has ended"];
        refused(behaviour, "ldap-operation", &words).await;
        // Nothing of it was sent on, not even what may be.
        let directory = Directory::that(Answers::Whole);
        let (call, declared) = reading(json!({ "do": behaviour }), &directory);
        run(&sandbox(BOTH[0]), call).await.map(drop).unwrap_err();
        assert_eq!(directory.heard(), []);
        assert_eq!(*declared.lock(), Declared::default());
    }
}

#[tokio::test]
async fn what_is_not_surely_a_search_is_not_sent() {
    for (digits, code, words) in [
        // Operations that there are not.
        ("30050201014300", "ldap-operation", "0x43"),
        ("30060201017f0600", "framing", "tag of more than one byte"),
        ("", "framing", "it is empty"),
        ("474554202f", "framing", "0x47"),
        ("300502010142", "framing", "ends within"),
        ("308000000000", "framing", "indefinite"),
        ("30847fffffff", "framing", "2147483647 bytes"),
        ("3005020101420042", "framing", "after an unbind request"),
        // A search without an id, one that ends early, and one with something after it.
        ("30050201006300", "framing", "message id"),
        ("30050201016300", "framing", "base of the search"),
        ("3005020101420030050201014200", "framing", "after an unbind request"),
    ] {
        let directory = Directory::that(Answers::Whole);
        let (call, _) = reading(json!({ "do": "send", "text": digits }), &directory);
        let Err(failure) = run(&sandbox(BOTH[0]), call).await else { panic!("{digits} went through") };
        let found = (failure.code.as_str(), failure.fault, failure.kind);
        assert_eq!(found, (code, Fault::Plugin, FailureKind::Invalid), "{digits}: {failure}");
        assert!(failure.message.contains(words), "{words:?} is not in: {failure}");
        assert!(directory.sent.lock().is_empty(), "{digits}");
    }
}

#[tokio::test]
async fn answers_to_a_search_that_was_given_up_are_nobody_elses() {
    refused("same-id", "framing", &["two searches with the message id 1", "the directory hr"]).await;
}

#[tokio::test]
async fn a_session_is_over_after_unbind() {
    let failure = does("search-after-unbind", &Directory::that(Answers::Whole)).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Unavailable, "closed"), "{failure}");
}

#[tokio::test]
async fn only_granted_sources_are_there() {
    let refuses = |change: fn(&mut DirectorySyncCall), settings: Value, code: &'static str| async move {
        let directory = Directory::that(Answers::Whole);
        let (mut call, _) = reading(settings, &directory);
        change(&mut call);
        let failure = run(&sandbox(BOTH[0]), call).await.map(drop).unwrap_err();
        let found = (failure.code.as_str(), failure.kind, failure.fault);
        assert_eq!(found, (code, FailureKind::Denied, Fault::Settings), "{failure}");
        assert_eq!(directory.connections.load(Relaxed), 0);
    };
    refuses(|_| {}, json!({ "do": "not-granted" }), "not-granted").await;
    let narrow = |call: &mut DirectorySyncCall| call.allowed[0].names = Some(vec![name("other")]);
    refuses(narrow, json!({ "do": "good", "source": "hr" }), "not-granted").await;
    refuses(|call| drop(call.allowed.remove(0)), json!({ "do": "good", "source": "hr" }), "grant").await;

    let (mut call, declared) = reading(json!({ "do": "good" }), &Directory::that(Answers::Whole));
    call.allowed.truncate(1);
    let failure = run(&sandbox(BOTH[0]), call).await.map(drop).unwrap_err();
    assert_eq!((failure.code.as_str(), failure.kind), ("grant", FailureKind::Denied));
    assert!(declared.lock().entries.is_empty());
}

#[tokio::test]
async fn the_password_is_nowhere() {
    let secret = "correct-horse-battery";
    let backwards: String = secret.chars().rev().collect();
    let settings = json!({ "do": "look-for", "backwards": backwards });
    for allocation in BOTH {
        let directory = Arc::new(Directory { password: secret.to_owned(), ..Directory::default() });
        let (call, _) = reading(settings.clone(), &directory);
        run(&sandbox(allocation), call).await.map(drop).unwrap();
        // It would find it: in what it is told, and in its memory of what it is told.
        let (mut call, _) = reading(settings.clone(), &directory);
        call.sources[0].labels.push(("note".to_owned(), secret.to_owned()));
        let failure = run(&sandbox(allocation), call).await.map(drop).unwrap_err();
        assert_eq!(failure.code, "found", "{failure}");
    }
}

#[tokio::test]
async fn limits_end_it() {
    let limits = |change: fn(&mut SandboxLimits)| {
        let mut limits = SandboxLimits::for_world(DIRECTORY_SYNC);
        change(&mut limits);
        limits
    };
    limited("endless-loop", "cpu", limits(|limits| limits.cpu_ms = 60), &["60 ms"]).await;
    limited("memory-bomb", "memory", limits(|_| {}), &["67108864 bytes"]).await;
    limited("many-sessions", "sessions", limits(|_| {}), &["8 sessions"]).await;
    limited("many-connections", "connections", limits(|_| {}), &["1000 connections"]).await;
    limited("many-searches", "searches", limits(|_| {}), &["1000 searches"]).await;
    limited("huge-send", "send", limits(|_| {}), &["1048576"]).await;
    limited("huge-batch", "batch", limits(|_| {}), &["4097 entries"]).await;
    refused("huge-receive", "max-bytes", &["2097152", "65536 to 1048576"]).await;
}

#[tokio::test]
async fn receiving_without_end_ends() {
    for allocation in BOTH {
        for (answers, codes) in [(Answers::Silent, ["calls", "calls"]), (Answers::Endless, ["calls", "cpu"])]
        {
            let (call, _) = reading(json!({ "do": "endless-receive" }), &Directory::that(answers));
            let limits = SandboxLimits { calls: 200, ..call.limits };
            let failure =
                run(&sandbox(allocation), DirectorySyncCall { limits, ..call }).await.map(drop).unwrap_err();
            assert!(codes.contains(&failure.code.as_str()), "{failure}");
            assert_eq!((failure.kind, failure.fault), (FailureKind::Limit, Fault::Plugin));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_waited_for_within_the_limit() {
    let (call, _) = reading(json!({ "do": "good" }), &Directory::that(Answers::Silent));
    let limits = SandboxLimits { wall_ms: 5_000, ..call.limits };
    let sandbox = sandbox(BOTH[0]);
    let plugin = hostile(&sandbox).await;
    let began = tokio::time::Instant::now();
    let call = DirectorySyncCall { limits, ..call };
    let failure = sandbox.declare_directory(&plugin, call).await.map(drop).unwrap_err();
    assert_eq!((failure.code.as_str(), began.elapsed().as_secs()), ("wall", 5), "{failure}");
}

#[tokio::test]
async fn a_read_that_is_not_whole_is_known_whatever_the_plugin_says() {
    for (answers, words) in [
        (Answers::Ends(3), "timeLimitExceeded (3), and the server says: as asked for"),
        (Answers::Ends(4), "sizeLimitExceeded (4)"),
        (Answers::Ends(11), "adminLimitExceeded (11)"),
        (Answers::Ends(51), "busy (51)"),
        (Answers::Ends(52), "unavailable (52)"),
        (Answers::Ends(10), "referral (10)"),
        (Answers::Closes, "was cut off: its connection ended"),
        (Answers::Pages, "more pages"),
        (Answers::Refers, "parts on other servers"),
        (Answers::Bytes(vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff]), "was cut off: its connection ended"),
    ] {
        let incomplete = does("swallow", &Directory::that(answers.clone())).await.unwrap().unwrap();
        assert!(incomplete.contains(words), "{answers:?}: {words:?} is not in: {incomplete}");
        assert!(incomplete.contains("in hr, the search from \"dc=x\""), "{incomplete}");
    }
    let incomplete = does("hasty", &Directory::that(Answers::Silent)).await.unwrap().unwrap();
    assert!(incomplete.contains("had no result when the plugin ended the session"), "{incomplete}");

    // These are whole.
    assert_eq!(does("swallow", &Directory::that(Answers::Whole)).await, Ok(None));
    assert_eq!(does("paged", &Directory::that(Answers::Pages)).await, Ok(None));
    assert_eq!(does("reconnect", &Directory::that(Answers::Whole)).await, Ok(None));
    assert_eq!(does("abandon", &Directory::that(Answers::Silent)).await, Ok(None));
}

#[tokio::test]
async fn referrals_are_followed_where_that_is_granted() {
    let follow = |referral: &'static str| async move {
        let (call, declared) =
            reading(json!({ "do": "follow", "text": referral }), &Directory::that(Answers::Whole));
        let answer = run(&sandbox(BOTH[0]), call).await?;
        assert_eq!(answer.incomplete, None);
        assert_eq!(declared.lock().names(), ["ada", "bob"]);
        Ok::<_, Failure>(())
    };
    follow("ldap://b.example/dc=b").await.unwrap();
    assert_eq!(follow("ldap://evil.example/").await.unwrap_err().code, "referral");
    let failure = follow("").await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.kind), ("referral", FailureKind::Invalid));
}

#[tokio::test]
async fn what_is_no_ldap_is_the_servers_fault() {
    for bytes in
        [&b"HTTP/1.1 400 Bad Request\r\n"[..], &[0x30, 5, 2, 1, 1, 0x64], &[0x30, 5, 2, 1, 1, 0x65, 0]]
    {
        let failure = does("good", &Directory::that(Answers::Bytes(bytes.to_vec()))).await.unwrap_err();
        let found = (failure.code.as_str(), failure.kind, failure.fault);
        assert_eq!(found, ("framing", FailureKind::Invalid, Fault::Remote), "{bytes:02x?}: {failure}");
        assert!(failure.message.contains("dc1.example:636"), "{failure}");
    }
}

#[tokio::test]
async fn credentials_that_are_refused_are_not_tried_again_and_again() {
    let refusing = |failure: Failure| Arc::new(Directory { refuses: Some(failure), ..Directory::default() });
    let locked = refusing(Failure::denied("credentials", "cn=sync is not let in"));
    let failure = does("stubborn", &locked).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.fault), ("credentials", Fault::Settings));
    assert_eq!(locked.connections.load(Relaxed), 1);
    // One that is away may come back.
    let away = refusing(Failure::unavailable("connect", "dc1.example:636 does not answer"));
    assert_eq!(does("stubborn", &away).await.unwrap_err().code, "connect");
    assert_eq!(away.connections.load(Relaxed), 10);
}

#[tokio::test]
async fn declarations_that_break_a_rule_name_the_entry() {
    refused("declare-after-complete", "complete", &["after `complete`"]).await;
    refused("complete-twice", "complete", &["after `complete`"]).await;
    refused("complete-empty", "empty", &[]).await;
    refused("long-id", "entry", &["129 bytes"]).await;
    refused("unsorted-attributes", "entry", &["the entry unsorted", "\"email\" stands after \"phone\""])
        .await;
    refused("many-aliases", "entry", &["the entry many", "17 aliases"]).await;
    refused("nameless-member", "entry", &["the entry staff", "alias"]).await;
}

#[tokio::test]
async fn a_rejection_is_made_safe_to_show() {
    let (call, declared) = reading(json!({ "do": "forged-rejection" }), &Directory::that(Answers::Whole));
    run(&sandbox(BOTH[0]), call).await.map(drop).unwrap();
    let declared = declared.lock();
    let [rejection] = declared.rejections.as_slice() else { panic!("{declared:?}") };
    assert_eq!((rejection.name.as_str(), rejection.reason.fault), ("a\\nb", Fault::Plugin));
    assert_eq!(rejection.reason.message, "the host\\nis to blame");
}

#[tokio::test]
async fn what_was_declared_before_a_failure_can_be_had_back() {
    let (call, declared) =
        reading(json!({ "do": "declare-after-complete" }), &Directory::that(Answers::Whole));
    run(&sandbox(BOTH[0]), call).await.map(drop).unwrap_err();
    assert_eq!(Arc::into_inner(declared).unwrap().into_inner().names(), ["first"]);
}

#[tokio::test]
async fn it_is_stopped_from_outside() {
    let sandbox = sandbox(BOTH[0]);
    let (stopper, stop) = StopSignal::new();
    let (call, _) = reading(json!({ "do": "good" }), &Directory::that(Answers::Silent));
    let plugin = hostile(&sandbox).await;
    let stopping = async { stopper.stop(Failure::stopped("cancelled", "the run was cancelled by ada")) };
    let (result, ()) =
        tokio::join!(sandbox.declare_directory(&plugin, DirectorySyncCall { stop, ..call }), stopping);
    assert_eq!(result.map(drop).unwrap_err().code, "cancelled");
}

#[tokio::test]
async fn worlds_with_the_same_export_are_told_apart() {
    let sandbox = sandbox(BOTH[0]);
    let directory = hostile(&sandbox).await;
    assert_eq!(directory.world(), DIRECTORY_SYNC);
    let failure = sandbox.declare_files(&directory, call()).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.fault), ("world", Fault::Settings), "{failure}");
    let files = load(&sandbox, &idle()).await;
    let (call_of_directory, _) = reading(json!({}), &Directory::that(Answers::Whole));
    let failure = sandbox.declare_directory(&files, call_of_directory).await.map(drop).unwrap_err();
    assert_eq!((failure.code.as_str(), failure.fault), ("world", Fault::Settings), "{failure}");
    run_files(&sandbox, &idle(), call()).await.unwrap();

    // One that declares nothing could be of either, and is of no use.
    let manifest =
        json!({ "name": "guest", "version": "1.0.0", "world": DIRECTORY_SYNC, "contract": "0.1.0" });
    let nothing = component_of(&contract(|_, text| text), DIRECTORY_SYNC, &module("", crate::guests::OK));
    let failure = Sandbox::inspect(&with_manifest(nothing, &manifest)).unwrap_err();
    assert_eq!((failure.code.as_str(), failure.fault), ("contract", Fault::Plugin));
    assert!(failure.message.contains("syncline:plugin/desired-directory@0.1.0"), "{failure}");
}
