//! What is refused at upload, with which words.

use proptest::prelude::*;
use serde_json::{Value, json};
use syncline_domain::{Failure, FailureKind, Fault};
use syncline_sandbox::{MAX_PACKAGE, Sandbox};

use crate::guests::{
    OK, component, component_of, contract, idle, imports, manifest, module, with_manifest, with_section,
};

/// Refused with this code, and these words in the message.
fn check(package: &[u8], code: &str, words: &[&str]) -> Failure {
    let failure = Sandbox::inspect(package).unwrap_err();
    assert_eq!((failure.code.as_str(), failure.fault), (code, Fault::Plugin), "{failure}");
    assert!(matches!(failure.kind, FailureKind::Invalid | FailureKind::Unsupported), "{failure:?}");
    for word in words {
        assert!(failure.message.contains(word), "{word:?} is not in: {failure}");
    }
    failure
}

/// The idle component with a manifest changed by `change`.
fn claiming(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut manifest = manifest();
    change(&mut manifest);
    with_manifest(component(&module("", OK)), &manifest)
}

#[test]
fn a_package_is_described() {
    let text = module(&format!("{}{}", imports::OPEN, imports::LOG), OK);
    let mut wanting = manifest();
    wanting["wants"] = json!([{ "capability": "stores", "reason": "reads" }]);
    let package = with_manifest(component(&text), &wanting);
    let found = Sandbox::inspect(&package).unwrap();
    assert_eq!(found.manifest.wants[0].capability, "stores");
    assert_eq!(found.imports, ["syncline:plugin/log@0.1.0", "syncline:plugin/stores@0.1.0"]);
    assert_eq!(found.size, package.len() as u64);
    assert_eq!(found.digest, crate::support::digest(&package));
}

#[test]
fn what_is_no_component() {
    check(b"", "package-empty", &["upload"]);
    check(&vec![0; MAX_PACKAGE + 1], "package-size", &["33554433", "33554432"]);
    check(b"PK\x03\x04 a zip file", "package-kind", &["no WebAssembly"]);
    check(b"\xff", "package-kind", &["no WebAssembly"]);
    check(b"  (module)", "package-kind", &["text"]);
    check(b"(component)", "package-kind", &["text"]);
    check(&wat::parse_str("(module)").unwrap(), "package-kind", &["core WebAssembly module"]);
    let newer = check(b"\0asm\x0e\0\x01\0", "package-kind", &["version"]);
    assert_eq!(newer.kind, FailureKind::Unsupported);
}

#[test]
fn what_is_cut_or_damaged() {
    check(b"\0as", "package-damaged", &["first 8 bytes"]);
    check(b"\0asm\x0d\0", "package-damaged", &["first 8 bytes"]);
    let whole = idle();
    check(&whole[..whole.len() - 1], "package-damaged", &["again"]);
    check(&whole[..whole.len() / 2], "package-damaged", &["again"]);
    let mut longer = whole.clone();
    longer.extend_from_slice(b"more");
    check(&longer, "package-damaged", &[]);
}

#[test]
fn the_manifest_is_one_and_the_outermost_components() {
    let bare = component(&module("", OK));
    check(&bare, "manifest-missing", &["syncline-manifest", "syncline-plugin build"]);
    check(&with_manifest(idle(), &manifest()), "manifest-twice", &["more than one"]);
    // One in a nested module speaks for nobody.
    let mut nested = wat::parse_str("(module)").unwrap();
    nested = with_section(nested, "syncline-manifest", manifest().to_string().as_bytes());
    let mut outer = wat::parse_str("(component)").unwrap();
    outer.push(1);
    outer.push(0x80 | u8::try_from(nested.len() & 0x7f).unwrap());
    outer.push(u8::try_from(nested.len() >> 7).unwrap());
    outer.extend(nested);
    check(&outer, "manifest-missing", &[]);
}

