//! Getting to the server, and its credential to the device.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use http::StatusCode;
use syncline_protocol::{items::ApplicationState::Applied, opamp::ConnectionSettingsStatuses};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{device::Device, server::Server};

#[tokio::test(flavor = "multi_thread")]
async fn the_device_uses_its_own_credential_from_then_on() {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    device.enrol().await;
    let shown = server.with(|brain| std::mem::take(&mut brain.shown));
    assert_eq!(
        (shown.first().map(String::as_str), shown.last().map(String::as_str)),
        (Some("Bearer token"), Some("Bearer own"))
    );
    server.publish(&[("till", "one")]);
    let agent = device.run();
    device.reports(&server, Applied, "one").await;
    assert!(server.with(|brain| brain.shown.iter().all(|one| one == "Bearer own")));
    agent.stop();
    let mode = device.at("state/credential.json").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let log = fs::read_to_string(device.at("log")).unwrap();
    assert!(!log.contains("Bearer") && !log.contains("token"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_said_so() {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    fs::write(device.at("token"), "hunter2").unwrap();
    let output = device.call(&["enrol", "--token-file", &device.at("token").display().to_string()]).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("does not accept") && !error.contains("hunter2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_is_refused_leaves_the_credential_before() {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    device.enrol().await;
    server.with(|brain| {
        // The next start is offered a credential that nobody knows.
        brain.accepted = vec!["Bearer own".to_owned()];
        brain.own = Some("Bearer unknown".to_owned());
        brain.unknown = true;
    });
    server.publish(&[("till", "one")]);
    let _agent = device.run();
    device.reports(&server, Applied, "one").await;
    server
        .until("the report that it failed", |brain| {
            let status =
                brain.messages.iter().rev().find_map(|message| message.connection_settings_status.clone())?;
            (status.status() == ConnectionSettingsStatuses::Failed).then_some(())
        })
        .await;
    assert!(server.with(|brain| brain.shown.iter().all(|one| !one.contains("unknown"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_broken_connections_end_with_everything_said() {
    for general in ["", "transport = \"http\""] {
        let server = Server::start().await;
        let device = Device::counting(&server, general);
        device.enrol().await;
        server.with(|brain| {
            brain.faults.lose_answers = 2;
            brain.faults.cut = 1;
        });
        server.publish(&[("till", "one")]);
        let _agent = device.run();
        device.reports(&server, Applied, "one").await;
        assert_eq!((device.file().as_deref(), device.reloads()), (Some("one"), 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_used_where_websocket_does_not_get_through() {
    let server = Server::start().await;
    server.with(|brain| brain.faults.no_websocket = true);
    let device = Device::new(&server, "", "");
    device.enrol().await;
    server.publish(&[("till", "one")]);
    let _agent = device.run();
    device.reports(&server, Applied, "one").await;
    assert!(device.succeeds(&["status"]).await.contains("HTTP"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_too_much_to_do_is_asked_again() {
    let server = Server::start().await;
    let device = Device::new(&server, "", "");
    device.enrol().await;
    server.with(|brain| brain.faults.refuse = Some((StatusCode::SERVICE_UNAVAILABLE, Some(1))));
    server.publish(&[("till", "one")]);
    let _agent = device.run();
    device.reports(&server, Applied, "one").await;
}

/// Makes tunnels, and counts them by the lines that ask for one.
async fn proxy() -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, lines) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") {
                    if stream.read_line(&mut request).await.unwrap() == 0 {
                        return;
                    }
                }
                let target = request.split_whitespace().nth(1).unwrap().to_owned();
                let mut to = TcpStream::connect(target).await.unwrap();
                asked.send(request).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut to).await;
            });
        }
    });
    (port, lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_an_own_authority_through_a_proxy() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let server = Server::with_tls(Some(tokio_rustls::TlsAcceptor::from(Arc::new(config)))).await;
    let (port, mut tunnels) = proxy().await;
    for transport in ["websocket", "http"] {
        let device = Device::new(&server, "", "");
        let ca = device.at("ca.pem");
        fs::write(&ca, made.cert.pem()).unwrap();
        fs::write(device.at("proxy"), "user:pass\n").unwrap();
        let text = fs::read_to_string(device.at("agent.toml")).unwrap();
        let general = format!(
            "transport = {transport:?}\nca = {ca:?}\nproxy = \"http://127.0.0.1:{port}\"\nproxy-credentials = {:?}\n",
            device.at("proxy")
        );
        fs::write(device.at("agent.toml"), general + &text).unwrap();
        device.enrol().await;
        let request = tunnels.recv().await.unwrap();
        assert!(request.starts_with("CONNECT localhost:"), "{request}");
        assert!(request.to_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz"), "{request}");
        let other = Device::new(&server, &format!("transport = {transport:?}"), "");
        let token = other.at("token").display().to_string();
        let output = other.call(&["enrol", "--token-file", &token]).await;
        assert_eq!(output.status.code(), Some(6), "an authority that is not known is not trusted");
    }
}
