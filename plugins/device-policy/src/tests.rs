//! What the plugin decides, natively.

use proptest::prelude::*;
use syncline_plugin::{
    policy::{Key, KeySet, Origin, Provenance, User},
    serde_json::{self, json},
    settings::parse,
};

use super::*;

fn decide(settings: &str, device: &Device, layers: &[Value]) -> Verdict {
    let settings = parse(settings).unwrap();
    Merge::decide(&settings, device, &Application::new("editor", layers.to_vec())).unwrap()
}

fn document(settings: &str, device: &Device, layers: &[Value]) -> Document {
    match decide(settings, device, layers) {
        Verdict::Document(document) => document,
        other => panic!("{other:?}"),
    }
}

/// The document's text.
fn check(layers: &[Value]) -> String {
    String::from_utf8(document("{}", &Device::default(), layers).body().to_vec()).unwrap()
}

fn explaining() -> Device {
    let vpn = KeySet {
        name: "vpn/eu".to_owned(),
        keys: vec![Key { id: "7".to_owned(), name: "main".to_owned(), parameters: json!({ "port": 1 }) }],
        inherited: true,
    };
    Device {
        facts: [("os.type", json!("linux"))].into_iter().collect(),
        users: vec![User { name: "ada".to_owned(), key_sets: vec![vpn] }],
        explain: true,
    }
}

