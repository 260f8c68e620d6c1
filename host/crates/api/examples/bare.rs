//! What `make bench` measures contacts of devices against: axum and nothing behind it. It reads each body and answers with
//! the body that stands in the file named first, at the address that it prints.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a part of a benchmark")]

use axum::{Router, body::Bytes, http::header::CONTENT_TYPE, routing::post};

#[tokio::main]
async fn main() {
    let answer: Bytes = std::fs::read(std::env::args().nth(1).unwrap()).unwrap().into();
    let handler = move |body: Bytes| async move {
        assert!(!body.is_empty());
        ([(CONTENT_TYPE, "application/x-protobuf")], answer)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    axum::serve(listener, Router::new().route("/v1/opamp", post(handler))).await.unwrap();
}
