//! Plain HTTP: what is taken, and how the rest is refused.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use syncline_protocol::{
    frame::encode_body,
    opamp::{AgentToServer, ServerErrorResponseType},
};

use super::agent::{Agent, FOREIGN, LIMIT, request, said};
use crate::harness::{Server, WithHeader};

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Section "Bad Request".
#[tokio::test]
async fn what_is_no_message_is_a_bad_request() {
    let server = Server::with_browser().await;
    let (_, token) = server.registered().await;
    let broken = said(&server.send(request(&token, b"\xff\xffgarbage".to_vec())).await, 400);
    let error = broken.error_response.unwrap();
    assert_eq!(error.kind(), ServerErrorResponseType::BadRequest);
    let short = AgentToServer { instance_uid: vec![1; 15], ..AgentToServer::default() };
    let refused = said(&server.send(request(&token, encode_body(&short, LIMIT).unwrap())).await, 400);
    assert_eq!(refused.instance_uid, [1; 15]);
    assert!(refused.error_response.unwrap().error_message.contains("16 bytes"));
    let no_gzip = request(&token, vec![1, 2, 3]).with("content-encoding", "gzip");
    said(&server.send(no_gzip).await, 400);
}

/// Section "Plain HTTP Transport": both gzip and plain are taken.
#[tokio::test]
async fn gzip_is_taken_and_other_codings_are_not() {
    let server = Server::with_browser().await;
    let (_, token) = server.registered().await;
    let message = encode_body(&Agent::new(&token, FOREIGN).whole(), LIMIT).unwrap();
    let gzip = request(&token, packed(&message)).with("content-encoding", "gzip");
    let answer = said(&server.send(gzip).await, 200);
    assert_ne!(answer.capabilities, 0);
    let brotli = request(&token, message.clone()).with("content-encoding", "br");
    assert_eq!(server.send(brotli).await.status, 415);
    let json = request(&token, message).with("content-type", "application/json");
    assert_eq!(server.send(json).await.status, 415);
}

/// Section "Plain HTTP Message Size Limits", also after decompression.
#[tokio::test]
async fn what_is_too_large_is_413() {
    let server = Server::with_browser().await;
    let (_, token) = server.registered().await;
    let large = vec![0; LIMIT + 1];
    assert_eq!(server.send(request(&token, large.clone())).await.status, 413);
    let bomb = request(&token, packed(&large)).with("content-encoding", "gzip");
    assert_eq!(server.send(bomb).await.status, 413);
}

/// Section "Throttling": with the time to come again, in the header and in the message.
#[tokio::test]
async fn a_device_that_says_too_much_is_asked_to_come_later_and_the_others_are_not() {
    let server = Server::with_browser().await;
    let (_, token) = server.registered().await;
    let mut agent = Agent::new(&token, FOREIGN);
    let refused = loop {
        let message = agent.whole();
        let answer = agent.post(&server, &message).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(agent.sequence < 2_000, "nothing stops it");
    };
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((30..60).contains(&seconds), "{seconds}");
    let message = said(&refused, 429);
    let error = message.error_response.unwrap();
    assert_eq!(error.kind(), ServerErrorResponseType::Unavailable);
    let numbers = server.get("/metrics").await.text();
    assert!(numbers.contains("syncline_device_refusals_total{limit=\"rate\"} 1"), "{numbers}");

    let other = server.post("/api/v1/devices", json!({ "name": "other" })).await.is(201)["id"].clone();
    let token = server.enrolment_token(json!({ "device": other })).await;
    let mut other = Agent { uid: [8; 16], ..Agent::new(&token, FOREIGN) };
    let message = other.whole();
    other.send(&server, &message).await;
}
