//! Killed or left in the middle of a transaction: all of it is there, or nothing.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use syncline_domain::{
    operation::Operation,
    run::{Ending, RunState},
};
use syncline_store::{EventFilter, OperationFilter, Page, RunFilter};

use crate::lab::{LONG, Lab, both_engines, dropped_after, event, name};

/// Tells the child which database to write to.
const URL: &str = "SYNCLINE_STORE_TEST_CRASH_URL";

/// Writes until it is killed, and says so after each commit. Does nothing in an ordinary run of the tests.
#[tokio::test]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let lab = Lab { url, ..Lab::sqlite() };
    let db = lab.open().await;
    for number in 0.. {
        lab.enqueue(&db, &["!store:site"]).await;
        println!("committed {number}");
    }
}

both_engines! {
    async fn killed_at_any_moment_it_leaves_whole_transactions(lab: Lab) {
        lab.with_sync().await.close().await;
        let mut acknowledged = 0;
        for round in 1..=4_usize {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "crash::child", "--nocapture"])
                .env(URL, &lab.url)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // A test runner's own output comes first; the child's lines follow, and it is killed at one of them.
            let output = BufReader::new(child.stdout.take().unwrap());
            let lines = output.lines().map_while(Result::ok).filter(|line| line.contains("committed "));
            let told = lines.take(round * 7).count();
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(told, round * 7, "the child ended by itself");
            acknowledged += told;
            let db = lab.open().await;
            let filter = EventFilter { kind: Some("run.queued".to_owned()), ..EventFilter::default() };
            let events = db.events(&filter, &Page::first(1_000)).await.unwrap().items.len();
            let runs = db.runs(&RunFilter::default(), &Page::first(1_000)).await.unwrap().items.len();
            assert_eq!(runs, events);
            assert!(runs >= acknowledged, "{runs} runs, {acknowledged} were acknowledged");
            let all = db.events_after(0, 10_000).await.unwrap();
            assert!(all.iter().zip(1..).all(|(event, seq)| event.seq == seq));
            assert_eq!(db.last_event().await.unwrap(), all.len() as i64);
            db.close().await;
        }
    }

    async fn left_at_any_moment_it_leaves_whole_transactions(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.running(&db, LONG).await;
        let operation: Operation = serde_json::from_value(serde_json::json!({
            "target": "site", "path": "a", "kind": "copy", "size": 1, "stage": 0, "state": "done",
        })).unwrap();
        let operations = vec![operation; 10_000];
        for polls in 1..30 {
            let whole = dropped_after(polls, db.append_operations(&claim, &operations)).await.is_some();
            let all = OperationFilter::default();
            let found = db.operations(claim.run.id, &all, &Page::first(1)).await.unwrap().items.len();
            assert!(!whole || found > 0);
            let ending = Ending { cursor: Some(Some(vec![1])), ..Ending::new(RunState::Succeeded) };
            let ended = [event("run.succeeded")];
            dropped_after(polls, db.end_attempt(&claim, &ending, &ended)).await;
            let state = db.run(claim.run.id).await.unwrap().state;
            let filter = EventFilter { kind: Some("run.succeeded".to_owned()), ..EventFilter::default() };
            let events = db.events(&filter, &Page::default()).await.unwrap().items.len();
            let cursor = db.cursor(&name("s")).await.unwrap().is_some();
            let done = state == RunState::Succeeded;
            assert_eq!((events == 1, cursor), (done, done), "after {polls} polls: {state}");
            if done {
                return;
            }
        }
        panic!("the run never ended");
    }
}
