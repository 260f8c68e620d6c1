//! Operations in chunks, the log, paging through both.

use std::time::{Duration, Instant};

use syncline_domain::{
    Failure, RelPath,
    ids::RunId,
    log::{LogLevel, LogLine, LogSource},
    operation::{Operation, OperationKind, OperationState},
};
use syncline_store::{Db, Error, Listed, OperationFilter, Page};

use crate::lab::{LONG, Lab, both_engines, name};

fn operation(number: usize) -> Operation {
    let state = match number % 1_000 {
        0 => OperationState::Failed,
        1 => OperationState::Skipped,
        _ => OperationState::Done,
    };
    Operation {
        target: name(if number < 6_000 { "a_1" } else { "ab1" }),
        path: RelPath::new(format!("folder-{}/file-{number}", number / 100)).unwrap(),
        kind: OperationKind::Copy,
        size: 5_000,
        stage: 0,
        state,
        digest: Some(format!("blake3:{number:064x}")),
        note: String::new(),
        failure: (state == OperationState::Failed).then(|| Failure::unavailable("io", "no")),
    }
}

async fn all_operations(db: &Db, run: RunId, filter: &OperationFilter, limit: u32) -> Vec<Operation> {
    let mut found = Vec::new();
    let mut page = Page::first(limit);
    loop {
        let Listed { items, next } = db.operations(run, filter, &page).await.unwrap();
        assert!(items.len() <= limit as usize);
        found.extend(items);
        page.after = next;
        if page.after.is_none() {
            return found;
        }
    }
}

both_engines! {
    async fn operations_come_back_in_order_page_by_page(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.running(&db, LONG).await;
        let run = claim.run.id;
        let operations: Vec<_> = (0..10_500).map(operation).collect();
        for part in operations.chunks(4_100) {
            db.append_operations(&claim, part).await.unwrap();
        }
        let everything = OperationFilter::default();
        assert_eq!(all_operations(&db, run, &everything, 1_000).await, operations);
        assert_eq!(all_operations(&db, run, &everything, 333).await, operations);

        let failed = OperationFilter { state: Some(OperationState::Failed), target: None };
        let expected: Vec<_> = (0..11).map(|thousand| operation(thousand * 1_000)).collect();
        for limit in [1, 5, 11, 100] {
            assert_eq!(all_operations(&db, run, &failed, limit).await, expected);
        }
        // `_` in a name is that character and no other.
        let target = OperationFilter { state: None, target: Some(name("a_1")) };
        assert_eq!(all_operations(&db, run, &target, 1_000).await, operations[..6_000]);
        let both = OperationFilter { state: Some(OperationState::Skipped), target: Some(name("ab1")) };
        assert_eq!(all_operations(&db, run, &both, 2).await.len(), 5);
        let none = OperationFilter { state: Some(OperationState::Planned), target: None };
        assert_eq!(db.operations(run, &none, &Page::default()).await.unwrap().items, []);

        let to_retry = db.failed_operations(run).await.unwrap();
        assert_eq!(to_retry.len(), 22);
        assert!(to_retry.iter().all(|one| one.state != OperationState::Done));

        db.clear_operations(&claim).await.unwrap();
        assert_eq!(db.operations(run, &everything, &Page::default()).await.unwrap().items, []);
        assert_eq!(db.failed_operations(run).await.unwrap(), []);
        let missing = db.operations(RunId::new(lab.now()), &everything, &Page::default()).await.unwrap_err();
        assert!(matches!(missing, Error::NotFound { what: "run", .. }));
    }

    async fn the_log_comes_back_in_order_page_by_page(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.running(&db, LONG).await;
        let line = |number: usize| LogLine {
            at: lab.now(),
            level: LogLevel::Warn,
            source: if number.is_multiple_of(2) { LogSource::Host } else { LogSource::Plugin },
            message: format!("line {number}\u{2028}\\n"),
            fields: vec![("number".to_owned(), number.to_string())],
        };
        let lines: Vec<_> = (0..5_000).map(line).collect();
        for part in [&lines[..1], &lines[1..3], &lines[3..4_500], &[], &lines[4_500..]] {
            db.append_log(&claim, part).await.unwrap();
        }
        let mut found = Vec::new();
        let mut page = Page::first(700);
        loop {
            let Listed { items, next } = db.log(claim.run.id, &page).await.unwrap();
            found.extend(items);
            page.after = next;
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(found, lines);
        let wrong = Page { limit: 1, after: Some("1".to_owned()) };
        assert!(matches!(db.log(claim.run.id, &wrong).await.unwrap_err(), Error::Cursor(_)));
        assert!(matches!(db.attempts(RunId::new(lab.now())).await.unwrap_err(), Error::NotFound { .. }));
    }

    async fn a_damaged_chunk_is_named(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.running(&db, LONG).await;
        db.append_operations(&claim, &[operation(1)]).await.unwrap();
        let damage = if lab.is_sqlite() { "UPDATE run_operations SET body = x'00'" }
            else { "UPDATE run_operations SET body = '\\x00'" };
        lab.raw(damage).await;
        let error = db.failed_operations(claim.run.id).await.unwrap_err().to_string();
        assert!(error.contains("column body, row \"1\""), "{error}");
    }

    async fn a_hundred_thousand_operations_are_written_in_no_time(lab: Lab) {
        let db = lab.with_sync().await;
        let claim = lab.running(&db, LONG).await;
        let operations: Vec<_> = (0..100_000).map(operation).collect();
        let begun = Instant::now();
        db.append_operations(&claim, &operations).await.unwrap();
        let took = begun.elapsed();
        println!("100,000 operations: {took:?}");
        // The budget is 250 ms in a release build; a debug build of the encoder is several times slower.
        let budget = Duration::from_millis(if cfg!(debug_assertions) { 5_000 } else { 250 });
        assert!(took < budget, "{took:?}");
        assert_eq!(db.failed_operations(claim.run.id).await.unwrap().len(), 200);
    }
}
