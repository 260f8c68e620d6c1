//! Services that do not as they should: nothing of what they say counts as all that there is.

use std::time::Duration;

use serde_json::{Value, json};
use syncline_plugin::{Failure, FailureKind, Result};

use super::{Memory, Recorder};
use crate::Answer;

type Spoil = fn(&str, Answer) -> Result<Answer>;

/// Reads a service of 30 people that spoils its answers. Who was known before must be known afterwards.
fn fails(spoil: Spoil) -> Failure {
    let mut host = Recorder::default();
    let mut service = Memory::of(30);
    let settings = json!({ "page_size": 10, "kinds": ["people"], "method": "full" });
    host.run(settings.clone(), &mut service).unwrap();
    service.spoil = Box::new(spoil);
    let failure = host.run(settings, &mut service).unwrap_err();
    assert_eq!(host.known.len(), 30);
    failure
}

fn status(status: u16) -> impl Fn(Answer) -> Answer {
    move |answer| Answer { status, body: br#"{"detail":"so it is"}"#.to_vec(), ..answer }
}

fn changed(answer: Answer, change: impl FnOnce(&mut Value)) -> Answer {
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
    change(&mut body);
    Answer { body: body.to_string().into_bytes(), ..answer }
}

#[test]
fn each_refusal_says_what_to_do() {
    let cases: [(Spoil, FailureKind, &str, &str); 6] = [
        (|_, a| Ok(status(401)(a)), FailureKind::Denied, "credentials", "so it is"),
        (|_, a| Ok(status(403)(a)), FailureKind::Denied, "rights", "/Users"),
        (|_, a| Ok(status(404)(a)), FailureKind::NotFound, "base", "https://host/scim/v2"),
        (|_, a| Ok(status(429)(a)), FailureKind::Unavailable, "busy", "too often"),
        (|_, a| Ok(status(503)(a)), FailureKind::Unavailable, "server", "503"),
        (|_, a| Ok(status(400)(a)), FailureKind::Invalid, "refused", "400"),
    ];
    for (spoil, kind, code, words) in cases {
        let failure = fails(spoil);
        assert_eq!((failure.kind(), failure.code()), (kind, code), "{failure:?}");
        assert!(failure.message().contains(words), "{failure:?}");
    }
}

#[test]
fn a_service_that_is_busy_says_when_to_come_again() {
    let failure = fails(|_, answer| Ok(Answer { retry_after: Some("17".to_owned()), ..status(429)(answer) }));
    let same = Failure::unavailable(failure.message()).with_code("busy").retry_after(Duration::from_secs(17));
    assert_eq!(format!("{failure:?}"), format!("{same:?}"));
}

#[test]
fn what_is_no_list_is_no_empty_list() {
    for spoil in [
        (|_, a| Ok(Answer { body: b"<html>".to_vec(), ..a })) as Spoil,
        |_, a| Ok(Answer { body: b"[]".to_vec(), ..a }),
        |_, a| Ok(Answer { body: b"{}".to_vec(), ..a }),
        |_, a| Ok(Answer { body: Vec::new(), ..a }),
        |_, a| Ok(changed(a, |body| body["totalResults"] = json!("thirty"))),
        |_, a| Ok(changed(a, |body| body["Resources"] = json!({}))),
        |_, a| Ok(changed(a, |body| body["Resources"][0] = json!("u1"))),
    ] {
        let failure = fails(spoil);
        assert_eq!((failure.kind(), failure.code()), (FailureKind::Invalid, "protocol"), "{failure:?}");
    }
}

#[test]
fn totals_that_are_not_kept_are_no_end() {
    for spoil in [
        // The second page is empty, the last one is dropped, there are more than was said.
        (|path, a| {
            let empty = path.contains("startIndex=11");
            Ok(changed(a, |body| {
                if empty {
                    body["Resources"] = json!([])
                }
            }))
        }) as Spoil,
        |_, a| Ok(changed(a, |body| body["totalResults"] = json!(31))),
        |_, a| Ok(changed(a, |body| body["totalResults"] = json!(29))),
        |_, a| Ok(changed(a, |body| body["Resources"] = Value::Null)),
    ] {
        let failure = fails(spoil);
        assert_eq!((failure.kind(), failure.code()), (FailureKind::Invalid, "total"), "{failure:?}");
    }
}

#[test]
fn a_list_that_moves_is_read_again_and_given_up_in_the_end() {
    // The same page for ever, and a total that grows with each page.
    for spoil in
        [(|_, a| Ok(changed(a, |body| body["Resources"][0]["id"] = json!("u1")))) as Spoil, |path, a| {
            let start: u64 =
                path.split("startIndex=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
            Ok(changed(a, |body| body["totalResults"] = json!(30 + start)))
        }]
    {
        let failure = fails(spoil);
        assert_eq!(failure.kind(), FailureKind::Changed, "{failure:?}");
    }
    let mut service = Memory::of(30);
    let mut moved = false;
    service.spoil = Box::new(move |path, answer| {
        let first = path.contains("startIndex=11") && !std::mem::replace(&mut moved, true);
        Ok(changed(answer, |body| {
            if first {
                body["Resources"][0]["id"] = json!("u1")
            }
        }))
    });
    let mut host = Recorder::default();
    host.run(json!({ "page_size": 10, "kinds": ["people"] }), &mut service).unwrap();
    assert_eq!(host.known.len(), 30);
}

#[test]
fn a_page_that_is_too_large_is_asked_for_in_smaller_ones() {
    let mut service = Memory::of(30);
    service.spoil = Box::new(|path, answer| match answer.body.len() > 2_000 && path.starts_with("/Users") {
        true => Err(Failure::invalid("too large").with_code("body-size")),
        false => Ok(answer),
    });
    let mut host = Recorder::default();
    host.run(json!({ "kinds": ["people"] }), &mut service).unwrap();
    assert_eq!(host.known.len(), 30);
    service.spoil = Box::new(|_, _| Err(Failure::invalid("too large").with_code("body-size")));
    let failure = host.run(json!({ "kinds": ["people"], "method": "full" }), &mut service).unwrap_err();
    assert_eq!(failure.code(), "body-size");
}

#[test]
fn who_cannot_be_taken_over_is_told_and_stays_and_is_tried_again() {
    let mut service = Memory::of(2);
    let mut host = Recorder::default();
    host.run(json!({}), &mut service).unwrap();
    service.hour = 3;
    service.user("u1", json!({ "userName": "" }));
    service.user("u3", json!({ "id": 7, "userName": "three" }));
    service.user("u4", json!({ "id": "a\u{0}b", "userName": "four" }));
    service.user("u5", json!({ "id": "x".repeat(129), "userName": "five" }));
    service.user("u6", json!({ "title": "x".repeat(5_000) }));
    service.user("u7", json!({ "active": "perhaps" }));
    service.groups.push(json!({ "id": "g1", "displayName": "G", "members": [{ "display": "nobody" }] }));
    service.groups.push(json!({ "id": "g2", "displayName": "G", "members": "u1" }));
    host.run(json!({}), &mut service).unwrap();
    assert_eq!(host.rejected.len(), 8, "{:#?}", host.rejected);
    assert!(host.known.contains_key("u1") && host.known.len() == 2);
    assert_eq!(host.cursor, None);
}

#[test]
fn a_service_that_does_not_filter_as_it_says_is_read_whole() {
    let mut host = Recorder::default();
    let mut service = Memory::of(5);
    let settings = json!({ "kinds": ["people"] });
    for spoil in [
        (|path, a| if path.contains("filter=") { Ok(status(400)(a)) } else { Ok(a) }) as Spoil,
        |path, a| {
            let none = path.contains("filter=");
            Ok(changed(a, |body| {
                if none {
                    *body = json!({ "totalResults": 0 })
                }
            }))
        },
        |_, a| {
            Ok(changed(a, |body| {
                for one in body["Resources"].as_array_mut().into_iter().flatten() {
                    one["meta"] = json!({});
                }
            }))
        },
    ] {
        service.spoil = Box::new(|_, answer| Ok(answer));
        host.run(settings.clone(), &mut service).unwrap();
        service.hour += 2;
        service.user("u1", json!({}));
        service.spoil = Box::new(spoil);
        host.run(settings.clone(), &mut service).unwrap();
        host.puts.sort();
        host.puts.dedup();
        assert_eq!(host.puts.len(), 5);
    }
}
