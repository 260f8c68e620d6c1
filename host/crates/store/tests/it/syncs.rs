//! Syncs and their cursors.

use syncline_domain::run::{Ending, RunState};
use syncline_store::Error;

use crate::lab::{LONG, Lab, both_engines, event, name};

both_engines! {
    async fn a_sync_reads_back_and_changes(lab: Lab) {
        let db = lab.with_sync().await;
        let sync = db.sync(&name("s")).await.unwrap();
        assert_eq!(sync, lab.sync("s"));
        assert_eq!(db.syncs().await.unwrap(), std::slice::from_ref(&sync));
        let twice = db.add_sync(&sync, event("sync.added")).await.unwrap_err();
        assert!(matches!(twice, Error::Exists { what: "sync", .. }));

        lab.pass(LONG);
        let mut change = sync.clone();
        change.spec.description = "changed".to_owned();
        let changed = db.update_sync(&change, event("sync.changed")).await.unwrap();
        assert_eq!((changed.revision, changed.updated_at, changed.created_at), (2, lab.now(), sync.created_at));
        let stale = db.update_sync(&change, event("sync.changed")).await.unwrap_err();
        assert!(matches!(stale, Error::Stale { what: "sync", .. }));
    }

    async fn what_a_sync_names_must_be_there(lab: Lab) {
        let db = lab.with_sync().await;
        for (what, break_it) in [
            ("plugin", (|sync| sync.spec.plugin = name("x")) as fn(&mut syncline_domain::sync::Sync)),
            ("collection or store", |sync| sync.spec.sources = vec![name("x")]),
            // A collection is no target.
            ("store", |sync| sync.spec.targets = vec![name("patches")]),
        ] {
            let mut sync = lab.sync("s");
            break_it(&mut sync);
            let changed = db.update_sync(&sync, event("sync.changed")).await.unwrap_err();
            assert!(matches!(&changed, Error::NotFound { what: found, .. } if *found == what), "{changed}");
            sync.name = name("t");
            let added = db.add_sync(&sync, event("sync.added")).await.unwrap_err();
            assert!(matches!(&added, Error::NotFound { what: found, .. } if *found == what), "{added}");
        }
        let mut from_store = lab.sync("t");
        from_store.spec.sources = vec![name("site")];
        db.add_sync(&from_store, event("sync.added")).await.unwrap();
    }

    async fn a_sync_with_work_is_not_removed(lab: Lab) {
        let db = lab.with_sync().await;
        let run = lab.enqueue(&db, &[]).await;
        let in_use = db.remove_sync(&name("s"), event("sync.removed")).await.unwrap_err();
        assert_eq!(in_use.to_string(), format!("sync \"s\" is in use by run {}", run.id));
        db.cancel_run(run.id, "tester", event("run.cancelled")).await.unwrap();
        db.remove_sync(&name("s"), event("sync.removed")).await.unwrap();
        assert_eq!(db.run(run.id).await.unwrap().subject.sync(), Some(&name("s")), "runs stay in the history");
        let twice = db.remove_sync(&name("s"), event("sync.removed")).await.unwrap_err();
        assert!(matches!(twice, Error::NotFound { .. }));
    }

    async fn the_cursor_is_written_with_the_end_of_an_attempt(lab: Lab) {
        let db = lab.with_sync().await;
        let sync = name("s");
        assert_eq!(db.cursor(&sync).await.unwrap(), None);
        for (given, then) in [
            (Some(Some(b"one".to_vec())), Some(b"one".to_vec())),
            (None, Some(b"one".to_vec())),
            (Some(Some(b"two\0".to_vec())), Some(b"two\0".to_vec())),
            (Some(None), None),
            (Some(Some(vec![])), Some(vec![])),
        ] {
            let claim = lab.running(&db, LONG).await;
            let ending = Ending { cursor: given, ..Ending::new(RunState::Succeeded) };
            db.end_attempt(&claim, &ending, &[]).await.unwrap();
            assert_eq!(db.cursor(&sync).await.unwrap(), then);
        }
        db.clear_cursor(&sync, event("sync.cursor-cleared")).await.unwrap();
        assert_eq!(db.cursor(&sync).await.unwrap(), None);
        let missing = db.clear_cursor(&name("x"), event("sync.cursor-cleared")).await.unwrap_err();
        assert!(matches!(missing, Error::NotFound { .. }));
    }
}
