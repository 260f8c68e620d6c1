//! Hostile guests: one for each limit, on both ways to allocate. Each ends in a failure that says which limit it was and
//! that it was the plugin's fault, and the sandbox goes on serving.

use std::sync::Arc;

use syncline_domain::{Failure, FailureKind, Fault, log::LogSource, plugin::SandboxLimits};
use syncline_sandbox::{FileSyncCall, Sandbox, StopSignal};
use tokio::sync::Notify;

use crate::{
    guests::{OK, component, idle, imports, manifest, module, package, with_manifest},
    support::{BOTH, Memory, call, load, load_unseen, logged, run, sandbox},
};

/// Runs `guest` on both allocators: it must fail with `code` by its own fault, and a good plugin must run afterwards.
async fn check(code: &str, guest: &[u8], limits: SandboxLimits) -> Failure {
    let mut last = None;
    for allocation in BOTH {
        let sandbox = sandbox(allocation);
        let failure = run(&sandbox, guest, FileSyncCall { limits, ..call() }).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.fault),
            (code, Fault::Plugin),
            "{allocation:?}: {failure}"
        );
        let kind = if code == "trap" { FailureKind::Other } else { FailureKind::Limit };
        assert_eq!(failure.kind, kind);
        serves(&sandbox).await;
        last = Some(failure);
    }
    last.unwrap()
}

async fn serves(sandbox: &Sandbox) {
    run(sandbox, &idle(), call()).await.unwrap();
}

fn limits(change: impl FnOnce(&mut SandboxLimits)) -> SandboxLimits {
    let mut limits = SandboxLimits::default();
    change(&mut limits);
    limits
}

fn spins() -> Vec<u8> {
    package("(func $spin (loop $again (br $again)))", "(call $spin) unreachable")
}

#[tokio::test]
async fn an_endless_loop() {
    let failure = check("cpu", &spins(), limits(|limits| limits.cpu_ms = 60)).await;
    assert!(failure.message.contains("60 ms"), "{failure}");
    assert!(failure.message.contains("`spin`, called by `declare`"), "{failure}");
}

#[tokio::test]
async fn an_endless_loop_before_the_first_call() {
    let text = module("(func $begin (loop $again (br $again)))", OK);
    let text = format!("{} (start $begin))", text.strip_suffix(')').unwrap());
    let guest = with_manifest(component(&text), &manifest());
    check("cpu", &guest, limits(|limits| limits.cpu_ms = 60)).await;
}

#[tokio::test]
async fn endless_calls_of_the_host() {
    let guest = package(imports::NOW, "(loop $again (drop (call $now)) (br $again)) unreachable");
    let failure = check("calls", &guest, limits(|limits| limits.calls = 1_000)).await;
    assert!(failure.message.contains("1000 calls"), "{failure}");
    check("cpu", &guest, limits(|limits| limits.cpu_ms = 60)).await;
}

#[tokio::test]
async fn a_memory_bomb() {
    let grows = "(loop $again (drop (memory.grow (i32.const 16))) (br $again)) unreachable";
    let failure = check("memory", &package("", grows), SandboxLimits::default()).await;
    assert!(failure.message.contains("67108864 bytes"), "{failure}");
}

#[tokio::test]
async fn many_small_memories() {
    // 90 memories of 1 MiB: each alone is far within the limit.
    let memories = "(memory 16)".repeat(90);
    let text = module("", OK);
    let text = format!("{}{memories})", text.strip_suffix(')').unwrap());
    check("memory", &with_manifest(component(&text), &manifest()), SandboxLimits::default()).await;
}

#[tokio::test]
async fn more_memories_than_there_are_places() {
    let module = format!("(core module $m {})", "(memory 1)".repeat(70));
    let text =
        format!("(component {module} (core instance (instantiate $m)) (core instance (instantiate $m)))");
    let bytes = wat::parse_str(text).unwrap();
    for allocation in BOTH {
        let Err(failure) = load_unseen(&sandbox(allocation), &bytes).await else { panic!("it was loaded") };
        assert_eq!((failure.code.as_str(), failure.fault), ("memory", Fault::Plugin), "{failure}");
    }
}

#[tokio::test]
async fn a_growing_table() {
    let items = "(table $t 1 funcref)
        (func $grow (loop $again (drop (table.grow $t (ref.null func) (i32.const 10000))) (br $again)))";
    let guest = package(items, "(call $grow) unreachable");
    check("memory", &guest, limits(|limits| limits.memory_bytes = 512 << 10)).await;
}

#[tokio::test]
async fn deep_recursion() {
    let items = "(func $deep (param i32) (result i32)
        (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))";
    let failure =
        check("stack", &package(items, "(call $deep (i32.const 0))"), SandboxLimits::default()).await;
    assert!(failure.message.contains("`deep`, called by `deep`"), "{failure}");
}

#[tokio::test]
async fn a_trap() {
    let guest = package("(func $oh_no unreachable)", "(call $oh_no) unreachable");
    let failure = check("trap", &guest, SandboxLimits::default()).await;
    assert!(failure.message.contains("`oh_no`, called by `declare`"), "{failure}");
    assert!(failure.message.contains("unreachable"), "{failure}");
}

