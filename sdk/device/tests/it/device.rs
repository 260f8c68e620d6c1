//! A device: a folder with a configuration, and the real agent in it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use syncline_protocol::{hash::document_digest, items::ApplicationState};
use tempfile::TempDir;

use crate::server::Server;

pub struct Device {
    pub folder: TempDir,
}

/// A running agent; it is killed where a test ends without it.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// SIGKILL, and waits for the end.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Device {
    /// `general` goes to the top of the configuration, `application` to that of the application `till`.
    pub fn new(server: &Server, general: &str, application: &str) -> Self {
        let device = Self { folder: tempfile::tempdir().unwrap() };
        let text = format!(
            "server = {:?}\nstate = {:?}\nsocket = {:?}\n{general}\n[applications.till]\nfile = {:?}\n{application}\n",
            server.url(),
            device.at("state"),
            device.at("agent.sock"),
            device.at("till.conf"),
        );
        fs::write(device.at("agent.toml"), text).unwrap();
        fs::write(device.at("token"), "token\n").unwrap();
        device
    }

    /// One that counts its reloads in a file.
    pub fn counting(server: &Server, general: &str) -> Self {
        let device = Self::new(server, general, "");
        let reload = device.script("reload", "echo reloaded >> \"$(dirname \"$0\")/reloads\"");
        device.append(&format!("reload = [{reload:?}]\n"));
        device
    }

    pub fn append(&self, text: &str) {
        let path = self.at("agent.toml");
        fs::write(&path, fs::read_to_string(&path).unwrap() + text).unwrap();
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.at(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A place where a script waits for the test: it says that it is there, and goes on once the test answers.
    pub fn gate(&self, name: &str) -> Gate {
        for end in ["there", "go"] {
            let made = Command::new("mkfifo").arg(self.at(&format!("{name}.{end}"))).status().unwrap();
            assert!(made.success());
        }
        Gate { there: self.at(&format!("{name}.there")), go: self.at(&format!("{name}.go")) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncline-agent"));
        command.arg("--config").arg(self.at("agent.toml")).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, beside the server of the test.
    pub async fn call(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    pub async fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub async fn enrol(&self) {
        let token = self.at("token").display().to_string();
        self.succeeds(&["enrol", "--token-file", &token]).await;
    }

    pub fn run(&self) -> Running {
        let log = fs::File::options().append(true).create(true).open(self.at("log")).unwrap();
        Running(self.command(&["run"]).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// The agent, once it has spoken to the server.
    pub async fn starts(&self, server: &Server) -> Running {
        server.with(|brain| brain.hellos.clear());
        let agent = self.run();
        server.until("a contact", |brain| (!brain.hellos.is_empty()).then_some(())).await;
        agent
    }

    pub fn file(&self) -> Option<String> {
        fs::read_to_string(self.at("till.conf")).ok()
    }

    pub fn reloads(&self) -> usize {
        fs::read_to_string(self.at("reloads")).unwrap_or_default().lines().count()
    }

    /// Waits until the server has a report that the application is in this state, with the document.
    pub async fn reports(&self, server: &Server, state: ApplicationState, document: &str) {
        let digest = document_digest(document.as_bytes());
        let what = format!("{state:?} with {document:?}");
        server
            .until(&what, |brain| {
                brain
                    .applications
                    .iter()
                    .any(|one| one.state() == state && one.document_digest == digest && !one.drift)
                    .then_some(())
            })
            .await;
    }
}

/// See [`Device::gate`].
pub struct Gate {
    there: PathBuf,
    go: PathBuf,
}

impl Gate {
    /// What the script has to say.
    pub fn script(&self) -> String {
        format!("echo there > '{}'; cat '{}'", self.there.display(), self.go.display())
    }

    /// Waits until a script is at the gate.
    pub async fn reached(&self) {
        let there = self.there.clone();
        let line = tokio::task::spawn_blocking(move || first_line(&there)).await.unwrap();
        assert_eq!(line, "there");
    }

    /// Lets it go on.
    pub async fn open(&self) {
        let go = self.go.clone();
        tokio::task::spawn_blocking(move || fs::write(go, "").unwrap()).await.unwrap();
    }
}

fn first_line(path: &Path) -> String {
    let mut line = String::new();
    BufReader::new(fs::File::open(path).unwrap()).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}
