//! Queueing runs and looking them up; beginning, telling progress, ending.

use std::collections::HashSet;

use syncline_domain::{
    Failure, RelPath,
    guard::{Excess, Size},
    ids::RunId,
    run::{
        Counts, Ending, Phase, PluginProgress, Progress, Repair, RunMode, RunState, Subject, TargetResult,
        Trigger,
    },
    sync::Compare,
};
use syncline_store::{Error, NewRun, Page, RunFilter};

use crate::lab::{LONG, Lab, both_engines, event, name};

fn counts(copied: u64) -> Counts {
    Counts { copied, bytes: 1 << 40, ..Counts::default() }
}

both_engines! {
    async fn a_run_reads_back_as_it_was_queued(lab: Lab) {
        let db = lab.with_sync().await;
        let new = NewRun {
            mode: RunMode::Preview,
            trigger: Trigger::Retry,
            retry_of: Some(RunId::new(lab.now())),
            repair: Some(Repair {
                collection: name("patches"),
                check: Compare::Full,
                targets: [(name("site"), Some([RelPath::from_text("a/b").unwrap()].into())), (name("lab"), None)].into(),
            }),
            anew: true,
            bound_to: Some(lab.node),
            ..lab.new_run(&["store:site", "!store:site"])
        };
        let run = db.enqueue_run(&new, event("run.queued")).await.unwrap();
        assert_eq!(db.run(run.id).await.unwrap(), run);
        assert_eq!((run.state, run.attempt, run.mode, run.trigger), (RunState::Queued, 0, new.mode, new.trigger));
        assert_eq!((run.retry_of, run.anew, run.bound_to), (new.retry_of, true, Some(lab.node)));
        assert_eq!(run.repair, new.repair);
        assert_eq!((run.created_at, run.finished_at), (lab.now(), None));

        let twice = db.enqueue_run(&new, event("run.queued")).await.unwrap_err();
        assert!(matches!(twice, Error::Exists { what: "run", .. }), "{twice}");
        let nothing = NewRun { id: RunId::new(lab.now()), subject: Subject::Sync(name("x")), ..new };
        let nothing = db.enqueue_run(&nothing, event("run.queued")).await.unwrap_err();
        assert!(matches!(nothing, Error::NotFound { what: "sync", .. }));
        let unknown = db.run(RunId::new(lab.now())).await.unwrap_err();
        assert!(matches!(unknown, Error::NotFound { what: "run", .. }));
    }

    async fn pages_give_every_run_once_newest_first(lab: Lab) {
        let db = lab.with_sync().await;
        let mut queued = Vec::new();
        for _ in 0..25 {
            queued.push(lab.enqueue(&db, &[]).await.id);
        }
        db.cancel_run(queued[3], "tester", event("run.cancelled")).await.unwrap();
        queued.reverse();
        let mut listed = Vec::new();
        let mut page = Page::first(10);
        loop {
            let runs = db.runs(&RunFilter::default(), &page).await.unwrap();
            assert!(runs.items.len() <= 10);
            listed.extend(runs.items.iter().map(|run| run.id));
            page.after = runs.next;
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(listed, queued);

        let filter = RunFilter { state: Some(RunState::Cancelled), ..RunFilter::default() };
        let cancelled = db.runs(&filter, &Page::default()).await.unwrap();
        assert_eq!((cancelled.items.len(), cancelled.next), (1, None));
        let filter = RunFilter { unfinished: true, sync: Some(name("s")), ..RunFilter::default() };
        assert_eq!(db.runs(&filter, &Page::default()).await.unwrap().items.len(), 24);
        for none in [
            RunFilter { sync: Some(name("x")), ..RunFilter::default() },
            RunFilter { mode: Some(RunMode::Preview), ..RunFilter::default() },
            RunFilter { retry_of: Some(queued[0]), ..RunFilter::default() },
        ] {
            assert_eq!(db.runs(&none, &Page::default()).await.unwrap().items, []);
        }
        let page = Page { limit: 10, after: Some("not a cursor".to_owned()) };
        let wrong = db.runs(&RunFilter::default(), &page).await.unwrap_err();
        assert!(matches!(wrong, Error::Cursor(_)), "{wrong}");

        let states: HashSet<_> = db.run_states().await.unwrap().into_iter().collect();
        assert_eq!(states, HashSet::from([(RunState::Queued, 24), (RunState::Cancelled, 1)]));
    }

    async fn an_attempt_goes_from_claim_to_end(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.claimed(&db, LONG).await;
        assert_eq!((claim.run.state, claim.run.attempt, claim.run.node), (RunState::Claimed, 1, Some(lab.node)));
        assert_eq!(claim.run.started_at, Some(lab.now()));
        assert_eq!(claim.attempts_left, 2);
        let run = db.begin_run(&claim, "blake3:1").await.unwrap();
        assert_eq!((run.state, run.plugin_digest.as_deref()), (RunState::Running, Some("blake3:1")));

        let progress = Progress {
            phase: Phase::Apply,
            plugin: Some(PluginProgress { done: 1, total: None, unit: "files".to_owned() }),
            scanned: 7,
            remaining_ms: Some(1_000),
            ..Progress::default()
        };
        let target = TargetResult::new(name("site"), counts(1), None);
        db.save_progress(&claim, &progress, &counts(1), std::slice::from_ref(&target)).await.unwrap();
        let run = db.run(claim.run.id).await.unwrap();
        assert_eq!((run.progress, run.counts, run.targets), (progress, counts(1), vec![target.clone()]));

        let size = Size {
            target: name("site"), deletes: 1, removable: 2, changes: 3, declared: 4, first_fill: true, removals: None,
        };
        let ending = Ending {
            counts: counts(2),
            targets: vec![target.clone()],
            sizes: vec![size.clone()],
            failure: Some(Failure::unavailable("share", "the share went away")),
            ..Ending::new(RunState::Partial)
        };
        let events = [event("run.partial"), event("store.unavailable")];
        let before = db.last_event().await.unwrap();
        let run = db.end_attempt(&claim, &ending, &events).await.unwrap();
        assert_eq!((run.state, run.counts, run.sizes), (RunState::Partial, counts(2), vec![size]));
        assert_eq!((run.failure, run.finished_at), (ending.failure.clone(), Some(lab.now())));
        assert_eq!(db.last_event().await.unwrap(), before + 2);

        let attempts = db.attempts(run.id).await.unwrap();
        assert_eq!(attempts.len(), 1);
        assert_eq!((attempts[0].attempt, attempts[0].node, attempts[0].state), (1, lab.node, RunState::Partial));
        assert_eq!((attempts[0].finished_at, &attempts[0].failure), (Some(lab.now()), &ending.failure));
    }

    async fn another_attempt_waits_for_its_time_and_counts(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.running(&db, LONG).await;
        let ending = Ending {
            not_before: lab.now().checked_add(LONG).ok(),
            reason: Some("the share does not answer".to_owned()),
            failure: Some(Failure::unavailable("share", "the share went away")),
            ..Ending::new(RunState::Queued)
        };
        let run = db.end_attempt(&claim, &ending, &[]).await.unwrap();
        assert_eq!((run.state, run.not_before, run.reason), (RunState::Queued, ending.not_before, ending.reason));
        assert_eq!(db.claim_run(LONG).await.unwrap(), None);
        lab.pass(LONG);
        let again = db.claim_run(LONG).await.unwrap().unwrap();
        assert_eq!((again.run.id, again.run.attempt, again.attempts_left), (run.id, 2, 1));
        assert_eq!((again.run.not_before, again.run.reason, again.run.failure), (None, None, None));
        assert!(again.fencing > claim.fencing);
        assert_eq!(db.attempts(run.id).await.unwrap().len(), 2);
    }

    async fn endings_that_the_state_does_not_allow_change_nothing(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.claimed(&db, LONG).await;
        let early = db.end_attempt(&claim, &Ending::new(RunState::Succeeded), &[event("x")]).await.unwrap_err();
        assert!(matches!(early, Error::Transition { from: RunState::Claimed, to: RunState::Succeeded, .. }));
        db.begin_run(&claim, "blake3:1").await.unwrap();
        let twice = db.begin_run(&claim, "blake3:1").await.unwrap_err();
        assert!(matches!(twice, Error::Transition { from: RunState::Running, .. }));
        db.cancel_run(claim.run.id, "tester", event("run.cancelling")).await.unwrap();
        let before = db.last_event().await.unwrap();
        for next in [RunState::Queued, RunState::Held] {
            let refused = db.end_attempt(&claim, &Ending::new(next), &[event("x")]).await.unwrap_err();
            assert!(matches!(refused, Error::Transition { from: RunState::Cancelling, .. }), "{refused}");
        }
        assert_eq!(db.last_event().await.unwrap(), before);
        let run = db.end_attempt(&claim, &Ending::new(RunState::Cancelled), &[]).await.unwrap();
        assert_eq!(run.state, RunState::Cancelled);
    }

    async fn a_held_run_says_what_holds_it(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.running(&db, LONG).await;
        let excess = Excess { target: name("site"), limit: "max_deletes".to_owned(), allowed: 5, found: 6 };
        let ending = Ending { excesses: vec![excess.clone()], ..Ending::new(RunState::Held) };
        let run = db.end_attempt(&claim, &ending, &[event("run.held")]).await.unwrap();
        assert_eq!((run.state, run.excesses, run.finished_at), (RunState::Held, vec![excess], None));
        assert_eq!(db.claim_run(LONG).await.unwrap(), None);
    }

    async fn a_run_whose_sync_changed_waits_for_other_locks(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.claimed(&db, LONG).await;
        let locks = lab.new_run(&["!store:other"]).locks;
        let run = db.requeue(&claim, &locks, None, None).await.unwrap();
        assert_eq!(run.state, RunState::Queued);
        let again = db.claim_run(LONG).await.unwrap().unwrap();
        assert_eq!((again.run.id, again.attempts_left, &again.locks), (run.id, 2, &locks));
        db.begin_run(&again, "blake3:1").await.unwrap();
        let late = db.requeue(&again, &locks, None, None).await.unwrap_err();
        assert!(matches!(late, Error::Transition { from: RunState::Running, .. }));
    }
}