#[test]
fn a_manifest_that_is_not_valid() {
    let with = |text: &[u8]| with_section(component(&module("", OK)), "syncline-manifest", text);
    check(&with(b"{"), "manifest-invalid", &["no JSON"]);
    check(&with(b"[]"), "manifest-invalid", &["contract"]);
    check(&with(&vec![b' '; 300_000]), "manifest-invalid", &["300000", "262144"]);
    check(&claiming(|m| m["name"] = json!("Not A Name")), "manifest-invalid", &["Not A Name"]);
    check(&claiming(|m| m["version"] = json!("one")), "manifest-invalid", &[]);
    check(&claiming(|m| m["surprise"] = json!(1)), "manifest-invalid", &["surprise"]);
    check(&claiming(|m| m["settings_schema"] = json!(true)), "manifest-invalid", &["settings_schema"]);
    check(&claiming(|m| m["contract"] = json!("soon")), "manifest-invalid", &["soon"]);
    check(&claiming(|m| m["world"] = json!(7)), "manifest-invalid", &["world"]);
}

#[test]
fn worlds_and_contracts_of_other_hosts() {
    let unsupported = |package: &[u8], code, words: &[&str]| {
        assert_eq!(check(package, code, words).kind, FailureKind::Unsupported);
    };
    unsupported(
        &claiming(|m| {
            m["contract"] = json!("0.2.0");
            m["something_new"] = json!({});
        }),
        "contract-newer",
        &["0.2.0", "0.1.0", "newer host"],
    );
    unsupported(&claiming(|m| m["contract"] = json!("0.0.9")), "contract-older", &["current SDK"]);
    unsupported(
        &claiming(|m| m["world"] = json!("time-travel")),
        "world-unknown",
        &["time-travel", "`file-sync`"],
    );
}

#[test]
fn a_manifest_that_lies_is_told_all_its_lies() {
    let lies = claiming(|m| {
        m["wants"] = json!([
            { "capability": "stores" }, { "capability": "http" }, { "capability": "log" },
            { "capability": "desired-files", "allow": ["prune", "fly"] }, { "capability": "stores" },
        ]);
    });
    let words = [
        "wants `stores`, and it does not import",
        "\"http\"",
        "\"log\"",
        "\"fly\"",
        "`stores` more than once",
    ];
    check(&lies, "contract", &words);
}

#[test]
fn only_a_policy_is_given_anything_of_devices() {
    let lies = claiming(|m| {
        m["facts"] = json!(["os.type"]);
        m["users"] = json!(true);
        m["whole_device"] = json!(true);
    });
    check(&lies, "contract", &["`facts`", "`users`", "`whole_device`", "`device-policy`", "take it out"]);
    let same_as_none = claiming(|m| {
        m["facts"] = json!([]);
        m["users"] = json!(false);
    });
    Sandbox::inspect(&same_as_none).unwrap();
}

#[test]
fn a_policy_names_each_fact_once_and_is_granted_nothing() {
    let resolve = contract(|_, text| text);
    let text = r#"(module (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "syncline:plugin/policy@0.1.0#resolve") (param i32 i32 i32 i32 i32 i32 i32) (result i32)
          unreachable))"#;
    let claiming = |facts: Value, wants: Value| {
        let manifest = json!({
            "name": "guest", "version": "1.0.0", "world": "device-policy", "contract": "0.1.0", "facts": facts,
            "users": true, "whole_device": true, "wants": wants,
        });
        with_manifest(component_of(&resolve, "device-policy", text), &manifest)
    };
    let found = Sandbox::inspect(&claiming(json!(["os.type", "host.name"]), json!([]))).unwrap();
    assert_eq!(found.manifest.facts, ["os.type", "host.name"]);
    let twice = claiming(json!(["os.type", "os.type", "a b"]), json!([{ "capability": "stores" }]));
    let words =
        ["`os.type` more than once", "\"a b\" is no name of a fact", "\"stores\" granted", "nothing is"];
    check(&twice, "contract", &words);
    let many: Vec<_> = (0..65).map(|n| format!("f{n}")).collect();
    check(&claiming(json!(many), json!([])), "contract", &["65 facts", "64"]);
}

