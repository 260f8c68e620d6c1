//! From `new` to a package, and what is no plugin.

use std::{fs, process::Command};

use serde_json::json;

use crate::support::{Project, Ran, manifest, run, tool};

#[test]
fn a_new_project_builds_and_its_package_says_what_it_is() {
    let project = Project::new("hello-there");
    let built = project.build().worked();
    assert!(built.stderr.contains("compiling hello-there 0.1.0 with rustc"), "{}", built.stderr);
    for line in [
        "hello-there 0.1.0 -> ",
        "world    file-sync (contract 0.1.0)",
        "digest   blake3:",
        "imports  desired-files, file-types, log, settings, stores, types\n",
        "wants    stores: Finds out",
        "wants    desired-files: Declares",
    ] {
        assert!(built.stdout.contains(line), "{line:?} is not in {}", built.stdout);
    }

    let manifest = manifest(&project.package());
    assert_eq!(manifest["name"], "hello-there");
    assert_eq!(manifest["version"], "0.1.0");
    assert_eq!(manifest["world"], "file-sync");
    assert_eq!(manifest["contract"], "0.1.0");
    assert_eq!(manifest["licence"], "Apache-2.0");
    assert_eq!(manifest["description"], "Puts the files of every bound source on every target.");
    assert_eq!(manifest["wants"][0]["capability"], "stores");
    assert_eq!(manifest["wants"][1].get("allow"), None);
    let schema = &manifest["settings_schema"];
    assert_eq!(schema["type"], "object");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["folder"]["default"], "");
    assert_eq!(schema["properties"]["include"]["items"], json!({ "type": "string" }));
    assert_eq!(schema["properties"]["folder"]["description"], "Folder on the targets. \"\" is their root.");

    let bytes = fs::read(project.package()).unwrap();
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!has("syncline_settings_schema"), "the function for the tool is still in the package");
    assert!(!has("wasi"), "the package has something of WASI");
    assert!(
        !has(project.path().to_str().unwrap()),
        "the package names a folder of the machine that built it"
    );
    assert_eq!(
        fs::read_dir(project.package().parent().unwrap()).unwrap().count(),
        1,
        "a temporary file is left"
    );
}

#[test]
fn a_new_policy_builds_and_says_what_it_is_given() {
    let project = Project::of_world("decider", "device-policy");
    let built = project.build().worked();
    for line in [
        "world    device-policy (contract 0.1.0)",
        "imports  settings, types\n",
        "given    os.type\n",
        "wants    nothing",
    ] {
        assert!(built.stdout.contains(line), "{line:?} is not in {}", built.stdout);
    }
    let manifest = manifest(&project.package());
    assert_eq!(manifest["world"], "device-policy");
    assert_eq!(manifest["facts"], json!(["os.type"]));
    assert_eq!((manifest.get("users"), manifest.get("whole_device")), (None, None));
    assert_eq!(manifest["settings_schema"]["properties"]["system_member"]["default"], "");

    project.edit("Cargo.toml", "facts = [\"os.type\"]", "facts = [\"os type\"]");
    project.build().refused(&["\"os type\" is no name of a fact"]);
    project.edit("Cargo.toml", "world = \"device-policy\"", "world = \"file-sync\"");
    project.build().refused(&["are for world \"device-policy\"", "take them out"]);
    project.edit("Cargo.toml", "facts = ", "users = false # ");
    project.build().refused(&["world = \"file-sync\"", "exports a plugin of world \"device-policy\""]);
}

#[test]
fn a_new_directory_plugin_builds_and_cannot_be_tried_yet() {
    let project = Project::of_world("reader", "directory-sync");
    let built = project.build().worked();
    for line in [
        "world    directory-sync (contract 0.1.0)",
        "imports  desired-directory, directory-types, ldap, log, settings, types\n",
        "wants    ldap: Searches",
        "wants    desired-directory: Declares",
    ] {
        assert!(built.stdout.contains(line), "{line:?} is not in {}", built.stdout);
    }
    assert!(!built.stderr.contains("warning"), "{}", built.stderr);
    let manifest = manifest(&project.package());
    assert_eq!(manifest["world"], "directory-sync");
    assert_eq!(manifest["settings_schema"]["properties"]["object_class"]["default"], "inetOrgPerson");

    let words = ["\"directory-sync\" cannot be tried with `test` yet", "preview a sync"];
    for plugin in [project.path(), project.package()] {
        run(["test".as_ref(), plugin.as_os_str(), "--source".as_ref(), "/tmp".as_ref()]).refused(&words);
    }
    project.edit("Cargo.toml", "world = \"directory-sync\"", "world = \"file-sync\"");
    project.build().refused(&["world = \"file-sync\"", "exports a plugin of world \"directory-sync\""]);
}

