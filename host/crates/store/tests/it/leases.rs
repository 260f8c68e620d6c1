//! What becomes of runs whose node went away.

use syncline_domain::{
    ids::NodeId,
    run::{Ending, RunState},
};
use syncline_store::{Claim, Db, MAX_LOSSES, NewRun};

use crate::lab::{LONG, Lab, OVER, both_engines, event};

/// Queues a run with these attempts and claims it with a lease that is over.
async fn claim_with(lab: &Lab, db: &Db, max_attempts: u32) -> Claim {
    let run = NewRun { max_attempts, ..lab.new_run(&["!store:site"]) };
    db.enqueue_run(&run, event("run.queued")).await.unwrap();
    db.claim_run(OVER).await.unwrap().unwrap()
}

both_engines! {
    async fn a_lost_run_is_tried_again_and_the_loss_is_told(lab: Lab) {
        let db = lab.with_sync().await;
        for begun in [false, true] {
            let claim = claim_with(&lab, &db, 3).await;
            if begun {
                db.begin_run(&claim, "blake3:1").await.unwrap();
            }
            let before = db.last_event().await.unwrap();
            let taken = db.expire_leases().await.unwrap();
            assert_eq!(taken.len(), 1);
            assert_eq!((taken[0].id, taken[0].state), (claim.run.id, RunState::Queued));
            assert!(taken[0].reason.as_ref().unwrap().contains(&lab.node.to_string()));
            let events = db.events_after(before, 10).await.unwrap();
            assert_eq!(events.len(), 1);
            assert_eq!((events[0].event.kind.as_str(), events[0].event.run), ("run.requeued", Some(claim.run.id)));
            let attempts = db.attempts(claim.run.id).await.unwrap();
            assert_eq!(attempts[0].state, RunState::Lost);
            assert_eq!(attempts[0].failure.as_ref().unwrap().code, "node-lost");

            let again = db.claim_run(LONG).await.unwrap().unwrap();
            assert_eq!((again.run.id, again.run.attempt), (claim.run.id, 2));
            assert_eq!(again.attempts_left, 2, "a node that went away is no failed attempt");
            db.end_attempt(&again, &Ending::new(RunState::Failed), &[]).await.unwrap();
        }
    }

    async fn a_run_that_may_not_be_tried_again_is_lost(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = claim_with(&lab, &db, 1).await;
        let before = db.last_event().await.unwrap();
        let taken = db.expire_leases().await.unwrap();
        assert_eq!((taken[0].id, taken[0].state), (claim.run.id, RunState::Lost));
        assert_eq!(taken[0].finished_at, Some(lab.now()));
        assert_eq!(db.events_after(before, 10).await.unwrap()[0].event.kind, "run.lost");
        assert_eq!(db.expire_leases().await.unwrap(), []);
        lab.claimed(&db, LONG).await;
    }

    async fn a_run_that_takes_its_node_down_each_time_comes_to_an_end(lab: Lab) {
        let db = lab.with_sync().await;
        let mut claim = claim_with(&lab, &db, 3).await;
        for _ in 0..MAX_LOSSES {
            assert_eq!(db.expire_leases().await.unwrap()[0].state, RunState::Queued);
            claim = db.claim_run(OVER).await.unwrap().unwrap();
        }
        assert_eq!(claim.run.attempt, MAX_LOSSES + 1);
        assert_eq!(db.expire_leases().await.unwrap()[0].state, RunState::Lost);
    }

    async fn a_run_that_was_being_cancelled_is_cancelled(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = claim_with(&lab, &db, 3).await;
        db.cancel_run(claim.run.id, "tester", event("run.cancelling")).await.unwrap();
        let before = db.last_event().await.unwrap();
        let taken = db.expire_leases().await.unwrap();
        assert_eq!((taken[0].state, taken[0].failure.is_none()), (RunState::Cancelled, true));
        assert_eq!(db.events_after(before, 10).await.unwrap()[0].event.kind, "run.cancelled");
    }

    async fn leases_that_are_not_over_stay(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.running(&db, LONG).await;
        assert_eq!(db.expire_leases().await.unwrap(), []);
        assert_eq!(db.run(claim.run.id).await.unwrap().state, RunState::Running);
    }

    async fn a_node_that_starts_gives_back_what_it_had(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.running(&db, LONG).await;
        assert_eq!(db.release_leases_of_node(NodeId::new(lab.now())).await.unwrap(), []);
        let released = db.release_leases_of_node(lab.node).await.unwrap();
        assert_eq!((released.len(), released[0].id), (1, claim.run.id));
        assert_eq!(released[0].state, RunState::Queued);
        assert_eq!(db.claim_run(LONG).await.unwrap().unwrap().run.id, claim.run.id);
    }

    async fn two_nodes_take_each_run_back_once(lab: Lab) {
        let db = lab.with_sync().await;
        let other = lab.second(&db).await;
        for store in 0..10 {
            lab.enqueue(&db, &[&format!("!store:{store}")]).await;
            db.claim_run(OVER).await.unwrap().unwrap();
        }
        let (a, b) = tokio::join!(db.expire_leases(), other.expire_leases());
        assert_eq!(a.unwrap().len() + b.unwrap().len(), 10);
    }
}
