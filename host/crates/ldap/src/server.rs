//! `host:port` of a server.

use std::{fmt, net::Ipv6Addr};

use rustls_pki_types::ServerName;

/// A server as an administrator names it. Compared by what it means: letters of either case are the same in a name.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    text: String,
    /// What its certificate has to be for.
    pub name: ServerName<'static>,
    pub port: u16,
}

impl Server {
    /// Reads `host:port` or `[IPv6]:port`. Answers why it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            let text: String = text.chars().take(300).collect();
            format!("{text:?} is no server: {why}")
        };
        if text.contains("://") {
            return Err(wrong("leave out the scheme; give host and port, such as \"dc1.example.com:636\""));
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| wrong("the port is missing; 636 is usual for `ldaps`, 389 for `starttls`"))?;
        let port = Some(port)
            .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|port| port.parse().ok())
            .filter(|port| *port != 0)
            .ok_or_else(|| wrong("after the last colon stands a port, from 1 to 65535"))?;
        let name = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => {
                let address: Ipv6Addr = address
                    .parse()
                    .map_err(|_| wrong("between brackets stands an IPv6 address without a zone"))?;
                ServerName::IpAddress(address.into())
            }
            None if host.contains(':') => {
                return Err(wrong("an IPv6 address stands in brackets, such as \"[2001:db8::1]:636\""));
            }
            None => ServerName::try_from(host.to_owned()).map_err(|_| {
                wrong("the host is a DNS name or an address; write other letters than ASCII as DNS does (\"xn--…\")")
            })?,
        };
        Ok(Self { text: text.to_owned(), name, port })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name or address alone.
    pub fn host(&self) -> String {
        self.name.to_str().into_owned()
    }
}

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        self.port == other.port && self.name.to_str().eq_ignore_ascii_case(&other.name.to_str())
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_addresses_with_a_port() {
        for (text, host, port) in [
            ("dc1.example.com:636", "dc1.example.com", 636),
            ("LDAP_1:389", "LDAP_1", 389),
            ("192.0.2.7:636", "192.0.2.7", 636),
            ("[2001:db8::1]:3269", "2001:db8::1", 3269),
        ] {
            let server = Server::parse(text).unwrap();
            assert_eq!((server.host().as_str(), server.port, server.as_str()), (host, port, text));
        }
        assert_eq!(Server::parse("DC1.example:636"), Server::parse("dc1.EXAMPLE:636"));
        assert_ne!(Server::parse("dc1.example:636"), Server::parse("dc1.example:389"));
    }

    #[test]
    fn what_is_none_is_named_with_what_to_write() {
        for (text, hint) in [
            ("ldaps://dc1.example.com:636", "scheme"),
            ("dc1.example.com", "port is missing"),
            ("dc1.example.com:0", "1 to 65535"),
            ("dc1.example.com:65536", "1 to 65535"),
            ("dc1.example.com:+636", "1 to 65535"),
            ("dc1.example.com:", "1 to 65535"),
            ("2001:db8::1:636", "brackets"),
            ("[fe80::1%eth0]:636", "zone"),
            ("[192.0.2.7]:636", "IPv6"),
            (":636", "DNS name"),
            ("two names:636", "DNS name"),
            ("dc1.example.com/x:636", "DNS name"),
            ("user@dc1.example.com:636", "DNS name"),
            ("bücher.example:636", "xn--"),
        ] {
            let error = Server::parse(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(text in ".{0,400}") {
            if let Ok(server) = Server::parse(&text) {
                prop_assert_eq!(server.as_str(), text);
            }
        }

        #[test]
        fn what_is_well_formed_is_read(
            host in "[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z]([a-z0-9-]{0,20}[a-z0-9])?){0,3}",
            port in 1u16..,
        ) {
            let server = Server::parse(&format!("{host}:{port}")).unwrap();
            prop_assert_eq!((server.host(), server.port), (host, port));
        }
    }
}
