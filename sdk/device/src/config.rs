//! The agent's configuration file: which server, and what each application is on this device.
//!
//! The server names applications and actions; every path and every command stands here, so that it can choose none.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    disk::Access,
    error::{Error, Result},
    owner,
};

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// URL of the server's OpAMP endpoint; `enrol --server` is kept in the state folder and goes before it.
    pub server: Option<String>,
    /// Certificates of authorities, PEM, trusted instead of those of the operating system.
    pub ca: Option<PathBuf>,
    /// URL of an HTTP proxy, such as `http://proxy.example:3128`.
    pub proxy: Option<String>,
    /// A file with `user:password` for the proxy.
    pub proxy_credentials: Option<PathBuf>,
    /// Folder of the agent's own records.
    #[serde(default = "default_state")]
    pub state: PathBuf,
    /// Socket over which local users force a sync and ask for the status.
    #[serde(default = "default_socket")]
    pub socket: PathBuf,
    /// How to talk to the server.
    #[serde(default)]
    pub transport: Transport,
    /// Seconds between contacts while the server says nothing else.
    #[serde(default = "default_period")]
    pub period: u64,
    /// What the device calls itself; else its host name.
    pub name: Option<String>,
    /// By the name that the server knows each by.
    #[serde(default)]
    pub applications: BTreeMap<String, Application>,
    /// What the server can have run, by name; each task runs at most once.
    #[serde(default)]
    pub actions: BTreeMap<String, Action>,
}

/// How to talk to the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// WebSocket, and plain HTTP where that does not get through.
    #[default]
    Auto,
    /// WebSocket only.
    Websocket,
    /// Plain HTTP only.
    Http,
}

/// One application on this device.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Application {
    /// The file to write.
    pub file: PathBuf,
    /// How the document becomes the file.
    #[serde(default)]
    pub form: Form,
    /// With the form `template`: the template, in Jinja's language.
    pub template: Option<PathBuf>,
    /// Mode of the file, octal.
    #[serde(default = "default_mode")]
    pub mode: String,
    /// Owner of the file: `user:group`, names or numbers.
    pub owner: Option<String>,
    /// Leave the file where it is when the server takes the document back.
    #[serde(default)]
    pub keep_on_withdraw: bool,
    /// Says by its exit code whether the file is good. With an argument `{file}`, it is given the new file before that takes
    /// its place; otherwise it runs after, and a bad file is taken back.
    #[serde(default)]
    pub check: Vec<String>,
    /// Makes the application take the file up.
    #[serde(default)]
    pub reload: Vec<String>,
    /// Seconds that each command can take.
    #[serde(default = "default_timeout")]
    pub timeout: u64,
    /// Send what a failed command says to the server. It can repeat what is in the document.
    #[serde(default)]
    pub report_output: bool,
}

/// How a document becomes a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Byte by byte.
    #[default]
    AsIs,
    /// JSON, with line breaks.
    Json,
    /// The document is a JSON object, the file TOML.
    Toml,
    /// The document is a JSON object of keys and of sections with keys, the file INI.
    Ini,
    /// The document is JSON, and a template on this device makes the file of it.
    Template,
}

/// Something that the server can have run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Action {
    /// Program and arguments. The parameters of the task come as JSON on its standard input.
    pub command: Vec<String>,
    /// Seconds that it can take.
    #[serde(default = "default_timeout")]
    pub timeout: u64,
    /// Send what it says to the server.
    #[serde(default)]
    pub report_output: bool,
}

/// Where the configuration file is looked for.
pub const DEFAULT_PATH: &str = "/etc/syncline/agent.toml";

/// The application that stands for the agent itself.
pub const OWN: &str = "syncline-agent";

/// What stands where a command wants the path of the new file.
pub const FILE_ARGUMENT: &str = "{file}";

fn default_state() -> PathBuf {
    "/var/lib/syncline-agent".into()
}

fn default_socket() -> PathBuf {
    "/run/syncline-agent/agent.sock".into()
}

const fn default_period() -> u64 {
    3_600
}

fn default_mode() -> String {
    "0644".to_owned()
}

const fn default_timeout() -> u64 {
    60
}

