//! What is not asked, not followed and not taken.

use std::time::Duration;

use syncline_domain::{Failure, FailureKind};
use syncline_web::{HeaderValue, Method, Request, Whole, header::AUTHORIZATION};
use url::Url;

use crate::server::{Reply, Server, client};

const TIME: Duration = Duration::from_secs(20);
const MOST: u64 = 1 << 20;
const SECRET: &str = "Bearer opensesame";

fn secret(url: Url) -> Request {
    Request::get(url).secret(AUTHORIZATION, HeaderValue::from_static(SECRET))
}

#[track_caller]
fn fails(outcome: Result<Whole, Failure>, kind: FailureKind, code: &str) -> Failure {
    let failure = outcome.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (kind, code), "{failure}");
    assert!(!failure.message.contains("opensesame"), "{failure}");
    failure
}

#[tokio::test]
async fn an_answer_comes_back_whatever_its_status() {
    let server =
        Server::start(|_| Reply::status("404 Not Found", "set-cookie: a=b\r\nx-y: z\r\n", "no")).await;
    let answer = client(&[&server.url]).send(&secret(server.at("a?b=c")), TIME, MOST).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (404, &b"no"[..]));
    assert_eq!(answer.headers.get("x-y").unwrap(), "z");
    assert_eq!(answer.headers.get("set-cookie"), None);
    let head = server.heads().remove(0);
    for line in ["GET /a?b=c HTTP/1.1", "accept-encoding: identity", "authorization: Bearer opensesame"] {
        assert!(head.contains(line), "{head}");
    }
}

#[tokio::test]
async fn a_redirect_at_home_takes_the_secret_along_and_one_elsewhere_does_not() {
    let there = Server::start(|head| match head.contains("x-plain: yes") {
        true => Reply::ok("there"),
        false => Reply::ok("nothing"),
    })
    .await;
    let away = there.at("end").to_string();
    let here = Server::start(move |head| match head.starts_with("GET /first") {
        true => Reply::redirect("/second"),
        false => Reply::redirect(&away),
    })
    .await;
    let request = secret(here.at("first")).header("x-plain".parse().unwrap(), "yes".parse().unwrap());
    let answer = client(&[&here.url, &there.url]).send(&request, TIME, MOST).await.unwrap();
    assert_eq!((&answer.body[..], answer.url.clone()), (&b"there"[..], there.at("end")));
    assert!(here.heads().iter().all(|head| head.contains(SECRET)), "{:?}", here.heads());
    assert!(!there.heads()[0].contains("opensesame"), "{:?}", there.heads());
}

#[tokio::test]
async fn the_way_back_home_is_without_the_secret() {
    let home = Server::start(|_| Reply::ok("x")).await;
    let back = home.at("chosen-by-others").to_string();
    let between = Server::start(move |_| Reply::redirect(&back)).await;
    // Two names of one server are two origins, and so are two servers.
    let away = between.url.to_string();
    let first = Server::start(move |_| Reply::redirect(&away)).await;
    let all = client(&[&home.url, &between.url, &first.url]);
    all.send(&secret(first.url.clone()), TIME, MOST).await.unwrap();
    assert!(!home.heads()[0].contains("opensesame"));
}

