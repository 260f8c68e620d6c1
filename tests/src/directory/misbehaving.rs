//! A small directory server with the limits of Active Directory: 1,000 entries a page, 1,500 values at once of an
//! attribute. It keeps to the protocol until it is told otherwise.
//!
//! It holds entries in memory, answers searches (with pages, and ranges of values), takes simple binds, and refuses
//! everything else. What it was asked can be looked at.

mod search;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::BytesMut;
use ldap3_proto::{
    LdapCodec,
    proto::{
        LdapBindCred, LdapBindResponse, LdapExtendedResponse, LdapMsg, LdapOp, LdapResult, LdapResultCode,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::codec::{Decoder as _, Encoder as _};

/// What everything is below.
pub const SUFFIX: &str = "DC=lab,DC=example";

/// Whom it lets in.
pub const READER: (&str, &str) = ("reader@lab.example", "reader-0123");

/// Most entries of a page, and of an answer without pages.
pub const PAGE: usize = 1_000;

/// Most values of an attribute in one answer.
pub const RANGE: usize = 1_500;

/// An entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its distinguished name, with a comma and nothing else between its parts.
    pub dn: String,
    /// Names and values.
    pub attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    /// One with an objectGUID made from `number`, and these attributes beside it.
    pub fn new(dn: &str, number: u32, attributes: &[(&str, &str)]) -> Self {
        let mut entry = Self { dn: dn.to_owned(), attributes: Vec::new() };
        entry.attributes.push(("objectGUID".to_owned(), vec![guid(number).to_vec()]));
        for (name, value) in attributes {
            entry.add(name, value);
        }
        entry
    }

    /// One more value.
    pub fn add(&mut self, name: &str, value: &str) {
        let value = value.as_bytes().to_vec();
        match self.attributes.iter_mut().find(|(found, _)| found.eq_ignore_ascii_case(name)) {
            Some((_, values)) => values.push(value),
            None => self.attributes.push((name.to_owned(), vec![value])),
        }
    }
}

/// objectGUID number `number`.
pub fn guid(number: u32) -> [u8; 16] {
    let mut guid = [0x5a; 16];
    guid[12..].copy_from_slice(&number.to_be_bytes());
    guid
}

/// A unit `OU=people` with so many people, numbered from 1: `CN=User 000007`, `user000007`, `user000007@lab.example`.
pub fn people(count: u32) -> Vec<Entry> {
    let suffix =
        Entry::new(SUFFIX, 1_000_001, &[("objectClass", "top"), ("objectClass", "domainDNS"), ("dc", "lab")]);
    let dn = format!("OU=people,{SUFFIX}");
    let unit = Entry::new(
        &dn,
        1_000_002,
        &[("objectClass", "top"), ("objectClass", "organizationalUnit"), ("ou", "people")],
    );
    [suffix, unit].into_iter().chain((1..=count).map(person)).collect()
}

/// Person `number` of [`people`].
pub fn person(number: u32) -> Entry {
    let text = format!("{number:06}");
    let name = format!("user{text}");
    let mail = format!("{name}@lab.example");
    let mut entry = Entry::new(
        &format!("CN=User {text},OU=people,{SUFFIX}"),
        number,
        &[
            ("cn", &format!("User {text}")),
            ("sAMAccountName", &name),
            ("userPrincipalName", &mail),
            ("mail", &mail),
            ("givenName", "User"),
            ("sn", &text),
            ("userAccountControl", "512"),
            ("uSNChanged", &number.to_string()),
        ],
    );
    for class in ["top", "person", "organizationalPerson", "user"] {
        entry.add("objectClass", class);
    }
    entry
}

/// A group in `OU=people` with these people as its members. Numbers of groups begin past those of people.
pub fn group(name: &str, number: u32, members: impl IntoIterator<Item = u32>) -> Entry {
    let dn = format!("CN={name},OU=people,{SUFFIX}");
    let mut entry = Entry::new(
        &dn,
        number,
        &[
            ("objectClass", "top"),
            ("objectClass", "group"),
            ("cn", name),
            ("sAMAccountName", name),
            ("uSNChanged", &number.to_string()),
        ],
    );
    // Many at once: looking for the attribute each time would take its time.
    let members = members.into_iter().map(|member| person(member).dn.into_bytes());
    entry.attributes.push(("member".to_owned(), members.collect()));
    entry
}

/// How it behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    #[default]
    Well,
    /// Closes the connection in the middle of this page, counted from 1.
    DropOnPage(usize),
    /// Ends this page with this result, after its entries: sizeLimitExceeded, timeLimitExceeded, busy …
    EndPage(usize, LdapResultCode),
    /// Ends each search after the first page as if there were no more.
    ForgetPages,
    /// Gives the same page and cookie again and again.
    SameCookie,
    /// Gives a cookie that it then does not know.
    RefuseCookie,
    /// Answers a search with a message whose inside ends too early, and keeps the connection.
    TruncatedBer,
    /// Answers a search with a message that says it has 2 GiB.
    HugeLength,
    /// Answers a search with entries without an end.
    Endless,
    /// Answers a search with nothing, for ever.
    Silent,
    /// Answers a bind with nothing, for ever.
    SilentBind,
    /// Finds nothing, and says that all went well.
    Empty,
    /// Answers a search with a referral to this URL.
    Refer(String),
    /// Adds a reference to this URL to the entries of each search, as for a part that is elsewhere.
    Reference(String),
}

