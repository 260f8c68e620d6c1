//! The socket over which any user of the device can force a sync and ask for the status; nothing else is possible over it.
//!
//! A request is one line, `sync` or `status`; the answer is one line of JSON, a [`Reply`]. No argument goes with a request.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, oneshot},
    time::timeout,
};

use crate::{
    agent::{Contact, Handle, Request, SyncEnd},
    apply::Record,
    error::{Error, Result},
    state::{StateFolder, credential::Credential},
};

/// Users that are listened to at once.
const MOST: usize = 16;

/// Bytes of a request.
const LINE: u64 = 64;

/// How long a user can take to say a line.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a sync takes at most.
const SYNC: Duration = Duration::from_secs(120);

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The device has what it should have.
    Synchronised,
    /// The sync failed, or the request was none.
    Failed(String),
    /// How the device stands.
    Status(Box<Status>),
}

/// How the device stands. It names no path, no document and no secret.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the agent.
    pub version: String,
    /// Whether the agent works, or only its records were read.
    pub running: bool,
    /// Whether the device has a credential of its own.
    pub enrolled: bool,
    /// The server.
    pub server: String,
    /// The contact with it.
    pub contact: Contact,
    /// Each application and how it stands.
    pub applications: Vec<ApplicationStatus>,
}

/// How an application stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationStatus {
    /// Its name.
    pub name: String,
    /// A word.
    pub state: String,
    /// When its document was applied, by the device's clock; 0 if it was not.
    pub applied_at: u64,
    /// Why it failed, or empty.
    pub error: String,
}

/// Reads the status from the state folder.
pub fn status(path: &Path, running: bool) -> Result<Status> {
    let state = StateFolder::peek(path);
    let credential = Credential::load(&state)?;
    let application = |record: Record| ApplicationStatus {
        state: match (&record.step, &record.failure, &record.held) {
            (Some(_), ..) => "applying",
            (None, Some(_), _) => "failed",
            (None, None, Some(_)) => "applied",
            (None, None, None) => "withdrawn",
        }
        .to_owned(),
        applied_at: record.held.map_or(0, |held| held.applied_at),
        error: record.failure.map(|failure| failure.error).unwrap_or_default(),
        name: record.name,
    };
    let mut contact = Contact::load(&state)?.unwrap_or_default();
    contact.connected &= running;
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        running,
        enrolled: credential.as_ref().is_some_and(|credential| !credential.enrolling),
        server: credential.map(|credential| credential.current.endpoint).unwrap_or_default(),
        contact,
        applications: Record::all(&state)?.into_iter().map(application).collect(),
    })
}

/// The socket of an agent.
#[derive(Debug)]
pub struct Socket(UnixListener);

impl Socket {
    /// Takes the place of what a killed agent left there.
    pub fn bind(path: &Path) -> Result<Self> {
        bind(path).map(Self).map_err(Error::file("listen at", path))
    }
}

/// Listens at the socket until the agent ends.
pub async fn listen(Socket(listener): Socket, state: PathBuf, agent: Handle) {
    let room = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let Ok(place) = room.clone().try_acquire_owned() else { continue };
        let (agent, state) = (agent.clone(), state.clone());
        tokio::spawn(async move {
            // A user that went away needs no answer.
            let _ = serve(stream, &state, &agent).await;
            drop(place);
        });
    }
}

fn bind(socket: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = socket.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    // Only one agent works with a state folder: a socket that is there is a killed one's.
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, Permissions::from_mode(0o666))?;
    Ok(listener)
}

async fn serve(stream: UnixStream, state: &Path, agent: &Handle) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    timeout(PATIENCE, BufReader::new(read.take(LINE)).read_line(&mut line)).await??;
    let reply = match line.trim_end() {
        "status" => match status(state, true) {
            Ok(status) => Reply::Status(Box::new(status)),
            Err(error) => Reply::Failed(error.to_string()),
        },
        "sync" => sync(agent).await,
        _ => Reply::Failed("a request is `sync` or `status`".to_owned()),
    };
    let mut text = serde_json::to_string(&reply)?;
    text.push('\n');
    timeout(PATIENCE, write.write_all(text.as_bytes())).await?
}

async fn sync(agent: &Handle) -> Reply {
    let (answer, end) = oneshot::channel();
    if agent.try_send(Request::Sync(answer)).is_err() {
        return Reply::Failed("the agent has too much to do: try again".to_owned());
    }
    match timeout(SYNC, end).await {
        Ok(Ok(SyncEnd::Synchronised)) => Reply::Synchronised,
        Ok(Ok(SyncEnd::Failed(why))) => Reply::Failed(why),
        Ok(Err(_)) | Err(_) => Reply::Failed("the sync did not end".to_owned()),
    }
}

/// Asks the running agent, as a user of the device.
pub async fn ask(socket: &Path, request: &str) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(format!("{request}\n").as_bytes()).await?;
    let mut text = String::new();
    timeout(SYNC + PATIENCE, stream.read_to_string(&mut text)).await??;
    Ok(serde_json::from_str(&text)?)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_user_can_ask_for_two_things_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("run/agent.sock");
        let (agent, mut requests) = mpsc::channel(1);
        let listener = bind(&socket).unwrap();
        assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o666);
        let state = folder.path().join("state");
        let server = tokio::spawn(async move {
            for _ in 0..5 {
                let (stream, _) = listener.accept().await.unwrap();
                let _ = serve(stream, &state, &agent).await;
            }
        });
        let Reply::Status(status) = ask(&socket, "status").await.unwrap() else { panic!("no status") };
        assert!(status.running && !status.enrolled);
        for bad in ["activate 1234", "sync --now", "", &"x".repeat(1_000)] {
            if let Ok(reply) = ask(&socket, bad).await {
                assert!(matches!(reply, Reply::Failed(_)), "{bad}");
            }
        }
        server.await.unwrap();
        assert!(requests.try_recv().is_err());
    }
}
