//! Schedules: changing them, which are due, firing once, overlap.

use std::time::Duration;

use jiff::Timestamp;
use syncline_domain::{
    ids::{NodeId, RunId, ScheduleId},
    run::{Ending, RunMode, RunState, Trigger},
    schedule::{Due, Overlap, Owner, Schedule, ScheduleSpec},
};
use syncline_store::{Db, Error, Fired, NewRun, Page, RunFilter};

use crate::lab::{LONG, Lab, both_engines, event};

const MINUTE: Duration = Duration::from_secs(60);

fn schedule(lab: &Lab, overlap: Overlap) -> Schedule {
    let spec =
        serde_json::json!({ "sync": "s", "when": { "kind": "interval", "seconds": 60 }, "overlap": overlap });
    let spec: ScheduleSpec = serde_json::from_value(spec).unwrap();
    let next = lab.now().checked_add(MINUTE).unwrap();
    Schedule {
        id: ScheduleId::new(lab.now()),
        spec,
        owner: Owner::Cluster,
        created_at: lab.now(),
        next_nominal: Some(next),
        next_run: Some(next),
        last_nominal: None,
        revision: 1,
    }
}

fn run_of(lab: &Lab) -> NewRun {
    NewRun {
        id: RunId::new(lab.now()),
        trigger: Trigger::Schedule,
        actor: "system".to_owned(),
        ..lab.new_run(&["!store:site"])
    }
}

/// The due tick of a schedule that is read now, and the one after it.
fn one_due(schedule: &Schedule) -> (Due, Option<Timestamp>) {
    let run = schedule.next_nominal;
    let next = run.and_then(|at| at.checked_add(MINUTE).ok());
    (Due { run, next, ..Due::default() }, next)
}

/// Lets a minute pass and fires.
async fn tick(lab: &Lab, db: &Db, id: ScheduleId) -> Fired {
    lab.pass(MINUTE);
    let schedule = db.schedule(id).await.unwrap();
    let (due, next) = one_due(&schedule);
    db.fire_schedule(&schedule, &due, next, &run_of(lab)).await.unwrap()
}

async fn runs_of(db: &Db, id: ScheduleId) -> Vec<syncline_domain::run::Run> {
    let filter = RunFilter { schedule: Some(id), ..RunFilter::default() };
    db.runs(&filter, &Page::default()).await.unwrap().items
}