/// A running server. Ends when dropped.
#[derive(Debug)]
pub struct Misbehaving {
    /// On 127.0.0.1.
    pub port: u16,
    shared: Arc<Mutex<Shared>>,
    /// At its end the server ends.
    _stop: tokio::sync::oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Shared {
    entries: Vec<Entry>,
    behaviour: Behaviour,
    asked: Vec<&'static str>,
}

impl Misbehaving {
    /// Starts one with these entries. The first is the suffix.
    pub fn start(entries: Vec<Entry>) -> Self {
        let shared = Arc::new(Mutex::new(Shared { entries, ..Shared::default() }));
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        listener.set_nonblocking(true).expect("a listener can be made not to block");
        let port = listener.local_addr().as_ref().map(SocketAddr::port).expect("it has an address");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener can be taken over");
                tokio::select! {
                    () = accept(&listener, &served) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { port, shared, _stop: stop }
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Behaves like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.lock().behaviour = behaviour;
    }

    /// Changes what it holds.
    pub fn change(&self, change: impl FnOnce(&mut Vec<Entry>)) {
        change(&mut self.lock().entries);
    }

    /// What it was asked so far, such as `bind` and `search`.
    pub fn asked(&self) -> Vec<&'static str> {
        self.lock().asked.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("nobody panics while holding it")
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Mutex<Shared>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(shared);
        tokio::spawn(async move { serve(stream, &shared).await });
    }
}

/// What to do after an answer.
enum Next {
    GoOn,
    Close,
    /// Say nothing more.
    Listen,
    /// Send this again and again.
    Repeat(BytesMut),
}

/// Serves a connection until one side closes it.
async fn serve(mut stream: TcpStream, shared: &Mutex<Shared>) {
    let mut codec = LdapCodec::new(Some(1 << 20), None);
    let mut buffer = BytesMut::new();
    loop {
        let request = match codec.decode(&mut buffer) {
            Ok(Some(request)) => request,
            Ok(None) => match stream.read_buf(&mut buffer).await {
                Ok(read) if read > 0 => continue,
                _ => return,
            },
            Err(_) => return,
        };
        let mut answer = BytesMut::new();
        let next = respond(&mut shared.lock().expect("nobody panics while holding it"), request, &mut answer);
        if stream.write_all(&answer).await.is_err() {
            return;
        }
        match next {
            Next::GoOn => {}
            Next::Close => return,
            Next::Listen => {
                while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                    buffer.clear();
                }
                return;
            }
            Next::Repeat(bytes) => while stream.write_all(&bytes).await.is_ok() {},
        }
    }
}

fn respond(shared: &mut Shared, request: LdapMsg, answer: &mut BytesMut) -> Next {
    let id = request.msgid;
    match request.op {
        LdapOp::BindRequest(bind) => {
            shared.asked.push("bind");
            if shared.behaviour == Behaviour::SilentBind {
                return Next::Listen;
            }
            let known = bind.dn == READER.0 && bind.cred == LdapBindCred::Simple(READER.1.to_owned());
            let res = match known || bind.dn.is_empty() {
                true => result(LdapResultCode::Success, ""),
                false => result(
                    LdapResultCode::InvalidCredentials,
                    "80090308: LdapErr: DSID-0C090449, comment: AcceptSecurityContext error, data 52e, v4563",
                ),
            };
            put(answer, id, LdapOp::BindResponse(LdapBindResponse { res, saslcreds: None }), Vec::new());
        }
        LdapOp::SearchRequest(search) => {
            shared.asked.push("search");
            return search::respond(shared, id, &search, &request.ctrl, answer);
        }
        LdapOp::UnbindRequest => {
            shared.asked.push("unbind");
            return Next::Close;
        }
        LdapOp::AbandonRequest(_) => shared.asked.push("abandon"),
        LdapOp::ExtendedRequest(_) => {
            shared.asked.push("extended");
            let res = result(LdapResultCode::ProtocolError, "no such operation");
            put(
                answer,
                id,
                LdapOp::ExtendedResponse(LdapExtendedResponse { res, name: None, value: None }),
                Vec::new(),
            );
        }
        _ => {
            shared.asked.push("other");
            return Next::Close;
        }
    }
    Next::GoOn
}

fn result(code: LdapResultCode, message: &str) -> LdapResult {
    LdapResult { code, matcheddn: String::new(), message: message.to_owned(), referral: Vec::new() }
}

fn put(answer: &mut BytesMut, id: i32, op: LdapOp, controls: Vec<ldap3_proto::control::LdapControl>) {
    let message = LdapMsg { msgid: id, op, ctrl: controls };
    LdapCodec::default().encode(message, answer).expect("an answer can be written");
}
