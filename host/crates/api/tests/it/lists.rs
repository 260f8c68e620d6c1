//! Lists, a page at a time.

use serde_json::{Value, json};

use crate::harness::Server;

async fn names(server: &Server, path: &str) -> (Vec<String>, Option<String>) {
    let body = server.get(path).await.is(200);
    let items = body["items"].as_array().unwrap();
    let names = items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect();
    (names, body["next"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn a_short_list_is_walked_in_pages_without_loss() {
    let server = Server::start().await;
    for name in ["delta", "alpha", "charlie", "bravo", "echo"] {
        server.store(name).await;
    }
    let (all, next) = names(&server, "/api/v1/stores").await;
    assert_eq!((all.len(), next), (5, None));
    let mut walked = Vec::new();
    let mut path = "/api/v1/stores?limit=2".to_owned();
    loop {
        let (page, next) = names(&server, &path).await;
        assert!(page.len() <= 2);
        walked.extend(page);
        let Some(next) = next else { break };
        path = format!("/api/v1/stores?limit=2&after={next}");
    }
    assert_eq!(walked, ["alpha", "bravo", "charlie", "delta", "echo"]);
}

#[tokio::test]
async fn runs_and_events_are_walked_in_pages_newest_first() {
    let server = Server::start().await.with_sync().await;
    let mut started = Vec::new();
    for _ in 0..5 {
        let run = server.post("/api/v1/syncs/nightly/runs", json!({ "mode": "preview" })).await.is(202);
        started.insert(0, run["id"].clone());
    }
    for base in ["/api/v1/runs?limit=2", "/api/v1/syncs/nightly/runs?limit=2"] {
        assert_eq!(walk(&server, base, "id").await, started, "{base}");
    }
    let all = server.get("/api/v1/events?limit=1000").await.is(200);
    let sequence: Vec<Value> =
        all["items"].as_array().unwrap().iter().map(|one| one["seq"].clone()).collect();
    assert_eq!(walk(&server, "/api/v1/events?limit=3", "seq").await, sequence);
}

async fn walk(server: &Server, base: &str, field: &str) -> Vec<Value> {
    let mut walked = Vec::new();
    let mut path = base.to_owned();
    loop {
        let body = server.get(&path).await.is(200);
        walked.extend(body["items"].as_array().unwrap().iter().map(|item| item[field].clone()));
        let Some(next) = body["next"].as_str() else { return walked };
        path = format!("{base}&after={next}");
    }
}

#[tokio::test]
async fn a_limit_out_of_bounds_and_a_cursor_of_ones_own_are_refused() {
    let server = Server::start().await;
    for limit in ["0", "1001"] {
        let detail = server.get(&format!("/api/v1/runs?limit={limit}")).await.problem(400, "limit");
        assert!(detail.contains(limit) && detail.contains("1 to 1000"), "{detail}");
    }
    server.get("/api/v1/runs?limit=-1").await.problem(400, "query");
    for path in ["runs?after=yesterday", "events?after=2026-01-01T00:00:00Z"] {
        let detail = server.get(&format!("/api/v1/{path}")).await.problem(400, "cursor");
        assert!(detail.contains("next"), "{detail}");
    }
}

#[tokio::test]
async fn events_are_filtered() {
    let server = Server::start().await.with_sync().await;
    let kinds = async |query: &str| -> Vec<String> {
        let body = server.get(&format!("/api/v1/events?{query}")).await.is(200);
        let items = body["items"].as_array().unwrap();
        items.iter().map(|item| item["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds("sync=nightly").await, ["sync.created"]);
    assert_eq!(kinds("kind=store.&store=site-1").await, ["store.registered"]);
    assert_eq!(kinds("server=site-1").await, ["store.registered"]);
    assert_eq!(
        kinds("plugin=mirror&kind=plugin.").await,
        ["plugin.enabled", "plugin.granted", "plugin.installed"]
    );
    assert_eq!(kinds("actor=nobody").await, Vec::<String>::new());
    assert_eq!(kinds("level=error").await, Vec::<String>::new());
    assert_eq!(kinds("since=2030-01-01T00:00:00Z").await, Vec::<String>::new());
    assert!(!kinds("before=2030-01-01T00:00:00Z&actor=root").await.is_empty());
}
