//! Secrets: wrong keys, tampered values, rotation, the key file.

use std::{fs, os::unix::fs::PermissionsExt};

use syncline_store::{Error, SecretKey};

use crate::lab::{Lab, both_engines, dropped_after, event, name};

both_engines! {
    async fn a_secret_is_set_read_and_removed(lab: Lab) {
        let db = lab.open().await;
        let secret = name("ldap");
        let record = db.put_secret(&secret, b"pa\0ss", "bind password", event("secret.set")).await.unwrap();
        assert_eq!((record.revision, record.updated_at), (1, lab.now()));
        assert_eq!(&*db.secret_value(&secret).await.unwrap(), b"pa\0ss");
        let record = db.put_secret(&secret, b"", "none", event("secret.set")).await.unwrap();
        assert_eq!((record.revision, record.description.as_str()), (2, "none"));
        assert_eq!(db.secret_value(&secret).await.unwrap().len(), 0);
        assert_eq!(db.secrets().await.unwrap(), [record]);
        db.remove_secret(&secret, event("secret.removed")).await.unwrap();
        assert!(matches!(db.secret_value(&secret).await.unwrap_err(), Error::NotFound { .. }));
        let twice = db.remove_secret(&secret, event("secret.removed")).await.unwrap_err();
        assert!(matches!(twice, Error::NotFound { what: "secret", .. }));
    }

    async fn another_key_is_refused_when_the_database_is_opened(lab: Lab) {
        let db = lab.open().await;
        db.close().await;
        // Nothing is encrypted yet: any key will do.
        let other = SecretKey::generate();
        let db = lab.try_open(lab.node, other.clone()).await.unwrap();
        db.put_secret(&name("a"), b"value", "", event("secret.set")).await.unwrap();
        db.close().await;
        let refused = lab.try_open(lab.node, lab.key.clone()).await.unwrap_err();
        assert!(matches!(&refused, Error::Key(why) if why.contains(&other.key_id())), "{refused}");
        let db = lab.try_open(lab.node, other).await.unwrap();
        assert_eq!(&*db.secret_value(&name("a")).await.unwrap(), b"value");
    }

    async fn a_value_that_was_tampered_with_or_moved_does_not_open(lab: Lab) {
        let db = lab.open().await;
        for (secret, value) in [("a", b"one"), ("b", b"two")] {
            db.put_secret(&name(secret), value, "", event("secret.set")).await.unwrap();
        }
        lab.raw("UPDATE secrets SET body = (SELECT body FROM secrets WHERE name = 'a') WHERE name = 'b'").await;
        let moved = db.secret_value(&name("b")).await.unwrap_err();
        assert!(matches!(&moved, Error::Key(why) if why.contains("\"b\"")), "{moved}");
        let truncate = if lab.is_sqlite() { "UPDATE secrets SET body = x'00' WHERE name = 'a'" }
            else { "UPDATE secrets SET body = '\\x00' WHERE name = 'a'" };
        lab.raw(truncate).await;
        assert!(matches!(db.secret_value(&name("a")).await.unwrap_err(), Error::Key(_)));
        let rotated = db.rotate_key(&SecretKey::generate(), event("secret.rotated")).await.unwrap_err();
        assert!(matches!(rotated, Error::Key(_)), "a damaged secret is not thrown away silently");
    }

    async fn the_same_value_is_never_stored_the_same(lab: Lab) {
        let db = lab.open().await;
        db.put_secret(&name("a"), b"value", "", event("secret.set")).await.unwrap();
        lab.raw("CREATE TABLE kept AS SELECT body FROM secrets").await;
        db.put_secret(&name("a"), b"value", "", event("secret.set")).await.unwrap();
        // Fails with a division by zero if the nonce was used again.
        let check = if lab.is_sqlite() {
            "CREATE TABLE checked (same BIGINT CHECK (same = 0));
            INSERT INTO checked SELECT COUNT(*) FROM secrets JOIN kept ON kept.body = secrets.body"
        } else {
            "SELECT 1 / (COUNT(*) - 1) FROM secrets JOIN kept ON kept.body = secrets.body HAVING COUNT(*) > 0"
        };
        lab.raw(check).await;
    }

    async fn rotation_is_all_or_nothing_and_shuts_the_old_key_out(lab: Lab) {
        let db = lab.open().await;
        for number in 0..20 {
            let secret = name(&format!("s{number}"));
            db.put_secret(&secret, number.to_string().as_bytes(), "", event("secret.set")).await.unwrap();
        }
        // Left in the middle, over and over: all secrets stay under one key, which this database knows.
        let mut shut_out = vec![lab.key.clone()];
        for polls in 1..40 {
            let new = SecretKey::generate();
            dropped_after(polls, db.rotate_key(&new, event("secret.rotated"))).await;
            shut_out.push(new);
            assert_eq!(&*db.secret_value(&name("s7")).await.unwrap(), b"7", "after {polls} polls");
        }
        let known = SecretKey::generate();
        db.rotate_key(&known, event("secret.rotated")).await.unwrap();
        let other = lab.second_with(&db, known.clone()).await;
        let new = SecretKey::generate();
        assert_eq!(db.rotate_key(&new, event("secret.rotated")).await.unwrap(), 20);
        for number in 0..20 {
            let value = db.secret_value(&name(&format!("s{number}"))).await.unwrap();
            assert_eq!(&*value, number.to_string().as_bytes());
        }
        if !lab.is_sqlite() {
            assert!(matches!(other.secret_value(&name("s1")).await.unwrap_err(), Error::Key(_)));
            let put = other.put_secret(&name("x"), b"x", "", event("secret.set")).await.unwrap_err();
            assert!(matches!(put, Error::Key(_)), "a node with the old key adds nothing under it");
        }
        other.close().await;
        db.close().await;
        shut_out.push(known);
        for key in shut_out {
            assert!(matches!(lab.try_open(lab.node, key).await.unwrap_err(), Error::Key(_)));
        }
        lab.try_open(lab.node, new).await.unwrap();
    }
}

#[test]
fn a_key_file_is_private_and_never_replaced_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    let key = SecretKey::generate();
    key.to_file(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(SecretKey::from_file(&path).unwrap().key_id(), key.key_id());

    let other = SecretKey::generate();
    assert!(matches!(other.to_file(&path).unwrap_err(), Error::Exists { .. }));
    assert_eq!(SecretKey::from_file(&path).unwrap().key_id(), key.key_id());
    other.replace_file(&path).unwrap();
    assert_eq!(SecretKey::from_file(&path).unwrap().key_id(), other.key_id());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let open = SecretKey::from_file(&path).unwrap_err().to_string();
    assert!(open.contains("0640") && open.contains("0600"), "{open}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "not a key, but secret all the same").unwrap();
    let wrong = SecretKey::from_file(&path).unwrap_err().to_string();
    assert!(wrong.contains("64 hexadecimal digits") && !wrong.contains("secret all"), "{wrong}");
    assert!(matches!(SecretKey::from_file(&folder.path().join("none")).unwrap_err(), Error::Key(_)));
}

#[test]
fn a_key_shows_nothing_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    let key = SecretKey::generate();
    key.to_file(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(!format!("{key:?}").contains(text.trim()));
    assert!(!text.contains(&key.key_id()));
}
