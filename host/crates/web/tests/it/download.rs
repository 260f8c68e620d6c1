//! Large bodies, read piece by piece, and gone on with.

use std::time::Duration;

use syncline_web::{Client, Request};

use crate::server::{Reply, Server, client};

const PATIENCE: Duration = Duration::from_secs(20);

/// Serves `file`, breaks off after a third of it unless a part is asked for.
async fn flaky(file: &str) -> Server {
    let file = file.to_owned();
    Server::start(move |head| {
        let from = head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-'));
        let whole = file.len();
        match from {
            None => {
                let third = &file[..whole / 3];
                Reply::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: {whole}\r\n\r\n{third}"))
            }
            Some(from) => {
                let from: usize = from.parse().unwrap();
                let range = format!("content-range: bytes {from}-{}/{whole}\r\n", whole - 1);
                Reply::status("206 Partial Content", &range, &file[from..])
            }
        }
    })
    .await
}

/// Reads as much as comes. True if that was all.
async fn read(client: &Client, request: &Request, into: &mut Vec<u8>) -> bool {
    let mut answer = client.open(request, PATIENCE).await.unwrap();
    assert_eq!(answer.first_byte(), Some(into.len() as u64));
    loop {
        match answer.chunk().await {
            Ok(Some(piece)) => into.extend_from_slice(&piece),
            Ok(None) => return true,
            Err(failure) => {
                assert_eq!(failure.code, "closed", "{failure}");
                return false;
            }
        }
    }
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on_where_it_was() {
    let file = "0123456789".repeat(1 << 18);
    let server = flaky(&file).await;
    let client = client(&[&server.url]);
    let request = Request::get(server.at("file"));
    let mut got = Vec::new();
    assert!(!read(&client, &request, &mut got).await);
    assert!(got.len() < file.len() / 2 && !got.is_empty());
    let rest = request.from_byte(got.len() as u64);
    assert!(read(&client, &rest, &mut got).await);
    assert!(got == file.as_bytes());
}

#[tokio::test]
async fn a_server_that_gives_the_whole_or_an_unnamed_part_is_recognised() {
    let server = Server::start(|head| match head.starts_with("GET /whole") {
        true => Reply::ok("whole"),
        false => Reply::status("206 Partial Content", "", "part"),
    })
    .await;
    let client = client(&[&server.url]);
    let whole = client.open(&Request::get(server.at("whole")).from_byte(7), PATIENCE).await.unwrap();
    assert_eq!((whole.first_byte(), whole.length()), (Some(0), Some(5)));
    let part = client.open(&Request::get(server.at("part")).from_byte(7), PATIENCE).await.unwrap();
    assert_eq!(part.first_byte(), None);
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let server =
        Server::start(|_| Reply::Silence("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc".to_owned())).await;
    let request = Request::get(server.url.clone());
    let mut answer = client(&[&server.url]).open(&request, Duration::from_millis(500)).await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "abc");
    assert_eq!(answer.chunk().await.unwrap_err().code, "timeout");
}