#[tokio::test]
async fn answers_that_make_no_sense() {
    for answer in ["(i32.const -16)", "(i32.const 1025)"] {
        check("trap", &package("", answer), SandboxLimits::default()).await;
    }
    // A string that is no UTF-8.
    let items = format!(r#"{} (data (i32.const 16) "\ff\fe")"#, imports::LOG);
    let body =
        format!("(call $log (i32.const 2) (i32.const 16) (i32.const 2) (i32.const 0) (i32.const 0)) {OK}");
    check("trap", &package(&items, &body), SandboxLimits::default()).await;
}

#[tokio::test]
async fn a_giant_argument() {
    let body = format!(
        "(drop (memory.grow (i32.const 200)))
         (call $log (i32.const 2) (i32.const 0) (i32.const 9000000) (i32.const 0) (i32.const 0)) {OK}"
    );
    let failure = check("call-bytes", &package(imports::LOG, &body), SandboxLimits::default()).await;
    assert!(failure.message.contains("8388608 bytes"), "{failure}");
}

#[tokio::test]
async fn a_giant_answer_of_the_host() {
    let guest = package(imports::SETTINGS, &format!("(call $settings (i32.const 2048)) {OK}"));
    let sandbox = sandbox(BOTH[0]);
    let limits = limits(|limits| limits.call_bytes = 1_000);
    let settings = format!("{{\"a\":\"{}\"}}", "x".repeat(2_000));
    let failure = run(&sandbox, &guest, FileSyncCall { limits, settings, ..call() }).await.unwrap_err();
    assert_eq!(failure.code, "call-bytes");
}

#[tokio::test]
async fn a_leak_of_handles() {
    let leaks = package(imports::CONTENT, "(loop $again (drop (call $content)) (br $again)) unreachable");
    let failure = check("handles", &leaks, SandboxLimits::default()).await;
    assert!(failure.message.contains("1000 handles"), "{failure}");
    // A function that has a result refuses with it, and the guest can pass it on: it is still the plugin's fault.
    let items = format!("{} (data (i32.const 16) \"lib\")", imports::OPEN);
    let body = "(loop $again
          (call $open (i32.const 16) (i32.const 3) (i32.const 2048))
          (br_if $again (i32.eqz (i32.load8_u (i32.const 2048)))))
        (i32.store8 (i32.const 2053) (i32.const 3))
        (i32.const 2048)";
    check("handles", &package(&items, body), SandboxLimits::default()).await;
}

#[tokio::test]
async fn a_flood_of_log_lines() {
    let items = format!(r#"{} (data (i32.const 16) "a\0aERROR forged \1b[2J")"#, imports::LOG);
    let body = format!(
        "(local $n i32)
         (loop $again
           (call $log (i32.const 2) (i32.const 16) (i32.const 19) (i32.const 0) (i32.const 0))
           (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if $again (i32.lt_u (local.get $n) (i32.const 1000))))
         {OK}"
    );
    for allocation in BOTH {
        let (call, kept) = logged();
        run(&sandbox(allocation), &package(&items, &body), call).await.unwrap();
        let lines = kept.lines.lock();
        let (last, others) = lines.split_last().unwrap();
        assert!(others.iter().all(|line| line.message == "a\\nERROR forged \\u{1b}[2J"));
        assert!(others.iter().all(|line| line.source == LogSource::Plugin));
        assert_eq!(last.source, LogSource::Host);
        // The rate is by the second, and a slow machine may need more than one.
        assert_eq!(last.fields[0].1.parse::<usize>().unwrap() + others.len(), 1_000);
    }
}

#[tokio::test]
async fn settings_that_are_too_large() {
    let settings = "x".repeat((1 << 20) + 1);
    let failure = run(&sandbox(BOTH[0]), &idle(), FileSyncCall { settings, ..call() }).await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.fault, failure.code.as_str()),
        (FailureKind::Limit, Fault::Settings, "settings-size")
    );
}

/// Opens `lib`, which never answers.
fn waits() -> (Vec<u8>, FileSyncCall) {
    let items = format!("{} (data (i32.const 16) \"lib\")", imports::OPEN);
    let body = format!("(call $open (i32.const 16) (i32.const 3) (i32.const 2048)) {OK}");
    let mut call = call();
    let door = Some(Arc::new(Notify::new()));
    call.sources[0].reader = Arc::new(Memory { files: [].into(), door });
    (package(&items, &body), call)
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_answers() {
    for allocation in BOTH {
        let sandbox = sandbox(allocation);
        let (guest, call) = waits();
        let plugin = load(&sandbox, &guest).await;
        let began = tokio::time::Instant::now();
        let failure = sandbox.declare_files(&plugin, call).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.fault), ("wall", Fault::Plugin), "{failure}");
        assert_eq!(began.elapsed().as_secs(), 600);
        serves(&sandbox).await;
    }
}

#[tokio::test]
async fn a_loop_is_stopped_from_outside() {
    let items = format!("{} (data (i32.const 16) \"here\")", imports::LOG);
    let body = "(call $log (i32.const 2) (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 0))
        (loop $again (br $again)) unreachable";
    let guest = package(&items, body);
    for allocation in BOTH {
        let sandbox = sandbox(allocation);
        let (call, kept) = logged();
        let (stopper, stop) = StopSignal::new();
        let stopping = async {
            kept.spoke.notified().await;
            stopper.stop(Failure::stopped("cancelled", "the run was cancelled by ada"));
        };
        let plugin = load(&sandbox, &guest).await;
        let (result, ()) =
            tokio::join!(sandbox.declare_files(&plugin, FileSyncCall { stop, ..call }), stopping);
        assert_eq!(result.unwrap_err().message, "the run was cancelled by ada");
        serves(&sandbox).await;
    }
}

#[tokio::test]
async fn waiting_is_stopped_from_outside() {
    let (guest, call) = waits();
    let sandbox = sandbox(BOTH[0]);
    let (stopper, stop) = StopSignal::new();
    let plugin = load(&sandbox, &guest).await;
    let stopping = async { stopper.stop(Failure::stopped("cancelled", "enough")) };
    let (result, ()) = tokio::join!(sandbox.declare_files(&plugin, FileSyncCall { stop, ..call }), stopping);
    assert_eq!(result.unwrap_err().kind, FailureKind::Stopped);
}
