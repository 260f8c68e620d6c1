//! `http`: what a plugin may ask web sources for, and what becomes of one that asks for more.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use syncline_domain::{
    Failure, FailureKind, Fault,
    ids::RunId,
    plugin::{DIRECTORY_SYNC, SandboxLimits},
};
use syncline_sandbox::{
    BoundWeb, DirectorySyncAnswer, DirectorySyncCall, StopSignal, WebAnswer, WebConnector, WebRequest,
};

use crate::{
    directories::hostile,
    directory::Declared,
    support::{BOTH, Kept, grant, name, sandbox},
};

const URL: &str = "https://scim.example/v2";

/// A service in memory: answers this, and keeps what it was asked.
struct Service {
    answer: Result<u16, Failure>,
    asked: Mutex<Vec<WebRequest>>,
}

impl Service {
    fn that(answer: Result<u16, Failure>) -> Arc<Self> {
        Arc::new(Self { answer, asked: Mutex::default() })
    }
}

#[async_trait]
impl WebConnector for Service {
    async fn send(&self, request: WebRequest) -> Result<WebAnswer, Failure> {
        let url = request.url.to_string();
        self.asked.lock().push(request);
        let status = self.answer.clone()?;
        Ok(WebAnswer {
            status,
            url,
            headers: vec![("etag".to_owned(), "x".to_owned())],
            body: b"{}".to_vec(),
        })
    }
}

fn asking(settings: Value, service: &Arc<Service>) -> DirectorySyncCall {
    DirectorySyncCall {
        run: RunId::new(Timestamp::UNIX_EPOCH),
        cursor: None,
        settings: settings.to_string(),
        allowed: vec![grant("http", &[]), grant("desired-directory", &[])],
        limits: SandboxLimits::for_world(DIRECTORY_SYNC),
        sources: Vec::new(),
        web: vec![BoundWeb {
            name: name("hr"),
            url: URL.parse().unwrap(),
            labels: vec![("kind".to_owned(), "scim".to_owned())],
            secrets: vec!["token".to_owned()],
            connector: Arc::clone(service) as _,
        }],
        sink: Box::new(Arc::new(Mutex::new(Declared::default()))),
        log: Arc::new(Kept::default()),
        progress: Arc::new(Kept::default()),
        stop: StopSignal::never(),
    }
}

async fn run(call: DirectorySyncCall) -> Result<DirectorySyncAnswer, Failure> {
    let sandbox = sandbox(BOTH[0]);
    sandbox.declare_directory(&hostile(&sandbox).await, call).await
}

fn does(behaviour: &str, text: &str) -> Value {
    json!({ "do": behaviour, "text": text })
}

/// The guest must be refused with this, without the service being asked.
async fn refused(
    call: DirectorySyncCall,
    service: &Service,
    kind: FailureKind,
    fault: Fault,
    code: &str,
) -> Failure {
    let failure = run(call).await.map(drop).unwrap_err();
    assert_eq!((failure.kind, failure.fault, failure.code.as_str()), (kind, fault, code), "{failure}");
    assert_eq!(service.asked.lock().len(), 0, "{failure}");
    failure
}

#[tokio::test]
async fn a_good_plugin_is_answered_and_names_a_secret_that_it_does_not_know() {
    let service = Service::that(Ok(200));
    let answer = run(asking(does("web-good", "/Users?count=1"), &service)).await.unwrap();
    assert_eq!(answer.incomplete, None);
    let asked = service.asked.lock().remove(0);
    assert_eq!((asked.method.as_str(), asked.url.as_str()), ("GET", "https://scim.example/v2/Users?count=1"));
    assert_eq!(asked.headers, [("accept".to_owned(), "application/json".to_owned())]);
    let [secret] = asked.secrets.as_slice() else { panic!("{asked:?}") };
    let put = [&secret.header, &secret.prefix, &secret.secret];
    assert_eq!(put, ["authorization", "Bearer ", "token"]);
}

