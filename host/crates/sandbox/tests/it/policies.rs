//! World `device-policy`: what a good plugin answers, and what becomes of one that misbehaves, on both ways to allocate.

use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use serde_json::{Value, json};
use syncline_domain::{
    Failure, FailureKind, Fault,
    plugin::{DEVICE_POLICY, SandboxLimits},
    policy::{Answer, Origin, ResolveRequest, Verdict, lock_out},
};
use syncline_sandbox::{Plugin, PolicyAnswer, PolicyCall, PolicyInput, Sandbox, StopSignal};

use crate::{
    guests::{component_of, contract, idle, with_manifest},
    support::{BOTH, Kept, built, call, load, load_unseen, run, sandbox},
};

fn request() -> ResolveRequest {
    serde_json::from_value(json!({
        "applications": [
            { "name": "editor", "layers": [{ "settings": { "a": 1 } }, { "settings": { "b": { "c": 2 } } }] },
            { "name": "unused" },
            { "name": "viewer", "layers": [{ "settings": { "x": true } }] },
        ],
        "facts": [{ "name": "os.type", "value": "linux" }],
    }))
    .unwrap()
}

fn asking(settings: &Value, request: ResolveRequest) -> PolicyCall {
    PolicyCall {
        settings: settings.to_string(),
        request,
        limits: SandboxLimits::for_world(DEVICE_POLICY),
        log: Arc::new(Kept::default()),
        stop: StopSignal::never(),
    }
}

async fn hostile(sandbox: &Sandbox) -> Plugin {
    static PACKAGE: OnceLock<Vec<u8>> = OnceLock::new();
    load(sandbox, PACKAGE.get_or_init(|| built("guests/hostile-policy"))).await
}

async fn misbehave(sandbox: &Sandbox, settings: Value) -> Result<PolicyAnswer, Failure> {
    sandbox.resolve(&hostile(sandbox).await, asking(&settings, request())).await
}

/// On both allocators: it must fail with `code` by its own fault, and be served again afterwards.
async fn check(settings: Value, code: &str, kind: FailureKind, words: &[&str]) {
    for allocation in BOTH {
        let sandbox = sandbox(allocation);
        let failure = misbehave(&sandbox, settings.clone()).await.unwrap_err();
        let found = (failure.code.as_str(), failure.fault, failure.kind);
        assert_eq!(found, (code, Fault::Plugin, kind), "{allocation:?} {settings}: {failure}");
        for word in words {
            assert!(failure.message.contains(word), "{word:?} is not in: {failure}");
        }
        misbehave(&sandbox, json!({ "do": "good" })).await.unwrap();
    }
}

fn body(answer: &Answer) -> &str {
    match &answer.verdict {
        Verdict::Document(document) => std::str::from_utf8(&document.body).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn limits_end_it() {
    check(json!({ "do": "endless-loop" }), "cpu", FailureKind::Limit, &["100 ms"]).await;
    check(json!({ "do": "memory-bomb" }), "memory", FailureKind::Limit, &["67108864 bytes"]).await;
    check(json!({ "do": "trap" }), "trap", FailureKind::Other, &["crashed"]).await;
    for allocation in BOTH {
        // Whichever of the two is met first on this machine.
        let failure = misbehave(&sandbox(allocation), json!({ "do": "endless-calls" })).await.unwrap_err();
        assert!(["cpu", "calls"].contains(&failure.code.as_str()), "{failure}");
        assert_eq!((failure.kind, failure.fault), (FailureKind::Limit, Fault::Plugin));
    }
}

#[tokio::test]
async fn answers_are_one_for_each_application_in_order() {
    let refused = |behaviour: &str, words: &'static [&'static str]| {
        let settings = json!({ "do": behaviour });
        async move { check(settings, "answers", FailureKind::Invalid, words).await }
    };
    refused("no-answers", &["no answer for `editor`"]).await;
    refused("missing-answer", &["no answer for `viewer`"]).await;
    refused("extra-answer", &["\"viewer\"", "was not asked about it any more"]).await;
    refused("wrong-order", &["\"viewer\"", "where `editor` was next"]).await;
    refused("unknown-application", &["not\\\\nasked", "where `editor` was next"]).await;
}

#[tokio::test]
async fn documents_are_small_and_typed() {
    let words = &["1048577 bytes", "`editor`", "1048576"];
    check(json!({ "do": "giant-document" }), "document-size", FailureKind::Limit, words).await;
    // More than the guest's own memory allows for, and more than a call carries.
    let settings = json!({ "do": "giant-document", "amount": 12 << 20 });
    check(settings, "call-bytes", FailureKind::Limit, &["16777216 bytes"]).await;
    check(json!({ "do": "bad-content-type" }), "content-type", FailureKind::Invalid, &["application/json"])
        .await;
    let sandbox = sandbox(BOTH[0]);
    let answer = misbehave(&sandbox, json!({ "do": "giant-document", "amount": 1 << 20 })).await.unwrap();
    assert_eq!(body(&answer.answers[2]).len(), 1 << 20);
}

#[tokio::test]
async fn where_values_come_from_is_no_lie() {
    let code = "provenance";
    check(json!({ "do": "unasked-provenance" }), code, FailureKind::Invalid, &["was not asked"]).await;
    for (behaviour, words) in [("forged-layer", "layer 4711, and there are 2"), ("forged-fact", "host.name")]
    {
        let call = asking(&json!({ "do": behaviour }), ResolveRequest { explain: true, ..request() });
        let sandbox = sandbox(BOTH[0]);
        let failure = sandbox.resolve(&hostile(&sandbox).await, call).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.fault), (code, Fault::Plugin));
        assert!(failure.message.contains(words), "{failure}");
    }
    let call = asking(&json!({ "do": "unasked-provenance" }), ResolveRequest { explain: true, ..request() });
    let sandbox = sandbox(BOTH[0]);
    let answer = sandbox.resolve(&hostile(&sandbox).await, call).await.unwrap();
    let Verdict::Document(document) = &answer.answers[0].verdict else { panic!("{answer:?}") };
    assert_eq!(document.provenance[0].origin, Origin::Plugin("because".to_owned()));
}

