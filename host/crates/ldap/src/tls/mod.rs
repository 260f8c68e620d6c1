//! TLS: whom a source trusts, and what is wrong with a server's certificate.

mod certificate;
mod problem;

use std::sync::{Arc, OnceLock};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
use syncline_domain::Failure;
use tokio_rustls::{TlsConnector, client::TlsStream};

use self::certificate::Presented;
use crate::{server::Server, wire::Bytes};

/// Whom a source trusts.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Trust {
    /// The authorities in PEM, and nobody else.
    pub fn of_pem(pem: &str) -> Result<Self, Failure> {
        let wrong = |why: String| {
            Failure::settings("certificate-authorities", format!("certificate_authorities: {why}"))
        };
        if pem.contains("PRIVATE KEY-----") {
            return Err(wrong(
                "a private key is among them; give certificates alone, and take that key for known"
                    .to_owned(),
            ));
        }
        let mut roots = RootCertStore::empty();
        for (position, found) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
            let broken =
                |error: String| wrong(format!("certificate {} cannot be read: {error}", position + 1));
            let found = found.map_err(|error| broken(error.to_string()))?;
            roots.add(found).map_err(|error| broken(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(wrong(
                "no certificate is in it; give PEM, which begins with -----BEGIN CERTIFICATE-----".to_owned(),
            ));
        }
        Self::of(roots)
    }

    /// The authorities that the system trusts. Reads files.
    pub fn of_system() -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        // Some that cannot be read are no reason to trust none.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Failure::settings(
                "certificate-authorities",
                "this system trusts no certificate authority: set certificate_authorities of the source to those that \
                 vouch for its servers, or install the package ca-certificates",
            ));
        }
        Self::of(roots)
    }

    fn of(roots: RootCertStore) -> Result<Self, Failure> {
        let provider = Arc::new(ring::default_provider());
        let built =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let verifier = built.map_err(|error| {
            Failure::settings("certificate-authorities", format!("certificate_authorities: {error}"))
        })?;
        Ok(Self { provider, verifier })
    }

    /// Does TLS as the client of `server`. Answers the stream, and what was agreed on, for people.
    pub async fn shake(
        &self,
        server: &Server,
        bytes: Box<dyn Bytes>,
    ) -> Result<(TlsStream<Box<dyn Bytes>>, String), Failure> {
        let witness = Arc::new(Witness { verifier: Arc::clone(&self.verifier), seen: OnceLock::new() });
        let versions = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions();
        let builder =
            versions.map_err(|error| Failure::host("tls", format!("TLS cannot be set up: {error}")))?;
        // What is called dangerous is a verifier of one's own; this one asks the usual one.
        let verifier: Arc<dyn ServerCertVerifier> = Arc::<Witness>::clone(&witness);
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.resumption = Resumption::disabled();
        let shaken = TlsConnector::from(Arc::new(config)).connect(server.name.clone(), bytes).await;
        let presented = witness.seen.get().and_then(Presented::read);
        let stream = shaken.map_err(|error| problem::of(server, &error, presented.as_ref()))?;
        let version = match stream.get_ref().1.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS 1.3",
        };
        let whose = presented.map_or_else(|| "a certificate".to_owned(), |presented| presented.to_string());
        Ok((stream, format!("{version} with {whose}")))
    }
}

/// The usual verifier, and what it was shown: an administrator wants to know which certificate it is that will not do.
#[derive(Debug)]
struct Witness {
    verifier: Arc<WebPkiServerVerifier>,
    seen: OnceLock<CertificateDer<'static>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.seen.get_or_init(|| end_entity.clone().into_owned());
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_are_none_are_refused_with_what_to_give() {
        for (pem, hint) in [
            ("", "BEGIN CERTIFICATE"),
            ("MIIB", "BEGIN CERTIFICATE"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1"),
            ("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n", "certificate 1"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "private key"),
        ] {
            let failure = Trust::of_pem(pem).unwrap_err();
            assert!(failure.message.contains(hint), "{pem}: {failure}");
            assert_eq!(failure.code, "certificate-authorities");
        }
    }
}
