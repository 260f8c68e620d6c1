use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::device::{
    Abilities, Wanted,
    status::{DEVICE, of_device},
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn device() -> Device {
    let signs = crate::device::status::DeviceSigns {
        state: DeviceState::Enrolled,
        came: true,
        silent: false,
        failed: true,
        waiting: false,
        under_way: false,
    };
    Device {
        id: crate::ids::DeviceId(uuid::Uuid::from_u128(1)),
        name: "laptop-1".to_owned(),
        state: DeviceState::Enrolled,
        reason: None,
        group: "/sales/berlin".parse().unwrap(),
        facts: serde_json::from_value(json!({
            "os.type": "linux", "os.version": "10.0.9", "memory": 16, "applications": ["chromium", "vpn"],
        }))
        .unwrap(),
        abilities: Abilities::default(),
        registered_at: at(0),
        enrolled_at: Some(at(1)),
        last_contact: Some(at(1_000)),
        next_contact: None,
        silent_after: None,
        last_periodic_sync: None,
        last_forced_sync: None,
        instance_uid: None,
        sequence: 0,
        status: of_device(&signs).status(at(5)),
        revision: 1,
    }
}

fn failed_delivery() -> (Name, Delivery) {
    let digest = "a".repeat(64).parse().unwrap();
    let mut delivery = Delivery::unpublished(at(0));
    delivery.wanted = Wanted::Document(digest);
    delivery.state = DeliveryState::Failed;
    ("vpn".parse().unwrap(), delivery)
}

fn holds(condition: Value) -> bool {
    let condition = Condition::from_value(&condition).unwrap();
    let device = device();
    condition.matches(&DeviceView { device: &device, deliveries: &[failed_delivery()] }, at(1_100))
}

#[test]
fn conditions_hold_where_they_say() {
    for (condition, expected) in [
        (json!({ "all": [] }), true),
        (json!({ "any": [] }), false),
        (json!({ "not": { "any": [] } }), true),
        (json!({ "all": [{ "group": "/sales" }, { "colour": "red" }] }), true),
        (json!({ "all": [{ "group": "/sales" }, { "colour": "green" }] }), false),
        (json!({ "group-exactly": "/sales" }), false),
        (json!({ "group": "/sale" }), false),
        (json!({ "state": "enrolled" }), true),
        (json!({ "status": "failed" }), true),
        (json!({ "status": "silent" }), false),
        (json!({ "fact": { "name": "os.type", "equals": "linux" } }), true),
        (json!({ "fact": { "name": "os.type", "in": ["windows", "darwin"] } }), false),
        (json!({ "fact": { "name": "memory", "equals": 16.0 } }), true),
        (json!({ "fact": { "name": "memory", "at-least": 8 } }), true),
        (json!({ "fact": { "name": "memory", "at-most": 8 } }), false),
        (json!({ "fact": { "name": "memory", "at-least": "8" } }), false),
        (json!({ "fact": { "name": "os.version", "at-least": "10.0.10" } }), false),
        (json!({ "fact": { "name": "os.version", "at-least": "9.9" } }), true),
        (json!({ "fact": { "name": "applications", "contains": "vpn" } }), true),
        (json!({ "fact": { "name": "os.type", "contains": "inu" } }), true),
        (json!({ "fact": { "name": "os.type", "begins-with": "lin" } }), true),
        (json!({ "fact": { "name": "none", "exists": false } }), true),
        (json!({ "fact": { "name": "none", "equals": null } }), false),
        (json!({ "last-contact": { "older-than": 99 } }), true),
        (json!({ "last-contact": { "older-than": 100 } }), false),
        (json!({ "last-contact": { "newer-than": 100 } }), true),
        (json!({ "last-contact": "never" }), false),
        (json!({ "application": "vpn" }), true),
        (json!({ "application": "mail" }), false),
        (json!({ "delivery": { "state": "failed" } }), true),
        (json!({ "delivery": { "application": "mail", "state": "failed" } }), false),
    ] {
        assert_eq!(holds(condition.clone()), expected, "{condition}");
    }
}

#[test]
fn a_device_that_never_came_has_no_last_contact() {
    let device = Device { last_contact: None, ..device() };
    let view = DeviceView { device: &device, deliveries: &[] };
    let holds = |contact| Condition::LastContact(contact).matches(&view, at(1_000));
    assert!(holds(Contact::Never));
    assert!(!holds(Contact::OlderThan(Duration::ZERO)) && !holds(Contact::NewerThan(Duration::MAX)));
}

#[test]
fn what_is_no_condition_is_told_where() {
    for (condition, place, says) in [
        (json!(3), "", "3 is no object"),
        (json!({}), "", "0 fields"),
        (json!({ "all": [], "any": [] }), "", "2 fields"),
        (
            json!({ "all": [{ "colour": "pink" }] }),
            "/all/0/colour",
            "\"pink\" is no colour: use one of grey, blue",
        ),
        (
            json!({ "any": [{ "all": [] }, { "fact": { "name": "x", "like": 1 } }] }),
            "/any/1/fact/like",
            "at-least",
        ),
        (json!({ "not": { "fact": { "equals": 1 } } }), "/not/fact", "needs the field name"),
        (json!({ "group": "sales" }), "/group", "does not begin with '/'"),
        (json!({ "wat": 1 }), "/wat", "no such condition"),
        (
            json!({ "last-contact": { "older-than": -1 } }),
            "/last-contact/older-than",
            "-1 is no number of seconds",
        ),
        (json!({ "delivery": { "state": "gone" } }), "/delivery/state", "no state of a delivery"),
        (json!({ "delivery": { "stat": "x" } }), "/delivery", "\"stat\""),
    ] {
        let error = Condition::from_value(&condition).unwrap_err();
        assert_eq!(error.at, place, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = Condition::from_text("{\"all\": [}").unwrap_err().to_string();
    assert!(error.contains("line 1 column 10"), "{error}");
}

#[test]
fn conditions_have_bounds() {
    let deep = (0..Condition::MAX_DEPTH).fold(json!({ "all": [] }), |inner, _| json!({ "not": inner }));
    assert!(Condition::from_value(&deep).unwrap_err().why.contains("levels deep"));
    let wide = json!({ "all": vec![json!({ "all": [] }); Condition::MAX_SIZE] });
    assert!(Condition::from_value(&wide).unwrap_err().why.contains("more than 256"));
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let test = prop_oneof![
        any::<bool>().prop_map(Test::Exists),
        "[a-z0-9.]{0,6}".prop_map(|text| Test::Equals(text.into())),
        any::<i32>().prop_map(|number| Test::AtLeast(number.into())),
        "[a-z0-9.]{0,6}".prop_map(|text| Test::AtMost(text.into())),
        "[a-z]{0,3}".prop_map(Test::Contains),
        "[a-z]{0,3}".prop_map(Test::BeginsWith),
        proptest::collection::vec(any::<i8>().prop_map(Value::from), 0..3).prop_map(Test::In),
    ];
    let name = prop_oneof![Just("os.type"), Just("os.version"), Just("memory"), Just("none"), Just("a/b~c")];
    let leaf = prop_oneof![
        (name, test).prop_map(|(name, test)| Condition::Fact(name.to_owned(), test)),
        "(/[a-z]{1,3}){1,3}".prop_map(|path| Condition::Group(path.parse().unwrap())),
        proptest::sample::select(DeviceState::ALL).prop_map(Condition::State),
        proptest::sample::select(Colour::ALL).prop_map(Condition::Colour),
        (0..DEVICE.len()).prop_map(|row| Condition::Status(DEVICE[row].state.to_owned())),
        any::<u32>().prop_map(|s| Condition::LastContact(Contact::OlderThan(Duration::from_secs(s.into())))),
        any::<u32>().prop_map(|s| Condition::LastContact(Contact::NewerThan(Duration::from_secs(s.into())))),
        Just(Condition::LastContact(Contact::Never)),
        Just(Condition::Application("vpn".parse().unwrap())),
        (any::<bool>(), proptest::sample::select(DeliveryState::ALL))
            .prop_map(|(some, state)| Condition::Delivery(some.then(|| "vpn".parse().unwrap()), state)),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Condition::All),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Condition::Any),
            inner.prop_map(|one| Condition::Not(Box::new(one))),
        ]
    })
}