#[tokio::test]
async fn a_failure_is_of_all_or_of_one_application() {
    let sandbox = sandbox(BOTH[0]);
    let failure = misbehave(&sandbox, json!({ "do": "fail" })).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.fault), ("asked-for", Fault::Settings));
    let answers = misbehave(&sandbox, json!({ "do": "fail-first" })).await.unwrap().answers;
    assert!(matches!(&answers[0].verdict, Verdict::Failed(failure) if failure.code == "asked-for"));
    assert_eq!(answers[1].verdict, Verdict::Withdrawn);
    assert_eq!(body(&answers[2]), r#"{"x":true}"#);
}

#[tokio::test]
async fn nothing_that_differs_is_left_to_a_plugin() {
    for allocation in BOTH {
        let sandbox = sandbox(allocation);
        // A static variable is new in each instance, and what the language calls random is the same each time.
        for behaviour in ["counter", "random"] {
            let settings = json!({ "do": behaviour });
            let first = misbehave(&sandbox, settings.clone()).await.unwrap().answers;
            for _ in 0..3 {
                assert_eq!(
                    misbehave(&sandbox, settings.clone()).await.unwrap().answers,
                    first,
                    "{behaviour}"
                );
            }
        }
        let counted = misbehave(&sandbox, json!({ "do": "counter" })).await.unwrap();
        assert_eq!(body(&counted.answers[0]), "1");
    }
    // There is nothing to ask for the time.
    for behaviour in ["clock", "elapsed"] {
        check(json!({ "do": behaviour }), "trap", FailureKind::Other, &["crashed"]).await;
    }
}

/// A guest that imports what its world does not have.
fn importing(interface: &str, import: &str, name: &str, signature: &str) -> Vec<u8> {
    let resolve = contract(|file, text| match file {
        "worlds.wit" => {
            let world = format!("world device-policy {{\n  include base;\n  {import}\n");
            text.replace("world device-policy {\n  include base;\n", &world)
        }
        _ => text,
    });
    let module = format!(
        r#"(module
            (import "{interface}" "{name}" (func {signature}))
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "syncline:plugin/policy@0.1.0#resolve")
              (param i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable))"#
    );
    component_of(&resolve, DEVICE_POLICY, &module)
}

#[tokio::test]
async fn clock_and_randomness_cannot_be_imported() {
    let manifest =
        json!({ "name": "guest", "version": "1.0.0", "world": DEVICE_POLICY, "contract": "0.1.0" });
    let clock = ("syncline:plugin/clock@0.1.0", "import clock;", "now", "(result i64)");
    let stores = ("syncline:plugin/stores@0.1.0", "import stores;", "sources", "(param i32)");
    for (interface, import, name, signature) in [clock, stores] {
        let package = with_manifest(importing(interface, import, name, signature), &manifest);
        let failure = Sandbox::inspect(&package).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.fault), ("contract", Fault::Plugin));
        assert!(failure.message.contains("which its world `device-policy` does not have"), "{failure}");
        // Nor is it linked, were it to be loaded all the same.
        for allocation in BOTH {
            let Err(failure) = load_unseen(&sandbox(allocation), &package).await else {
                panic!("it was loaded")
            };
            assert_eq!((failure.code.as_str(), failure.fault), ("contract", Fault::Plugin), "{failure}");
        }
    }
    let random = "import random: interface { get: func() -> u64; }";
    let package = with_manifest(importing("random", random, "get", "(result i64)"), &manifest);
    let failure = Sandbox::inspect(&package).unwrap_err();
    assert!(failure.message.contains("`random`"), "{failure}");
}

