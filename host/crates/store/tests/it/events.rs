//! The Event History: numbers without gaps, filters, following, pruning.

use std::time::Duration;

use syncline_domain::{
    event::NewEvent,
    ids::{DeviceId, RunId},
    log::LogLevel,
};
use syncline_store::{Db, Error, EventFilter, Page};

use crate::lab::{Lab, both_engines, event, name};

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

    async fn old_events_go_and_numbers_go_on(lab: Lab) {
        let db = lab.open().await;
        for number in 0..10 {
            db.append_event(event(&format!("n{number}"))).await.unwrap();
            lab.pass(Duration::from_secs(1));
        }
        let three_gone = lab.now().checked_sub(Duration::from_secs(7)).unwrap();
        assert_eq!(db.prune_events(three_gone, 1_000).await.unwrap(), 3);
        assert_eq!(db.prune_events(three_gone, 5).await.unwrap(), 2);
        assert_eq!(db.prune_events(three_gone, u64::MAX).await.unwrap(), 0);
        let left: Vec<_> = db.events_after(0, 100).await.unwrap().iter().map(|event| event.seq).collect();
        assert_eq!(left, [6, 7, 8, 9, 10]);
        assert_eq!(db.append_event(event("next")).await.unwrap().seq, 11);
    }
}
