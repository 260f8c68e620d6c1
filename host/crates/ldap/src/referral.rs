//! Referrals: LDAP URLs (RFC 4516) by which a server sends its clients elsewhere.

use url::Url;

use crate::server::Server;

/// Where a referral leads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Referral {
    pub server: Server,
    /// Whether it asks for TLS from the first byte.
    pub ldaps: bool,
}

impl Referral {
    /// Reads the URL of a referral. Of it only scheme, host and port count. Answers why it is none that could be followed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            let text: String = text.chars().take(300).collect();
            format!("the referral {text:?} cannot be followed: {why}")
        };
        let url = Url::parse(text).map_err(|error| wrong(&format!("it is no URL: {error}")))?;
        let (ldaps, port) = match url.scheme() {
            "ldap" => (false, 389),
            "ldaps" => (true, 636),
            _ => return Err(wrong("its scheme is neither ldap nor ldaps")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("credentials have no place in it"));
        }
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| wrong("it names no server, so it means the one that gave it"))?;
        let server = Server::parse(&format!("{host}:{}", url.port().unwrap_or(port)));
        Ok(Self { server: server.map_err(|error| wrong(&error))?, ldaps })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scheme_host_and_port_count() {
        for (text, server, ldaps) in [
            ("ldap://dc2.example.com/DC=example,DC=com", "dc2.example.com:389", false),
            (
                "ldap://dc2.example.com:3268/DC=example,DC=com??sub?(objectClass=*)",
                "dc2.example.com:3268",
                false,
            ),
            ("LDAPS://dc2.example.com", "dc2.example.com:636", true),
            ("ldaps://[2001:db8::1]/dc=x%20y", "[2001:db8::1]:636", true),
            ("ldap://192.0.2.7:1389/", "192.0.2.7:1389", false),
        ] {
            let referral = Referral::parse(text).unwrap();
            assert_eq!(referral, Referral { server: Server::parse(server).unwrap(), ldaps });
        }
    }

    #[test]
    fn what_cannot_be_followed_says_why() {
        for (text, hint) in [
            ("dc2.example.com", "no URL"),
            ("https://dc2.example.com/", "neither ldap nor ldaps"),
            ("ldapi://%2Fvar%2Frun%2Fldapi/", "neither ldap nor ldaps"),
            ("ldap:///dc=example,dc=com", "names no server"),
            ("ldap:dc=example", "names no server"),
            ("ldap://admin:hunter2@dc2.example.com/", "credentials"),
            ("ldap://dc%31.example.com/", "DNS name"),
            ("ldap://dc2.example.com:0/", "1 to 65535"),
        ] {
            let error = Referral::parse(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(text in "(ldaps?://)?.{0,300}") {
            let _ = Referral::parse(&text);
        }

        #[test]
        fn path_and_query_change_nothing(
            host in "[a-z][a-z0-9]{0,20}(\\.[a-z][a-z0-9]{0,20}){0,3}",
            port in 1u16..,
            rest in "(/[a-zA-Z0-9=,%()*?:@ ]{0,80})?",
        ) {
            let referral = Referral::parse(&format!("ldap://{host}:{port}{rest}")).unwrap();
            prop_assert_eq!(referral.server, Server::parse(&format!("{host}:{port}")).unwrap());
        }
    }
}
