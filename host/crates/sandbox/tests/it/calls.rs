//! What a plugin can do when all is well, and what it is refused.

use std::sync::Arc;

use syncline_domain::{
    FailureKind, Fault, RelPath,
    declaration::{DeclaredTree, FileDeclarations},
};
use syncline_sandbox::{Allocation, FileSyncCall, StopSignal};
use tokio::sync::Notify;

use crate::{
    guests::{OK, imports, package},
    support::{Memory, call, grant, load, name, run, sandbox},
};

/// Declares the folder `sub` of `lib` at `to` on `site`, and answers what the host answered.
fn declares_tree() -> Vec<u8> {
    let items = format!(
        r#"{}
        (data (i32.const 16) "site") (data (i32.const 32) "lib") (data (i32.const 48) "sub") (data (i32.const 64) "to")
        (data (i32.const 80) "**/*.zip")
        (data (i32.const 96) "\10\00\00\00\04\00\00\00") (data (i32.const 112) "\50\00\00\00\08\00\00\00")"#,
        imports::TREE
    );
    let body = "(call $tree (i32.const 96) (i32.const 1) (i32.const 64) (i32.const 2)
          (i32.const 32) (i32.const 3) (i32.const 48) (i32.const 3) (i32.const 112) (i32.const 1)
          (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 2048))
        (i32.const 2048)";
    package(&items, body)
}

/// Opens the source called `source`, and answers what the host answered.
fn opens(source: &str) -> Vec<u8> {
    let items = format!("{} (data (i32.const 16) \"{source}\")", imports::OPEN);
    let body = format!(
        "(call $open (i32.const 16) (i32.const {}) (i32.const 2048))
         (if (result i32) (i32.load8_u (i32.const 2048)) (then (i32.const 2048)) (else {OK}))",
        source.len()
    );
    package(&items, &body)
}

#[tokio::test]
async fn a_declared_tree_reaches_the_host() {
    for allocation in crate::support::BOTH {
        let answer = run(&sandbox(allocation), &declares_tree(), call()).await.unwrap();
        let tree = DeclaredTree {
            targets: [name("site")].into(),
            at: RelPath::new("to").unwrap(),
            source: name("lib"),
            folder: RelPath::new("sub").unwrap(),
            including: vec!["**/*.zip".to_owned()],
            excluding: Vec::new(),
            stage: 3,
        };
        assert_eq!(answer.declarations, FileDeclarations { trees: vec![tree], ..Default::default() });
        assert_eq!((answer.cursor, answer.usage.calls), (None, 1));
        // Two pages, and a small table that belongs to every component.
        assert!((2 << 16..3 << 16).contains(&answer.usage.memory_peak), "{:?}", answer.usage);
    }
}

#[tokio::test]
async fn what_is_imported_and_not_granted_is_denied() {
    let sandbox = sandbox(Allocation::Pooling);
    for (guest, allowed) in [
        (declares_tree(), vec![grant("stores", &[])]),
        (opens("lib"), vec![grant("desired-files", &[])]),
        (opens("elsewhere"), vec![grant("stores", &[])]),
    ] {
        let failure = run(&sandbox, &guest, FileSyncCall { allowed, ..call() }).await.unwrap_err();
        assert_eq!((failure.kind, failure.fault), (FailureKind::Denied, Fault::Settings), "{failure}");
    }
}

#[tokio::test]
async fn a_grant_for_some_names_is_for_no_others() {
    let sandbox = sandbox(Allocation::Pooling);
    let mut narrowed = grant("stores", &[]);
    narrowed.names = Some(vec![name("other")]);
    let allowed = vec![narrowed, grant("desired-files", &[])];
    let failure =
        run(&sandbox, &opens("lib"), FileSyncCall { allowed: allowed.clone(), ..call() }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied);
    // Nor can a file of it be declared by reference; and to grant nothing is not to grant more.
    for allowed in [allowed, vec![grant("desired-files", &[])]] {
        let failure = run(&sandbox, &declares_tree(), FileSyncCall { allowed, ..call() }).await.unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Denied, "source"), "{failure}");
    }
}

#[tokio::test]
async fn lists_of_what_is_not_granted_are_empty() {
    let items = format!("{}{}", imports::SOURCES, imports::TARGETS);
    // Crashes if there is one of either.
    let body = format!(
        "(call $sources (i32.const 2048)) (call $targets (i32.const 2056))
         (if (i32.or (i32.load (i32.const 2052)) (i32.load (i32.const 2060))) (then unreachable)) {OK}"
    );
    let guest = package(&items, &body);
    let sandbox = sandbox(Allocation::Pooling);
    assert!(run(&sandbox, &guest, FileSyncCall { allowed: Vec::new(), ..call() }).await.is_ok());
    assert_eq!(run(&sandbox, &guest, call()).await.unwrap_err().code, "trap");
}

