use std::os::unix::fs::PermissionsExt;

use syncline_domain::{Name, clock::SystemClock};

use super::*;

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn place(data: &Path) -> Place<'_> {
    Place { data, database: None, clock: clock() }
}

fn secret() -> Name {
    "backend".parse().unwrap()
}

/// A data folder as a server leaves it: with a node, an admin token and a secret.
async fn folder(data: &Path) -> String {
    let mut folder = DataFolder::open(data, &SystemClock).unwrap();
    let db = place(data).open_with(&folder, folder.key().unwrap()).await.unwrap();
    db.touch_node(folder.node, "north", "0.1.0").await.unwrap();
    let event = || NewEvent::new("test", "test", "");
    let (made, token) = db.create_token("admin@north", Role::Admin, None, event()).await.unwrap();
    folder.write_token(made.id, &token).unwrap();
    db.put_secret(&secret(), b"hush", "", event()).await.unwrap();
    db.close().await;
    token
}

async fn open(data: &Path) -> Result<Db> {
    let folder = place(data).folder()?;
    Ok(place(data).open_with(&folder, existing_key(&folder)?).await?)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[tokio::test]
async fn a_lost_token_is_replaced_and_ends() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let lost = folder(&data).await;
    fs::remove_file(data.join("admin.token")).unwrap();

    let file = replace_token(&place(&data)).await.unwrap();

    let token = fs::read_to_string(&file).unwrap();
    assert_eq!(mode(&file), 0o600);
    let db = open(&data).await.unwrap();
    let record = db.token_by_secret(token.trim()).await.unwrap().unwrap();
    assert_eq!((record.name.as_str(), record.role), ("admin@north", Role::Admin));
    assert_eq!(db.token_by_secret(&lost).await.unwrap(), None);
    db.close().await;
}

#[tokio::test]
async fn a_folder_that_is_none_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    for done in [
        message(replace_token(&place(root.path())).await),
        message(backup(&place(root.path()), &root.path().join("b")).await),
        message(upgrade(&place(root.path())).await),
        message(rotate_key(&place(root.path())).await),
    ] {
        assert!(done.contains("no data folder"), "{done}");
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_backup_comes_back_whole_and_private() {
    let root = tempfile::tempdir().unwrap();
    let (data, again, file) =
        (root.path().join("data"), root.path().join("again"), root.path().join("b.tar.zst"));
    let token = folder(&data).await;

    let made = backup(&place(&data), &file).await.unwrap();
    assert!(made.with_database && made.size > 0);
    assert_eq!(mode(&file), 0o600);
    let restored = restore(&file, &again, clock()).await.unwrap();

    assert!(restored.with_database);
    assert_eq!(mode(&again), 0o700);
    assert_eq!(mode(&again.join("syncline.db")), 0o600);
    let db = open(&again).await.unwrap();
    assert!(db.token_by_secret(&token).await.unwrap().is_some());
    assert_eq!(db.secret_value(&secret()).await.unwrap().as_slice(), b"hush");
    db.close().await;
    let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[tokio::test]
async fn a_backup_is_taken_while_the_server_works() {
    let root = tempfile::tempdir().unwrap();
    let (data, file) = (root.path().join("data"), root.path().join("b.tar.zst"));
    folder(&data).await;
    let _server = FolderLock::take(&data).unwrap();
    let db = open(&data).await.unwrap();
    db.put_secret(&secret(), b"newer", "", NewEvent::new("test", "test", "")).await.unwrap();

    backup(&place(&data), &file).await.unwrap();
    db.close().await;
    let again = root.path().join("again");
    restore(&file, &again, clock()).await.unwrap();

    let db = open(&again).await.unwrap();
    assert_eq!(db.secret_value(&secret()).await.unwrap().as_slice(), b"newer");
    db.close().await;
}

#[tokio::test]
async fn neither_backup_nor_restore_replaces_anything() {
    let root = tempfile::tempdir().unwrap();
    let (data, file) = (root.path().join("data"), root.path().join("b.tar.zst"));
    folder(&data).await;
    backup(&place(&data), &file).await.unwrap();
    let before = fs::read(&file).unwrap();

    assert!(message(backup(&place(&data), &file).await).contains("there already"));
    assert!(message(restore(&file, &data, clock()).await).contains("not empty"));

    assert_eq!(fs::read(&file).unwrap(), before);
    open(&data).await.unwrap().close().await;
}

#[tokio::test]
async fn a_damaged_backup_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let (data, file) = (root.path().join("data"), root.path().join("b.tar.zst"));
    folder(&data).await;
    backup(&place(&data), &file).await.unwrap();
    let whole = fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let middle = whole.len() / 2;
    let cases = [flipped(middle), flipped(0), whole[..middle].to_vec(), b"not a backup".to_vec(), Vec::new()];
    for (case, bytes) in cases.into_iter().enumerate() {
        fs::write(&file, bytes).unwrap();
        let again = root.path().join("again");
        let refused = message(restore(&file, &again, clock()).await);
        assert!(refused.contains("damaged"), "case {case}: {refused}");
        assert!(!again.exists(), "case {case}");
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn a_backup_that_would_write_elsewhere_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let (file, secret) = (root.path().join("b.tar.zst"), root.path().join("x"));
    fs::write(&secret, "x").unwrap();
    archive::write(&file, &[("node.json", secret.clone()), ("evil", secret)], None, SystemClock.now())
        .unwrap();
    let refused = message(restore(&file, &root.path().join("again"), clock()).await);
    assert!(refused.contains("\"evil\" does not belong"), "{refused}");
}

#[tokio::test]
async fn a_new_key_opens_the_secrets_and_the_old_one_does_not() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path()).await;
    let old = fs::read(root.path().join("secret.key")).unwrap();

    assert_eq!(rotate_key(&place(root.path())).await.unwrap(), 1);

    let db = open(root.path()).await.unwrap();
    assert_eq!(db.secret_value(&secret()).await.unwrap().as_slice(), b"hush");
    db.close().await;
    assert_eq!(mode(&root.path().join("secret.key")), 0o600);
    assert!(!root.path().join("secret.key.next").exists());
    fs::write(root.path().join("secret.key"), old).unwrap();
    assert!(open(root.path()).await.is_err());
}

