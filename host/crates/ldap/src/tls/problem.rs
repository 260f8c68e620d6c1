//! A handshake that failed, in an administrator's words.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};
use syncline_domain::{Failure, FailureKind, Fault};

use super::certificate::{Presented, list};
use crate::server::Server;

/// What became of a handshake with `server`.
pub(super) fn of(server: &Server, error: &io::Error, presented: Option<&Presented>) -> Failure {
    let tls = |message: String| Failure::unavailable("tls", message);
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(error)) => certificate(server, error, presented),
        Some(Error::InvalidMessage(_)) => tls(format!(
            "what answers at {server} is no TLS: if the port is the usual one without TLS (389), set the source's security \
             to `starttls`"
        )),
        Some(Error::AlertReceived(alert)) => tls(format!("{server} ended TLS: {}", told(*alert))),
        Some(Error::PeerIncompatible(_)) => tls(format!(
            "{server} and this program have no version or cipher of TLS in common: allow TLS 1.2 or 1.3 on the server"
        )),
        Some(error) => tls(format!("TLS with {server} does not come about: {error}")),
        None if error.kind() == io::ErrorKind::UnexpectedEof => tls(format!(
            "{server} closed the connection when TLS began: either the port is one without TLS, or the server has no \
             certificate to show"
        )),
        None => tls(format!("TLS with {server} does not come about: {error}")),
    }
}

fn told(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "it wants a certificate of its clients, which is not supported: let it do without".to_owned()
        }
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => format!(
            "no version or cipher is common to both ({alert:?}): allow TLS 1.2 or 1.3 there, and see whether it has a \
             certificate"
        ),
        alert => format!("it says {alert:?}; see its log"),
    }
}

fn certificate(server: &Server, error: &CertificateError, presented: Option<&Presented>) -> Failure {
    let shown = presented.map_or_else(|| "a certificate that cannot be read".to_owned(), ToString::to_string);
    let host = server.host();
    let (fault, why) = match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            Fault::Remote,
            "it, or one between it and its authority, has expired: renew it on the server".to_owned(),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            (Fault::Remote, "it is not valid yet: check the clocks of both machines, or wait".to_owned())
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            (Fault::Settings, other_name(&host, presented))
        }
        CertificateError::UnknownIssuer => (Fault::Settings, unknown(presented)),
        CertificateError::Revoked => (Fault::Remote, "it was revoked: renew it on the server".to_owned()),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
            Fault::Remote,
            "it is not meant for servers: have one issued with the purpose \"server authentication\""
                .to_owned(),
        ),
        CertificateError::BadSignature => {
            (Fault::Remote, "the authority that it names has not signed it".to_owned())
        }
        // The name of this error is not public: it is a certificate of an authority that stands for a server.
        CertificateError::Other(other) if other.0.to_string().contains("CaUsedAsEndEntity") => (
            Fault::Remote,
            "it is an authority's own: have that authority issue one for the server, and show that instead"
                .to_owned(),
        ),
        other => (Fault::Remote, format!("{other}: have another one issued for the server")),
    };
    Failure::new(
        FailureKind::Denied,
        fault,
        "certificate",
        format!("{server} is not trusted: it shows {shown}; {why}"),
    )
}

fn other_name(host: &str, presented: Option<&Presented>) -> String {
    match presented {
        Some(presented) if !presented.names.is_empty() => format!(
            "it is for {} and not for {host}: name the server as its certificate does, or have one issued for {host}",
            list(&presented.names)
        ),
        _ => format!(
            "it names its host in the subject at most, which does not count any more: have one issued with the subject \
             alternative name {host}"
        ),
    }
}

fn unknown(presented: Option<&Presented>) -> String {
    match presented {
        Some(presented) if presented.self_signed() => {
            "nobody but itself vouches for it: have one issued by an authority, and add that to \
             certificate_authorities"
                .to_owned()
        }
        Some(presented) => format!(
            "no authority that the source trusts has issued it: add the certificate of {:?}, or of the one above it, to \
             certificate_authorities",
            presented.issuer
        ),
        None => {
            "no authority that the source trusts has issued it: add that authority to certificate_authorities"
                .to_owned()
        }
    }
}
