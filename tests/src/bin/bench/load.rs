//! Requests over many connections that stay open, each with the next request as soon as the answer is there.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The requests of one connection, one after the other.
pub type Requests = Box<dyn FnMut(&mut Vec<u8>) + Send>;

/// Answers a second over a while, on as many connections as there are lists of requests. The client is one thread: the
/// server has the rest of the machine.
pub fn drive(address: SocketAddr, connections: Vec<Requests>, length: Duration) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let over = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicU64::new(0));
        let mut all = tokio::task::JoinSet::new();
        for requests in connections {
            all.spawn(converse(address, requests, Arc::clone(&over), Arc::clone(&answers)));
        }
        // The first answers are of a server that is still warming up.
        tokio::time::sleep(length / 5).await;
        let (before, begun) = (answers.load(Ordering::Relaxed), Instant::now());
        tokio::time::sleep(length).await;
        let (after, took) = (answers.load(Ordering::Relaxed), begun.elapsed());
        over.store(true, Ordering::Relaxed);
        while let Some(ended) = all.join_next().await {
            ended.unwrap();
        }
        (after - before) as f64 / took.as_secs_f64()
    })
}

async fn converse(
    address: SocketAddr,
    mut requests: Requests,
    over: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut request, mut answer) = (Vec::new(), Vec::new());
    while !over.load(Ordering::Relaxed) {
        request.clear();
        requests(&mut request);
        stream.write_all(&request).await.unwrap();
        answer.clear();
        while !is_whole(&answer) {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "the server ended a connection");
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether an answer is there to its end; it must be one of success.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let text = std::str::from_utf8(&answer[..head]).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    answer.len() >= head + 4 + length.unwrap()
}

/// A POST of a message.
pub fn post(out: &mut Vec<u8>, token: &str, body: &[u8]) {
    let head = format!(
        "POST /v1/opamp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
}
