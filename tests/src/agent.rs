//! Our own agent on devices of a test.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    api::{Api, eventually},
    devices::text,
    process::Process,
    programs,
    server::Server,
};

/// A device: a folder with the configuration of an agent, its state, and the file `till.json` of its application `till`.
#[derive(Debug)]
pub struct Device {
    folder: TempDir,
    /// Runs the agent elsewhere than here, such as in another namespace.
    prefix: Vec<String>,
}

impl Device {
    /// A device with an application `till` that counts how often it is reloaded. `settings` are more lines of its
    /// configuration.
    pub fn new(settings: &str) -> Self {
        let device = Self::without_applications();
        let reload = device.script("reload", "echo reloaded >> \"$(dirname \"$0\")/reloads\"");
        device.configure(&format!(
            "[applications.till]\nfile = {:?}\nform = \"json\"\n{settings}\n",
            device.at("till.json")
        ));
        if !settings.contains("reload =") {
            device.configure(&format!("reload = [{reload:?}]\n"));
        }
        device
    }

    /// A device that has no application yet.
    pub fn without_applications() -> Self {
        let device =
            Self { folder: tempfile::tempdir().expect("a temporary folder can be made"), prefix: Vec::new() };
        device.configure(&format!(
            "state = {:?}\nsocket = {:?}\nname = \"till\"\n",
            device.at("state"),
            device.at("agent.sock")
        ));
        device
    }

    /// The same device, with its agent run by another program.
    pub fn run_by(self, prefix: &[&str]) -> Self {
        Self { prefix: prefix.iter().map(|&word| word.to_owned()).collect(), ..self }
    }

    /// A path in the device's folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// More lines at the end of the agent's configuration.
    pub fn configure(&self, lines: &str) {
        let path = self.at("agent.toml");
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, before + lines).expect("the configuration can be written");
    }

    /// Lines at the beginning of the agent's configuration, before all tables.
    pub fn configure_first(&self, lines: &str) {
        let path = self.at("agent.toml");
        let rest = fs::read_to_string(&path).expect("there is a configuration");
        fs::write(&path, lines.to_owned() + &rest).expect("the configuration can be written");
    }

    /// A program of the device.
    pub fn script(&self, name: &str, lines: &str) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, format!("#!/bin/sh\n{lines}\n")).expect("a script can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
        path
    }

    /// A place where a script waits for the test.
    pub fn gate(&self, name: &str) -> Gate {
        let gate = Gate { there: self.at(&format!("{name}.there")), go: self.at(&format!("{name}.go")) };
        for end in [&gate.there, &gate.go] {
            assert!(Command::new("mkfifo").arg(end).status().is_ok_and(|made| made.success()));
        }
        gate
    }

    fn command(&self, words: &[&str]) -> Command {
        let agent = programs::binary("syncline-agent");
        let mut command = match self.prefix.split_first() {
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(agent);
                command
            }
            None => Command::new(agent),
        };
        command.arg("--config").arg(self.at("agent.toml")).args(words).stdin(Stdio::null());
        command
    }

    /// Runs a command of the agent to its end.
    pub fn call(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("the agent can be started")
    }

    /// What a command of the agent prints, if it does what it should.
    #[track_caller]
    pub fn says(&self, words: &[&str]) -> String {
        let output = self.call(words);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{words:?}: {}\n{}", text(&output.stderr), self.log());
        text(&output.stdout)
    }

    /// Enrols it with a token for its group, and answers its id.
    #[track_caller]
    pub fn enrol(&self, server: &Server, api: &Api) -> String {
        self.enrol_at(&server.device_endpoint(), api)
    }

    /// The same, at the endpoint of this URL.
    #[track_caller]
    pub fn enrol_at(&self, endpoint: &str, api: &Api) -> String {
        fs::write(self.at("token"), api.admit(&json!({ "group": "/" }))).expect("a token can be written");
        let token = self.at("token").display().to_string();
        self.says(&["enrol", "--server", endpoint, "--token-file", &token]);
        let devices = api.all("/devices");
        assert_eq!(devices.len(), 1, "a test enrols one device: {devices:#?}");
        text(&devices[0]["id"])
    }

    /// Starts the agent.
    pub fn run(&self) -> Process {
        let log =
            fs::File::options().append(true).create(true).open(self.at("log")).expect("a log can be made");
        Process::start(self.command(&["run"]).stdout(Stdio::null()).stderr(log))
    }

    /// What the agent said while it ran.
    pub fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }

    /// How the device stands by its own account.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.says(&["status", "--json"])).expect("the status is JSON")
    }

    /// What stands in the file of the application `till`.
    pub fn till(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.at("till.json")).ok()?).ok()
    }

    /// Waits until this stands there.
    #[track_caller]
    pub fn holds(&self, wanted: &Value) {
        eventually(&format!("till.json to hold {wanted}"), || {
            (self.till().as_ref() == Some(wanted)).then_some(())
        });
    }

    /// How often the application was reloaded.
    pub fn reloads(&self) -> usize {
        fs::read_to_string(self.at("reloads")).unwrap_or_default().lines().count()
    }
}

/// See [`Device::gate`].
#[derive(Debug)]
pub struct Gate {
    there: PathBuf,
    go: PathBuf,
}

impl Gate {
    /// What the script has to say: that it is there, and then it waits.
    pub fn script(&self) -> String {
        format!("echo there > '{}'; cat '{}'", self.there.display(), self.go.display())
    }

    /// Waits until a script is there.
    pub fn reached(&self) {
        assert_eq!(first_line(&self.there), "there");
    }

    /// Lets it go on.
    pub fn open(&self) {
        fs::write(&self.go, "").expect("the script waits");
    }
}

fn first_line(path: &Path) -> String {
    let mut line = String::new();
    let file = fs::File::open(path).expect("the pipe is there");
    BufReader::new(file).read_line(&mut line).expect("the pipe can be read");
    line.trim_end().to_owned()
}
