//! Claiming: locks, order, nodes, contention, fencing.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use syncline_domain::{
    ids::NodeId,
    log::{LogLevel, LogLine, LogSource},
    run::{Counts, Ending, Progress, RunState},
};
use syncline_store::{Claim, Db, Error, NewRun, Page, RunFilter};

use crate::lab::{LONG, Lab, OVER, both_engines, event, name};

async fn end(db: &Db, claim: &Claim) {
    db.begin_run(claim, "blake3:1").await.unwrap();
    db.end_attempt(claim, &Ending::new(RunState::Succeeded), &[]).await.unwrap();
}

/// Claims until nothing is left to claim, and gives the claims in order.
async fn claim_all(db: &Db) -> Vec<Claim> {
    let mut claims = Vec::new();
    while let Some(claim) = db.claim_run(LONG).await.unwrap() {
        claims.push(claim);
    }
    claims
}

fn ids(claims: &[Claim]) -> Vec<syncline_domain::ids::RunId> {
    claims.iter().map(|claim| claim.run.id).collect()
}

both_engines! {
    async fn readers_share_and_a_writer_is_alone(lab: Lab) {
        let db = lab.with_sync().await;
        let a = lab.enqueue(&db, &["collection:patches", "!store:1"]).await;
        let b = lab.enqueue(&db, &["collection:patches", "!store:2"]).await;
        let c = lab.enqueue(&db, &["collection:patches", "!store:1"]).await;
        let d = lab.enqueue(&db, &["!store:3"]).await;
        let claims = claim_all(&db).await;
        assert_eq!(ids(&claims), [a.id, b.id, d.id]);
        let reason = db.run(c.id).await.unwrap().reason.unwrap();
        assert_eq!(reason, format!("waits for store:1, which is held by run {} of sync s", a.id));
        end(&db, &claims[0]).await;
        let claims = claim_all(&db).await;
        assert_eq!(ids(&claims), [c.id]);
        assert_eq!(claims[0].run.reason, None);
    }

    async fn a_waiting_writer_is_not_passed_by_later_readers(lab: Lab) {
        let db = lab.with_sync().await;
        let reader = lab.enqueue(&db, &["collection:patches"]).await;
        let writer = lab.enqueue(&db, &["!collection:patches"]).await;
        let later = lab.enqueue(&db, &["collection:patches"]).await;
        let first = claim_all(&db).await;
        assert_eq!(ids(&first), [reader.id]);
        let reason = db.run(later.id).await.unwrap().reason.unwrap();
        assert!(reason.contains("held by") || reason.contains("next for"), "{reason}");
        end(&db, &first[0]).await;
        let second = claim_all(&db).await;
        assert_eq!(ids(&second), [writer.id]);
        let reason = db.run(later.id).await.unwrap().reason.unwrap();
        assert!(reason.contains(&format!("held by run {}", writer.id)), "{reason}");
        end(&db, &second[0]).await;
        assert_eq!(ids(&claim_all(&db).await), [later.id]);
    }

    async fn a_run_goes_only_where_it_is_bound(lab: Lab) {
        let db = lab.with_sync().await;
        let elsewhere = NodeId::new(lab.now());
        let bound = NewRun { bound_to: Some(elsewhere), ..lab.new_run(&["!store:site"]) };
        db.enqueue_run(&bound, event("run.queued")).await.unwrap();
        assert_eq!(db.claim_run(LONG).await.unwrap(), None);

        // Nobody ever saw that node: what waits for it holds up nobody.
        let mine = lab.enqueue(&db, &["!store:site"]).await;
        let claims = claim_all(&db).await;
        assert_eq!(ids(&claims), [mine.id]);
        end(&db, &claims[0]).await;

        // A node that is alive has its turn.
        db.touch_node(elsewhere, "other", "0.1.0").await.unwrap();
        let next = lab.enqueue(&db, &["!store:site"]).await;
        assert_eq!(db.claim_run(LONG).await.unwrap(), None);
        let reason = db.run(next.id).await.unwrap().reason.unwrap();
        assert_eq!(reason, format!("waits for store:site, which is next for run {} of sync s", bound.id));

        let db = if lab.is_sqlite() {
            db.close().await;
            lab.try_open(elsewhere, lab.key.clone()).await.unwrap()
        } else {
            lab.try_open(elsewhere, lab.key.clone()).await.unwrap()
        };
        assert_eq!(ids(&claim_all(&db).await), [bound.id]);
    }

    async fn held_and_ended_runs_give_their_locks_back(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.running(&db, LONG).await;
        db.end_attempt(&claim, &Ending::new(RunState::Held), &[]).await.unwrap();
        let next = lab.running(&db, LONG).await;
        let approval = syncline_domain::run::Approval { actor: "a".to_owned(), at: lab.now(), sizes: vec![] };
        db.approve_run(claim.run.id, &approval, event("run.approved")).await.unwrap();
        assert_eq!(db.claim_run(LONG).await.unwrap(), None, "approved, it needs its locks again");
        db.end_attempt(&next, &Ending::new(RunState::Failed), &[]).await.unwrap();
        assert_eq!(db.claim_run(LONG).await.unwrap().unwrap().run.id, claim.run.id);
    }

    async fn the_oldest_goes_first_past_any_number_that_wait(lab: Lab) {
        let db = lab.with_sync().await;
        let holder = lab.claimed(&db, LONG).await;
        for _ in 0..450 {
            lab.enqueue(&db, &["!store:site"]).await;
        }
        let free = lab.enqueue(&db, &["!store:other"]).await;
        assert_eq!(db.claim_run(LONG).await.unwrap().unwrap().run.id, free.id);
        end(&db, &holder).await;
        let filter = RunFilter { state: Some(RunState::Queued), ..RunFilter::default() };
        let newest = db.runs(&filter, &Page::first(1_000)).await.unwrap();
        let oldest = newest.items.last().unwrap().id;
        assert_eq!(db.claim_run(LONG).await.unwrap().unwrap().run.id, oldest);
    }

    async fn under_contention_no_run_is_claimed_twice_and_locks_hold(lab: Lab) {
        let db = lab.with_sync().await;
        let other = lab.second(&db).await;
        const RUNS: usize = 60;
        for run in 0..RUNS {
            let store = format!("!store:{}", run % 3);
            lab.enqueue(&db, &["collection:patches", &store]).await;
        }
        let held: Arc<Mutex<HashMap<String, (usize, bool)>>> = Arc::default();
        let seen: Arc<Mutex<HashSet<_>>> = Arc::default();
        let mut tasks = tokio::task::JoinSet::new();
        for worker in 0..8 {
            let db = if worker % 2 == 0 { db.clone() } else { other.clone() };
            let (held, seen) = (held.clone(), seen.clone());
            tasks.spawn(async move {
                while seen.lock().len() < RUNS {
                    let Some(claim) = db.claim_run(LONG).await.unwrap() else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    assert!(seen.lock().insert(claim.run.id), "{} was claimed twice", claim.run.id);
                    for lock in &claim.locks {
                        let mut held = held.lock();
                        let entry = held.entry(lock.resource.clone()).or_insert((0, false));
                        assert!(entry.0 == 0 || !(entry.1 || lock.exclusive), "{} is taken", lock.resource);
                        *entry = (entry.0 + 1, lock.exclusive);
                    }
                    db.begin_run(&claim, "blake3:1").await.unwrap();
                    // Before the end is committed: from then on others may have them.
                    for lock in &claim.locks {
                        held.lock().get_mut(&lock.resource).unwrap().0 -= 1;
                    }
                    db.end_attempt(&claim, &Ending::new(RunState::Succeeded), &[event("run.succeeded")])
                        .await
                        .unwrap();
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        assert_eq!(db.run_states().await.unwrap(), [(RunState::Succeeded, RUNS as u64)]);
    }

    async fn a_node_that_lost_its_lease_writes_nothing(lab: Lab) {
        let db = lab.with_sync().await;
        let lost = lab.running(&db, OVER).await;
        assert_eq!(db.expire_leases().await.unwrap().len(), 1);
        let refused_by_all = |db: Db, claim: Claim| async move {
            let line = LogLine {
                at: claim.run.created_at,
                level: LogLevel::Info,
                source: LogSource::Host,
                message: "late".to_owned(),
                fields: vec![],
            };
            let fenced = |result: Result<(), Error>| {
                let error = result.unwrap_err();
                assert!(matches!(error, Error::Fenced { run } if run == claim.run.id), "{error}");
            };
            fenced(db.heartbeat(&claim, LONG).await.map(drop));
            fenced(db.begin_run(&claim, "blake3:2").await.map(drop));
            fenced(db.save_progress(&claim, &Progress::default(), &Counts::default(), &[]).await);
            fenced(db.append_log(&claim, &[line]).await);
            fenced(db.clear_operations(&claim).await);
            fenced(db.append_operations(&claim, &[]).await);
            fenced(db.requeue(&claim, &[], None, None).await.map(drop));
            let ending = Ending { cursor: Some(Some(vec![1])), ..Ending::new(RunState::Succeeded) };
            fenced(db.end_attempt(&claim, &ending, &[event("run.succeeded")]).await.map(drop));
        };
        let before = db.last_event().await.unwrap();
        refused_by_all(db.clone(), lost.clone()).await;

        // The same node has it again: the older claim stays lost.
        let again = db.claim_run(LONG).await.unwrap().unwrap();
        assert_eq!((again.run.id, again.run.node), (lost.run.id, lost.run.node));
        refused_by_all(db.clone(), lost.clone()).await;
        // A claim with the right token and another node is nobody's.
        let mut forged = again.clone();
        forged.run.node = Some(NodeId::new(lab.now()));
        refused_by_all(db.clone(), forged).await;

        assert_eq!(db.last_event().await.unwrap(), before);
        assert_eq!(db.cursor(&name("s")).await.unwrap(), None);
        assert_eq!(db.log(lost.run.id, &Page::default()).await.unwrap().items, []);
        end(&db, &again).await;
        refused_by_all(db.clone(), again).await;
    }

    async fn a_heartbeat_keeps_the_lease_and_tells_of_cancelling(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.running(&db, Duration::from_secs(3_600)).await;
        assert!(!db.heartbeat(&claim, LONG).await.unwrap().cancel);
        assert_eq!(db.expire_leases().await.unwrap(), []);
        db.cancel_run(claim.run.id, "tester", event("run.cancelling")).await.unwrap();
        assert!(db.heartbeat(&claim, OVER).await.unwrap().cancel);
        assert_eq!(db.expire_leases().await.unwrap().len(), 1);
    }
}
