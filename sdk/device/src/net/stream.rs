//! Bytes to and from the server: TCP, through a proxy where there is one, and TLS.

use std::{path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{Connector, Endpoint, Failure};
use crate::{
    config::Config,
    error::{Error, Result},
    state::credential::Secret,
};

/// Bytes both ways.
pub trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A proxy that makes tunnels.
#[derive(Clone)]
pub struct Proxy {
    authority: String,
    authorization: Option<Secret>,
}

impl Proxy {
    /// The configured one.
    pub fn of(config: &Config) -> Result<Option<Self>> {
        let Some(url) = &config.proxy else { return Ok(None) };
        let wrong = || {
            Error::Config("proxy is no URL like http://proxy.example:3128 (a user goes into the file of proxy-credentials)".to_owned())
        };
        let uri: http::Uri = url.parse().map_err(|_| wrong())?;
        let authority =
            uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong());
        }
        let authority = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(3_128));
        let authorization = config.proxy_credentials.as_deref().map(credentials).transpose()?;
        Ok(Some(Self { authority, authorization }))
    }
}

fn credentials(path: &Path) -> Result<Secret> {
    let text =
        std::fs::read_to_string(path).map_err(Error::file("read the credentials of the proxy", path))?;
    Ok(Secret(format!("Basic {}", STANDARD.encode(text.trim()))))
}

/// TLS with the authorities of a file, or of the operating system.
pub fn tls(ca: Option<&Path>) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let wrong =
                |error: String| Error::Config(format!("the certificates in {}: {error}", path.display()));
            let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(wrong("there is none; give PEM".to_owned()));
            }
        }
        // Some that cannot be read are no reason to trust none.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| Error::Config(format!("TLS cannot be used: {error}")))?;
    Ok(TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
}

impl Connector {
    /// Bytes to and from the endpoint.
    pub async fn stream(&self, endpoint: &Endpoint) -> Result<Box<dyn Bytes>, Failure> {
        let bytes: Box<dyn Bytes> = match &self.proxy {
            None => Box::new(tcp(&endpoint.authority(), "the server").await?),
            Some(proxy) => Box::new(tunnel(proxy, endpoint).await?),
        };
        if !endpoint.tls {
            return Ok(bytes);
        }
        let host = endpoint.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host)
            .map_err(|error| Failure::broken("the server's name")(error.to_string()))?;
        let stream = self.tls.connect(name, bytes).await;
        Ok(Box::new(stream.map_err(|error| Failure::broken("TLS with the server")(error.to_string()))?))
    }
}

async fn tcp(authority: &str, what: &str) -> Result<TcpStream, Failure> {
    let broken =
        |error: std::io::Error| Failure::Broken(format!("cannot connect to {what} at {authority}: {error}"));
    let stream = TcpStream::connect(authority).await.map_err(broken)?;
    stream.set_nodelay(true).map_err(broken)?;
    Ok(stream)
}

async fn tunnel(proxy: &Proxy, endpoint: &Endpoint) -> Result<TokioIo<hyper::upgrade::Upgraded>, Failure> {
    let broken = |error: hyper::Error| Failure::broken("the proxy")(error.to_string());
    let stream = tcp(&proxy.authority, "the proxy").await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<bytes::Bytes>>(TokioIo::new(stream))
            .await
            .map_err(broken)?;
    tokio::spawn(connection.with_upgrades());
    let mut request =
        http::Request::connect(endpoint.authority()).header(http::header::HOST, endpoint.authority());
    if let Some(Secret(value)) = &proxy.authorization {
        request = request.header(http::header::PROXY_AUTHORIZATION, value);
    }
    let request = request.body(Empty::new());
    let request = request.map_err(|error| Failure::broken("the request to the proxy")(error.to_string()))?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    if !answer.status().is_success() {
        return Err(Failure::Broken(format!("the proxy {} answers {}", proxy.authority, answer.status())));
    }
    Ok(TokioIo::new(hyper::upgrade::on(answer).await.map_err(broken)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_no_password_in_its_url() {
        for url in ["http://user:hunter2@proxy:3128", "https://proxy", "proxy:3128", "/"] {
            let config = Config::parse(&format!("proxy = {url:?}")).unwrap();
            let error = Proxy::of(&config).map(|_| ()).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let config = Config::parse("proxy = \"http://proxy.example\"").unwrap();
        assert_eq!(Proxy::of(&config).unwrap().unwrap().authority, "proxy.example:3128");
    }
}
