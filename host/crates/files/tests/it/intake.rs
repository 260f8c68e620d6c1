//! Files that a list names come in: by parts, with their digest, under their name when they are whole.

use std::{fs, path::Path, sync::Arc};

use syncline_domain::{
    Failure, RelPath,
    ids::StoreId,
    refresh::{Digest, ListedFile},
};
use syncline_files::{
    FolderOptions, FolderStore, NoDigests, Source,
    intake::{Intake, Lack, PREFIX},
};
use tempfile::TempDir;

fn keep_going() -> Result<(), Failure> {
    Ok(())
}

fn store(folder: &TempDir) -> Source {
    let id = FolderStore::adopt(folder.path(), StoreId::new(jiff::Timestamp::UNIX_EPOCH)).unwrap();
    let opened =
        FolderStore::open("library".parse().unwrap(), folder.path(), id, FolderOptions::default()).unwrap();
    Source { name: "patches".parse().unwrap(), store: Arc::new(opened), prefix: path("patches") }
}

fn intake(to: &Source) -> Intake<'_> {
    Intake { to, digests: &NoDigests, keep_going: &keep_going }
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn listed(name: &str, content: &[u8]) -> ListedFile {
    let digest = Digest::Blake3(*blake3::hash(content).as_bytes());
    ListedFile { path: path(name), size: content.len() as u64, digest, url: None, modified: None }
}

fn look(intake: &Intake<'_>, files: &[ListedFile]) -> Lack {
    intake.look(files, &|_| ()).unwrap()
}

fn receive(intake: &Intake<'_>, file: &ListedFile, bytes: &[u8]) -> Result<(), Failure> {
    let root = intake.root()?;
    let mut part = intake.part(root.as_ref(), file)?;
    part.write(bytes)?;
    part.finish(file)
}

fn temporary(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder.join(".syncline/tmp")).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_comes_in_two_parts_and_is_seen_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let to = store(&folder);
    let intake = intake(&to);
    assert!(intake.keeps_parts().unwrap());
    let file = listed("a/b.bin", b"one and two");
    let lack = look(&intake, std::slice::from_ref(&file));
    assert_eq!((lack.missing, lack.unchanged, lack.standing), (vec![(0, false)], 0, 0));

    let root = intake.root().unwrap();
    let mut part = intake.part(root.as_ref(), &file).unwrap();
    part.write(b"one and").unwrap();
    drop(part);
    assert_eq!(intake.standing(&file).unwrap(), 7);
    let part = intake.part(root.as_ref(), &file).unwrap();
    assert_eq!(part.length(), 7);
    drop(part);
    assert!(!folder.path().join("patches").exists());
    // Who copies into the store leaves it, and so does a refresh of something else.
    to.store.prepare(&Default::default()).unwrap();
    let other = Source { name: "engines".parse().unwrap(), ..to.clone() };
    Intake { to: &other, ..intake }.sweep(&[]).unwrap();
    let intake = Intake { to: &to, digests: &NoDigests, keep_going: &keep_going };
    receive(&intake, &file, b" two").unwrap();
    intake.settle(&file, true).unwrap();
    intake.verify(&file).unwrap();
    assert_eq!(fs::read(folder.path().join("patches/a/b.bin")).unwrap(), b"one and two");
    assert_eq!(temporary(folder.path()), Vec::<String>::new());
    assert_eq!(look(&intake, std::slice::from_ref(&file)).unchanged, 1);
}

#[test]
fn another_content_is_thrown_away_and_both_digests_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let to = store(&folder);
    let intake = intake(&to);
    let file = listed("a", b"wanted");
    let failure = receive(&intake, &file, b"wrong!").unwrap_err();
    assert_eq!(failure.code, "digest");
    let wrong = Digest::Blake3(*blake3::hash(b"wrong!").as_bytes()).to_string();
    for told in ["\"a\"", &wrong, &file.digest.to_string()] {
        assert!(failure.message.contains(told), "{told}: {failure}");
    }
    assert_eq!(intake.standing(&file).unwrap(), 0);
    assert_eq!(receive(&intake, &file, b"too long").unwrap_err().code, "size");
    assert_eq!(receive(&intake, &file, b"short").unwrap_err().code, "digest");
    assert_eq!(intake.settle(&file, false).unwrap_err().code, "changed");
    assert!(!folder.path().join("patches/a").exists());
    intake.sweep(&[]).unwrap();
    assert!(temporary(folder.path()).iter().all(|name| !name.starts_with(PREFIX)));
}

#[test]
fn what_stands_is_found_by_its_digest_whichever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let to = store(&folder);
    let intake = intake(&to);
    fs::create_dir_all(folder.path().join("patches/d")).unwrap();
    fs::write(folder.path().join("patches/d/same"), b"content").unwrap();
    fs::write(folder.path().join("patches/d/other"), b"CONTENT").unwrap();
    fs::write(folder.path().join("patches/gone"), b"unlisted").unwrap();
    let mut same = listed("d/same", b"content");
    // Of "content", by sha256sum.
    same.digest = Digest::Sha256(
        hex("ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73").try_into().unwrap(),
    );
    let files = [listed("d/other", b"content"), same];
    let lack = look(&intake, &files);
    assert_eq!((lack.missing, lack.unchanged, lack.standing), (vec![(0, true)], 1, 3));
    assert_eq!(lack.unlisted.len(), 1);
    // Copied from where it stands; what was there is replaced in one step.
    assert!(intake.copy(&files[0], &path("d/same")).unwrap());
    assert!(!intake.copy(&listed("x", b"nowhere"), &path("d/same")).unwrap());
    intake.settle(&files[0], false).unwrap();
    assert_eq!(fs::read(folder.path().join("patches/d/other")).unwrap(), b"content");
    assert!(intake.remove(&lack.unlisted[0]).unwrap());
    assert!(!folder.path().join("patches/gone").exists());
}

#[test]
fn nothing_is_written_through_a_link_or_over_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let to = store(&folder);
    let intake = intake(&to);
    fs::create_dir_all(folder.path().join("patches/folder/x")).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("patches/link")).unwrap();
    for name in ["link/a", "folder"] {
        let file = listed(name, b"a");
        receive(&intake, &file, b"a").unwrap();
        intake.settle(&file, false).unwrap_err();
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
