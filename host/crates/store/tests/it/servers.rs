//! Distribution servers, what is left of them for later, syncs that go with a schedule, schedules run at once.

use std::time::Duration;

use syncline_domain::{
    ids::{OperationId, RunId, ScheduleId},
    run::{Ending, Left, RunState, Subject, Waits},
    schedule::{Owner, RunNow, RunNowEntry, Schedule},
    server::{DistributionServer, ServerSpec},
    sync::{MadeBy, Sync},
};
use syncline_store::{Db, Error, NewRun, ServerRemoval};

use crate::lab::{LONG, Lab, both_engines, event, name};

const MINUTE: Duration = Duration::from_secs(60);

fn server(lab: &Lab, server: &str, store: &str) -> DistributionServer {
    DistributionServer {
        name: name(server),
        store: name(store),
        spec: ServerSpec {
            components: vec![name("patches")],
            site: Some(name("north")),
            ..ServerSpec::default()
        },
        brought_store: false,
        created_at: lab.now(),
        revision: 1,
    }
}

async fn with_server(lab: &Lab) -> Db {
    let db = lab.with_sync().await;
    db.add_server(&server(lab, "north", "site"), None, vec![event("server.added")]).await.unwrap();
    db
}

fn made(lab: &Lab) -> (Sync, Schedule) {
    let id = ScheduleId::new(lab.now());
    let made_by = MadeBy { schedule: id, components: vec![name("patches")], servers: vec![name("north")] };
    let sync = Sync { made_by: Some(made_by), ..lab.sync("made") };
    let spec = serde_json::json!({ "sync": "made", "when": { "kind": "interval", "seconds": 60 } });
    let next = lab.now().checked_add(MINUTE).ok();
    let schedule = Schedule {
        id,
        spec: serde_json::from_value(spec).unwrap(),
        owner: Owner::Cluster,
        created_at: lab.now(),
        next_nominal: next,
        next_run: next,
        last_nominal: None,
        revision: 1,
    };
    (sync, schedule)
}

fn left(lab: &Lab, after: Duration, reason: &str) -> Left {
    let until = lab.now().checked_add(after).unwrap();
    Left { target: name("site"), waits: Some(Waits { until, reason: reason.to_owned() }) }
}

/// A run of `s` that ends and leaves this.
async fn ends_with(lab: &Lab, db: &Db, backlog: Vec<Left>) -> RunId {
    let claim = lab.running(db, LONG).await;
    let ending = Ending { backlog, ..Ending::new(RunState::Partial) };
    db.end_attempt(&claim, &ending, &[]).await.unwrap();
    claim.run.id
}

