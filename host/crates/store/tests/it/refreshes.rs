//! Refreshes: one at a time, alone with their collection, and syncs that wait for them.

use std::time::Duration;

use syncline_domain::{
    Name,
    ids::RunId,
    place::{BUILT_IN_STORE, Collection},
    refresh::{CollectionSource, HttpSource, RefreshSchedule, StoreSource, Unlisted},
    run::{Ending, Run, RunState, Subject},
    schedule::{Due, When},
};
use syncline_store::{Claim, Db, Error, Lock, NewRun, Page, RunFilter};

use crate::lab::{LONG, Lab, OVER, both_engines, event, name};

fn new_refresh(lab: &Lab) -> NewRun {
    let lock = |resource: &str, exclusive| Lock { resource: resource.to_owned(), exclusive };
    lab.pass(Duration::from_millis(1));
    NewRun {
        id: RunId::new(lab.now()),
        subject: Subject::Collection(name("patches")),
        locks: vec![lock("collection patches", true), lock("store site", false)],
        ..lab.new_run(&[])
    }
}

async fn refresh(lab: &Lab, db: &Db) -> Run {
    db.enqueue_refresh(&new_refresh(lab), event("run.queued")).await.unwrap().run
}

async fn claimed(db: &Db, run: &Run) -> Claim {
    let claim = db.claim_run(LONG).await.unwrap().unwrap();
    assert_eq!(claim.run.id, run.id);
    claim
}

async fn end(db: &Db, claim: &Claim, ending: &Ending) {
    db.begin_run(claim, None).await.unwrap();
    db.end_attempt(claim, ending, &[]).await.unwrap();
}

/// A sync of the collection, queued now.
async fn sync(lab: &Lab, db: &Db) -> Run {
    lab.enqueue(db, &["collection patches", "!store:target"]).await
}

async fn waiting_for(db: &Db, run: &Run) -> Option<String> {
    assert_eq!(db.claim_run(LONG).await.unwrap(), None);
    let run = db.run(run.id).await.unwrap();
    assert_eq!(run.state, RunState::Queued);
    assert_eq!(run.reason, run.waiting_for.as_ref().map(|what| format!("waits for {what}")));
    run.waiting_for
}

fn source() -> CollectionSource {
    CollectionSource::Http(HttpSource {
        url: "https://example.org/manifest.json".to_owned(),
        secret: Some(name("mirror")),
        user: None,
        certificate_authorities: None,
        parallel: 4,
        unlisted: Unlisted::Remove,
    })
}

/// `patches` with a tick every minute.
async fn scheduled(db: &Db) -> Collection {
    let mut collection = db.collection(&name("patches")).await.unwrap();
    collection.source = source();
    let when = When::Interval { seconds: 60, anchor: None };
    collection.refresh = Some(RefreshSchedule { when, catch_up_seconds: 3_600 });
    db.update_collection(&collection, event("collection.changed")).await.unwrap()
}

