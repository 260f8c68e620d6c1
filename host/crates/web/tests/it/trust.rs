//! Whom is trusted.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use syncline_domain::FailureKind;
use syncline_web::Request;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use url::Url;

use crate::server::{Server, client, trusting};

const TIME: Duration = Duration::from_secs(20);

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn who_shows_a_certificate_of_a_given_authority_is_spoken_with() {
    let authority = authority("ours");
    let server = Server::secure(&authority, "localhost").await;
    let client = trusting(Some(authority.pem()), &[&server.url]);
    let answer = client.send(&Request::get(server.url.clone()), TIME, 99).await.unwrap();
    assert_eq!(&answer.body[..], b"well");
}

#[tokio::test]
async fn who_shows_another_is_not() {
    let known = authority("ours");
    let stranger = Server::secure(&authority("a stranger"), "localhost").await;
    let misnamed = Server::secure(&known, "other.example").await;
    for (server, hint) in [(&stranger, "certificate_authorities"), (&misnamed, "other.example")] {
        let client = trusting(Some(known.pem()), &[&server.url]);
        let failure = client.send(&Request::get(server.url.clone()), TIME, 99).await.unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Denied, "certificate"), "{failure}");
        assert!(failure.message.contains(hint), "{failure}");
        assert_eq!(server.heads(), Vec::<String>::new());
    }
    let of_system = client(&[&stranger.url]);
    let failure = of_system.send(&Request::get(stranger.url.clone()), TIME, 99).await.unwrap_err();
    assert_eq!(failure.code, "certificate", "{failure}");
}

#[tokio::test]
async fn a_port_without_tls_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://localhost:{}/", listener.local_addr().unwrap().port())).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // What came is read, so that the answer is not lost to a reset.
        let mut hello = Vec::new();
        stream.read_to_end(&mut hello).await
    });
    let client = trusting(Some(authority("ours").pem()), &[&url]);
    let failure = client.send(&Request::get(url), TIME, 99).await.unwrap_err();
    assert_eq!(failure.code, "tls", "{failure}");
}
