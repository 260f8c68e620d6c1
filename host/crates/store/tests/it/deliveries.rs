//! Deliveries and documents, applications and policies.

use std::time::Duration;

use serde_json::json;
use syncline_domain::{
    Failure,
    device::{
        Deadlines, DeliveryState, DocumentDigest, Observation, ReportStatus,
        policy::{Application, ApplicationSpec, Place, PolicySpec},
        selection::Condition,
    },
    ids::DeviceId,
};
use syncline_store::{Db, DeliveryKey, DeviceFilter, Error, Page, PolicyChange, Seen, document_digest};

use crate::{
    devices::{add_groups, enrolled, group, register},
    lab::{Lab, both_engines, event, name},
};

fn digest(text: &str) -> DocumentDigest {
    document_digest(text.as_bytes()).unwrap()
}

fn seen(device: DeviceId, application: &str, observation: Observation) -> Seen {
    Seen { key: DeliveryKey { device, application: name(application) }, observation }
}

fn wanted(device: DeviceId, text: &str, version: u64) -> Seen {
    seen(
        device,
        "app",
        Observation::Wanted { digest: digest(text), version, basis: Some("policies".to_owned()) },
    )
}

async fn observe(db: &Db, all: &[Seen]) -> Vec<DeliveryState> {
    let changed = db.observe_deliveries(all, &Deadlines::default()).await.unwrap();
    changed.into_iter().map(|(_, delivery)| delivery.state).collect()
}

async fn status(db: &Db, device: DeviceId) -> String {
    db.device(device).await.unwrap().status.state
}

async fn application(db: &Db, application: &str) -> Application {
    let spec = ApplicationSpec {
        plugin: name("device-policy"),
        schema: Some(json!({ "type": "object" })),
        defaults: json!({ "a": 1 }),
        description: String::new(),
    };
    db.add_application(&name(application), &spec, event("application.added")).await.unwrap()
}

fn policy(place: Place, settings: serde_json::Value) -> PolicySpec {
    PolicySpec { application: name("app"), place, settings, locks: vec!["/a".to_owned()], enabled: true }
}

