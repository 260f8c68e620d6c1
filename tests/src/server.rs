//! A `syncline serve` of one's own.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::{api::Api, programs};

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// URL of a database; the embedded one if absent.
    pub database: Option<String>,
    /// Port to listen on; a free one if 0.
    pub port: u16,
    /// More arguments of `syncline serve`.
    pub arguments: Vec<String>,
    /// Number of an ordinary account, in place of the one that runs the tests, which must be root then. Its data folder is made
    /// and given to it.
    pub account: Option<u32>,
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    /// Its address.
    pub url: String,
    /// Its data folder.
    pub data: PathBuf,
}

impl Server {
    /// Starts a server on `data` with the embedded database and waits until it listens.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &Options::default())
    }

    /// Starts a server and waits until it listens.
    pub fn start_with(data: &Path, options: &Options) -> Self {
        Self::try_start(data, options).unwrap_or_else(|log| panic!("the server did not start:\n{log}"))
    }

    /// Starts a server that may refuse; answers what it said then.
    pub fn try_start(data: &Path, options: &Options) -> Result<Self, String> {
        let mut command = Command::new(programs::binary("syncline"));
        command.arg("serve").arg("--data").arg(data);
        command.arg("--listen").arg(format!("127.0.0.1:{}", options.port));
        if let Some(url) = &options.database {
            command.args(["--database", url]);
        }
        if let Some(account) = options.account {
            std::fs::create_dir_all(data).expect("a data folder can be made");
            give(data, account);
            command.uid(account).gid(account);
        }
        command.args(&options.arguments).stdout(Stdio::piped()).stdin(Stdio::null());
        let log = data.with_extension("log");
        let file =
            std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log can be made");
        let mut child = command.stderr(file).spawn().expect("the server can be started");
        let mut stdout = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let mut line = String::new();
        while stdout.read_line(&mut line).is_ok_and(|read| read > 0) {
            if let Some((_, url)) = line.trim().split_once("listening on ") {
                let url = url.to_owned();
                return Ok(Self { child, _stdout: stdout, url, data: data.to_owned() });
            }
            line.clear();
        }
        // Its output is closed: it ended, or is about to.
        child.wait().expect("a child can be waited for");
        let mut text = String::new();
        std::fs::File::open(&log)
            .and_then(|mut file| file.read_to_string(&mut text))
            .expect("a log can be read");
        Err(text)
    }

    /// Its API with the admin token that its first start left.
    pub fn api(&self) -> Api {
        let token =
            std::fs::read_to_string(self.data.join("admin.token")).expect("the first start left a token");
        Api::new(&self.url, token.trim())
    }

    /// Its port, for one that takes its place.
    pub fn port(&self) -> u16 {
        let port = self.url.rsplit(':').next().and_then(|port| port.parse().ok());
        port.expect("the address ends with a port")
    }

    /// SIGKILL, at once.
    pub fn kill(mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("a child can be waited for");
    }

    /// SIGTERM; answers its exit code once it has ended.
    pub fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("the server runs");
        self.child.wait().expect("a child can be waited for").code()
    }

    /// SIGSTOP: it does nothing any more and does not know of it. Answers once it stands still.
    pub fn freeze(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("the server runs");
        let stands = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::UNTRACED)
            .expect("a child can be waited for");
        assert!(stands.is_some_and(|(_, status)| status.stopped()), "the server ended instead: {stands:?}");
    }

    /// SIGCONT: it goes on as if nothing had been.
    pub fn thaw(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("the server runs");
    }

    /// What it has logged so far, all its starts together.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.with_extension("log")).expect("a log can be read")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Makes a folder an account's own, which finds the way to it.
pub fn give(folder: &Path, account: u32) {
    std::os::unix::fs::chown(folder, Some(account), Some(account)).expect("only root gives folders away");
    let above = folder.parent().expect("a folder is in another");
    std::fs::set_permissions(above, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("the folder above is the test's");
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