both_engines! {
    async fn a_schedule_reads_back_and_changes(lab: Lab) {
        let db = lab.with_sync().await;
        let made = schedule(&lab, Overlap::Skip);
        assert_eq!(db.add_schedule(&made, event("schedule.added")).await.unwrap(), made);
        assert_eq!(db.schedule(made.id).await.unwrap(), made);
        assert_eq!(db.schedules().await.unwrap(), std::slice::from_ref(&made));
        let twice = db.add_schedule(&made, event("schedule.added")).await.unwrap_err();
        assert!(matches!(twice, Error::Exists { what: "schedule", .. }));

        let mut change = made.clone();
        change.spec.paused = Some("maintenance".to_owned());
        change.next_run = None;
        let changed = db.update_schedule(&change, event("schedule.changed")).await.unwrap();
        assert_eq!((changed.revision, changed.spec.paused.as_deref()), (2, Some("maintenance")));
        let stale = db.update_schedule(&change, event("schedule.changed")).await.unwrap_err();
        assert!(matches!(stale, Error::Stale { what: "schedule", .. }));

        let in_use = db.remove_sync(&made.spec.sync, event("sync.removed")).await.unwrap_err();
        assert!(matches!(in_use, Error::InUse { what: "sync", .. }));
        db.remove_schedule(made.id, event("schedule.removed")).await.unwrap();
        let twice = db.remove_schedule(made.id, event("schedule.removed")).await.unwrap_err();
        assert!(matches!(twice, Error::NotFound { what: "schedule", .. }));
        let mut lost = schedule(&lab, Overlap::Skip);
        lost.spec.sync = "x".parse().unwrap();
        let lost = db.add_schedule(&lost, event("schedule.added")).await.unwrap_err();
        assert!(matches!(lost, Error::NotFound { what: "sync", .. }));
    }

    async fn due_are_my_own_and_the_clusters(lab: Lab) {
        let db = lab.with_sync().await;
        let cluster = schedule(&lab, Overlap::Skip);
        let mine = Schedule { owner: Owner::Node(lab.node), ..schedule(&lab, Overlap::Skip) };
        let elsewhere = NodeId::new(lab.now());
        let others = Schedule { owner: Owner::Node(elsewhere), ..schedule(&lab, Overlap::Skip) };
        let mut paused = schedule(&lab, Overlap::Skip);
        paused.spec.paused = Some("x".to_owned());
        let never = Schedule { next_run: None, next_nominal: None, ..schedule(&lab, Overlap::Skip) };
        for one in [&cluster, &mine, &others, &paused, &never] {
            assert_eq!(db.add_schedule(one, event("schedule.added")).await.unwrap(), *one);
        }
        assert_eq!(db.due_schedules(lab.now()).await.unwrap(), []);
        lab.pass(MINUTE);
        let mut due: Vec<_> = db.due_schedules(lab.now()).await.unwrap().iter().map(|one| one.id).collect();
        due.sort();
        let mut expected = vec![cluster.id, mine.id];
        expected.sort();
        assert_eq!(due, expected);
    }

    async fn a_tick_fires_once_whoever_fires_it(lab: Lab) {
        let db = lab.with_sync().await;
        let other = lab.second(&db).await;
        let made = db.add_schedule(&schedule(&lab, Overlap::Skip), event("schedule.added")).await.unwrap();
        lab.pass(MINUTE);
        let (due, next) = one_due(&made);
        let (one, two) = (run_of(&lab), run_of(&lab));
        let (a, b) = tokio::join!(
            db.fire_schedule(&made, &due, next, &one),
            other.fire_schedule(&made, &due, next, &two),
        );
        let fired: Vec<_> = [a.unwrap(), b.unwrap()].into_iter().filter(|fired| *fired != Fired::default()).collect();
        assert_eq!(fired.len(), 1);
        let runs = runs_of(&db, made.id).await;
        assert_eq!(runs.len(), 1);
        assert_eq!((Some(runs[0].id), runs[0].nominal_time), (fired[0].run, due.run));
        assert_eq!(runs[0].trigger, Trigger::Schedule);
        let after = db.schedule(made.id).await.unwrap();
        assert_eq!((after.next_nominal, after.next_run, after.last_nominal), (due.next, next, due.run));
        assert_eq!(after.revision, made.revision, "a tick is no change");

        // Set back by hand, the tick does not come again.
        let set_back = Schedule { next_nominal: made.next_nominal, next_run: made.next_run, ..after };
        let set_back = db.update_schedule(&set_back, event("schedule.changed")).await.unwrap();
        let again = db.fire_schedule(&set_back, &due, next, &run_of(&lab)).await.unwrap();
        assert_eq!(again, Fired::default());
        assert_eq!(runs_of(&db, made.id).await.len(), 1);
    }

    async fn a_schedule_that_was_changed_or_removed_since_does_not_fire(lab: Lab) {
        let db = lab.with_sync().await;
        let read = db.add_schedule(&schedule(&lab, Overlap::Skip), event("schedule.added")).await.unwrap();
        let mut paused = read.clone();
        paused.spec.paused = Some("x".to_owned());
        db.update_schedule(&paused, event("schedule.changed")).await.unwrap();
        let (due, next) = one_due(&read);
        assert_eq!(db.fire_schedule(&read, &due, next, &run_of(&lab)).await.unwrap(), Fired::default());
        db.remove_schedule(read.id, event("schedule.removed")).await.unwrap();
        db.remove_sync(&read.spec.sync, event("sync.removed")).await.unwrap();
        assert_eq!(db.fire_schedule(&read, &due, next, &run_of(&lab)).await.unwrap(), Fired::default());
    }

    async fn late_ticks_are_recorded_with_why(lab: Lab) {
        let db = lab.with_sync().await;
        let made = db.add_schedule(&schedule(&lab, Overlap::Skip), event("schedule.added")).await.unwrap();
        let first = made.next_nominal.unwrap();
        let ticks: Vec<_> = (0..4).map(|n| first.checked_add(MINUTE * n).unwrap()).collect();
        let due = Due { skipped: ticks[..2].to_vec(), skipped_more: 40, run: Some(ticks[2]), next: Some(ticks[3]) };
        let before = db.last_event().await.unwrap();
        let run = run_of(&lab);
        let fired = db.fire_schedule(&made, &due, Some(ticks[3]), &run).await.unwrap();
        assert_eq!(fired, Fired { run: Some(run.id), skipped: 42 });
        let runs = runs_of(&db, made.id).await;
        let skipped: Vec<_> = runs.iter().filter(|run| run.state == RunState::Skipped).collect();
        assert_eq!(skipped.len(), 2);
        assert!(skipped.iter().all(|run| run.reason.as_ref().unwrap().contains("a later tick")));
        assert!(skipped.iter().all(|run| run.finished_at == Some(lab.now())));
        let events = db.events_after(before, 10).await.unwrap();
        let kinds: Vec<_> = events.iter().map(|event| event.event.kind.as_str()).collect();
        assert_eq!(kinds, ["schedule.skipped", "run.queued"]);
        assert_eq!(events[0].event.data["skipped"], 42);

        let read = db.schedule(made.id).await.unwrap();
        let due = Due { skipped: vec![ticks[3]], ..Due::default() };
        let fired = db.fire_schedule(&read, &due, None, &run_of(&lab)).await.unwrap();
        assert_eq!(fired, Fired { run: None, skipped: 1 });
        let runs = runs_of(&db, made.id).await;
        let late = runs.iter().find(|run| run.nominal_time == Some(ticks[3])).unwrap();
        assert!(late.reason.as_ref().unwrap().contains("catch-up window of 3600 s"), "{late:?}");
        assert_eq!(db.schedule(made.id).await.unwrap().next_nominal, None);
    }

    async fn overlap_skip_lets_nothing_overlap(lab: Lab) {
        let db = lab.with_sync().await;
        let made = db.add_schedule(&schedule(&lab, Overlap::Skip), event("schedule.added")).await.unwrap();
        // A preview changes nothing: it stands in nobody's way.
        let preview = NewRun { mode: RunMode::Preview, ..lab.new_run(&[]) };
        db.enqueue_run(&preview, event("run.queued")).await.unwrap();
        db.claim_run(LONG).await.unwrap().unwrap();
        let first = tick(&lab, &db, made.id).await.run.unwrap();
        assert_eq!(tick(&lab, &db, made.id).await, Fired { run: None, skipped: 1 });
        let reason = runs_of(&db, made.id).await[0].reason.clone().unwrap();
        assert_eq!(reason, format!("run {first} has not ended"));
        let claim = db.claim_run(LONG).await.unwrap().unwrap();
        db.begin_run(&claim, "blake3:1").await.unwrap();
        assert_eq!(tick(&lab, &db, made.id).await.run, None);
        db.end_attempt(&claim, &Ending::new(RunState::Succeeded), &[]).await.unwrap();
        assert!(tick(&lab, &db, made.id).await.run.is_some());
    }

    async fn overlap_queue_one_lets_one_wait(lab: Lab) {
        let db = lab.with_sync().await;
        let made = db.add_schedule(&schedule(&lab, Overlap::QueueOne), event("schedule.added")).await.unwrap();
        let first = tick(&lab, &db, made.id).await.run.unwrap();
        let claim = db.claim_run(LONG).await.unwrap().unwrap();
        assert_eq!(claim.run.id, first);
        let second = tick(&lab, &db, made.id).await.run.unwrap();
        assert_eq!(tick(&lab, &db, made.id).await, Fired { run: None, skipped: 1 });
        assert_eq!(runs_of(&db, made.id).await[0].reason, Some(format!("run {second} waits already")));
        assert_eq!(db.claim_run(LONG).await.unwrap(), None);
        db.end_attempt(&claim, &Ending::new(RunState::Failed), &[]).await.unwrap();
        assert_eq!(db.claim_run(LONG).await.unwrap().unwrap().run.id, second);
    }

    async fn overlap_cancel_other_makes_way(lab: Lab) {
        let db = lab.with_sync().await;
        let made = db.add_schedule(&schedule(&lab, Overlap::CancelOther), event("schedule.added")).await.unwrap();
        let first = tick(&lab, &db, made.id).await.run.unwrap();
        let claim = db.claim_run(LONG).await.unwrap().unwrap();
        db.begin_run(&claim, "blake3:1").await.unwrap();
        let second = tick(&lab, &db, made.id).await.run.unwrap();
        assert!(db.heartbeat(&claim, LONG).await.unwrap().cancel);
        let third = tick(&lab, &db, made.id).await.run.unwrap();
        let states: Vec<_> = runs_of(&db, made.id).await.iter().map(|run| (run.id, run.state)).collect();
        assert_eq!(states, [
            (third, RunState::Queued), (second, RunState::Cancelled), (first, RunState::Cancelling),
        ]);
        db.end_attempt(&claim, &Ending::new(RunState::Cancelled), &[]).await.unwrap();
        assert_eq!(db.claim_run(LONG).await.unwrap().unwrap().run.id, third);
    }

    async fn a_held_run_makes_ticks_skipped_in_every_policy(lab: Lab) {
        for overlap in [Overlap::Skip, Overlap::QueueOne, Overlap::CancelOther] {
            let lab = lab.another().await;
            let db = lab.with_sync().await;
            let made = db.add_schedule(&schedule(&lab, overlap), event("schedule.added")).await.unwrap();
            let held = tick(&lab, &db, made.id).await.run.unwrap();
            let claim = db.claim_run(LONG).await.unwrap().unwrap();
            db.begin_run(&claim, "blake3:1").await.unwrap();
            db.end_attempt(&claim, &Ending::new(RunState::Held), &[]).await.unwrap();
            let before = db.last_event().await.unwrap();
            assert_eq!(tick(&lab, &db, made.id).await, Fired { run: None, skipped: 1 });
            let reason = runs_of(&db, made.id).await[0].reason.clone().unwrap();
            assert!(reason.contains(&format!("run {held} is held")), "{reason}");
            assert_eq!(db.events_after(before, 10).await.unwrap()[0].event.kind, "run.skipped");
            assert_eq!(db.run(held).await.unwrap().state, RunState::Held);
        }
    }
}
