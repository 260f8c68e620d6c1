//! A directory in memory, and what takes what a plugin declares of it. Real servers stand in `tests/`, behind the host's own
//! connections.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use syncline_domain::{
    Failure, FailureKind, Fault,
    directory::{
        Entry, EntryId, Membership, Rejection,
        message::{Message, Operation, parse, split},
    },
};
use syncline_sandbox::{DirectoryConnector, DirectorySession, DirectorySink};

/// What the directory answers to a search.
#[derive(Debug, Clone, Default)]
pub enum Answers {
    /// Two entries, then success.
    #[default]
    Whole,
    /// One entry, then this result.
    Ends(u32),
    /// An entry a page, two of them where pages are asked for.
    Pages,
    /// An entry, a reference to another server, then success.
    Refers,
    /// An entry, then the connection closes.
    Closes,
    /// Nothing, ever.
    Silent,
    /// Entries without end.
    Endless,
    /// These bytes.
    Bytes(Vec<u8>),
}

/// A directory, and what it saw.
#[derive(Default)]
pub struct Directory {
    pub answers: Answers,
    /// What it says of a connection, in place of making one.
    pub refuses: Option<Failure>,
    /// What it binds with: never to be seen by a plugin.
    pub password: String,
    pub connections: AtomicUsize,
    /// All that reached it.
    pub sent: Arc<Mutex<Vec<u8>>>,
}

impl Directory {
    pub fn that(answers: Answers) -> Arc<Self> {
        Arc::new(Self { answers, ..Self::default() })
    }

    /// The operations that reached it.
    pub fn heard(&self) -> Vec<Operation> {
        let sent = self.sent.lock();
        split(&sent).map(|message| parse(message.unwrap()).unwrap().operation).collect()
    }
}

#[async_trait]
impl DirectoryConnector for Directory {
    async fn connect(&self) -> Result<Box<dyn DirectorySession>, Failure> {
        self.connections.fetch_add(1, Relaxed);
        if let Some(failure) = &self.refuses {
            return Err(failure.clone());
        }
        assert!(!self.password.contains('\0'), "it is used");
        Ok(Box::new(Connection {
            answers: self.answers.clone(),
            sent: Arc::clone(&self.sent),
            waiting: VecDeque::new(),
            closed: false,
        }))
    }

    async fn follow(&self, referral: &str) -> Result<Box<dyn DirectorySession>, Failure> {
        if referral == "ldap://b.example/dc=b" {
            return self.connect().await;
        }
        Err(Failure::denied("referral", format!("{referral} is not among the servers of this source")))
    }
}

struct Connection {
    answers: Answers,
    sent: Arc<Mutex<Vec<u8>>>,
    waiting: VecDeque<Vec<u8>>,
    closed: bool,
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x84], &length[..], content].concat()
}

fn message(id: u32, operation: Vec<u8>, controls: &[u8]) -> Vec<u8> {
    element(0x30, &[element(2, &id.to_be_bytes()), operation, controls.to_vec()].concat())
}

fn entry(id: u32, name: &str) -> Vec<u8> {
    let body = [element(4, name.as_bytes()), element(0x30, b"")].concat();
    message(id, element(0x64, &body), b"")
}

/// A result, with a cookie for the next page if there is one.
fn done(id: u32, code: u32, cookie: Option<&[u8]>) -> Vec<u8> {
    let body = [element(10, &code.to_be_bytes()), element(4, b""), element(4, b"as asked for")].concat();
    let controls = cookie.map(|cookie| {
        let value = element(0x30, &[element(2, &[0]), element(4, cookie)].concat());
        element(0xa0, &element(0x30, &[element(4, b"1.2.840.113556.1.4.319"), element(4, &value)].concat()))
    });
    message(id, element(0x65, &body), &controls.unwrap_or_default())
}

impl Connection {
    fn answer(&mut self, request: &Message<'_>) {
        if request.operation != Operation::SearchRequest {
            return;
        }
        let id = request.id;
        let paging = request.paging().unwrap();
        let parts = match &self.answers {
            Answers::Whole => vec![entry(id, "ada"), entry(id, "bob"), done(id, 0, None)],
            Answers::Ends(code) => vec![entry(id, "ada"), done(id, *code, None)],
            Answers::Pages => match paging {
                Some(paging) if paging.cookie.is_empty() => {
                    vec![entry(id, "ada"), done(id, 0, Some(b"next"))]
                }
                _ => vec![entry(id, "bob"), done(id, 0, Some(b""))],
            },
            Answers::Refers => {
                let reference = message(id, element(0x73, &element(4, b"ldap://b.example/dc=b")), b"");
                vec![entry(id, "ada"), reference, done(id, 0, None)]
            }
            Answers::Closes | Answers::Endless => vec![entry(id, "ada")],
            Answers::Silent => Vec::new(),
            Answers::Bytes(bytes) => vec![bytes.clone()],
        };
        self.waiting.extend(parts);
    }
}

#[async_trait]
impl DirectorySession for Connection {
    fn server(&self) -> &str {
        "dc1.example:636"
    }

    async fn send(&mut self, messages: &[u8]) -> Result<(), Failure> {
        self.sent.lock().extend_from_slice(messages);
        for message in split(messages) {
            self.answer(&parse(message.unwrap()).unwrap());
        }
        Ok(())
    }

    async fn receive(&mut self, _: usize, wait: Duration) -> Result<Vec<u8>, Failure> {
        match (self.waiting.pop_front(), &self.answers) {
            (Some(message), Answers::Endless) => {
                self.waiting.push_back(message.clone());
                Ok(message)
            }
            (Some(message), _) => Ok(message),
            (None, Answers::Closes) => {
                self.closed = true;
                Err(Failure::unavailable("closed", "dc1.example:636 closed the connection"))
            }
            (None, _) => {
                assert!(!self.closed, "a session that is over is asked no more");
                tokio::time::timeout(wait, std::future::pending::<()>()).await.unwrap_err();
                Err(Failure::unavailable("timeout", "dc1.example:636 has not answered yet"))
            }
        }
    }
}

/// Keeps what is declared.
#[derive(Debug, Default, PartialEq)]
pub struct Declared {
    pub entries: Vec<Entry>,
    pub memberships: Vec<Membership>,
    pub present: Vec<EntryId>,
    pub gone: Vec<EntryId>,
    pub rejections: Vec<Rejection>,
    pub complete: bool,
}

impl Declared {
    pub fn names(&self) -> Vec<&str> {
        self.entries.iter().map(|entry| entry.name.as_str()).collect()
    }
}

impl DirectorySink for Declared {
    fn put(&mut self, entries: Vec<Entry>) -> Result<(), Failure> {
        self.entries.extend(entries);
        Ok(())
    }

    fn put_members(&mut self, memberships: Vec<Membership>) -> Result<(), Failure> {
        self.memberships.extend(memberships);
        Ok(())
    }

    fn present(&mut self, ids: Vec<EntryId>) -> Result<(), Failure> {
        self.present.extend(ids);
        Ok(())
    }

    fn gone(&mut self, ids: Vec<EntryId>) -> Result<(), Failure> {
        self.gone.extend(ids);
        Ok(())
    }

    fn reject(&mut self, rejections: Vec<Rejection>) -> Result<(), Failure> {
        self.rejections.extend(rejections);
        Ok(())
    }

    fn complete(&mut self) -> Result<(), Failure> {
        if self.entries.is_empty() && self.present.is_empty() {
            let message = "`complete` was called, and nothing was declared";
            return Err(Failure::new(FailureKind::Invalid, Fault::Plugin, "empty", message));
        }
        self.complete = true;
        Ok(())
    }
}