/// One line a value: its place, where it comes from, and what lost.
fn explained(settings: &str, layers: &[Value]) -> String {
    let line = |one: &Provenance| {
        let origin = match &one.origin {
            Origin::Setting(setting) => format!("{}:{}", setting.layer, setting.pointer),
            Origin::Assignment { user, key_set } => format!("{key_set} of {user}"),
            Origin::Fact(name) => format!("fact {name}"),
            Origin::Plugin(_) => "plugin".to_owned(),
        };
        let lost: String =
            one.overruled.iter().map(|lost| format!(" not {}:{}", lost.layer, lost.pointer)).collect();
        format!("{} = {origin}{lost}", one.pointer)
    };
    let document = document(settings, &explaining(), layers);
    document.provenance().iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn layers_merge_from_the_weakest_to_the_strongest() {
    assert_eq!(
        check(&[json!({ "b": { "x": 1, "y": [1] }, "a": 1 }), json!({ "b": { "y": [2] } })]),
        r#"{"a":1,"b":{"x":1,"y":[2]}}"#
    );
    assert_eq!(
        check(&[json!({ "a": { "x": 1, "y": 2 } }), json!({ "a": { "x": null } })]),
        r#"{"a":{"y":2}}"#
    );
    assert_eq!(check(&[json!({ "a": 1 }), json!({ "a": { "x": null } })]), r#"{"a":{}}"#);
    assert_eq!(check(&[json!({})]), "{}");
}

#[test]
fn an_application_without_layers_is_withdrawn() {
    assert_eq!(decide("{}", &explaining(), &[]), Verdict::Withdrawn);
    assert_eq!(decide(r#"{"keys_member":"keys"}"#, &explaining(), &[]), Verdict::Withdrawn);
}

#[test]
fn keys_and_facts_are_left_out_unless_asked_for() {
    let layers = [json!({ "text": "${fact:os.type}", "keys": "mine" })];
    let body = |settings: &str| {
        String::from_utf8(document(settings, &explaining(), &layers).body().to_vec()).unwrap()
    };
    assert_eq!(body("{}"), r#"{"keys":"mine","text":"${fact:os.type}"}"#);
    assert_eq!(
        body(r#"{"keys_member":"keys","substitute_facts":true,"content_type":"application/x+json"}"#),
        r#"{"keys":{"ada":{"vpn/eu":[{"id":"7","name":"main","parameters":{"port":1}}]}},"text":"linux"}"#
    );
    let document = document(r#"{"content_type":"application/x+json"}"#, &explaining(), &layers);
    assert_eq!(document.media_type(), "application/x+json");
}

#[test]
fn a_fact_that_is_not_known_fails_this_application() {
    let settings = parse(r#"{"substitute_facts":true}"#).unwrap();
    let application = Application::new("editor", [json!({ "x": "${fact:host.name}" })]);
    let failure = Merge::decide(&settings, &Device::default(), &application).unwrap_err();
    assert_eq!(failure.code(), "fact");
}

#[test]
fn each_value_is_explained_with_what_it_overruled() {
    let layers = [
        json!({ "a": { "x": 1, "same": 1 }, "b": 1, "list": [1] }),
        json!({ "a": { "x": 2, "same": 1 }, "b": { "deep": 1 } }),
        json!({ "a": { "x": 3 }, "list": null }),
        json!({ "list": [2], "e": {} }),
    ];
    let expected = "/a/same = 1:/a/same\n/a/x = 2:/a/x not 0:/a/x not 1:/a/x\n/b/deep = 1:/b/deep not 0:/b\n/e = 3:/e\n\
                    /list = 3:/list not 0:/list not 2:/list";
    assert_eq!(explained("{}", &layers), expected);
    assert_eq!(explained("{}", &[json!({ "a": null }), json!({})]), " = 0:");
    let objects = [json!({ "a": { "x": 1 } }), json!({ "a": { "x": null } }), json!({ "a": {} })];
    assert_eq!(explained("{}", &objects), "/a = 0:/a");
}

#[test]
fn keys_and_facts_are_explained() {
    let settings = r#"{"keys_member":"k~","substitute_facts":true}"#;
    let layers = [json!({ "t": "x" }), json!({ "k~": 1, "t": "${fact:os.type}", "u": "on ${fact:os.type}" })];
    let expected =
        "/k~0 = plugin not 1:/k~0\n/k~0/ada/vpn~1eu = vpn/eu of ada\n/t = fact os.type not 0:/t\n/u = 1:/u";
    assert_eq!(explained(settings, &layers), expected);
    assert!(document(settings, &Device { explain: false, ..explaining() }, &layers).provenance().is_empty());
}

fn value(nulls: bool) -> impl Strategy<Value = Value> {
    let null = if nulls { Just(Value::Null).boxed() } else { Just(json!(true)).boxed() };
    let leaf = prop_oneof![
        null,
        (0..3).prop_map(Value::from),
        "[a~/é\"]{0,2}".prop_map(Value::from),
        Just(json!([1, { "a": 1 }]))
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop::collection::btree_map("[a-c~/]", inner, 0..4).prop_map(|map| json!(map))
    })
}

fn layers() -> impl Strategy<Value = Vec<Value>> {
    let object = prop::collection::btree_map("[a-c~/]", value(true), 0..4).prop_map(|map| json!(map));
    prop::collection::vec(object, 1..5)
}

/// Objects in which a name tells whether its value is an object (capital) or not: what never changes its kind.
fn steady() -> impl Strategy<Value = Value> {
    let leaf =
        prop::collection::btree_map("[a-c]", (0..5).prop_map(Value::from), 0..3).prop_map(|map| json!(map));
    leaf.prop_recursive(3, 16, 3, |inner| {
        (prop::collection::btree_map("[a-c]", 0..5, 0..3), prop::collection::btree_map("[A-C]", inner, 0..3))
            .prop_map(|(leaves, objects)| {
                let leaves = leaves.into_iter().map(|(name, value)| (name, Value::from(value)));
                Value::Object(leaves.chain(objects).collect())
            })
    })
}

fn merged(weaker: &Value, stronger: &Value) -> Value {
    let mut all = weaker.clone();
    json::merge(&mut all, stronger.clone());
    all
}

fn has_null_member(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|members| members.values().any(|value| value.is_null() || has_null_member(value)))
}

/// The value at a pointer, through objects alone.
fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    pointer
        .split('/')
        .skip(1)
        .try_fold(value, |value, name| value.as_object()?.get(&name.replace("~1", "/").replace("~0", "~")))
}

proptest! {
    #[test]
    fn merging_is_associative_where_nothing_is_removed_or_changes_its_kind(a in steady(), b in steady(), c in steady()) {
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
    }

    #[test]
    fn a_layer_twice_in_a_row_is_the_layer_once(layers in layers()) {
        let mut twice = layers.clone();
        twice.push(layers[layers.len() - 1].clone());
        prop_assert_eq!(check(&twice), check(&layers));
    }

    #[test]
    fn the_document_is_canonical_and_no_null_is_left(layers in layers()) {
        let text = check(&layers);
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert!(!has_null_member(&value));
        prop_assert_eq!(String::from_utf8(json::canonical(&value)).unwrap(), text);
    }

    #[test]
    fn what_is_said_before_in_another_order_of_members_changes_nothing(layers in layers(), explain in any::<bool>()) {
        let device = Device { explain, ..explaining() };
        let settings = r#"{"keys_member":"keys"}"#;
        let once = decide(settings, &device, &layers);
        // Through text with the members the other way round.
        let turned: Vec<Value> = layers.iter().map(|layer| serde_json::from_str(&turned(layer)).unwrap()).collect();
        prop_assert_eq!(decide(settings, &device, &turned), once);
    }

    #[test]
    fn explaining_changes_no_document_and_covers_each_value(layers in layers()) {
        let explained = document("{}", &explaining(), &layers);
        let plain = check(&layers);
        prop_assert_eq!(explained.body(), plain.as_bytes());
        let value: Value = serde_json::from_slice(explained.body()).unwrap();
        prop_assert!(explained.provenance().windows(2).all(|pair| pair[0].pointer < pair[1].pointer));
        prop_assert_eq!(explained.provenance().len(), leaves(&value));
        for one in explained.provenance() {
            let here = at(&value, &one.pointer).unwrap();
            let Origin::Setting(setting) = &one.origin else { panic!("{one:?}") };
            let said = at(&layers[setting.layer as usize], &setting.pointer).unwrap();
            prop_assert!(said == here || said.is_object() && here.is_object(), "{one:?}");
            prop_assert!(one.overruled.windows(2).all(|pair| pair[0].layer < pair[1].layer));
            for lost in &one.overruled {
                prop_assert!(lost.layer < setting.layer);
                let wanted = at(&layers[lost.layer as usize], &lost.pointer).unwrap();
                prop_assert!(wanted != here || lost.pointer != one.pointer);
            }
        }
    }
}

fn turned(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .rev()
                .map(|(name, value)| format!(" {} : {}", json!(name), turned(value)))
                .collect();
            format!("{{{}}}", members.join(" ,"))
        }
        other => other.to_string(),
    }
}

/// How many values are no object, or an empty one.
fn leaves(value: &Value) -> usize {
    match value.as_object() {
        Some(members) if !members.is_empty() => members.values().map(leaves).sum(),
        _ => 1,
    }
}
