//! Whether the account that a run will use can read and write on a server: tried when an operator asks, and when a schedule
//! is made.

use serde::Serialize;
use syncline_domain::{Failure, FailureKind, Name, RelPath, event::NewEvent, failure::Cause, log::LogLevel};
use syncline_files::{Store, Tried};

use super::KnownServer;
use crate::{Engine, Error, Result, places::blocking};

/// What a test of a server found.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ServerTest {
    /// Whether a run can fill it.
    pub ok: bool,
    /// The account that reads and writes there.
    pub account: String,
    /// Why it could not be looked at, or which right is missing first.
    pub failure: Option<Failure>,
    /// What that is sorted under.
    pub cause: Option<Cause>,
    /// Each right that was tried.
    pub rights: Vec<RightCheck>,
    /// Free bytes for this account, where that can be told.
    pub free_bytes: Option<u64>,
}

/// One right that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RightCheck {
    /// `read` or `write`.
    pub right: &'static str,
    /// The folder; empty for the server's root.
    #[schema(value_type = String)]
    pub place: RelPath,
    /// Whether the account has it.
    pub ok: bool,
    /// Why not.
    pub failure: Option<Failure>,
}

impl ServerTest {
    fn of(failure: Failure) -> Self {
        Self { cause: Some(failure.cause()), failure: Some(failure), ..Self::empty() }
    }

    fn empty() -> Self {
        Self {
            ok: false,
            account: syncline_files::account(),
            failure: None,
            cause: None,
            rights: Vec::new(),
            free_bytes: None,
        }
    }
}

impl Engine {
    /// Tries to read and write on a server, as the account that runs will use.
    pub async fn test_server(&self, name: &Name, actor: &str) -> Result<ServerTest> {
        let known = self.known_server(name).await?;
        let test = self.probe_server(&known, &known.server.spec.components).await?;
        let (level, how) = match &test.failure {
            None => (LogLevel::Info, "well".to_owned()),
            Some(failure) => (LogLevel::Warn, failure.message.clone()),
        };
        let message = format!("Distribution server {name} was tested: {how}");
        self.tell(NewEvent::new("server.tested", actor, message).store(&known.store.name).level(level))
            .await?;
        Ok(test)
    }

    /// Tries to read and write in the folders of these components, or at the root if there are none.
    pub(crate) async fn probe_server(&self, known: &KnownServer, components: &[Name]) -> Result<ServerTest> {
        let store = match self.open_in_time(&known.store).await {
            Ok(store) => store,
            Err(Error::Failed(failure)) => return Ok(ServerTest::of(failure)),
            Err(error) => return Err(error),
        };
        let mut folders: Vec<RelPath> = Vec::new();
        for component in components {
            folders.push(RelPath::new(component.as_str())?);
        }
        if folders.is_empty() {
            folders.push(RelPath::root());
        }
        let probed = blocking(move || {
            let free = store.free_bytes()?;
            Ok((syncline_files::probe(store.as_ref(), &folders), free))
        });
        let (tried, free_bytes) = match probed.await {
            Ok(probed) => probed,
            Err(Error::Failed(failure)) => return Ok(ServerTest::of(failure)),
            Err(error) => return Err(error),
        };
        let account = syncline_files::account();
        let rights: Vec<RightCheck> =
            tried.into_iter().map(|one| right(one, &known.server.name, &account)).collect();
        let failure = rights.iter().find_map(|right| right.failure.clone());
        let cause = failure.as_ref().map(Failure::cause);
        Ok(ServerTest { ok: failure.is_none(), account, failure, cause, rights, free_bytes })
    }

    /// Refuses a schedule to servers on which the account of its runs lacks a right. One that is away is none that lacks a
    /// right: it catches up when it is back. Gives what to know of those.
    pub(crate) async fn must_have_access(
        &self,
        servers: &[&KnownServer],
        components: &[Name],
    ) -> Result<Vec<String>> {
        let tests = servers.iter().map(|known| async {
            let gets: Vec<Name> = components.iter().filter(|one| known.server.gets(one)).cloned().collect();
            (*known, self.probe_server(known, &gets).await)
        });
        let mut warnings = Vec::new();
        for (known, test) in futures::future::join_all(tests).await {
            let name = &known.server.name;
            match test {
                // Another node's folder: that node alone can tell.
                Err(Error::Conflict { message, .. }) => {
                    warnings.push(format!("server {name} was not tried: {message}"))
                }
                Err(error) => return Err(error),
                Ok(ServerTest { failure: Some(failure), .. }) if failure.cause().passes() => {
                    warnings.push(format!("server {name} was not tried: {failure}"));
                }
                Ok(ServerTest { failure: Some(failure), .. }) => {
                    let message = format!("server {name} cannot be scheduled: {failure}");
                    return Err(Error::invalid("server-access", message));
                }
                Ok(_) => {}
            }
        }
        Ok(warnings)
    }
}

fn right(tried: Tried, server: &Name, account: &str) -> RightCheck {
    let right = tried.right.as_str();
    let place = if tried.place.is_root() {
        "its root folder".to_owned()
    } else {
        format!("{:?}", tried.place.to_text())
    };
    let failure = tried.failure.map(|failure| match failure.kind {
        FailureKind::Denied => Failure {
            message: format!(
                "account {account} has not the right to {right} {} {place} of server {server} ({failure}): give that account \
                 read and write there",
                if right == "write" { "to" } else { "in" },
            ),
            ..failure
        },
        _ => failure,
    });
    RightCheck { right, ok: failure.is_none(), place: tried.place, failure }
}
