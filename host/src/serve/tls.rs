//! Certificates: read at the start, and again at each SIGHUP.

use std::{path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::config::TlsFiles;
use crate::outcome::{CliError, Result};

/// Reads certificate and key, and checks that they belong together.
pub fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>> {
    let bad = |file: &Path, why: String| CliError::failed(format!("{}: {why}", file.display()));
    let certificates: Vec<_> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|error| bad(&files.cert, format!("no certificates can be read from it: {error}")))?;
    if certificates.is_empty() {
        return Err(bad(&files.cert, "no certificate is in it: give a file in PEM".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| bad(&files.key, format!("no key can be read from it: {error}")))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| CliError::failed(format!("TLS cannot be set up: {error}")))?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| bad(&files.cert, format!("it does not go with {}: {error}", files.key.display())))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_or_key_is_named_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        assert!(load(&files).unwrap_err().message.contains("cert.pem"));
        fs::write(&files.cert, "nothing of the kind").unwrap();
        assert!(load(&files).unwrap_err().message.contains("no certificate"));
    }
}
