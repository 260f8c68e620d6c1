//! Whom a client trusts.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use syncline_domain::Failure;

const CODE: &str = "certificate-authorities";

/// TLS as a client, with the authorities in PEM and nobody else's, or with those of the system, which are read from files.
///
/// Fails with kind `invalid` and code `certificate-authorities`.
pub(crate) fn tls(authorities: Option<&str>) -> Result<ClientConfig, Failure> {
    let roots = authorities.map_or_else(of_system, of_pem)?;
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| Failure::host("tls", format!("TLS cannot be set up: {error}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn of_pem(pem: &str) -> Result<RootCertStore, Failure> {
    let wrong = |why: String| Failure::settings(CODE, format!("certificate_authorities: {why}"));
    if pem.contains("PRIVATE KEY-----") {
        return Err(wrong(
            "a private key is among them; give certificates alone, and take that key for known".to_owned(),
        ));
    }
    let mut roots = RootCertStore::empty();
    for (position, found) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
        let broken = |error: String| wrong(format!("certificate {} cannot be read: {error}", position + 1));
        let found = found.map_err(|error| broken(error.to_string()))?;
        roots.add(found).map_err(|error| broken(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong(
            "no certificate is in it; give PEM, which begins with -----BEGIN CERTIFICATE-----".to_owned(),
        ));
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    // Some that cannot be read are no reason to trust none.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Failure::settings(
            CODE,
            "this system trusts no certificate authority: set certificate_authorities to those that vouch for the server, or \
             install the package ca-certificates",
        ));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_are_none_are_refused_with_what_to_give() {
        for (pem, hint) in [
            ("", "BEGIN CERTIFICATE"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "private key"),
        ] {
            let failure = tls(Some(pem)).unwrap_err();
            assert!(failure.message.contains(hint), "{pem}: {failure}");
            assert_eq!(failure.code, CODE);
        }
    }
}
