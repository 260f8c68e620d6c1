//! A server of a few lines: what it answers is bytes, so that it can misbehave.

use std::sync::{Arc, Mutex};

use rcgen::{CertifiedIssuer, KeyPair};
use syncline_domain::origin::Origin;
use syncline_web::{Client, Terms};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};
use url::Url;

/// What is sent back, and what then.
#[derive(Debug, Clone)]
pub enum Reply {
    /// These bytes, and the end of the connection.
    Bytes(String),
    /// These bytes, and then the second ones without end.
    Endless(String, &'static str),
    /// These bytes, and then nothing.
    Silence(String),
}

impl Reply {
    pub fn ok(body: &str) -> Self {
        Self::status("200 OK", "", body)
    }

    pub fn redirect(to: &str) -> Self {
        Self::status("302 Found", &format!("location: {to}\r\n"), "elsewhere")
    }

    pub fn status(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Bytes(format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ))
    }
}

/// A running server. It ends with the test.
pub struct Server {
    pub url: Url,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each request, told by its head.
    pub async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen("http", None, answer).await
    }

    /// The same over TLS, with a certificate of `issuer` for `name`.
    pub async fn secure(issuer: &CertifiedIssuer<'_, KeyPair>, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        Self::listen("https", Some(TlsAcceptor::from(Arc::new(config))), |_| Reply::ok("well")).await
    }

    async fn listen(
        scheme: &str,
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&heads), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer, tls) = (Arc::clone(&seen), Arc::clone(&answer), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &seen, &*answer).await,
                        // A client that does not like the certificate hangs up.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &seen, &*answer).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        let url = Url::parse(&format!("{scheme}://localhost:{port}/")).unwrap();
        Self { url, heads }
    }

    pub fn at(&self, path: &str) -> Url {
        self.url.join(path).unwrap()
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Mutex<Vec<String>>,
    answer: &(impl Fn(&str) -> Reply + ?Sized),
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    seen.lock().unwrap().push(head.clone());
    match answer(&head) {
        Reply::Bytes(bytes) => stream.write_all(bytes.as_bytes()).await.ok()?,
        Reply::Silence(bytes) => {
            stream.write_all(bytes.as_bytes()).await.ok()?;
            stream.flush().await.ok()?;
            std::future::pending().await
        }
        Reply::Endless(bytes, more) => {
            stream.write_all(bytes.as_bytes()).await.ok()?;
            loop {
                stream.write_all(more.as_bytes()).await.ok()?;
            }
        }
    }
    stream.shutdown().await.ok()
}

/// A client that may ask these.
pub fn client(urls: &[&Url]) -> Client {
    trusting(None, urls)
}

/// A client that trusts this authority alone.
pub fn trusting(authority: Option<String>, urls: &[&Url]) -> Client {
    Client::new(Terms {
        origins: urls.iter().map(|url| Origin::of(url).unwrap()).collect(),
        certificate_authorities: authority,
        connect_timeout: std::time::Duration::from_secs(10),
    })
    .unwrap()
}
