//! The stream of events.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use syncline_api::ApiOptions;
use syncline_domain::event::NewEvent;
use tower::ServiceExt;

use crate::harness::{Server, WithHeader, request};

/// An open stream, read message by message.
struct Stream {
    body: Body,
    text: String,
    /// After which event it begins.
    begins: i64,
}

/// One message: its fields, or the comment of a keep-alive.
#[derive(Debug, PartialEq)]
enum Message {
    Begin(i64),
    Event { id: i64, data: Value },
    Gap(Value),
    Comment,
}

impl Stream {
    async fn open(server: &Server, request: Request<Body>) -> Self {
        let response = server.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self { body: response.into_body(), text: String::new(), begins: 0 };
        let Some(Message::Begin(begins)) = stream.next().await else { panic!("no id at the beginning") };
        stream.begins = begins;
        stream
    }

    async fn of(server: &Server, query: &str) -> Self {
        let path = format!("/api/v1/events/stream{query}");
        Self::open(server, server.request("GET", &path, None)).await
    }

    /// The next message; `None` when the server ended the stream.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let message = parse(message);
                self.text = rest.to_owned();
                return Some(message);
            }
            let frame = tokio::time::timeout(Duration::from_secs(20), self.body.frame());
            let data = frame.await.expect("the stream is silent")?.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    async fn kind(&mut self) -> String {
        match self.next().await {
            Some(Message::Event { data, .. }) => data["kind"].as_str().unwrap().to_owned(),
            other => panic!("no event: {other:?}"),
        }
    }
}

fn parse(text: &str) -> Message {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let data = field("data:").map(|data| serde_json::from_str(data).unwrap());
    match (field("id:"), field("event:"), data) {
        (None, None, None) => Message::Comment,
        (Some(id), None, None) => Message::Begin(id.parse().unwrap()),
        (None, Some("gap"), Some(data)) => Message::Gap(data),
        (Some(id), _, Some(data)) => Message::Event { id: id.parse().unwrap(), data },
        _ => panic!("no message of ours: {text}"),
    }
}

async fn write(server: &Server, kind: &str) -> i64 {
    server.engine.db().append_event(NewEvent::new(kind, "test", "For a test")).await.unwrap().seq
}

#[tokio::test]
async fn what_happens_from_now_on_is_streamed() {
    let server = Server::start().await;
    write(&server, "test.before").await;
    let mut stream = Stream::of(&server, "").await;
    let seq = write(&server, "test.one").await;
    server.store("site").await;
    let Some(Message::Event { id, data }) = stream.next().await else { panic!("no event") };
    assert_eq!((id, &data["seq"], &data["kind"]), (seq, &json!(seq), &json!("test.one")));
    assert_eq!(stream.kind().await, "store.registered");
}

#[tokio::test]
async fn a_client_that_was_cut_off_misses_nothing() {
    let server = Server::start().await;
    let seen = write(&server, "test.seen").await;
    for number in 0..1_200 {
        write(&server, &format!("test.missed-{number}")).await;
    }
    let again = server.request("GET", "/api/v1/events/stream", None).with("last-event-id", &seen.to_string());
    let mut stream = Stream::open(&server, again).await;
    for number in 0..1_200 {
        assert_eq!(stream.kind().await, format!("test.missed-{number}"));
    }
    write(&server, "test.new").await;
    assert_eq!(stream.kind().await, "test.new");
    // For those that cannot send the header.
    let mut stream = Stream::of(&server, &format!("?after={seen}")).await;
    assert_eq!(stream.kind().await, "test.missed-0");
    let bad = server.request("GET", "/api/v1/events/stream", None).with("last-event-id", "x");
    assert!(server.send(bad).await.problem(400, "last-event-id").contains("\"x\""));
}

