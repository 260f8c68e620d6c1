//! Contacts: durable before they are answered, folded later, found again after a restart.

use std::time::Duration;

use syncline_domain::{device::SyncKind, ids::DeviceId};
use syncline_store::{Contact, Db, DeviceFilter, LastSequence};

use crate::{
    devices::{enrolled, register},
    lab::{Lab, at, both_engines, dropped_after},
};

const PERIOD: Duration = Duration::from_secs(3_600);

pub fn contact(lab: &Lab, device: DeviceId, sequence: u64) -> Contact {
    Contact {
        device,
        at: lab.now(),
        next: lab.now() + PERIOD,
        silent_after: lab.now() + 3 * PERIOD,
        synced: Some(SyncKind::Periodic),
        instance_uid: [7; 16],
        sequence,
    }
}

pub async fn come(lab: &Lab, db: &Db, device: DeviceId, sequence: u64) {
    db.record_contact(contact(lab, device, sequence)).await.unwrap();
}

const fn last(sequence: u64) -> Option<LastSequence> {
    Some(LastSequence { instance_uid: [7; 16], sequence })
}

both_engines! {
    async fn a_contact_reaches_the_row_by_folding(lab: Lab) {
        let db = lab.open().await;
        let device = register(&lab, &db, "d").await.id;
        come(&lab, &db, device, 1).await;
        let first = lab.now();
        lab.pass(Duration::from_secs(60));
        db.record_contact(Contact { synced: Some(SyncKind::Forced), ..contact(&lab, device, 2) }).await.unwrap();
        assert_eq!(db.device(device).await.unwrap().last_contact, None);
        assert_eq!(db.fold_presence(100).await.unwrap(), 2);
        assert_eq!(db.fold_presence(100).await.unwrap(), 0);
        let stored = db.device(device).await.unwrap();
        assert_eq!(stored.last_contact, Some(lab.now()));
        assert_eq!(stored.next_contact, Some(lab.now() + PERIOD));
        assert_eq!((stored.last_periodic_sync, stored.last_forced_sync), (Some(first), Some(lab.now())));
        assert_eq!((stored.instance_uid, stored.sequence), (Some("07".repeat(16)), 2));
        assert_eq!(stored.status.state, "up-to-date", "it came");

        // A node whose clock is behind does not set the last contact back, and no number is no news.
        let earlier = Contact { at: first, sequence: 0, synced: None, ..contact(&lab, device, 0) };
        db.record_contact(earlier).await.unwrap();
        db.fold_presence(100).await.unwrap();
        let stored = db.device(device).await.unwrap();
        assert_eq!((stored.last_contact, stored.sequence), (Some(lab.now()), 2));
    }

    async fn silence_comes_by_time_alone(lab: Lab) {
        let db = lab.open().await;
        let device = enrolled(&lab, &db, "d").await.id;
        come(&lab, &db, device, 1).await;
        db.fold_presence(100).await.unwrap();
        let over = lab.now() + 3 * PERIOD;
        lab.pass(3 * PERIOD + Duration::from_secs(1));
        let status = db.device(device).await.unwrap().status;
        assert_eq!((status.state.as_str(), status.mark, status.since), ("silent", true, over));
        let silent = DeviceFilter { status: vec!["silent"], ..DeviceFilter::default() };
        assert_eq!(db.device_ids(&silent).await.unwrap(), [device]);
        let counted = db.devices_by_status(&DeviceFilter::default()).await.unwrap();
        assert_eq!(counted, [("silent".to_owned(), 1)]);
        come(&lab, &db, device, 2).await;
        db.fold_presence(100).await.unwrap();
        assert_eq!(db.count_devices(&silent).await.unwrap(), 0);
    }

    async fn the_last_number_is_found_after_a_restart(lab: Lab) {
        let db = lab.open().await;
        let folded = register(&lab, &db, "folded").await.id;
        let logged = register(&lab, &db, "logged").await.id;
        let both = register(&lab, &db, "both").await.id;
        let never = register(&lab, &db, "never").await.id;
        come(&lab, &db, folded, 5).await;
        come(&lab, &db, both, 6).await;
        assert_eq!(db.fold_presence(100).await.unwrap(), 2);
        lab.pass(Duration::from_secs(1));
        come(&lab, &db, both, 7).await;
        come(&lab, &db, logged, 8).await;
        assert_eq!(db.last_sequence(both).await.unwrap(), last(7));
        db.close().await;

        let db = lab.open().await;
        for (device, expected) in [(folded, last(5)), (both, last(7)), (logged, last(8)), (never, None)] {
            assert_eq!(db.last_sequence(device).await.unwrap(), expected);
        }
        assert_eq!(db.last_sequence(DeviceId::new(lab.now())).await.unwrap(), None);
        // The log goes on where it was.
        come(&lab, &db, never, 1).await;
        assert_eq!(db.fold_presence(2).await.unwrap(), 2);
        assert_eq!(db.fold_presence(2).await.unwrap(), 1);
        assert_eq!(db.device(never).await.unwrap().sequence, 1);
    }

    async fn many_contacts_share_a_commit_and_each_is_answered(lab: Lab) {
        let db = lab.open().await;
        let mut devices = Vec::new();
        for number in 0..50 {
            devices.push(register(&lab, &db, &format!("d{number}")).await.id);
        }
        let mut under_way = tokio::task::JoinSet::new();
        for round in 1..=20 {
            for device in &devices {
                let (db, contact) = (db.clone(), contact(&lab, *device, round));
                under_way.spawn(async move { db.record_contact(contact).await });
            }
        }
        while let Some(done) = under_way.join_next().await {
            done.unwrap().unwrap();
        }
        let commits = db.fold_presence(2_000).await.unwrap();
        assert!((1..1_000).contains(&commits), "{commits} commits for 1,000 contacts");
        let seen = DeviceFilter { seen_since: Some(at("2026-01-01T00:00:00Z")), ..DeviceFilter::default() };
        assert_eq!(db.count_devices(&seen).await.unwrap(), 50);
    }

    async fn who_goes_away_takes_no_commit_along(lab: Lab) {
        let db = lab.open().await;
        let device = register(&lab, &db, "d").await.id;
        let other = register(&lab, &db, "other").await.id;
        assert!(dropped_after(1, db.record_contact(contact(&lab, device, 1))).await.is_none());
        come(&lab, &db, other, 1).await;
        db.fold_presence(100).await.unwrap();
        assert!(db.device(device).await.unwrap().last_contact.is_some());
        assert!(db.device(other).await.unwrap().last_contact.is_some());
    }
}