#[tokio::test]
async fn a_rotation_that_was_interrupted_is_brought_to_its_end() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path()).await;
    let old = fs::read(root.path().join("secret.key")).unwrap();
    rotate_key(&place(root.path())).await.unwrap();
    // As if the power had gone after the database was written and before the file was renamed.
    fs::rename(root.path().join("secret.key"), root.path().join("secret.key.next")).unwrap();
    fs::write(root.path().join("secret.key"), old).unwrap();
    fs::set_permissions(root.path().join("secret.key"), fs::Permissions::from_mode(0o600)).unwrap();

    assert_eq!(rotate_key(&place(root.path())).await.unwrap(), 1);

    let db = open(root.path()).await.unwrap();
    assert_eq!(db.secret_value(&secret()).await.unwrap().as_slice(), b"hush");
    db.close().await;
}

#[tokio::test]
async fn commands_that_must_be_alone_wait_for_no_server() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path()).await;
    let server = FolderLock::take(root.path()).unwrap();
    for refused in
        [message(rotate_key(&place(root.path())).await), message(upgrade(&place(root.path())).await)]
    {
        assert!(refused.contains("a server is running"), "{refused}");
    }
    let db = open(root.path()).await.unwrap();
    let refused = message(replace_token(&place(root.path())).await);
    assert!(refused.contains("in use by another process"), "{refused}");
    db.close().await;
    drop(server);
    assert_eq!(upgrade(&place(root.path())).await.unwrap().backup, None);
}

#[tokio::test]
async fn an_older_schema_is_upgraded_with_a_backup_that_works_and_only_then_worked_on() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    fs::create_dir(&data).unwrap();
    let source = DataFolder::open(&data, &SystemClock).unwrap();
    source.key().unwrap();
    // An empty file is a SQLite database that no migration has been at yet: the oldest that there can be.
    fs::write(data.join("syncline.db"), b"").unwrap();

    assert!(message(replace_token(&place(&data)).await).contains("syncline admin upgrade"));
    let done = upgrade(&place(&data)).await.unwrap();

    assert_eq!((done.from, done.to), (0, syncline_store::known_schema()));
    replace_token(&place(&data)).await.unwrap();
    restore(&done.backup.unwrap(), &root.path().join("again"), clock()).await.unwrap();
}
