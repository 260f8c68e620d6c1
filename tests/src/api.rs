//! A client of the HTTP API that knows nothing of the server's types: what it sees is what any program sees.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The API of one server, with one token.
#[derive(Debug, Clone)]
pub struct Api {
    /// Such as `http://127.0.0.1:4242`.
    pub url: String,
    /// Bearer token; none is sent if empty.
    pub token: String,
    agent: ureq::Agent,
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body, `null` if it is empty, a string if it is not JSON.
    pub body: Value,
    /// `location` header.
    pub location: Option<String>,
    /// `etag` header.
    pub etag: Option<String>,
}

impl Answer {
    /// The body, if the status is the one expected.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "answered: {:#}", self.body);
        self.body
    }
}

impl Api {
    /// A client.
    pub fn new(url: &str, token: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .build();
        Self { url: url.to_owned(), token: token.to_owned(), agent: config.into() }
    }

    /// The same API with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// One request. `path` begins behind `/api/v1`, or is a path of its own if it begins with `//`.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// One request that may find no server.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let url = match path.strip_prefix("//") {
            Some(path) => format!("{}/{path}", self.url),
            None => format!("{}/api/v1{path}", self.url),
        };
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("a request of a test is well-formed");
        let mut response = self.agent.run(request)?;
        let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let (location, etag) = (header("location"), header("etag"));
        let text = response.body_mut().with_config().limit(1 << 30).read_to_string()?;
        let body = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
        };
        Ok(Answer { status: response.status().as_u16(), body, location, etag })
    }

    /// GET that answers 200.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.send("GET", path, &[], &[]).expect(200)
    }

    /// POST with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, body)
    }

    /// PUT with a JSON body.
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.json("PUT", path, body)
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], &[])
    }

    fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// Id of the node that answers.
    #[track_caller]
    pub fn node(&self) -> String {
        let nodes = self.all("/nodes");
        let node = nodes.iter().find(|node| node["answers"] == true).expect("a node answers");
        node["id"].as_str().expect("a node has an id").to_owned()
    }

    /// Uploads a package.
    pub fn upload(&self, package: &[u8]) -> Answer {
        self.send("POST", "/plugins", &[("content-type", "application/wasm")], package)
    }

    /// Uploads a package, grants all it asks for and enables it. Answers its name.
    #[track_caller]
    pub fn install(&self, package: &[u8]) -> String {
        let answer = self.upload(package);
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        let name = answer.body["name"].as_str().expect("a plugin has a name").to_owned();
        let grants = json!({ "grants": answer.body["wants"] });
        self.put(&format!("/plugins/{name}/grants"), &grants).expect(200);
        self.post(&format!("/plugins/{name}/enable"), &json!({})).expect(200);
        name
    }

    /// Registers a folder.
    #[track_caller]
    pub fn add_store(&self, name: &str, path: &std::path::Path, shared: bool) -> Value {
        let body = json!({ "name": name, "kind": "folder", "path": path, "shared": shared });
        self.post("/stores", &body).expect(201)
    }

    /// Starts a run and answers its id.
    #[track_caller]
    pub fn start(&self, sync: &str, mode: &str) -> String {
        let answer = self.post(&format!("/syncs/{sync}/runs"), &json!({ "mode": mode }));
        let location = answer.location.clone();
        answer.expect(202);
        location.expect("a started run has a location").rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// Starts a run and answers how it ended.
    #[track_caller]
    pub fn run(&self, sync: &str, mode: &str) -> Value {
        let id = self.start(sync, mode);
        self.ended(&id)
    }

    /// The run once nothing more happens to it by itself: it ended or is held.
    #[track_caller]
    pub fn ended(&self, run: &str) -> Value {
        self.until(run, |state| !matches!(state, "queued" | "claimed" | "running" | "cancelling"))
    }

    /// The run once it is in a state that `wanted` takes.
    #[track_caller]
    pub fn until(&self, run: &str, wanted: impl Fn(&str) -> bool) -> Value {
        let path = format!("/runs/{run}");
        eventually(&format!("run {run} to get there"), || {
            let body = self.get(&path);
            wanted(body["state"].as_str().unwrap_or_default()).then_some(body)
        })
    }

    /// All operations of a run.
    pub fn operations(&self, run: &str) -> Vec<Value> {
        self.all(&format!("/runs/{run}/operations?limit=1000"))
    }

    /// All items of a list, page by page.
    pub fn all(&self, path: &str) -> Vec<Value> {
        let join = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.get(&format!("{path}{after}"));
            items.extend(page["items"].as_array().expect("a list has items").iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("{join}after={next}"),
                None => return items,
            }
        }
    }
}

/// What `look` finds, once it finds something: looked for again and again for three minutes.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(180, what, look)
}

/// The same, for so many seconds.
#[track_caller]
pub fn eventually_within<T>(seconds: u64, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(seconds), "waited too long for {what}");
        std::thread::park_timeout(Duration::from_millis(15));
    }
}