#[tokio::test]
async fn a_client_that_was_cut_off_before_its_first_event_misses_nothing() {
    let server = Server::start().await;
    let seen = write(&server, "test.seen").await;
    let stream = Stream::of(&server, "?kind=test.").await;
    assert_eq!(stream.begins, seen);
    drop(stream);
    write(&server, "test.missed").await;
    let again = server.request("GET", "/api/v1/events/stream", None);
    let mut stream = Stream::open(&server, again.with("last-event-id", &seen.to_string())).await;
    assert_eq!((stream.begins, stream.kind().await), (seen, "test.missed".to_owned()));
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_told() {
    let server = Server::start().await;
    let seen = write(&server, "test.seen").await;
    for _ in 0..10 {
        write(&server, "test.old").await;
    }
    let last = write(&server, "test.last").await;
    server.engine.db().prune_events(jiff::Timestamp::MIN, 1, 1_000).await.unwrap();
    let mut stream = Stream::of(&server, &format!("?after={seen}")).await;
    assert_eq!(stream.next().await, Some(Message::Gap(json!({ "from": seen + 1, "to": last - 1 }))));
    assert_eq!(stream.kind().await, "test.last");
    assert_eq!(stream.kind().await, "events.pruned");
    // A client that saw more than this database has, which was restored from a backup.
    let mut stream = Stream::of(&server, &format!("?after={}", last + 5)).await;
    assert_eq!(stream.next().await, Some(Message::Gap(json!({ "from": last + 2, "to": last + 5 }))));
    write(&server, "test.new").await;
    assert_eq!(stream.kind().await, "test.new");
}

#[tokio::test]
async fn a_stream_is_filtered() {
    let server = Server::start().await;
    let mut stream = Stream::of(&server, "?kind=test.&actor=test").await;
    write(&server, "other.one").await;
    server.store("site").await;
    write(&server, "test.two").await;
    assert_eq!(stream.kind().await, "test.two");
    let mut stream = Stream::of(&server, "?server=hall").await;
    write(&server, "test.three").await;
    server.store("hall").await;
    assert_eq!(stream.kind().await, "store.registered");
    // By all that the list is filtered by.
    let node = server.engine.node();
    let mut stream = Stream::of(
        &server,
        &format!("?component=patches&node={node}&person=test&since=2000-01-01T00:00:00Z"),
    )
    .await;
    write(&server, "test.four").await;
    let new = NewEvent::new("test.five", "test", "For a test").collection(&"patches".parse().unwrap());
    server.engine.db().append_event(new).await.unwrap();
    assert_eq!(stream.kind().await, "test.five");
    server.get("/api/v1/events/stream?colour=red").await.problem(400, "query");
}

#[tokio::test]
async fn an_export_has_every_event_of_all_pages_and_no_formula() {
    let server = Server::start().await;
    for number in 0..1_200 {
        write(&server, &format!("test.n{number}")).await;
    }
    let message = "=HYPERLINK(\"x\")\nand a second line";
    let odd = NewEvent::new("test.odd", "@who, me", message).data(json!({ "a": 1 }));
    server.engine.db().append_event(odd).await.unwrap();
    let text = async |query: &str, accept: &str| {
        let request = server.request("GET", &format!("/api/v1/events{query}"), None).with("accept", accept);
        let response = server.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (kind, String::from_utf8(body.to_vec()).unwrap())
    };
    let (kind, ndjson) = text("?kind=test.&format=ndjson", "*/*").await;
    let kinds: Vec<String> = ndjson
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((kind.as_str(), kinds.len()), ("application/x-ndjson", 1_201));
    assert_eq!(
        (kinds[0].as_str(), kinds[1].as_str(), kinds[1_200].as_str()),
        ("test.odd", "test.n1199", "test.n0")
    );
    assert_eq!(text("?kind=test.", "application/x-ndjson").await.1, ndjson);
    let some = text("?kind=test.&format=ndjson&limit=700", "*/*").await.1;
    assert_eq!(some.lines().count(), 700);

    let (kind, csv) = text("?kind=test.&format=csv", "application/json").await;
    assert_eq!(kind, "text/csv; charset=utf-8; header=present");
    assert_eq!(csv.matches("\r\n").count(), 1_202);
    let row = csv.split("\r\n").nth(1).unwrap();
    assert!(row.contains(",\"'=HYPERLINK(\"\"x\"\")\nand a second line\",\"'@who, me\","), "{row}");
    assert!(row.ends_with(",\"{\"\"a\"\":1}\""), "{row}");
    let (_, none) = text("?kind=nothing&format=csv", "*/*").await;
    assert_eq!(none.matches("\r\n").count(), 1, "headings: {none}");
    server.get("/api/v1/events?format=xml").await.problem(400, "query");
    server.get("/api/v1/events?format=csv&after=x").await.problem(400, "cursor");
}

#[tokio::test]
async fn no_route_changes_or_removes_an_event() {
    let server = Server::start().await;
    write(&server, "test.one").await;
    let document = serde_json::to_value(syncline_api::document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in paths.iter().filter(|(path, _)| path.starts_with("/api/v1/events")) {
        assert_eq!(methods.as_object().unwrap().keys().collect::<Vec<_>>(), ["get"], "{path}");
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            server.call(method, path, None).await.problem(405, "method");
        }
    }
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        server.call(method, "/api/v1/events/1", None).await.problem(404, "no-route");
    }
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_and_ends_when_the_server_stops() {
    let options = ApiOptions { keep_alive: Duration::from_millis(20), ..ApiOptions::default() };
    let server = Server::start_with(options).await;
    let mut stream = Stream::of(&server, "").await;
    assert_eq!(stream.next().await, Some(Message::Comment));
    server.options.stopping.cancel();
    loop {
        match stream.next().await {
            Some(Message::Comment) => {}
            end => break assert_eq!(end, None),
        }
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let server = Server::start().await;
    let new = json!({ "name": "ci", "role": "viewer", "expires_at": "2026-11-01T13:00:00Z" });
    let open = async |new: Value| {
        let made = server.post("/api/v1/tokens", new).await;
        let token = made.is(201)["token"].as_str().unwrap().to_owned();
        let stream =
            Stream::open(&server, request("GET", "/api/v1/events/stream?kind=test.x", &token, None)).await;
        (stream, made.header("location").to_owned())
    };
    let (mut revoked, location) = open(json!({ "name": "ci", "role": "viewer" })).await;
    let (mut expiring, _) = open(new).await;
    server.call("DELETE", &location, None).await.is(204);
    assert_eq!(revoked.next().await, None);
    // The other one does not mind.
    write(&server, "test.x").await;
    assert_eq!(expiring.kind().await, "test.x");
    server.clock.forward(Duration::from_secs(3_600));
    assert_eq!(expiring.next().await, None);
}