#[tokio::test]
async fn removal_needs_grant_and_sync() {
    let items = format!(
        r#"{} (data (i32.const 16) "site") (data (i32.const 96) "\10\00\00\00\04\00\00\00")"#,
        imports::PRUNE
    );
    let body =
        "(call $prune (i32.const 96) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
          (i32.const 2048))
        (i32.const 2048)";
    let guest = package(&items, body);
    let sandbox = sandbox(Allocation::Pooling);
    let answer = run(&sandbox, &guest, call()).await.unwrap();
    assert_eq!(answer.declarations.prunes.len(), 1);
    let kept = FileSyncCall { allow_removal: false, ..call() };
    let ungranted = FileSyncCall { allowed: vec![grant("desired-files", &[])], ..call() };
    for refused in [kept, ungranted] {
        let failure = run(&sandbox, &guest, refused).await.unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Denied, "prune"));
    }
}

#[tokio::test]
async fn paths_out_of_a_source_are_refused() {
    let sandbox = sandbox(Allocation::Pooling);
    for path in ["../a.txt", "/etc/passwd", "a//b"] {
        let items = format!(
            r#"{}{} (data (i32.const 16) "lib") (data (i32.const 32) "{path}")"#,
            imports::OPEN,
            imports::READ
        );
        let body = format!(
            "(call $open (i32.const 16) (i32.const 3) (i32.const 2048))
             (call $read (i32.load (i32.const 2052)) (i32.const 32) (i32.const {}) (i64.const 0) (i32.const 9)
               (i32.const 2048))
             (i32.const 2048)",
            path.len()
        );
        let failure = run(&sandbox, &package(&items, &body), call()).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.fault), ("path", Fault::Plugin), "{path}");
    }
}

#[tokio::test]
async fn a_cursor_comes_back_and_one_too_long_is_refused() {
    let sandbox = sandbox(Allocation::Pooling);
    let answers = |length: u32| {
        let body = format!(
            "(i32.store (i32.const 1028) (i32.const 1)) (i32.store (i32.const 1032) (i32.const 16))
             (i32.store (i32.const 1036) (i32.const {length})) {OK}"
        );
        package("(data (i32.const 16) \"v1\")", &body)
    };
    let answer = run(&sandbox, &answers(2), call()).await.unwrap();
    assert_eq!(answer.cursor.as_deref(), Some(b"v1".as_slice()));
    let failure = run(&sandbox, &answers((64 << 10) + 1), call()).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.fault), ("cursor", Fault::Plugin));
}

#[tokio::test]
async fn at_most_so_many_run_at_a_time_and_the_others_wait() {
    let door = Arc::new(Notify::new());
    let sandbox = syncline_sandbox::Sandbox::new(syncline_sandbox::SandboxConfig {
        cache: None,
        allocation: Allocation::Pooling,
        concurrency: 1,
        clock: Arc::new(syncline_domain::clock::SystemClock),
    })
    .unwrap();
    let plugin = load(&sandbox, &opens("lib")).await;
    let mut slow = call();
    slow.sources[0].reader = Arc::new(Memory { files: [].into(), door: Some(Arc::clone(&door)) });
    let (first, second) = (sandbox.declare_files(&plugin, slow), sandbox.declare_files(&plugin, call()));
    tokio::pin!(first, second);
    assert!(futures_poll(first.as_mut()).is_none());
    assert!(futures_poll(second.as_mut()).is_none());
    // One that waits can be stopped as well.
    let (stopper, stop) = StopSignal::new();
    stopper.stop(syncline_domain::Failure::stopped("cancelled", "enough"));
    let third = sandbox.declare_files(&plugin, FileSyncCall { stop, ..call() }).await;
    assert_eq!(third.unwrap_err().code, "cancelled");
    door.notify_one();
    first.await.unwrap();
    second.await.unwrap();
}

/// Polls once.
fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn calls_can_be_spawned() {
    let sandbox = sandbox(Allocation::Pooling);
    let plugin = load(&sandbox, &opens("lib")).await;
    let task = tokio::spawn(async move { sandbox.declare_files(&plugin, call()).await });
    task.await.unwrap().unwrap();
}