#[test]
fn a_component_without_the_export_of_its_world() {
    let resolve = contract(|name, text| match name {
        "worlds.wit" => format!("{text} world idle {{ import log; }}"),
        _ => text,
    });
    let text = format!(
        "(module {} (memory (export \"memory\") 1)
        (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable))",
        imports::LOG
    );
    let package = with_manifest(component_of(&resolve, "idle", &text), &manifest());
    check(&package, "contract", &["does not export `syncline:plugin/sync@0.1.0` (`declare`)"]);
}

#[test]
fn all_that_the_host_lacks_is_named() {
    let resolve = contract(|name, text| match name {
        "log.wit" => text.replace("enabled: func", "flush: func(); sync-to-disk: func(); enabled: func"),
        "worlds.wit" => {
            let mail = "interface mail { fetch: func(url: string) -> u32; post: func(); }";
            format!("{} {mail} ", text.replace("import stores;", "import stores; import mail;"))
        }
        _ => text,
    });
    let items = r#"
        (import "syncline:plugin/log@0.1.0" "flush" (func $flush))
        (import "syncline:plugin/log@0.1.0" "sync-to-disk" (func $sync))
        (import "syncline:plugin/mail@0.1.0" "fetch" (func $fetch (param i32 i32) (result i32)))
        (import "syncline:plugin/mail@0.1.0" "post" (func $post))"#;
    let package = with_manifest(component_of(&resolve, "file-sync", &module(items, OK)), &manifest());
    let words = ["`flush`", "`sync-to-disk`", "`syncline:plugin/mail@0.1.0` (`fetch`, `post`)", "newer host"];
    assert_eq!(check(&package, "contract", &words).kind, FailureKind::Unsupported);
}

#[test]
fn functions_of_another_type() {
    let resolve = contract(|name, text| match name {
        "clock.wit" => text.replace("now: func() -> timestamp", "now: func() -> u64"),
        "sync.wit" => text.replace("run: string,", "run: u64,"),
        _ => text,
    });
    let text = module(imports::NOW, OK).replace("(param i32 i32 i32 i32 i32)", "(param i64 i32 i32 i32)");
    let package = with_manifest(component_of(&resolve, "file-sync", &text), &manifest());
    let words =
        ["`now` as `func() -> u64`", "`func() -> s64`", "`declare` as `func(request: record {run: u64"];
    check(&package, "contract", &words);
}

#[test]
fn wasi_is_refused_with_what_to_do() {
    let mut resolve = contract(|_, text| text);
    resolve
        .push_source(
            "wasi.wit",
            "package wasi:cli@0.2.0; interface exit { exit-with: func(code: u8); } world w { import exit; }",
        )
        .unwrap();
    let package = resolve.packages.iter().next_back().unwrap().0;
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    let mut module =
        wat::parse_str(r#"(module (import "wasi:cli/exit@0.2.0" "exit-with" (func (param i32))))"#).unwrap();
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        wit_component::StringEncoding::UTF8,
    )
    .unwrap();
    let bytes = wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
    check(&with_manifest(bytes, &manifest()), "contract", &["wasi:cli/exit@0.2.0", "wasm32-unknown-unknown"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_cut_file_is_accepted(at in 0usize..4_000) {
        let whole = idle_once();
        prop_assume!(at < whole.len());
        prop_assert!(Sandbox::inspect(&whole[..at]).is_err());
    }

    #[test]
    fn changed_bytes_never_end_the_host(changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = idle_once().to_vec();
        for (at, byte) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        // Some changes (of a name, of an instruction) leave it as good as it was.
        if let Err(failure) = Sandbox::inspect(&bytes) {
            prop_assert!(!failure.message.is_empty());
        }
    }

    #[test]
    fn no_garbage_is_accepted(garbage in prop::collection::vec(any::<u8>(), 0..200), header in any::<bool>()) {
        let mut bytes = if header { b"\0asm\x0d\0\x01\0".to_vec() } else { Vec::new() };
        bytes.extend(garbage);
        prop_assert!(Sandbox::inspect(&bytes).is_err());
    }
}

fn idle_once() -> &'static [u8] {
    static IDLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    IDLE.get_or_init(idle)
}
