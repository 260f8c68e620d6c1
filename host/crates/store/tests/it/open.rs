//! Opening, schemas, backup.

use std::{fs, os::unix::fs::PermissionsExt};

use syncline_store::{Error, SecretKey};

use crate::lab::{Lab, both_engines, event, name};

both_engines! {
    async fn a_database_is_opened_again_with_what_was_in_it(lab: Lab) {
        let db = lab.with_sync().await;
        let schema = db.schema_version().await.unwrap();
        let last = db.last_event().await.unwrap();
        db.ping().await.unwrap();
        db.close().await;
        let db = lab.open().await;
        assert_eq!(db.schema_version().await.unwrap(), schema);
        assert_eq!(db.sync(&name("s")).await.unwrap(), lab.sync("s"));
        assert_eq!(*db.event_signal().borrow(), last);
        assert_eq!(db.node(), lab.node);
    }

    async fn a_newer_schema_is_refused_and_left_alone(lab: Lab) {
        let db = lab.open().await;
        let known = db.schema_version().await.unwrap();
        db.close().await;
        lab.raw("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
            SELECT 9000, 'from the future', TRUE, checksum, 1 FROM _sqlx_migrations WHERE version = 1").await;
        let refused = lab.try_open(lab.node, lab.key.clone()).await.unwrap_err();
        assert!(matches!(refused, Error::NewerSchema { found: 9000, known: told } if told == known), "{refused}");
        lab.raw("DELETE FROM _sqlx_migrations WHERE version = 9000").await;
        lab.open().await;
    }

    async fn a_migration_that_was_changed_is_refused(lab: Lab) {
        lab.open().await.close().await;
        let tamper = if lab.is_sqlite() { "UPDATE _sqlx_migrations SET checksum = x'00'" }
            else { "UPDATE _sqlx_migrations SET checksum = '\\x00'" };
        lab.raw(tamper).await;
        assert!(matches!(lab.try_open(lab.node, lab.key.clone()).await.unwrap_err(), Error::Database(_)));
    }

    async fn several_open_an_empty_database_at_once(lab: Lab) {
        let opened = tokio::join!(
            lab.try_open(lab.node, lab.key.clone()),
            lab.try_open(lab.node, lab.key.clone()),
            lab.try_open(lab.node, lab.key.clone()),
        );
        let opened = [opened.0, opened.1, opened.2];
        let count = opened.iter().filter(|one| one.is_ok()).count();
        assert_eq!(count, if lab.is_sqlite() { 1 } else { 3 });
        for one in opened {
            match one {
                Ok(db) => db.ping().await.unwrap(),
                Err(error) => assert!(matches!(error, Error::Conflict(_)), "{error}"),
            }
        }
    }

    async fn a_backup_is_the_whole_database(lab: Lab) {
        let db = lab.with_sync().await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it's a backup.db");
        if !lab.is_sqlite() {
            let refused = db.backup_to(&path).await.unwrap_err().to_string();
            assert!(refused.contains("pg_dump"), "{refused}");
            assert!(!path.exists());
            return;
        }
        db.backup_to(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = db.backup_to(&path).await.unwrap_err().to_string();
        assert!(refused.contains("exists"), "{refused}");
        db.append_event(event("after.backup")).await.unwrap();
        let restored = Lab { url: format!("sqlite://{}", path.display()), ..lab };
        let copy = restored.open().await;
        assert_eq!(copy.sync(&name("s")).await.unwrap(), db.sync(&name("s")).await.unwrap());
        assert_eq!(copy.last_event().await.unwrap() + 1, db.last_event().await.unwrap());
    }
}

#[tokio::test]
async fn a_second_process_is_kept_from_a_sqlite_file() {
    let lab = Lab::sqlite();
    let db = lab.open().await;
    let refused = lab.try_open(lab.node, lab.key.clone()).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Conflict(why) if why.contains("in use by another process")),
        "{refused}"
    );
    db.ping().await.unwrap();
    // A clone that is still about does not keep the file once it is closed.
    let clone = db.clone();
    db.close().await;
    lab.open().await.ping().await.unwrap();
    assert!(matches!(clone.ping().await.unwrap_err(), Error::Database(_)));
}

#[tokio::test]
async fn a_sqlite_file_is_private() {
    let lab = Lab::sqlite();
    let db = lab.open().await;
    db.append_event(event("x")).await.unwrap();
    let file = lab.url.trim_start_matches("sqlite://");
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let mode = fs::metadata(format!("{file}{suffix}")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{suffix:?}");
    }
}

#[tokio::test]
async fn addresses_that_make_no_sense_are_refused() {
    for (url, says) in [
        ("mysql://x/y", "\"mysql\" is no kind of database"),
        ("sqlite://relative.db", "names no absolute file"),
        ("sqlite::memory:", "names no absolute file"),
        ("sqlite:///nowhere/at/all.db", "/nowhere/at/all.db"),
    ] {
        let lab = Lab { url: url.to_owned(), ..Lab::sqlite() };
        let error = lab.try_open(lab.node, SecretKey::generate()).await.unwrap_err();
        assert!(matches!(&error, Error::Conflict(why) if why.contains(says)), "{error}");
    }
}
