//! Approve, reject and cancel, from every state that there is.

use syncline_domain::{
    guard::Size,
    ids::RunId,
    run::{Approval, Ending, RunState},
};
use syncline_store::{Db, Error};

use crate::lab::{LONG, Lab, OVER, both_engines, event, name};

/// A run in this state; all others have ended.
async fn run_in(lab: &Lab, db: &Db, state: RunState) -> RunId {
    match state {
        RunState::Queued => lab.enqueue(db, &["!store:site"]).await.id,
        RunState::Claimed => lab.claimed(db, LONG).await.run.id,
        RunState::Running => lab.running(db, LONG).await.run.id,
        RunState::Cancelling => {
            let id = lab.running(db, LONG).await.run.id;
            db.cancel_run(id, "tester", event("run.cancelling")).await.unwrap();
            id
        }
        RunState::Lost => {
            let new = syncline_store::NewRun { max_attempts: 1, ..lab.new_run(&[]) };
            db.enqueue_run(&new, event("run.queued")).await.unwrap();
            db.claim_run(OVER).await.unwrap().unwrap();
            db.expire_leases().await.unwrap()[0].id
        }
        RunState::Skipped => {
            let id = lab.enqueue(db, &[]).await.id;
            lab.raw("UPDATE runs SET state = 'skipped' WHERE state = 'queued'").await;
            id
        }
        state => {
            let claim = lab.running(db, LONG).await;
            db.end_attempt(&claim, &Ending::new(state), &[]).await.unwrap();
            claim.run.id
        }
    }
}

fn approval(lab: &Lab) -> Approval {
    let size = Size {
        target: name("site"),
        deletes: 9,
        removable: 9,
        changes: 0,
        declared: 0,
        first_fill: false,
        removals: None,
    };
    Approval { actor: "boss".to_owned(), at: lab.now(), sizes: vec![size] }
}

/// What came of a decision must be what the state machine says: `to`, or refused with nothing changed.
async fn check(
    db: &Db,
    id: RunId,
    from: RunState,
    to: Option<RunState>,
    result: Result<RunState, Error>,
    before: i64,
) {
    let after = db.run(id).await.unwrap();
    match to {
        Some(to) => {
            assert_eq!((result.unwrap(), after.state), (to, to), "from {from}");
            assert_eq!(db.last_event().await.unwrap(), before + i64::from(from != to));
            assert_eq!(after.finished_at.is_some(), to.is_final());
        }
        None => {
            let error = result.unwrap_err();
            assert!(
                matches!(error, Error::Transition { run, from: told, .. } if (run, told) == (id, from)),
                "{error}"
            );
            assert_eq!((after.state, db.last_event().await.unwrap()), (from, before));
        }
    }
}

both_engines! {
    async fn only_a_held_run_is_approved(lab: Lab) {
        for from in RunState::ALL {
            let lab = lab.another().await;
            let db = lab.with_sync().await;
            let id = run_in(&lab, &db, from).await;
            let before = db.last_event().await.unwrap();
            let result = db.approve_run(id, &approval(&lab), event("run.approved")).await.map(|run| run.state);
            check(&db, id, from, (from == RunState::Held).then_some(RunState::Queued), result, before).await;
        }
        let db = lab.with_sync().await;
        let missing = RunId::new(lab.now());
        let missing = db.approve_run(missing, &approval(&lab), event("run.approved")).await.unwrap_err();
        assert!(matches!(missing, Error::NotFound { what: "run", .. }));
    }

    async fn only_a_held_run_is_rejected(lab: Lab) {
        for from in RunState::ALL {
            let lab = lab.another().await;
            let db = lab.with_sync().await;
            let id = run_in(&lab, &db, from).await;
            let before = db.last_event().await.unwrap();
            let result = db.reject_run(id, "boss", "too much", event("run.rejected")).await.map(|run| run.state);
            check(&db, id, from, (from == RunState::Held).then_some(RunState::Cancelled), result, before).await;
            if from == RunState::Held {
                assert_eq!(db.run(id).await.unwrap().reason.as_deref(), Some("rejected by boss: too much"));
            }
        }
    }

    async fn whatever_has_not_ended_is_cancelled(lab: Lab) {
        for from in RunState::ALL {
            let lab = lab.another().await;
            let db = lab.with_sync().await;
            let id = run_in(&lab, &db, from).await;
            let before = db.last_event().await.unwrap();
            let result = db.cancel_run(id, "tester", event("run.cancelled")).await.map(|run| run.state);
            let to = match from {
                RunState::Queued | RunState::Held => Some(RunState::Cancelled),
                RunState::Claimed | RunState::Running | RunState::Cancelling => Some(RunState::Cancelling),
                _ => None,
            };
            check(&db, id, from, to, result, before).await;
        }
    }

    async fn an_approved_run_has_an_attempt_more(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.running(&db, LONG).await;
        db.end_attempt(&claim, &Ending::new(RunState::Held), &[]).await.unwrap();
        let approved = db.approve_run(claim.run.id, &approval(&lab), event("run.approved")).await.unwrap();
        assert_eq!(approved.approval, Some(approval(&lab)));
        assert_eq!((approved.excesses.len(), approved.reason), (0, None));
        let again = db.claim_run(LONG).await.unwrap().unwrap();
        assert_eq!((again.run.attempt, again.attempts_left), (2, 2));
        assert_eq!(again.run.approval, Some(approval(&lab)));
    }
}