#[tokio::test]
async fn a_redirect_to_a_foreign_origin_is_not_followed() {
    let foreign = Server::start(|_| Reply::ok("caught")).await;
    let to = foreign.url.to_string();
    let server = Server::start(move |_| Reply::redirect(&to)).await;
    let outcome = client(&[&server.url]).send(&secret(server.at("x?token=opensesame")), TIME, MOST).await;
    let failure = fails(outcome, FailureKind::Denied, "redirect");
    assert!(failure.message.contains(foreign.url.as_str().trim_end_matches('/')), "{failure}");
    assert_eq!(foreign.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn redirects_have_an_end_and_a_post_has_none() {
    let server = Server::start(|_| Reply::redirect("/again")).await;
    let client = client(&[&server.url]);
    let failure =
        fails(client.send(&secret(server.url.clone()), TIME, MOST).await, FailureKind::Denied, "redirect");
    assert!(failure.message.contains("more than 5"), "{failure}");
    assert_eq!(server.heads().len(), 6);
    let post = Request::new(Method::POST, server.url.clone()).body("x");
    fails(client.send(&post, TIME, MOST).await, FailureKind::Denied, "redirect");
    assert_eq!(server.heads().len(), 7);
}

#[tokio::test]
async fn only_allowed_origins_are_asked() {
    let server = Server::start(|_| Reply::ok("x")).await;
    let mut other_scheme = server.url.clone();
    other_scheme.set_scheme("https").unwrap();
    let mut other_name = server.url.clone();
    other_name.set_host(Some("127.0.0.1")).unwrap();
    let with_password = Url::parse("http://ada:opensesame@localhost/").unwrap();
    for url in [other_scheme, other_name, with_password, Url::parse("file:///etc/passwd").unwrap()] {
        let outcome = client(&[&server.url]).send(&Request::get(url), TIME, MOST).await;
        fails(outcome, FailureKind::Denied, "origin");
    }
    assert_eq!(server.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_connected_to_where_credentials_are_handed_out() {
    let to = Url::parse("http://169.254.169.254/latest/meta-data").unwrap();
    let link_local = Url::parse("http://[::ffff:169.254.169.254]/").unwrap();
    for url in [&to, &link_local] {
        let outcome = client(&[url]).send(&Request::get(url.clone()), TIME, MOST).await;
        fails(outcome, FailureKind::Denied, "address");
    }
    let server = Server::start(|_| Reply::redirect("http://169.254.169.254/latest/meta-data")).await;
    let outcome = client(&[&server.url, &to]).send(&secret(server.url.clone()), TIME, MOST).await;
    fails(outcome, FailureKind::Denied, "address");
}

#[tokio::test]
async fn who_is_not_there_is_told() {
    let gone = Url::parse("http://nobody.invalid/").unwrap();
    fails(
        client(&[&gone]).send(&secret(gone.clone()), TIME, MOST).await,
        FailureKind::Unavailable,
        "resolve",
    );
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = Url::parse(&format!("http://{free}/")).unwrap();
    let outcome = client(&[&silent]).send(&secret(silent.clone()), TIME, MOST).await;
    fails(outcome, FailureKind::Unavailable, "connect");
}

#[tokio::test]
async fn what_is_too_large_late_or_short_is_no_answer() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\n";
    let server = Server::start(|head| match head.split(' ').nth(1) {
        Some("/said") => Reply::Silence(format!("{HEAD}content-length: 1048577\r\n\r\n")),
        Some("/endless") => Reply::Endless(format!("{HEAD}\r\n"), "x"),
        Some("/chunks") => {
            Reply::Endless(format!("{HEAD}transfer-encoding: chunked\r\n\r\n"), "4\r\nmore\r\n")
        }
        Some("/headers") => Reply::Endless(HEAD.to_owned(), "x-more: and more\r\n"),
        Some("/short") => Reply::Bytes(format!("{HEAD}content-length: 10\r\n\r\nabc")),
        Some("/cut") => Reply::Bytes(format!("{HEAD}transfer-encoding: chunked\r\n\r\n4\r\nmore\r\n")),
        Some("/nonsense") => Reply::Bytes("220 ready\r\n".to_owned()),
        Some("/stalls") => Reply::Silence(format!("{HEAD}content-length: 10\r\n\r\nabc")),
        _ => Reply::Silence(String::new()),
    })
    .await;
    let client = client(&[&server.url]);
    for (path, kind, code) in [
        ("said", FailureKind::Limit, "body-size"),
        ("endless", FailureKind::Limit, "body-size"),
        ("chunks", FailureKind::Limit, "body-size"),
        ("headers", FailureKind::Unavailable, "closed"),
        ("short", FailureKind::Unavailable, "closed"),
        ("cut", FailureKind::Unavailable, "closed"),
        ("nonsense", FailureKind::Unavailable, "closed"),
    ] {
        fails(client.send(&secret(server.at(path)), TIME, MOST).await, kind, code);
    }
    for path in ["stalls", "never"] {
        let outcome = client.send(&secret(server.at(path)), Duration::from_millis(200), MOST).await;
        fails(outcome, FailureKind::Unavailable, "timeout");
    }
}
