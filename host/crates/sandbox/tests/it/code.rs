//! Compiled code on disk.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use syncline_domain::{Failure, clock::SystemClock};
use syncline_sandbox::{Allocation, Sandbox, SandboxConfig};

use crate::{
    guests::idle,
    support::{call, digest, load, run},
};

fn sandbox(cache: &Path) -> Sandbox {
    let cache = Some(cache.join("code"));
    let config = SandboxConfig {
        cache,
        allocation: Allocation::Pooling,
        concurrency: 1,
        clock: Arc::new(SystemClock),
    };
    Sandbox::new(config).unwrap()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("code")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

async fn no_bytes() -> Result<Vec<u8>, Failure> {
    panic!("the package was asked for")
}

#[tokio::test]
async fn a_restart_does_not_compile_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = sandbox(folder.path());
    run(&first, &idle(), call()).await.unwrap();
    load(&first, &idle()).await;
    assert_eq!(first.compilations(), 1);
    drop(first);

    let second = sandbox(folder.path());
    let plugin = second.load(&digest(&idle()), no_bytes).await.unwrap();
    second.declare_files(&plugin, call()).await.unwrap();
    assert_eq!(second.compilations(), 0);
    assert_eq!(plugin.world(), "file-sync");
    let mode = fs::metadata(folder.path().join("code")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn damaged_code_is_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    load(&sandbox(folder.path()), &idle()).await;
    let damages: [fn(&Path, &Path); 4] = [
        |code, _| {
            let mut bytes = fs::read(code).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x55;
            fs::write(code, bytes).unwrap();
        },
        |code, _| fs::OpenOptions::new().write(true).open(code).unwrap().set_len(100).unwrap(),
        |_, sum| fs::write(sum, "").unwrap(),
        |_, sum| fs::remove_file(sum).unwrap(),
    ];
    for damage in damages {
        let (code, sum) = (files(folder.path(), "code"), files(folder.path(), "sum"));
        assert_eq!((code.len(), sum.len()), (1, 1));
        damage(&code[0], &sum[0]);
        let again = sandbox(folder.path());
        run(&again, &idle(), call()).await.unwrap();
        assert_eq!(again.compilations(), 1);
        let mended = sandbox(folder.path());
        run(&mended, &idle(), call()).await.unwrap();
        assert_eq!(mended.compilations(), 0);
    }
    assert_eq!(fs::read_dir(folder.path().join("code")).unwrap().count(), 2);
}

#[tokio::test]
async fn code_of_another_engine_goes_when_there_is_new_code() {
    let folder = tempfile::tempdir().unwrap();
    load(&sandbox(folder.path()), &idle()).await;
    let code = &files(folder.path(), "code")[0];
    let digits = digest(&idle())["blake3:".len()..].to_owned();
    fs::rename(code, folder.path().join("code").join(format!("{digits}-0123.code"))).unwrap();
    load(&sandbox(folder.path()), &idle()).await;
    assert_eq!(files(folder.path(), "code").len(), 1);
}

#[tokio::test]
async fn bytes_of_another_package_are_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = sandbox(folder.path());
    let other = digest(b"another");
    let Err(failure) = sandbox.load(&other, || async { Ok(idle()) }).await else { panic!("it was loaded") };
    assert_eq!(failure.code, "package-digest");
    assert_eq!(sandbox.compilations(), 0);
}

#[tokio::test]
async fn a_sandbox_that_makes_no_sense_is_refused() {
    for concurrency in [0, 65] {
        let config = SandboxConfig {
            cache: None,
            allocation: Allocation::Pooling,
            concurrency,
            clock: Arc::new(SystemClock),
        };
        assert_eq!(Sandbox::new(config).err().unwrap().code, "concurrency");
    }
}
