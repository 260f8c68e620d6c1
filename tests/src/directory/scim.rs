//! Services that speak SCIM: one that others wrote, and one that goes wrong on command.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::{free_port, wait_until_it_listens};
use crate::{api::Api, process::Process, programs};

/// What both take.
pub const TOKEN: &str = "opensesame-9f27";

/// A running `scim2-server`. Killed when dropped.
#[derive(Debug)]
pub struct Scim {
    _folder: tempfile::TempDir,
    _process: Process,
    /// Where its resources begin.
    pub url: String,
    api: Api,
}

impl Scim {
    /// Starts it, with nobody in it.
    #[track_caller]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let log = folder.path().join("log");
        let file = std::fs::File::create(&log).expect("a file can be made");
        let port = free_port();
        let mut command = Command::new(programs::agent("scim/bin/scim2-server"));
        command.args(["--port", &port.to_string(), "--bearer-token", TOKEN]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let mut process = Process::start(&mut command);
        wait_until_it_listens(process.child(), ([127, 0, 0, 1], port).into(), &log);
        let url = format!("http://127.0.0.1:{port}/v2");
        let api = Api::new(&url, TOKEN);
        Self { _folder: folder, _process: process, url, api }
    }

    /// Adds somebody. Answers the id.
    #[track_caller]
    pub fn add_user(&self, name: &str) -> String {
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, "displayName": name.to_uppercase(),
            "emails": [{ "value": format!("{name}@example.org"), "primary": true }], "active": true,
        });
        self.add("//Users", &user)
    }

    /// Adds a group with these members. Answers the id.
    #[track_caller]
    pub fn add_group(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
        let group = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name, "members": members,
        });
        self.add("//Groups", &group)
    }

    /// Sets an attribute of somebody.
    #[track_caller]
    pub fn set(&self, user: &str, attribute: &str, value: &Value) {
        let patch = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "path": attribute, "value": value }],
        });
        self.send("PATCH", &format!("//Users/{user}"), &patch, 204);
    }

    /// Removes somebody.
    #[track_caller]
    pub fn delete(&self, user: &str) {
        self.api.delete(&format!("//Users/{user}")).expect(204);
    }

    #[track_caller]
    fn add(&self, path: &str, resource: &Value) -> String {
        self.send("POST", path, resource, 201)["id"].as_str().expect("a resource has an id").to_owned()
    }

    #[track_caller]
    fn send(&self, method: &str, path: &str, body: &Value, status: u16) -> Value {
        let headers = [("content-type", "application/scim+json")];
        self.api.send(method, path, &headers, body.to_string().as_bytes()).expect(status)
    }
}

/// How a service goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It does not.
    Nothing,
    /// The token is not accepted.
    Unauthorized,
    /// It is asked too often.
    Busy,
    /// Pages but the first break off.
    DroppedPage,
    /// Pages but the first never end.
    EndlessPage,
    /// It has fewer than it says.
    Total,
    /// Each request is sent back.
    Echo,
    /// It sends whoever asks there.
    Redirect(String),
}

/// A service with `user1` and so on, which goes wrong as it is told. It ends with the test.
#[derive(Debug)]
pub struct Misbehaving {
    /// Where its resources begin.
    pub url: String,
    wrong: Arc<Mutex<Wrong>>,
}

/// Most bytes of a page that never ends: more than anybody takes.
const ENDLESS: usize = 64 << 20;

impl Misbehaving {
    /// With so many people.
    pub fn start(people: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}/v2", listener.local_addr().expect("it has an address"));
        let wrong = Arc::new(Mutex::new(Wrong::Nothing));
        let shared = Arc::clone(&wrong);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let wrong = shared.lock().expect("nobody panics with it").clone();
                // Whoever hangs up on a page that never ends has done well.
                std::thread::spawn(move || answer(stream, people, &wrong).ok());
            }
        });
        Self { url, wrong }
    }

    /// From now on it goes wrong like this.
    pub fn goes(&self, wrong: Wrong) {
        *self.wrong.lock().expect("nobody panics with it") = wrong;
    }
}

fn answer(mut stream: TcpStream, people: usize, wrong: &Wrong) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default();
    let parameter = |name: &str| {
        let found = path.split(['?', '&']).find_map(|pair| pair.strip_prefix(&format!("{name}=")))?;
        found.parse::<usize>().ok()
    };
    let start = parameter("startIndex").unwrap_or(1);
    let has = if path.starts_with("/v2/Users") { people } else { 0 };
    let said = has + usize::from(*wrong == Wrong::Total && has > 0);
    let page: Vec<_> = (start..=has)
        .take(parameter("count").unwrap_or(100))
        .map(|n| json!({ "id": format!("id-{n}"), "userName": format!("user{n}") }))
        .collect();
    let body = json!({ "totalResults": said, "Resources": page }).to_string();
    let length = body.len();
    let simple = |status: &str, more: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n{body}")
    };
    let text = match wrong {
        Wrong::Unauthorized => simple("401 Unauthorized", "", r#"{"detail":"the token has expired"}"#),
        Wrong::Busy => simple("429 Too Many Requests", "retry-after: 3600\r\n", "{}"),
        Wrong::Echo => simple("200 OK", "", &head),
        Wrong::Redirect(to) => simple("302 Found", &format!("location: {to}\r\n"), ""),
        Wrong::DroppedPage if start > 1 => {
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{}", &body[..length / 2])
        }
        Wrong::EndlessPage if start > 1 => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"totalResults\":")?;
            let spaces = vec![b' '; 1 << 16];
            return (0..ENDLESS / spaces.len()).try_for_each(|_| stream.write_all(&spaces));
        }
        Wrong::Nothing | Wrong::Total | Wrong::DroppedPage | Wrong::EndlessPage => {
            simple("200 OK", "", &body)
        }
    };
    stream.write_all(text.as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    // What is still unread would turn the end into a reset.
    reader.read_to_end(&mut Vec::new()).map(drop)
}
