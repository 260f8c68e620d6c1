//! What a server's certificate says, for people.

use std::{fmt, net::IpAddr};

use rustls_pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _, time::ASN1Time,
};

use crate::answer::plain;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Presented {
    pub subject: String,
    pub issuer: String,
    /// DNS names and addresses that it is for.
    pub names: Vec<String>,
    /// Days, as `2026-11-25`.
    pub from: String,
    pub until: String,
}

impl Presented {
    /// None if it cannot be read: then it is refused for that.
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let names = alternatives.into_iter().flat_map(|found| &found.value.general_names).filter_map(name);
        Some(Self {
            subject: plain(&certificate.subject().to_string()),
            issuer: plain(&certificate.issuer().to_string()),
            names: names.collect(),
            from: day(certificate.validity().not_before),
            until: day(certificate.validity().not_after),
        })
    }

    /// Whether it vouches for itself.
    pub fn self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}

impl fmt::Display for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, issuer, names, from, until } = self;
        write!(f, "the certificate of {subject:?} for {}", list(names))?;
        match self.self_signed() {
            true => write!(f, ", self-signed")?,
            false => write!(f, ", issued by {issuer:?}")?,
        }
        write!(f, ", valid from {from} to {until}")
    }
}

/// Names for a sentence.
pub(super) fn list(names: &[String]) -> String {
    match names {
        [] => "no host at all".to_owned(),
        names if names.len() <= 10 => names.join(", "),
        names => format!("{} and {} more", names[..10].join(", "), names.len() - 10),
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(plain(name)),
        GeneralName::IPAddress(octets) => {
            let address = <[u8; 4]>::try_from(*octets)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn day(time: ASN1Time) -> String {
    time.to_datetime().date().to_string()
}