proptest! {
    #[test]
    fn json_and_back(condition in any_condition()) {
        let text = serde_json::to_string(&condition).unwrap();
        prop_assert_eq!(Condition::from_text(&text).unwrap(), condition.clone());
        prop_assert_eq!(serde_json::from_str::<Condition>(&text).unwrap(), condition);
    }

    #[test]
    fn not_all_is_any_not(conditions in proptest::collection::vec(any_condition(), 0..4), now in 0_i64..3_000) {
        let device = device();
        let deliveries = [failed_delivery()];
        let view = DeviceView { device: &device, deliveries: &deliveries };
        let not = |one: &Condition| Condition::Not(Box::new(one.clone()));
        let left = not(&Condition::All(conditions.clone()));
        let right = Condition::Any(conditions.iter().map(not).collect());
        prop_assert_eq!(left.matches(&view, at(now)), right.matches(&view, at(now)));
    }

    #[test]
    fn any_json_is_a_condition_or_an_error(text in ".{0,60}") {
        let _ = Condition::from_text(&text);
    }

    #[test]
    fn versions_are_in_one_order(a in "[0-9a.]{0,8}", b in "[0-9a.]{0,8}", c in "[0-9a.]{0,8}") {
        prop_assert_eq!(compare_versions(&a, &b), compare_versions(&b, &a).reverse());
        if compare_versions(&a, &b).is_le() && compare_versions(&b, &c).is_le() {
            prop_assert!(compare_versions(&a, &c).is_le());
        }
    }
}