#[test]
fn the_tests_of_a_new_project_pass_natively() {
    let worlds =
        [("tested", "file-sync"), ("tested-policy", "device-policy"), ("tested-reader", "directory-sync")];
    for (name, world) in worlds {
        let project = Project::of_world(name, world);
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap());
        cargo.args(["test", "--lib"]).current_dir(project.path());
        cargo.env("CARGO_TARGET_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests"));
        let tested = Ran::from(cargo.output().unwrap()).worked();
        assert!(tested.stdout.contains("1 passed"), "{}", tested.stdout);
    }
}

#[test]
fn what_the_code_and_its_manifest_do_not_agree_on_is_refused() {
    let project = Project::new("at-odds");
    let section = "[[package.metadata.syncline.wants]]\ncapability = ";
    project.edit("Cargo.toml", section, &format!("{section}\"http\"\nreason = \"x\"\n\n{section}"));
    project.build().refused(&["wants `http` but never calls it", "it calls: desired-files, stores"]);

    project.edit("Cargo.toml", "\"http\"", "\"log\"");
    project.build().refused(&["wants `log`, which every plugin has"]);

    project.edit("Cargo.toml", "\"log\"", "\"stores\"");
    project.build().refused(&["wants `stores` twice"]);

    project.edit("Cargo.toml", "world = \"file-sync\"", "world = \"device-policy\"");
    project.build().refused(&["world = \"device-policy\"", "exports a plugin of world \"file-sync\""]);

    project.edit("src/lib.rs", "syncline_plugin::export!(AtOdds);", "");
    project.build().refused(&["the library at_odds holds no plugin", "export!"]);

    project.edit("src/lib.rs", "struct AtOdds;", "struct AtOdds");
    project.build().refused(&["expected", "at-odds does not compile: see above"]);
    assert!(!project.package().exists(), "something was written");
}

#[test]
fn what_a_plugin_calls_and_does_not_want_is_said() {
    let project = Project::new("modest");
    project.edit(
        "Cargo.toml",
        "[[package.metadata.syncline.wants]]\ncapability = \"stores\"",
        "[package.metadata.x]",
    );
    let built = project.build().worked();
    assert!(built.stderr.contains("warning: it calls `stores` without wanting it"), "{}", built.stderr);
}

#[test]
fn a_folder_that_is_no_plugin_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("x.wasm");
    let build = |path: &std::path::Path| {
        run(["build".as_ref(), path.as_os_str(), "--output".as_ref(), output.as_os_str()])
    };
    build(folder.path()).refused(&["holds no Cargo.toml", "syncline-plugin new"]);
    build(&folder.path().join("nowhere")).refused(&["nowhere is not there"]);

    let project = Project::new("partial");
    project.edit("Cargo.toml", "crate-type = [\"cdylib\"]", "");
    project.build().refused(&["no library of type cdylib", "crate-type = [\"cdylib\"]"]);
    project.edit("Cargo.toml", "reason = \"Finds out which sources are bound to the sync.\"", "");
    project.edit("Cargo.toml", "[lib]", "[lib]\ncrate-type = [\"cdylib\"]");
    project.build().refused(&["the want `stores` gives no reason"]);
    project.edit("Cargo.toml", "world = \"file-sync\"", "word = \"file-sync\"");
    project.build().refused(&["[package.metadata.syncline]", "unknown field `word`"]);
    fs::write(project.path().join("Cargo.toml"), "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n").unwrap();
    project.build().refused(&["the table [package.metadata.syncline] is missing", "world = \"file-sync\""]);
    fs::rename(project.path().join("Cargo.toml"), project.path().join("src/Cargo.toml")).unwrap();
    project.edit("src/Cargo.toml", "[workspace]", "");
    project.edit("src/Cargo.toml", "[lib]", "[lib]\npath = \"lib.rs\"");
    fs::write(project.path().join("Cargo.toml"), "[workspace]\nmembers = [\"src\"]\n").unwrap();
    project.build().refused(&["a workspace without a package", "name the folder of one plugin"]);
    fs::write(project.path().join("Cargo.toml"), "[package\n").unwrap();
    project.build().refused(&["cargo cannot read", "Cargo.toml"]);
}

#[test]
fn a_project_is_not_made_over_what_is_there_nor_under_a_bad_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("taken"), "mine").unwrap();
    let new = |name: &str| run(["new".as_ref(), folder.path().join(name).as_os_str()]);
    new("taken").refused(&["is there already"]);
    new("Bad Name").refused(&["\"Bad Name\" is no name for a plugin"]);
    new("2nd").refused(&["\"2nd\" is no name for a Rust package"]);
    assert_eq!(fs::read_to_string(folder.path().join("taken")).unwrap(), "mine");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_sdk_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ran =
        tool().arg("new").arg(folder.path().join("a")).arg("--sdk").arg(folder.path()).output().unwrap();
    Ran::from(ran).refused(&["does not hold the SDK", "sdk/plugin"]);
}

#[test]
fn wrong_arguments_end_with_code_2() {
    for args in [&["build"][..], &["new", "a", "--world", "no-world"], &["test", "."], &["wat"]] {
        assert_eq!(run(args).code, Some(2), "{args:?}");
    }
}