impl Config {
    /// Reads and checks a configuration file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::file("read the configuration", path))?;
        Self::parse(&text).map_err(|error| Error::Config(format!("{}: {error}", path.display())))
    }

    /// Reads and checks the text of a configuration file.
    pub fn parse(text: &str) -> Result<Self> {
        let mut config: Self = toml::from_str(text).map_err(|error| Error::Config(error.to_string()))?;
        config.add_own();
        config.check()?;
        Ok(config)
    }

    /// The agent's own policy: it is kept with its records, and what it says the server goes by.
    fn add_own(&mut self) {
        let file = self.state.join("policy.json");
        self.applications.entry(OWN.to_owned()).or_insert_with(|| Application {
            file,
            form: Form::Json,
            template: None,
            mode: "0644".to_owned(),
            owner: None,
            keep_on_withdraw: false,
            check: Vec::new(),
            reload: Vec::new(),
            timeout: default_timeout(),
            report_output: false,
        });
    }

    fn check(&self) -> Result<()> {
        let mut files: BTreeMap<&Path, &str> = BTreeMap::new();
        for (name, application) in &self.applications {
            let wrong = |why: String| Error::Config(format!("application {name:?}: {why}"));
            application.check().map_err(wrong)?;
            if let Some(other) = files.insert(&application.file, name) {
                let file = application.file.display();
                return Err(wrong(format!(
                    "the file {file} is that of {other:?} already: give each its own"
                )));
            }
        }
        for (name, action) in &self.actions {
            program(&action.command).map_err(|why| Error::Config(format!("action {name:?}: {why}")))?;
        }
        if self.period == 0 {
            return Err(Error::Config("period is 0: give the seconds between two contacts".to_owned()));
        }
        Ok(())
    }
}

impl Application {
    fn check(&self) -> Result<(), String> {
        absolute("file", &self.file)?;
        if self.file.file_name().is_none() {
            return Err(format!("file {} names a folder: add the name of the file", self.file.display()));
        }
        match (self.form, &self.template) {
            (Form::Template, Some(template)) => absolute("template", template)?,
            (Form::Template, None) => return Err("form is \"template\": name it with `template`".to_owned()),
            (_, Some(_)) => return Err("there is a template, but form is not \"template\"".to_owned()),
            (_, None) => {}
        }
        for command in [&self.check, &self.reload] {
            if !command.is_empty() {
                program(command)?;
            }
        }
        self.access().map(|_| ())
    }

    /// Mode and owner.
    pub fn access(&self) -> Result<Access, String> {
        let mode = u32::from_str_radix(&self.mode, 8).ok().filter(|mode| *mode <= 0o7777);
        let mode = mode.ok_or_else(|| format!("mode {:?} is none: write it like \"0644\"", self.mode))?;
        let owner = self.owner.as_deref().map(owner::parse).transpose()?;
        Ok(Access { mode, owner })
    }

    /// The longest that a command can take.
    pub const fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// Whether the check looks at the new file before that takes its place.
    pub fn checks_before(&self) -> bool {
        self.check.iter().any(|argument| argument == FILE_ARGUMENT)
    }
}

fn absolute(what: &str, path: &Path) -> Result<(), String> {
    if path.is_absolute() {
        Ok(())
    } else {
        Err(format!("{what} {} is relative: write it from the root", path.display()))
    }
}

/// A program is named by its path: a search through folders could find another one.
fn program(command: &[String]) -> Result<(), String> {
    match command.first() {
        Some(program) => absolute("the program", Path::new(program)),
        None => Err("the command is empty: name a program".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Config::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_file_is_understood() {
        let config = Config::parse(include_str!("../agent.example.toml")).unwrap();
        let browser = &config.applications["chromium"];
        assert_eq!((browser.form, browser.access().unwrap().mode), (Form::Json, 0o644));
        assert!(config.applications["till"].checks_before() && !browser.checks_before());
        assert_eq!(config.actions["collect-logs"].command.len(), 2);
    }

    #[test]
    fn what_makes_no_sense_is_said_with_the_value() {
        let application = |rest: &str| refused(&format!("[applications.till]\n{rest}"));
        for (rest, word) in [
            ("file = \"till.conf\"", "till.conf is relative"),
            ("file = \"/\"", "names a folder"),
            ("file = \"/a\"\nmode = \"9\"", "\"9\""),
            ("file = \"/a\"\nform = \"template\"", "name it with"),
            ("file = \"/a\"\ntemplate = \"/b\"", "not \"template\""),
            ("file = \"/a\"\nreload = [\"systemctl\"]", "systemctl is relative"),
            ("file = \"/a\"\nowner = \"no-such-user-here:0\"", "no-such-user-here"),
            ("file = \"/a\"\ncommand = \"x\"", "unknown field"),
            ("file = \"/a\"\n[applications.other]\nfile = \"/a\"", "is that of"),
        ] {
            let error = application(rest);
            assert!(error.contains(word), "{rest}: {error}");
        }
        assert!(refused("[actions.a]\ncommand = []").contains("empty"));
        assert!(refused("period = 0").contains("period is 0"));
    }
}