both_engines! {
    async fn a_server_reads_back_changes_and_goes(lab: Lab) {
        let db = with_server(&lab).await;
        let known = server(&lab, "north", "site");
        assert_eq!(db.servers().await.unwrap(), std::slice::from_ref(&known));
        let twice = db.add_server(&known, None, vec![]).await.unwrap_err();
        assert!(matches!(twice, Error::Exists { what: "distribution server", .. }), "{twice}");
        let same_store = db.add_server(&server(&lab, "other", "site"), None, vec![]).await.unwrap_err();
        assert!(same_store.to_string().contains("distribution server north"), "{same_store}");

        let mut change = known.clone();
        change.spec.address = Some("https://north".to_owned());
        let changed = db.update_server(&change, &[], "store site", event("server.changed")).await.unwrap();
        assert_eq!((changed.revision, &changed.spec), (2, &change.spec));
        let stale = db.update_server(&change, &[], "store site", event("server.changed")).await.unwrap_err();
        assert!(matches!(stale, Error::Stale { .. }));

        let used = db.remove_store(&name("site"), event("store.removed")).await.unwrap_err();
        assert!(used.to_string().contains("distribution server north"), "{used}");
        db.remove_server(&name("north"), &ServerRemoval::default(), vec![event("server.removed")]).await.unwrap();
        assert!(db.servers().await.unwrap().is_empty());
    }

    async fn a_store_comes_and_goes_with_its_server(lab: Lab) {
        let db = lab.with_sync().await;
        let with_store = DistributionServer { brought_store: true, ..server(&lab, "south", "south") };
        db.add_server(&with_store, Some(&lab.store("south")), vec![event("server.added")]).await.unwrap();
        assert_eq!(db.store(&name("south")).await.unwrap().path, "/srv/south");
        let removal = ServerRemoval { store: true, ..ServerRemoval::default() };
        db.remove_server(&name("south"), &removal, vec![]).await.unwrap();
        assert!(matches!(db.store(&name("south")).await.unwrap_err(), Error::NotFound { .. }));
    }

    async fn what_is_left_comes_when_it_is_its_time_and_once(lab: Lab) {
        let db = with_server(&lab).await;
        let first = ends_with(&lab, &db, vec![left(&lab, MINUTE, "it is away")]).await;
        assert_eq!(db.due_backlog(lab.now()).await.unwrap(), []);
        lab.pass(MINUTE * 2);
        let due = db.due_backlog(lab.now()).await.unwrap();
        assert_eq!((due[0].run, due[0].times, due[0].reason.as_str()), (first, 1, "it is away"));

        let again = lab.now().checked_add(LONG).unwrap();
        let run = NewRun { only: Some(vec![name("site")]), ..lab.new_run(&["!store:site"]) };
        let queued = db.enqueue_backlog(&run, &due, again, event("run.queued")).await.unwrap().unwrap();
        assert_eq!(queued.only, Some(vec![name("site")]));
        let other = NewRun { id: RunId::new(lab.now()), ..run };
        assert_eq!(db.enqueue_backlog(&other, &due, again, event("run.queued")).await.unwrap(), None);

        let claim = db.claim_run(LONG).await.unwrap().unwrap();
        db.begin_run(&claim, "blake3:1").await.unwrap();
        let ending = Ending { backlog: vec![left(&lab, MINUTE, "still away")], ..Ending::new(RunState::Partial) };
        db.end_attempt(&claim, &ending, &[]).await.unwrap();
        assert_eq!((db.backlog().await.unwrap()[0].times, db.due_backlog(lab.now()).await.unwrap().len()), (2, 0));
        let known = db.server(&name("north")).await.unwrap();
        db.update_server(&known, &[], "store site", event("server.changed")).await.unwrap();
        assert_eq!(db.due_backlog(lab.now()).await.unwrap().len(), 1, "a change is a reason to look at once");
        ends_with(&lab, &db, vec![Left { target: name("site"), waits: None }]).await;
        assert_eq!(db.backlog().await.unwrap(), []);
    }

    async fn nothing_is_left_of_a_store_that_is_no_server(lab: Lab) {
        let db = lab.with_sync().await;
        ends_with(&lab, &db, vec![left(&lab, MINUTE, "it is away")]).await;
        assert_eq!(db.backlog().await.unwrap(), []);
    }

    async fn a_paused_schedule_catches_nothing_up(lab: Lab) {
        let db = with_server(&lab).await;
        ends_with(&lab, &db, vec![left(&lab, Duration::ZERO, "it is away")]).await;
        assert_eq!(db.due_backlog(lab.now()).await.unwrap().len(), 1);
        let mut schedule = made(&lab).1;
        schedule.spec.sync = name("s");
        schedule.spec.paused = Some("holidays".to_owned());
        let schedule = db.add_schedule(&schedule, event("schedule.created")).await.unwrap();
        assert_eq!(db.due_backlog(lab.now()).await.unwrap(), []);
        db.remove_schedule(schedule.id, event("schedule.removed")).await.unwrap();
        assert_eq!(db.due_backlog(lab.now()).await.unwrap().len(), 1);
    }

    async fn a_sync_goes_with_the_schedule_that_it_was_made_for(lab: Lab) {
        let db = with_server(&lab).await;
        let (sync, schedule) = made(&lab);
        db.add_schedule_with_sync(&sync, &schedule, vec![event("schedule.created")]).await.unwrap();
        assert_eq!(db.sync(&sync.name).await.unwrap(), sync);
        db.remove_schedule(schedule.id, event("schedule.removed")).await.unwrap();
        assert!(matches!(db.sync(&sync.name).await.unwrap_err(), Error::NotFound { .. }));
        assert!(db.sync(&name("s")).await.is_ok());
    }

    async fn a_sync_under_way_goes_after_its_last_run(lab: Lab) {
        let db = with_server(&lab).await;
        let (sync, schedule) = made(&lab);
        db.add_schedule_with_sync(&sync, &schedule, vec![]).await.unwrap();
        let run = NewRun { subject: Subject::Sync(sync.name.clone()), ..lab.new_run(&[]) };
        db.enqueue_run(&run, event("run.queued")).await.unwrap();
        db.remove_schedule(schedule.id, event("schedule.removed")).await.unwrap();
        assert_eq!(db.remove_orphaned_syncs().await.unwrap(), []);
        db.cancel_run(run.id, "tester", event("run.cancelled")).await.unwrap();
        assert_eq!(db.remove_orphaned_syncs().await.unwrap(), [sync.name]);
        assert_eq!(db.remove_orphaned_syncs().await.unwrap(), []);
    }

    async fn a_schedule_and_its_sync_change_together_or_not_at_all(lab: Lab) {
        let db = with_server(&lab).await;
        let (sync, schedule) = made(&lab);
        db.add_schedule_with_sync(&sync, &schedule, vec![]).await.unwrap();
        let stale = Schedule { revision: 9, ..schedule.clone() };
        let refused = db.update_schedule_with_sync(&stale, &sync, event("x")).await.unwrap_err();
        assert!(matches!(refused, Error::Stale { what: "schedule", .. }));
        assert_eq!(db.sync(&sync.name).await.unwrap().revision, 1);
        db.update_schedule_with_sync(&schedule, &sync, event("x")).await.unwrap();
        assert_eq!(db.sync(&sync.name).await.unwrap().revision, 2);
    }

    async fn what_was_asked_to_run_at_once_reads_back(lab: Lab) {
        let db = lab.with_sync().await;
        let run = lab.new_run(&[]);
        let entry = RunNowEntry {
            schedule: ScheduleId::new(lab.now()),
            sync: Some(name("s")),
            run: Some(run.id),
            refusal: None,
        };
        let asked = RunNow {
            id: OperationId::new(lab.now()),
            actor: "tester".to_owned(),
            created_at: lab.now(),
            entries: vec![entry],
        };
        db.run_now(&asked, std::slice::from_ref(&run), vec![event("schedule.run-now")]).await.unwrap();
        assert_eq!(db.ran_now(asked.id).await.unwrap(), asked);
        assert_eq!(db.run(run.id).await.unwrap().state, RunState::Queued);
        let unknown = db.ran_now(OperationId::new(lab.now())).await.unwrap_err();
        assert!(matches!(unknown, Error::NotFound { what: "schedule operation", .. }));
    }
}
