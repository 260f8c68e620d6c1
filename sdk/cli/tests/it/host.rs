//! What is handed to the host's program, and what happens where there is none.

use std::{fs, path::Path};

use crate::support::{Project, Ran, fake_host, run, tool};

/// Something that is a component with a manifest, without compiling one.
fn package(folder: &Path) -> std::path::PathBuf {
    let manifest = serde_json::json!({
        "name": "tiny", "version": "1.0.0", "world": "file-sync", "contract": "0.1.0", "description": "Does nothing.",
        "wants": [{ "capability": "stores", "names": ["a", "b"], "reason": "to look" }],
    });
    let data = manifest.to_string().into_bytes();
    let mut component = wasm_encoder::Component::new();
    component.section(&wasm_encoder::CustomSection { name: "syncline-manifest".into(), data: data.into() });
    let path = folder.join("tiny.wasm");
    fs::write(&path, component.finish()).unwrap();
    path
}

#[test]
fn without_a_host_check_describes_and_does_not_claim_more() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(folder.path());
    // An empty PATH, so that no host of this machine is found there.
    let ran = tool().env_remove("SYNCLINE_BIN").env("PATH", "").arg("check").arg(&package).output().unwrap();
    let ran = Ran::from(ran);
    if ran.stderr.contains("was not checked") {
        assert!(ran.stdout.contains("tiny 1.0.0: Does nothing."), "{}", ran.stdout);
        assert!(ran.stdout.contains("wants    stores, only a, b: to look"), "{}", ran.stdout);
        ran.refused(&["was not checked", "SYNCLINE_BIN"]);
    } else {
        // The host was built beside this tool: then it is the one that answers.
        assert_ne!(ran.code, None, "{ran:#?}");
    }
}

#[test]
fn check_hands_the_package_to_the_host_and_its_answer_back() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(folder.path());
    let host = fake_host(folder.path(), 3);
    let check = |more: &[&str]| -> Ran {
        tool().env("SYNCLINE_BIN", &host).arg("check").arg(&package).args(more).output().unwrap().into()
    };
    let ran = check(&[]);
    assert_eq!(ran.code, Some(3));
    let expected = format!("plugin\ncheck\n{}\n", package.display());
    assert!(ran.stdout.ends_with(&expected) && ran.stdout.starts_with("tiny 1.0.0"), "{}", ran.stdout);
    // For programs: the host's answer and nothing else.
    assert_eq!(check(&["--json"]).stdout, format!("{expected}--json\n"));
}

#[test]
fn a_damaged_package_is_refused_even_without_a_host() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(folder.path());
    let mut bytes = fs::read(&package).unwrap();
    bytes.truncate(bytes.len() - 5);
    fs::write(&package, bytes).unwrap();
    let host = fake_host(folder.path(), 1);
    let ran = tool().env("SYNCLINE_BIN", &host).arg("check").arg(&package).output().unwrap();
    assert_eq!(Ran::from(ran).code, Some(1));
    run(["check".as_ref(), folder.path().join("nowhere.wasm").as_os_str()]).refused(&["nowhere.wasm"]);
}

#[test]
fn a_host_that_cannot_be_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(folder.path());
    run(["check".as_ref(), package.as_os_str()]).refused(&["/does/not/exist/syncline cannot be run"]);
}

#[test]
fn test_hands_folders_and_settings_to_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (package, host) = (package(&root), fake_host(&root, 0));
    for name in ["in", "out"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    fs::write(root.join("settings.json"), "{\n \"b\": 1\n}\n").unwrap();
    let ran = tool()
        .current_dir(&root)
        .env("SYNCLINE_BIN", &host)
        .args([
            "test",
            "tiny.wasm",
            "--source",
            "in",
            "--target",
            "site-1=out",
            "--settings",
            "settings.json",
            "--apply",
        ])
        .output()
        .unwrap();
    let shown = Ran::from(ran).worked().stdout.replace(root.to_str().unwrap(), "@");
    let expected =
        "plugin try tiny.wasm --settings {\"b\":1} --source source=@/in --target site-1=@/out --apply";
    assert_eq!(shown.trim_end().replace('\n', " "), expected);

    // Without a target: an empty folder for the time of the run.
    let mut command = tool();
    command.env("SYNCLINE_BIN", &host).arg("test").arg(&package).arg("--source").arg(root.join("in"));
    let shown = Ran::from(command.output().unwrap()).worked().stdout;
    let target = shown.lines().find_map(|line| line.strip_prefix("target=")).unwrap();
    assert!(!Path::new(target).exists(), "{target} is left");
}

#[test]
fn test_hands_a_request_to_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (package, host) = (package(&root), fake_host(&root, 0));
    let request = root.join("request.json");
    fs::write(&request, "{ \"applications\": [] }").unwrap();
    let test = |more: &[&std::ffi::OsStr]| -> Ran {
        let mut command = tool();
        command.env("SYNCLINE_BIN", &host).arg("test").arg(&package).args(more);
        command.output().unwrap().into()
    };
    let on = |file: &Path| test(&["--request".as_ref(), file.as_os_str()]);
    let shown = on(&request).worked().stdout.replace(root.to_str().unwrap(), "@");
    assert_eq!(
        shown.trim_end().replace('\n', " "),
        "plugin try @/tiny.wasm --settings {} --request @@/request.json"
    );
    fs::write(&request, "[]").unwrap();
    on(&request).refused(&["request: this is no JSON object"]);
    on(&root.join("nowhere.json")).refused(&["reading the request", "nowhere.json"]);
    // One or the other.
    assert_eq!(test(&[]).code, Some(2));
    let both = ["--request".as_ref(), request.as_os_str(), "--source".as_ref(), root.as_os_str()];
    assert_eq!(test(&both).code, Some(2));
}

#[test]
fn test_builds_a_project_first() {
    let project = Project::new("tried");
    let host = tempfile::tempdir().unwrap();
    let host = fake_host(host.path(), 0);
    let source = project.path().join("src");
    let ran = tool()
        .env("SYNCLINE_BIN", &host)
        .arg("test")
        .arg(project.path())
        .arg("--source")
        .arg(source)
        .output();
    let shown = Ran::from(ran.unwrap()).worked().stdout;
    assert!(shown.contains("/tried.wasm\n--settings\n{}\n"), "{shown}");
}
