//! The Event History: numbers without gaps, filters, following, pruning.

use std::time::Duration;

use jiff::Timestamp;
use syncline_domain::{
    event::NewEvent,
    ids::{DeviceId, NodeId, RunId},
    log::LogLevel,
    run::{Ending, RunState},
};
use syncline_store::{Db, Error, EventFilter, Page};

use crate::lab::{LONG, Lab, both_engines, event, name};

async fn kinds(db: &Db, filter: EventFilter) -> Vec<String> {
    let events = db.events(&filter, &Page::default()).await.unwrap();
    events.items.into_iter().map(|event| event.event.kind).collect()
}

both_engines! {
    async fn an_event_reads_back_whole(lab: Lab) {
        let db = lab.open().await;
        let run = RunId::new(lab.now());
        let new = NewEvent::new("run.failed", "tester", "The run failed.")
            .level(LogLevel::Error)
            .run(run, &name("s"))
            .store(&name("site"))
            .collection(&name("patches"))
            .collection(&name("my_own"))
            .plugin(&name("p"))
            .device(DeviceId::new(lab.now()))
            .data(serde_json::json!({ "counts": { "copied": 1 } }));
        let written = db.append_event(new.clone()).await.unwrap();
        assert_eq!((written.seq, written.at, written.node), (1, lab.now(), lab.node));
        assert_eq!(written.event, new);
        assert_eq!(db.events(&EventFilter::default(), &Page::default()).await.unwrap().items, [written]);
    }

    async fn filters_meet(lab: Lab) {
        let db = lab.open().await;
        let run = RunId::new(lab.now());
        db.append_event(event("run.queued").run(run, &name("s"))).await.unwrap();
        lab.pass(Duration::from_secs(10));
        let later = lab.now();
        db.append_event(event("run.failed").sync(&name("s")).level(LogLevel::Error)).await.unwrap();
        db.append_event(event("runner.x").plugin(&name("p")).level(LogLevel::Warn)).await.unwrap();
        db.append_event(NewEvent::new("store.added", "other", "x").store(&name("site"))).await.unwrap();
        let all = EventFilter::default;
        assert_eq!(kinds(&db, all()).await, ["store.added", "runner.x", "run.failed", "run.queued"]);
        assert_eq!(kinds(&db, EventFilter { kind: Some("run.".to_owned()), ..all() }).await, ["run.failed", "run.queued"]);
        assert_eq!(kinds(&db, EventFilter { kind: Some("run".to_owned()), ..all() }).await, [""; 0]);
        assert_eq!(kinds(&db, EventFilter { kind: Some("run.failed".to_owned()), ..all() }).await, ["run.failed"]);
        assert_eq!(kinds(&db, EventFilter { run: Some(run), ..all() }).await, ["run.queued"]);
        assert_eq!(kinds(&db, EventFilter { sync: Some(name("s")), ..all() }).await, ["run.failed", "run.queued"]);
        assert_eq!(kinds(&db, EventFilter { store: Some(name("site")), ..all() }).await, ["store.added"]);
        assert_eq!(kinds(&db, EventFilter { plugin: Some(name("p")), ..all() }).await, ["runner.x"]);
        let device = DeviceId::new(lab.now());
        db.append_event(event("device.enrolled").device(device)).await.unwrap();
        assert_eq!(kinds(&db, EventFilter { device: Some(device), ..all() }).await, ["device.enrolled"]);
        assert_eq!(kinds(&db, EventFilter { actor: Some("other".to_owned()), ..all() }).await, ["store.added"]);
        assert_eq!(kinds(&db, EventFilter { node: Some(lab.node), ..all() }).await.len(), 5);
        assert_eq!(kinds(&db, EventFilter { node: Some(NodeId::new(lab.now())), ..all() }).await, [""; 0]);
        let pressing = EventFilter { level: Some(LogLevel::Warn), ..all() };
        assert_eq!(kinds(&db, pressing).await, ["runner.x", "run.failed"]);
        assert_eq!(kinds(&db, EventFilter { before: Some(later), ..all() }).await, ["run.queued"]);
        assert_eq!(kinds(&db, EventFilter { after: Some(later), ..all() }).await.len(), 4);
        let both = EventFilter { after: Some(later), sync: Some(name("s")), ..all() };
        assert_eq!(kinds(&db, both).await, ["run.failed"]);
    }

    async fn pages_and_followers_see_each_event_once(lab: Lab) {
        let db = lab.open().await;
        let mut signal = db.event_signal();
        assert_eq!(*signal.borrow_and_update(), 0);
        for number in 1..=25 {
            db.append_event(event(&format!("n{number}"))).await.unwrap();
        }
        signal.changed().await.unwrap();
        assert_eq!(*signal.borrow_and_update(), 25);
        let mut seqs = Vec::new();
        let mut page = Page::first(7);
        loop {
            let events = db.events(&EventFilter::default(), &page).await.unwrap();
            seqs.extend(events.items.iter().map(|event| event.seq));
            page.after = events.next;
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(seqs, (1..=25).rev().collect::<Vec<_>>());
        let followed: Vec<_> = db.events_after(20, 3).await.unwrap().iter().map(|event| event.seq).collect();
        assert_eq!(followed, [21, 22, 23]);
        let page = Page { limit: 1, after: Some("x".to_owned()) };
        assert!(matches!(db.events(&EventFilter::default(), &page).await.unwrap_err(), Error::Cursor(_)));
    }

    async fn numbers_have_no_gaps_and_no_late_comers_under_concurrency(lab: Lab) {
        let db = lab.with_sync().await;
        let other = lab.second(&db).await;
        let begin = db.last_event().await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        const TASKS: i64 = 8;
        const EACH: i64 = 15;
        for task in 0..TASKS {
            let db = if task % 2 == 0 { db.clone() } else { other.clone() };
            let sync = lab.sync("s");
            tasks.spawn(async move {
                for _ in 0..EACH {
                    db.append_event(event("one")).await.unwrap();
                    // A change that fails takes no number with it.
                    db.add_sync(&sync, event("sync.added")).await.unwrap_err();
                }
            });
        }
        // Whoever follows the numbers misses nothing: what it has seen up to a number is all there will ever be.
        let mut seen = begin;
        while seen < begin + TASKS * EACH {
            for event in db.events_after(seen, 1_000).await.unwrap() {
                assert_eq!(event.seq, seen + 1);
                seen = event.seq;
            }
            tokio::task::yield_now().await;
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        assert_eq!(db.last_event().await.unwrap(), seen);
    }

    async fn a_collection_is_found_beside_others_and_by_its_own_name_alone(lab: Lab) {
        let db = lab.open().await;
        db.append_event(event("both").collection(&name("my_own")).collection(&name("patches"))).await.unwrap();
        db.append_event(event("alike").collection(&name("my-own"))).await.unwrap();
        db.append_event(event("longer").collection(&name("patches-2"))).await.unwrap();
        db.append_event(event("none")).await.unwrap();
        let of = |collection: &str| EventFilter { collection: Some(name(collection)), ..EventFilter::default() };
        assert_eq!(kinds(&db, of("patches")).await, ["both"]);
        assert_eq!(kinds(&db, of("my_own")).await, ["both"]);
        assert_eq!(kinds(&db, of("own")).await, [""; 0]);
    }

    async fn an_event_about_a_sync_is_about_the_collections_that_it_reads(lab: Lab) {
        let db = lab.with_sync().await;
        db.append_event(event("test").sync(&name("s"))).await.unwrap();
        db.append_event(event("test").sync(&name("gone"))).await.unwrap();
        let of = EventFilter { collection: Some(name("patches")), ..EventFilter::default() };
        assert_eq!(kinds(&db, of).await, ["test"]);
    }

    async fn whoever_follows_is_given_what_the_list_gives(lab: Lab) {
        let db = lab.with_sync().await;
        let run = lab.enqueue(&db, &[]).await.id;
        let device = DeviceId::new(lab.now());
        db.append_event(event("run.failed").run(run, &name("s")).level(LogLevel::Error)).await.unwrap();
        db.append_event(event("device.enrolled").device(device).plugin(&name("p"))).await.unwrap();
        lab.pass(Duration::from_secs(10));
        db.append_event(NewEvent::new("store.added", "other", "x").store(&name("site"))).await.unwrap();
        let everything = db.events(&EventFilter::default(), &Page::first(1_000)).await.unwrap().items;
        let all = EventFilter::default;
        let filters = [
            all(),
            EventFilter { after: Some(lab.now()), ..all() },
            EventFilter { before: Some(lab.now()), ..all() },
            EventFilter { store: Some(name("site")), ..all() },
            EventFilter { collection: Some(name("patches")), ..all() },
            EventFilter { sync: Some(name("s")), ..all() },
            EventFilter { node: Some(lab.node), ..all() },
            EventFilter { node: Some(NodeId::new(lab.now())), ..all() },
            EventFilter { run: Some(run), ..all() },
            EventFilter { plugin: Some(name("p")), ..all() },
            EventFilter { device: Some(device), ..all() },
            EventFilter { kind: Some("run.".to_owned()), ..all() },
            EventFilter { kind: Some("run".to_owned()), ..all() },
            EventFilter { actor: Some("other".to_owned()), ..all() },
            EventFilter { level: Some(LogLevel::Warn), ..all() },
        ];
        for filter in filters {
            let listed = db.events(&filter, &Page::first(1_000)).await.unwrap().items;
            let wanted: Vec<_> = everything.iter().filter(|event| filter.wants(event)).cloned().collect();
            assert_eq!(listed, wanted, "{filter:?}");
        }
    }

    async fn old_events_go_and_numbers_go_on(lab: Lab) {
        let db = lab.open().await;
        for number in 0..10 {
            db.append_event(event(&format!("n{number}"))).await.unwrap();
            lab.pass(Duration::from_secs(1));
        }
        let three_gone = lab.now().checked_sub(Duration::from_secs(7)).unwrap();
        assert_eq!(db.prune_events(three_gone, 1_000, 2).await.unwrap(), 2, "no more than a batch");
        assert_eq!(db.prune_events(three_gone, 1_000, 2).await.unwrap(), 1);
        assert_eq!(db.prune_events(three_gone, 7, 100).await.unwrap(), 2, "12 were written, and 3 are gone");
        assert_eq!(db.prune_events(three_gone, u64::MAX, 100).await.unwrap(), 0);
        let left = db.events_after(0, 100).await.unwrap();
        assert_eq!(left.iter().map(|event| event.seq).collect::<Vec<_>>(), (6..=13).collect::<Vec<_>>());
        // What was removed is written down, each time.
        let told: Vec<_> = left.iter().filter(|event| event.event.kind == "events.pruned").collect();
        let data: Vec<_> = told.iter().map(|event| event.event.data.clone()).collect();
        assert_eq!(data, [
            serde_json::json!({ "removed": 2, "from": 1, "to": 2 }),
            serde_json::json!({ "removed": 1, "from": 3, "to": 3 }),
            serde_json::json!({ "removed": 2, "from": 4, "to": 5 }),
        ]);
        assert_eq!(db.append_event(event("next")).await.unwrap().seq, 14);
        // Not for ever: removing these lines alone is no news.
        assert_eq!(db.prune_events(Timestamp::MAX, 1_000, 5).await.unwrap(), 5);
        assert_eq!(db.prune_events(Timestamp::MAX, 1_000, 3).await.unwrap(), 3);
        assert_eq!(db.last_event().await.unwrap(), 15);
    }

    async fn events_of_runs_that_have_not_ended_stay(lab: Lab) {
        let db = lab.with_sync().await;
        let running = lab.running(&db, LONG).await;
        let held = lab.enqueue(&db, &[]).await;
        let ended = lab.enqueue(&db, &[]).await;
        db.cancel_run(ended.id, "tester", event("run.cancelled").run(ended.id, &name("s"))).await.unwrap();
        db.tell_of_run(&running, vec![event("target.started").run(running.run.id, &name("s"))]).await.unwrap();
        for run in [running.run.id, held.id] {
            db.append_event(event("run.told").run(run, &name("s"))).await.unwrap();
        }
        let before = kinds(&db, EventFilter { run: Some(running.run.id), ..EventFilter::default() }).await;
        assert!(before.len() >= 2, "{before:?}");
        while db.prune_events(Timestamp::MAX, 0, 2).await.unwrap() == 2 {}
        let of = |run| EventFilter { run: Some(run), ..EventFilter::default() };
        assert_eq!(kinds(&db, of(running.run.id)).await, before);
        assert_eq!(kinds(&db, of(held.id)).await, ["run.told"]);
        assert_eq!(kinds(&db, of(ended.id)).await, [""; 0]);
        // Once the run has ended, its events are like any other.
        db.end_attempt(&running, &Ending::new(RunState::Succeeded), &[]).await.unwrap();
        db.prune_events(Timestamp::MAX, 0, 100).await.unwrap();
        assert_eq!(kinds(&db, of(running.run.id)).await, [""; 0]);
    }
}