both_engines! {
    async fn a_delivery_is_kept_whole_and_colours_its_device(lab: Lab) {
        let db = lab.open().await;
        let device = enrolled(&lab, &db, "d").await.id;
        crate::presence::come(&lab, &db, device, 1).await;
        db.fold_presence(10).await.unwrap();
        assert_eq!(status(&db, device).await, "up-to-date");
        assert_eq!(observe(&db, &[wanted(device, "x", 1)]).await, [DeliveryState::Pending]);
        assert_eq!(status(&db, device).await, "changed");
        assert_eq!(observe(&db, &[wanted(device, "x", 1)]).await, [], "what changes nothing is not written");
        observe(&db, &[seen(device, "app", Observation::Offered)]).await;
        assert_eq!(status(&db, device).await, "offered");
        lab.pass(Duration::from_secs(1));
        let failed = Observation::Reported {
            status: ReportStatus::Failed, digest: Some(digest("x")), message: Some("it's \"no\" use".to_owned()),
        };
        let changed = db.observe_deliveries(&[seen(device, "app", failed)], &Deadlines::default()).await.unwrap();
        assert_eq!(db.deliveries_of(device).await.unwrap(), [(name("app"), changed[0].1.clone())]);
        assert_eq!(changed[0].1.error.as_deref(), Some("it's \"no\" use"));
        let coloured = db.device(device).await.unwrap().status;
        assert_eq!((coloured.state.as_str(), coloured.since), ("failed", lab.now()));
        let filter = DeviceFilter { delivery: Some(DeliveryState::Failed), ..DeviceFilter::default() };
        assert_eq!(db.device_ids(&filter).await.unwrap(), [device]);

        // Several steps at once, and the time of delivery.
        let steps = [
            seen(device, "app", Observation::Retry),
            seen(device, "app", Observation::Offered),
            seen(device, "app", Observation::Effective { digest: Some(digest("x")) }),
            seen(device, "none", Observation::Offered),
        ];
        assert_eq!(observe(&db, &steps).await, [DeliveryState::Verified]);
        let (_, delivery) = db.deliveries_of(device).await.unwrap().remove(0);
        assert_eq!((delivery.delivered_at, delivery.held_version, delivery.attempt), (Some(lab.now()), Some(1), 1));
        assert_eq!(status(&db, device).await, "up-to-date");
        let gone = seen(device, "app", Observation::Withdraw { version: 2 });
        assert_eq!(observe(&db, &[gone]).await, [DeliveryState::Withdrawing]);
    }

    async fn a_failed_resolve_is_shown_until_it_works(lab: Lab) {
        let db = lab.open().await;
        let device = enrolled(&lab, &db, "d").await.id;
        crate::presence::come(&lab, &db, device, 1).await;
        db.fold_presence(10).await.unwrap();
        application(&db, "app").await;
        let key = DeliveryKey { device, application: name("app") };
        let failure = |code| Some(Failure::plugin(code, "It says \"no\"."));
        let since = lab.now();
        db.set_resolve_failures(&[(key.clone(), failure("one"))]).await.unwrap();
        lab.pass(Duration::from_secs(1));
        let unknown = DeliveryKey { device: DeviceId::new(lab.now()), ..key.clone() };
        db.set_resolve_failures(&[(key.clone(), failure("two")), (unknown, failure("x"))]).await.unwrap();
        let told = db.resolve_failures_of(device).await.unwrap();
        assert_eq!(told, [(name("app"), failure("two").unwrap(), since)]);
        assert_eq!(status(&db, device).await, "failed");
        db.set_resolve_failures(&[(key.clone(), None)]).await.unwrap();
        assert_eq!(status(&db, device).await, "up-to-date");
        db.set_resolve_failures(&[(key, failure("one"))]).await.unwrap();
        db.remove_application(&name("app"), event("x")).await.unwrap();
        assert_eq!(status(&db, device).await, "up-to-date");
    }

    async fn writers_on_the_same_devices_wait_and_never_block(lab: Lab) {
        let db = lab.open().await;
        let mut devices = Vec::new();
        for number in 0..40 {
            devices.push(enrolled(&lab, &db, &format!("d{number}")).await.id);
        }
        let publish: Vec<_> = devices.iter().map(|device| wanted(*device, "x", 1)).collect();
        observe(&db, &publish).await;
        let other = lab.second(&db).await;
        let mut under_way = tokio::task::JoinSet::new();
        for round in 0..20_u64 {
            let (db, turned) = (if round.is_multiple_of(2) { db.clone() } else { other.clone() }, devices.clone());
            let contacts: Vec<_> =
                devices.iter().map(|device| crate::presence::contact(&lab, *device, round + 1)).collect();
            under_way.spawn(async move {
                let turned = turned.into_iter().rev();
                let all: Vec<_> = turned.map(|device| wanted(device, &format!("{round}"), round + 2)).collect();
                for contact in contacts {
                    db.record_contact(contact).await.unwrap();
                }
                db.observe_deliveries(&all, &Deadlines::default()).await.unwrap();
                db.fold_presence(7).await.unwrap();
            });
        }
        while let Some(done) = under_way.join_next().await {
            done.unwrap();
        }
        while db.fold_presence(100).await.unwrap() == 100 {}
        let all = db.deliveries_of_devices(&devices).await.unwrap();
        assert!(all.iter().all(|(_, delivery)| delivery.wanted_version == 21), "the latest wins");
        assert_eq!(db.devices_by_status(&DeviceFilter::default()).await.unwrap(), [("changed".to_owned(), 40)]);
    }

    async fn what_is_overdue_is_found_and_counted(lab: Lab) {
        let db = lab.open().await;
        let first = enrolled(&lab, &db, "a").await.id;
        let second = enrolled(&lab, &db, "b").await.id;
        observe(&db, &[wanted(first, "x", 1), wanted(second, "x", 1)]).await;
        observe(&db, &[seen(second, "app", Observation::Offered)]).await;
        assert_eq!(db.overdue_deliveries(10).await.unwrap(), []);
        lab.pass(Duration::from_secs(400));
        let overdue = db.overdue_deliveries(10).await.unwrap();
        assert_eq!(overdue, [DeliveryKey { device: second, application: name("app") }]);
        assert_eq!(observe(&db, &[seen(second, "app", Observation::DeadlinePassed)]).await, [DeliveryState::Pending]);
        let counts = db.count_deliveries(Some(&name("app"))).await.unwrap();
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [("pending".to_owned(), 2)]);
        let page = db.deliveries(None, Some(DeliveryState::Pending), &Page::first(1)).await.unwrap();
        let rest = db.deliveries(None, None, &Page { limit: 1, after: page.next }).await.unwrap();
        assert_eq!((page.items[0].0.device, rest.items[0].0.device, rest.next), (first, second, None));
    }

    async fn thousands_are_published_at_once(lab: Lab) {
        let db = lab.open().await;
        let mut devices = Vec::new();
        for number in 0..300 {
            devices.push(register(&lab, &db, &format!("d{number}")).await.id);
        }
        let all: Vec<_> = devices.iter().map(|device| wanted(*device, "x", 1)).collect();
        assert_eq!(observe(&db, &all).await.len(), 300);
        assert_eq!(observe(&db, &all).await.len(), 0);
        assert_eq!(db.deliveries_of_devices(&devices[..7]).await.unwrap().len(), 7);
        let unknown = DeviceId::new(lab.now());
        assert_eq!(observe(&db, &[wanted(unknown, "x", 1)]).await, [], "a device that is not there");
    }

    async fn documents_are_kept_while_someone_needs_them(lab: Lab) {
        let db = lab.open().await;
        let device = enrolled(&lab, &db, "d").await.id;
        let used = db.add_document("application/json", b"{}").await.unwrap();
        assert_eq!(db.add_document("application/json", b"{}").await.unwrap(), used);
        let unused = db.add_document("text/plain", b"x").await.unwrap();
        assert_eq!(db.document(&unused).await.unwrap().body, b"x");
        let published = Observation::Wanted { digest: used.clone(), version: 1, basis: None };
        observe(&db, &[seen(device, "app", published)]).await;
        assert_eq!(db.prune_documents(lab.now()).await.unwrap(), 0);
        lab.pass(Duration::from_secs(1));
        assert_eq!(db.prune_documents(lab.now()).await.unwrap(), 1);
        assert!(db.document(&used).await.is_ok());
        assert!(matches!(db.document(&unused).await.unwrap_err(), Error::NotFound { what: "document", .. }));
    }

    async fn applications_and_selections_are_kept(lab: Lab) {
        let db = lab.open().await;
        let app = application(&db, "app").await;
        assert!(matches!(
            db.add_application(&name("app"), &app.spec, event("x")).await.unwrap_err(),
            Error::Exists { .. }
        ));
        assert_eq!(db.application(&name("app")).await.unwrap(), app);
        let changed = db.update_application(&app, event("x")).await.unwrap();
        assert_eq!(changed.revision, 2);
        assert!(matches!(db.update_application(&app, event("x")).await.unwrap_err(), Error::Stale { .. }));

        let condition = Condition::from_value(&json!({ "fact": { "name": "os.type", "equals": "linux" } })).unwrap();
        let selection = db.add_selection(&name("linux"), &condition, "", event("x")).await.unwrap();
        assert_eq!(db.selection(&name("linux")).await.unwrap(), selection);
        db.update_selection(&selection, event("x")).await.unwrap();
        assert!(matches!(db.update_selection(&selection, event("x")).await.unwrap_err(), Error::Stale { .. }));

        let place = Place::Selection { name: name("linux"), priority: -5 };
        let made = db.add_policy(&policy(place.clone(), json!({})), "", event("x")).await.unwrap();
        assert_eq!(made.spec.place, place);
        assert!(matches!(db.remove_selection(&name("linux"), event("x")).await.unwrap_err(), Error::InUse { .. }));
        assert!(matches!(db.remove_application(&name("app"), event("x")).await.unwrap_err(), Error::InUse { .. }));
        db.remove_policy(made.id, event("x")).await.unwrap();
        db.remove_selection(&name("linux"), event("x")).await.unwrap();
        db.remove_application(&name("app"), event("x")).await.unwrap();
        assert_eq!((db.applications().await.unwrap().len(), db.selections().await.unwrap().len()), (0, 0));
    }

    async fn policies_have_versions_and_a_way_back(lab: Lab) {
        let db = lab.open().await;
        application(&db, "app").await;
        add_groups(&db, &["/a"]).await;
        let in_group = |settings| policy(Place::Group(group("/a")), settings);
        let first = db.add_policy(&in_group(json!({ "n": 1 })), "first", event("policy.added")).await.unwrap();
        lab.pass(Duration::from_secs(1));
        let change = PolicyChange { from: 1, spec: in_group(json!({ "n": 2 })), note: "more".to_owned() };
        let second = db.change_policy(first.id, &change, event("policy.changed")).await.unwrap();
        assert_eq!((second.version, second.updated_at), (2, lab.now()));
        assert!(matches!(db.change_policy(first.id, &change, event("x")).await.unwrap_err(), Error::Stale { .. }));
        let back = db.roll_back_policy(first.id, 2, 1, "again", event("policy.rolled-back")).await.unwrap();
        assert_eq!((back.version, back.spec.settings.clone()), (3, json!({ "n": 1 })));
        let versions = db.policy_versions(first.id, &Page::default()).await.unwrap().items;
        let told: Vec<_> = versions.iter().map(|one| (one.version, one.note.as_str(), one.restored_from)).collect();
        assert_eq!(told, [(3, "again", Some(1)), (2, "more", None), (1, "first", None)]);
        assert_eq!((versions[0].actor.as_str(), &versions[0].spec), ("tester", &versions[2].spec));
        assert_eq!(db.policies(Some(&name("app"))).await.unwrap(), [back]);

        assert!(matches!(db.remove_group(&group("/a"), event("x")).await.unwrap_err(), Error::InUse { .. }));
        db.move_group(&group("/a"), &group("/b"), event("x")).await.unwrap();
        assert_eq!(db.policy(first.id).await.unwrap().spec.place, Place::Group(group("/b")));
        for (spec, says) in [
            (policy(Place::Group(group("/none")), json!({})), "no group"),
            (policy(Place::Selection { name: name("none"), priority: 0 }, json!({})), "no selection"),
            (policy(Place::Device(DeviceId::new(lab.now())), json!({})), "no device"),
            (policy(Place::Group(group("/b")), json!(1)), "must be a JSON object"),
            (PolicySpec { application: name("none"), ..in_group(json!({})) }, "no application"),
        ] {
            let refused = db.add_policy(&spec, "", event("x")).await.unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
