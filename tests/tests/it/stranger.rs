//! A stranger's path, as the README says it: a first plugin from nothing to files on a server, with the two programs alone.

use std::{
    path::Path,
    process::{Command, Output},
};

use syncline_tests::{
    programs,
    server::Server,
    tree::{assert_same, fill},
};

use crate::copy::Stage;

struct Shell<'a> {
    folder: &'a Path,
    server: Option<&'a Server>,
}

impl Shell<'_> {
    fn command(&self, line: &str) -> Output {
        let mut words = line.split_whitespace();
        let mut command = Command::new(programs::binary(words.next().unwrap()));
        command.args(words).current_dir(self.folder);
        // One target folder for all guests: the SDK is compiled once.
        command.env("CARGO_TARGET_DIR", programs::root().join("target/guests"));
        if let Some(server) = self.server {
            command
                .env("SYNCLINE_URL", &server.url)
                .env("SYNCLINE_TOKEN_FILE", server.data.join("admin.token"));
        }
        command.output().unwrap()
    }

    #[track_caller]
    fn run(&self, line: &str) -> String {
        let output = self.command(line);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{line}\n{}\n{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }
}

#[test]
fn from_new_to_files_on_a_server() {
    let stage = Stage::new(2);
    fill(&stage.library, 30, 2_000, 1);
    let server = Server::start(&stage.data());
    let folder = stage.folder.path();
    let shell = Shell { folder, server: Some(&server) };

    shell.run("syncline-plugin new hello");
    let built = shell.run("syncline-plugin build hello --output hello.wasm");
    assert!(built.contains("imports  desired-files"), "{built}");
    let checked = shell.run("syncline-plugin check hello.wasm");
    assert!(checked.contains("stores") && checked.contains("desired-files"), "{checked}");
    let tried = shell.run("syncline-plugin test hello --source patches=library --target one=server1 --json");
    let tried: serde_json::Value = serde_json::from_str(&tried).unwrap();
    assert_eq!(tried["counts"]["copied"], 30, "{tried:#}");
    assert!(
        std::fs::read_dir(&stage.targets[0]).unwrap().next().is_none(),
        "trying a plugin out leaves nothing behind"
    );

    shell.run("syncline plugin install hello.wasm");
    shell.run("syncline plugin grant hello --all");
    shell.run("syncline plugin enable hello");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    shell.run(&format!("syncline store add library {}", path(&stage.library)));
    shell.run(&format!("syncline store add one {}", path(&stage.targets[0])));
    shell.run(&format!("syncline store add two {}", path(&stage.targets[1])));
    shell.run("syncline collection add patches --store library");
    shell.run("syncline sync add all --plugin hello --source patches --target one --target two");
    let preview = shell.run("syncline sync run all --preview --wait");
    assert!(preview.contains("60"), "{preview}");
    shell.run("syncline sync run all --wait");
    for target in &stage.targets {
        assert_same(&stage.library, &target.join("patches"));
    }
    let shown = shell.run("syncline run list");
    assert!(shown.contains("succeeded"), "{shown}");
}

#[test]
fn exit_codes_tell_what_happened() {
    let stage = Stage::new(1);
    let server = Server::start(&stage.data());
    let shell = Shell { folder: stage.folder.path(), server: Some(&server) };
    let code = |line: &str| shell.command(line).status.code().unwrap();
    assert_eq!(code("syncline whoami"), 0);
    assert_eq!(code("syncline sync run nothing --wait"), 1);
    assert_eq!(code("syncline sync run"), 2);
    assert_eq!(code("syncline --url http://127.0.0.1:1 whoami"), 6);
    assert_eq!(code("syncline-plugin check missing.wasm"), 1);
    assert_eq!(code("syncline-plugin build missing --output x.wasm"), 1);
}