#[tokio::test]
async fn a_plugin_is_asked_only_what_its_world_has() {
    let sandbox = sandbox(BOTH[0]);
    let policy = hostile(&sandbox).await;
    assert_eq!(policy.world(), DEVICE_POLICY);
    let failure = sandbox.declare_files(&policy, call()).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.fault), ("world", Fault::Settings), "{failure}");
    let files = load(&sandbox, &idle()).await;
    let failure = sandbox.resolve(&files, asking(&json!({}), request())).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.fault), ("world", Fault::Settings), "{failure}");
    run(&sandbox, &idle(), call()).await.unwrap();
}

#[tokio::test]
async fn a_resolve_is_stopped_from_outside() {
    let sandbox = sandbox(BOTH[0]);
    let (stopper, stop) = StopSignal::new();
    stopper.stop(Failure::stopped("cancelled", "enough"));
    let call = PolicyCall { stop, ..asking(&json!({ "do": "endless-loop" }), request()) };
    let failure = sandbox.resolve(&hostile(&sandbox).await, call).await.unwrap_err();
    assert_eq!(failure.code, "cancelled");
}

#[tokio::test]
async fn the_built_in_plugin_merges_and_explains() {
    let package = built("plugins/device-policy");
    for allocation in BOTH {
        let sandbox = sandbox(allocation);
        let plugin = load(&sandbox, &package).await;
        let answers = sandbox.resolve(&plugin, asking(&json!({}), request())).await.unwrap().answers;
        assert_eq!(body(&answers[0]), r#"{"a":1,"b":{"c":2}}"#);
        assert_eq!(answers[1].verdict, Verdict::Withdrawn);
        let explained = asking(&json!({}), ResolveRequest { explain: true, ..request() });
        let answers = sandbox.resolve(&plugin, explained).await.unwrap().answers;
        let Verdict::Document(document) = &answers[0].verdict else { panic!("{answers:?}") };
        let told: Vec<_> = document.provenance.iter().map(|one| json!(one)).collect();
        let from = |layer: u32, pointer: &str| json!({ "pointer": pointer, "origin": { "setting": { "layer": layer, "pointer": pointer } } });
        assert_eq!(told, [from(0, "/a"), from(1, "/b/c")]);
    }
}

fn layers() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(json!(null)), (0..3).prop_map(Value::from), "[a\"é]{0,2}".prop_map(Value::from)];
    let value = leaf.prop_recursive(2, 8, 3, |inner| {
        prop::collection::btree_map("[ab]", inner, 0..3).prop_map(|map| json!(map))
    });
    let settings = prop::collection::btree_map("[abc]", value, 0..4);
    let layer = (settings, prop::sample::subsequence(vec!["/a", "/b/a", "/c"], 0..2))
        .prop_map(|(settings, locks)| json!({ "settings": settings, "locks": locks }));
    prop::collection::vec(layer, 0..4).prop_map(Value::Array)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What the host takes out and what the plugin makes of the rest go together: equal inputs give equal bytes, whatever
    /// they are, and every answer keeps to the contract.
    #[test]
    fn equal_inputs_are_answered_alike_by_the_built_in_plugin(layers in layers(), explain in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
        let sandbox = SANDBOX.get_or_init(|| sandbox(BOTH[0]));
        let request = json!({ "applications": [{ "name": "a", "layers": layers }], "explain": explain });
        let mut request: ResolveRequest = serde_json::from_value(request).unwrap();
        lock_out(&mut request.applications[0].layers);
        let input = |request| PolicyInput { plugin: "p", request, settings: "{}" }.digest().unwrap();
        let answers = runtime.block_on(async {
            let plugin = load(sandbox, &built("plugins/device-policy")).await;
            let ask = || sandbox.resolve(&plugin, asking(&json!({}), request.clone()));
            (ask().await.unwrap().answers, ask().await.unwrap().answers)
        });
        prop_assert_eq!(&answers.0, &answers.1);
        prop_assert_eq!(input(&request), input(&request.clone()));
        prop_assert_eq!(answers.0[0].verdict == Verdict::Withdrawn, request.applications[0].layers.is_empty());
    }
}