both_engines! {
    async fn a_sync_waits_for_a_refresh_and_runs_once_after_it(lab: Lab) {
        let db = lab.with_sync().await;
        let run = refresh(&lab, &db).await;
        let again = db.enqueue_refresh(&new_refresh(&lab), event("run.queued")).await.unwrap();
        assert_eq!((again.run.id, again.is_new), (run.id, false));
        let sync = sync(&lab, &db).await;
        let claim = claimed(&db, &run).await;
        let told = waiting_for(&db, &sync).await.unwrap();
        assert_eq!(told, format!("collection patches is being refreshed by run {}", run.id));
        let again = db.enqueue_refresh(&new_refresh(&lab), event("run.queued")).await.unwrap();
        assert_eq!((again.run.id, again.is_new), (run.id, false));

        end(&db, &claim, &Ending::new(RunState::Succeeded)).await;
        let claim = claimed(&db, &sync).await;
        assert_eq!((claim.run.reason.clone(), claim.run.waiting_for.clone()), (None, None));
        assert_eq!(db.claim_run(LONG).await.unwrap(), None);
        let ended = db.run(run.id).await.unwrap();
        assert_eq!((ended.subject.collection(), ended.plugin_digest), (Some(&name("patches")), None));
        let filter = RunFilter { collection: Some(name("patches")), ..RunFilter::default() };
        assert_eq!(db.runs(&filter, &Page::default()).await.unwrap().items.len(), 1);
    }

    async fn a_refresh_waits_for_who_reads_and_goes_before_who_comes_later(lab: Lab) {
        let db = lab.with_sync().await;
        let reader = sync(&lab, &db).await;
        let claim = claimed(&db, &reader).await;
        let run = refresh(&lab, &db).await;
        let told = waiting_for(&db, &run).await.unwrap();
        assert_eq!(told, format!("collection patches, which is held by run {} of sync s", reader.id));
        let later = lab.enqueue(&db, &["collection patches"]).await;
        assert_eq!(db.claim_run(LONG).await.unwrap(), None);
        end(&db, &claim, &Ending::new(RunState::Succeeded)).await;
        let claim = claimed(&db, &run).await;
        end(&db, &claim, &Ending::new(RunState::Succeeded)).await;
        claimed(&db, &later).await;
    }

    async fn a_refresh_that_failed_or_is_held_lets_others_go(lab: Lab) {
        let db = lab.with_sync().await;
        for state in [RunState::Failed, RunState::Held] {
            let run = refresh(&lab, &db).await;
            let sync = sync(&lab, &db).await;
            let claim = claimed(&db, &run).await;
            waiting_for(&db, &sync).await.unwrap();
            end(&db, &claim, &Ending::new(state)).await;
            let claim = claimed(&db, &sync).await;
            end(&db, &claim, &Ending::new(RunState::Succeeded)).await;
        }
        // The one that is held is under way still.
        assert!(!db.enqueue_refresh(&new_refresh(&lab), event("run.queued")).await.unwrap().is_new);
    }

    async fn between_two_attempts_nobody_reads(lab: Lab) {
        let db = lab.with_sync().await;
        let run = refresh(&lab, &db).await;
        let sync = sync(&lab, &db).await;
        let claim = claimed(&db, &run).await;
        let mut ending = Ending::new(RunState::Queued);
        ending.reason = Some("attempt 1 failed, another one follows".to_owned());
        ending.not_before = lab.now().checked_add(Duration::from_secs(8)).ok();
        end(&db, &claim, &ending).await;
        let told = waiting_for(&db, &sync).await.unwrap();
        assert_eq!(told, format!("collection patches is next for the refresh of run {}", run.id));
        assert_eq!(db.run(run.id).await.unwrap().reason, ending.reason);
        lab.pass(Duration::from_secs(9));
        let claim = claimed(&db, &run).await;
        end(&db, &claim, &Ending::new(RunState::Failed)).await;
        claimed(&db, &sync).await;
    }

    async fn a_node_that_died_leaves_the_order_as_it_was(lab: Lab) {
        let db = lab.with_sync().await;
        let run = refresh(&lab, &db).await;
        let sync = sync(&lab, &db).await;
        let claim = db.claim_run(OVER).await.unwrap().unwrap();
        assert_eq!(claim.run.id, run.id);
        db.begin_run(&claim, None).await.unwrap();
        let taken = db.release_leases_of_node(lab.node).await.unwrap();
        assert_eq!((taken.len(), taken[0].state), (1, RunState::Queued));
        let claim = claimed(&db, &run).await;
        waiting_for(&db, &sync).await.unwrap();
        end(&db, &claim, &Ending::new(RunState::Succeeded)).await;
        claimed(&db, &sync).await;
        assert_eq!(db.claim_run(LONG).await.unwrap(), None);
    }

    async fn one_that_is_asked_to_end_is_followed_by_another(lab: Lab) {
        let db = lab.with_sync().await;
        let run = refresh(&lab, &db).await;
        let claim = claimed(&db, &run).await;
        db.begin_run(&claim, None).await.unwrap();
        db.cancel_run(run.id, "tester", event("run.cancel-asked")).await.unwrap();
        let next = db.enqueue_refresh(&new_refresh(&lab), event("run.queued")).await.unwrap();
        assert!(next.is_new);
        db.end_attempt(&claim, &Ending::new(RunState::Cancelled), &[]).await.unwrap();
        claimed(&db, &next.run).await;
    }

    async fn a_tick_is_a_refresh_once(lab: Lab) {
        let db = lab.with_sync().await;
        let collection = scheduled(&db).await;
        assert_eq!(db.due_refreshes(lab.now()).await.unwrap(), []);
        lab.pass(Duration::from_secs(61));
        let found = db.due_refreshes(lab.now()).await.unwrap();
        let [(due_one, tick)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(*due_one, collection);
        let next = tick.checked_add(Duration::from_secs(60)).ok();
        let due = Due { run: Some(*tick), next, ..Due::default() };
        let fired = db.fire_refresh(&collection, *tick, &due, Some(&new_refresh(&lab))).await.unwrap().unwrap();
        assert!(fired.is_new);
        let twice = db.fire_refresh(&collection, *tick, &due, Some(&new_refresh(&lab))).await.unwrap();
        assert_eq!(twice, None);
        assert_eq!(db.due_refreshes(lab.now()).await.unwrap(), []);

        // One that has not ended takes the next tick with it.
        lab.pass(Duration::from_secs(60));
        let tick = next.unwrap();
        let due = Due { run: Some(tick), next: None, ..Due::default() };
        let fired = db.fire_refresh(&collection, tick, &due, Some(&new_refresh(&lab))).await.unwrap().unwrap();
        assert!(!fired.is_new);
        assert_eq!(db.due_refreshes(lab.now()).await.unwrap(), []);
        let stored = db.collection(&name("patches")).await.unwrap();
        assert_eq!(stored, collection, "ticks are no changes");
    }

    async fn what_is_used_stays(lab: Lab) {
        let db = lab.with_sync().await;
        let free = db.add_collection(&lab.collection("free", "site"), event("collection.created")).await.unwrap();
        let subject = Subject::Collection(free.name.clone());
        let new = NewRun { subject, ..new_refresh(&lab) };
        let run = db.enqueue_refresh(&new, event("run.queued")).await.unwrap().run;
        let used = db.remove_collection(&free.name, event("x")).await.unwrap_err();
        assert!(matches!(&used, Error::InUse { by, .. } if *by == [format!("run {}", run.id)]), "{used}");
        db.cancel_run(run.id, "tester", event("run.cancelled")).await.unwrap();
        db.remove_collection(&free.name, event("x")).await.unwrap();

        db.add_store(&lab.store("mirror"), event("store.registered")).await.unwrap();
        let mut collection = db.collection(&name("patches")).await.unwrap();
        let from = |store: &str| {
            let store: Name = name(store);
            CollectionSource::Store(StoreSource { store, prefix: Default::default(), unlisted: Unlisted::Keep })
        };
        collection.source = from("nowhere");
        let missing = db.update_collection(&collection, event("x")).await.unwrap_err();
        assert!(matches!(missing, Error::NotFound { what: "store", .. }), "{missing}");
        collection.source = from("mirror");
        db.update_collection(&collection, event("x")).await.unwrap();
        let used = db.remove_store(&name("mirror"), event("x")).await.unwrap_err();
        assert!(matches!(&used, Error::InUse { by, .. } if *by == ["collection patches"]), "{used}");
    }

    async fn the_library_is_made_once_and_gives_way(lab: Lab) {
        let db = lab.open().await;
        let made = |collection: &str| {
            Collection { as_made: true, ..lab.collection(collection, BUILT_IN_STORE) }
        };
        let collections = [made("patches"), made("engines")];
        assert!(!db.has_library().await.unwrap());
        let store = lab.store(BUILT_IN_STORE);
        assert!(db.make_library(&store, &collections, event("library.made")).await.unwrap());
        assert!(db.has_library().await.unwrap());
        db.remove_collection(&name("engines"), event("x")).await.unwrap();
        assert!(!db.make_library(&store, &collections, event("library.made")).await.unwrap());
        let names = |all: Vec<Collection>| all.into_iter().map(|one| one.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(db.collections().await.unwrap()), ["patches"]);

        // One's own takes its place, and gives it to nobody.
        db.add_store(&lab.store("site"), event("store.registered")).await.unwrap();
        let own = lab.collection("patches", "site");
        let stored = db.add_collection(&own, event("collection.created")).await.unwrap();
        assert_eq!((stored.store, stored.as_made, stored.revision), (name("site"), false, 1));
        let again = db.add_collection(&own, event("collection.created")).await.unwrap_err();
        assert!(matches!(again, Error::Exists { .. }), "{again}");
    }
}