#[tokio::test]
async fn only_what_is_below_a_sources_address_is_asked_for() {
    let (denied, settings) = (FailureKind::Denied, Fault::Settings);
    for url in [
        "https://elsewhere.example/v2/Users",
        "https://scim.example.elsewhere.example/v2",
        "http://scim.example/v2/Users",
        "https://scim.example:8443/v2/Users",
        "https://scim.example/",
        "https://scim.example/v20/Users",
        "https://scim.example/v2/../admin",
        "https://scim.example/v2/%2e%2e/admin",
        "https://scim.example/v2/..%2fadmin",
        "https://scim.example/v2\\..\\admin",
        "file:///etc/passwd",
    ] {
        let service = Service::that(Ok(200));
        let failure =
            refused(asking(does("web-at", url), &service), &service, denied, settings, "origin").await;
        assert!(failure.message.contains("the plugin") && failure.message.contains("hr"), "{failure}");
    }
    for url in ["/v2/Users", "https://ada:pass@scim.example/v2/Users", "https://scim.example/v2#x"] {
        let service = Service::that(Ok(200));
        refused(asking(does("web-at", url), &service), &service, FailureKind::Invalid, Fault::Plugin, "url")
            .await;
    }
}

#[tokio::test]
async fn what_was_not_granted_is_denied() {
    let (denied, settings) = (FailureKind::Denied, Fault::Settings);
    for (what, code) in [
        (does("web-not-granted", ""), "not-granted"),
        (does("web-post", "/Users"), "method"),
        (does("web-post", "/.search"), "method"),
        (does("web-delete", "/Users/1"), "method"),
        (does("web-other-secret", ""), "secret"),
    ] {
        let service = Service::that(Ok(200));
        refused(asking(what, &service), &service, denied, settings, code).await;
    }
    let service = Service::that(Ok(200));
    let mut call = asking(does("web-good", "/Users"), &service);
    call.allowed[0].names = Some(vec![name("other")]);
    assert_eq!(run(call).await.map(drop).unwrap_err().code, "settings", "it sees no source at all");
    assert_eq!(service.asked.lock().len(), 0);
}

#[tokio::test]
async fn a_method_that_was_granted_is_for_its_path_alone() {
    let granted = |what: Value, service: &Arc<Service>| {
        let mut call = asking(what, service);
        call.allowed[0].allow = vec!["POST /.search".to_owned()];
        call
    };
    let service = Service::that(Ok(200));
    run(granted(does("web-post", "/.search?x=y"), &service)).await.map(drop).unwrap();
    assert_eq!(service.asked.lock()[0].method, "POST");
    for what in
        [does("web-post", "/Users"), does("web-post", "/Users/.search"), does("web-delete", "/.search")]
    {
        let service = Service::that(Ok(200));
        refused(granted(what, &service), &service, FailureKind::Denied, Fault::Settings, "method").await;
    }
}

#[tokio::test]
async fn requests_that_break_a_rule_are_the_plugins_fault() {
    for (behaviour, kind, code) in [
        ("web-host-header", FailureKind::Invalid, "header"),
        ("web-split-header", FailureKind::Invalid, "header"),
        ("web-huge-answer", FailureKind::Invalid, "max-bytes"),
        ("web-huge-body", FailureKind::Limit, "request-size"),
    ] {
        let service = Service::that(Ok(200));
        refused(asking(does(behaviour, ""), &service), &service, kind, Fault::Plugin, code).await;
    }
}

#[tokio::test]
async fn what_was_not_answered_is_not_read_whatever_the_plugin_says() {
    for (answer, words) in [
        (Ok(401), Some("401")),
        (Ok(403), Some("403")),
        (Ok(429), Some("429")),
        (Ok(503), Some("503")),
        (Err(Failure::unavailable("closed", "it broke off")), Some("it broke off")),
        (Ok(200), None),
        // Not there, or not known: an answer.
        (Ok(404), None),
        (Ok(501), None),
    ] {
        let incomplete =
            run(asking(does("web-swallow", "/Users"), &Service::that(answer))).await.unwrap().incomplete;
        match words {
            None => assert_eq!(incomplete, None),
            Some(words) => {
                assert!(incomplete.as_ref().is_some_and(|why| why.contains(words)), "{incomplete:?}")
            }
        }
    }
}
