//! Services that do as they should.

use serde_json::json;

use super::{Memory, Recorder};

#[test]
fn people_and_groups_come_as_they_are() {
    let mut service = Memory::of(2);
    service.user(
        "u3",
        json!({ "active": false, "displayName": null, "name": { "formatted": "U. Three" }, "emails": [],
            "phoneNumbers": [{ "type": "mobile", "value": "1" }, { "type": "work", "value": "2" }],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "R&D", "employeeNumber": "7" } }),
    );
    service.group("g1", &["u1", "g2"]);
    service.group("g2", &[]);
    let mut host = Recorder::default();
    host.run(json!({}), &mut service).unwrap();
    assert_eq!((host.known.len(), host.rejected.len()), (5, 0));
    assert_eq!(host.texts("u1", "email"), ["u1@example.org"]);
    assert_eq!(host.texts("u1", "user-name"), ["u1"]);
    assert!(host.known["u1"].enabled && !host.known["u3"].enabled);
    assert_eq!(host.known["u3"].name, "U. Three");
    let of_three =
        ["department", "employee-id", "mobile", "phone"].map(|name| host.texts("u3", name).remove(0));
    assert_eq!(of_three, ["R&D", "7", "1", "2"]);
    assert_eq!(host.members["g1"].iter().collect::<Vec<_>>(), ["g2", "u1"]);
    assert!(host.members["g2"].is_empty());
}

#[test]
fn pages_that_are_smaller_than_asked_for_are_read_to_the_end() {
    let mut service = Memory::of(25);
    service.most = 4;
    let mut host = Recorder::default();
    host.run(json!({ "page_size": 10, "kinds": ["people"] }), &mut service).unwrap();
    assert_eq!(host.known.len(), 25);
    let starts = service.asked.iter().filter_map(|path| path.split("startIndex=").nth(1)?.split('&').next());
    assert_eq!(starts.collect::<Vec<_>>(), ["1", "5", "9", "13", "17", "21", "25"]);
}

#[test]
fn only_what_changed_is_read_again_and_what_is_gone_is_found() {
    let mut service = Memory::of(50);
    service.group("g1", &["u1", "u2"]);
    let mut host = Recorder::default();
    host.run(json!({}), &mut service).unwrap();
    assert_eq!(host.puts.len(), 51);

    host.run(json!({}), &mut service).unwrap();
    assert_eq!((host.puts.len(), host.known.len()), (0, 51));
    assert!(service.asked.iter().all(|path| !path.contains("filter=")), "{:?}", service.asked);

    service.hour = 3;
    service.user("u7", json!({ "displayName": "Renamed" }));
    service.user("u99", json!({}));
    service.users.retain(|one| one["id"] != "u8");
    service.group("g1", &["u2"]);
    host.run(json!({}), &mut service).unwrap();
    host.puts.sort();
    assert_eq!(host.puts, ["g1", "u7", "u99"]);
    assert_eq!((host.known.len(), host.known["u7"].name.as_str()), (51, "Renamed"));
    assert!(!host.known.contains_key("u8"));
    assert_eq!(host.members["g1"].len(), 1);
}

#[test]
fn whatever_leaves_changes_unknown_has_everything_read() {
    // It does not say that it filters, has no clock, or the settings are others.
    let mut silent = Memory::of(3);
    silent.filters = false;
    let mut host = Recorder::default();
    for _ in 0..2 {
        host.run(json!({ "kinds": ["people"] }), &mut silent).unwrap();
        assert_eq!((host.puts.len(), host.cursor.is_some()), (3, false));
    }
    let mut timeless = Memory::of(3);
    timeless.spoil = Box::new(|_, answer| Ok(crate::Answer { date: None, ..answer }));
    host.run(json!({}), &mut timeless).unwrap();
    assert_eq!(host.cursor, None);
    let mut service = Memory::of(3);
    host.run(json!({}), &mut service).unwrap();
    host.run(json!({ "filters": { "people": "active eq true" } }), &mut service).unwrap();
    assert_eq!(host.puts.len(), 3);
    // Somebody is there whom nobody put.
    host.known.remove("u2");
    host.run(json!({ "filters": { "people": "active eq true" } }), &mut service).unwrap();
    assert_eq!(host.puts.len(), 3);
}

#[test]
fn a_filter_of_ones_own_goes_along_with_the_time() {
    let mut service = Memory::of(3);
    let settings = json!({ "kinds": ["people"], "filters": { "people": "userType eq \"staff\"" } });
    let mut host = Recorder::default();
    host.run(settings.clone(), &mut service).unwrap();
    service.hour = 4;
    service.user("u1", json!({}));
    host.run(settings, &mut service).unwrap();
    let last = service.asked.last().unwrap();
    let wanted = "filter=%28userType%20eq%20%22staff%22%29%20and%20meta.lastModified%20ge%20%222026-11-25T01%3A25%3A00Z%22";
    assert!(last.ends_with(wanted), "{last}");
}
