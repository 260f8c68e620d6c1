//! Settings for the connection, as the server offers them (section "OpAMP Connection Setting Offer Flow").

use syncline_protocol::opamp::{
    ConnectionSettingsOffers, ConnectionSettingsStatus, ConnectionSettingsStatuses, OpAmpConnectionSettings,
};

use crate::state::credential::{Candidate, Credential, Login, Secret};

/// What an offer came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is offered for this connection.
    Nothing,
    /// In use, with the credential that was in use before.
    InUse,
    /// A new login, to be tried with a new connection.
    Try,
    /// Not taken, and why.
    Refused(String),
}

/// Looks at an offer and changes what has to be stored. Proxy, authorities and other settings of TLS are the device's own: those
/// of an offer are passed over.
pub fn consider(credential: &mut Credential, offer: &ConnectionSettingsOffers) -> Verdict {
    let Some(opamp) = &offer.opamp else { return Verdict::Nothing };
    if credential.candidate.as_ref().is_some_and(|candidate| candidate.hash == offer.hash) {
        return Verdict::Try;
    }
    let login = match login(opamp, &credential.current) {
        Ok(login) => login,
        Err(why) => {
            credential.settings_hash.clone_from(&offer.hash);
            return Verdict::Refused(why);
        }
    };
    if login != credential.current && credential.settings_hash == offer.hash {
        return Verdict::Refused("it was tried before and did not work".to_owned());
    }
    credential.heartbeat = Some(opamp.heartbeat_interval_seconds);
    if login == credential.current {
        credential.candidate = None;
        credential.settings_hash.clone_from(&offer.hash);
        return Verdict::InUse;
    }
    credential.candidate = Some(Candidate { login, hash: offer.hash.clone(), failures: 0 });
    Verdict::Try
}

fn login(offered: &OpAmpConnectionSettings, current: &Login) -> Result<Login, String> {
    let endpoint = &offered.destination_endpoint;
    let protected = |url: &str| url.starts_with("https://") || url.starts_with("wss://");
    let known = protected(endpoint) || endpoint.starts_with("http://") || endpoint.starts_with("ws://");
    if !known {
        return Err("the endpoint is no URL of HTTP or WebSocket".to_owned());
    }
    if protected(&current.endpoint) && !protected(endpoint) {
        return Err("the endpoint has no TLS, and the one in use has".to_owned());
    }
    let header = offered.headers.as_ref().and_then(|headers| headers.get("Authorization"));
    let authorization =
        header.map_or_else(|| current.authorization.clone(), |value| Secret(value.to_owned()));
    if http::HeaderValue::try_from(&authorization.0).is_err() {
        return Err("the header Authorization has characters that a header cannot have".to_owned());
    }
    Ok(Login { endpoint: endpoint.clone(), authorization })
}

/// A report about the settings with this hash.
pub fn status(hash: &[u8], status: ConnectionSettingsStatuses, error: &str) -> ConnectionSettingsStatus {
    ConnectionSettingsStatus {
        last_connection_settings_hash: hash.to_vec(),
        status: status.into(),
        error_message: error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use syncline_protocol::opamp::{Header, Headers};

    use super::*;

    fn offer(endpoint: &str, credential: Option<&str>) -> ConnectionSettingsOffers {
        let header = |value: &str| Header { key: "authorization".into(), value: value.to_owned() };
        let opamp = OpAmpConnectionSettings {
            destination_endpoint: endpoint.to_owned(),
            headers: credential.map(|value| Headers { headers: vec![header(value)] }),
            heartbeat_interval_seconds: 30,
            ..OpAmpConnectionSettings::default()
        };
        ConnectionSettingsOffers { hash: vec![7], opamp: Some(opamp), ..ConnectionSettingsOffers::default() }
    }

    #[test]
    fn a_new_credential_is_tried_and_the_old_one_kept() {
        let mut it = Credential::enrolment("https://a/v1/opamp".to_owned(), "token");
        assert_eq!(consider(&mut it, &offer("https://a/v1/opamp", Some("Bearer own"))), Verdict::Try);
        assert_eq!(
            (it.current.authorization.0.as_str(), it.login().authorization.0.as_str()),
            ("Bearer token", "Bearer own")
        );
        it.promote();
        assert_eq!(consider(&mut it, &offer("https://a/v1/opamp", Some("Bearer own"))), Verdict::InUse);
        assert_eq!((it.heartbeat, &it.candidate), (Some(30), &None));
    }

    #[test]
    fn what_was_refused_is_not_tried_again() {
        let mut it = Credential::enrolment("https://a/v1/opamp".to_owned(), "token");
        let offer = offer("https://a/v1/opamp", Some("Bearer own"));
        assert_eq!(consider(&mut it, &offer), Verdict::Try);
        it.give_up();
        assert!(matches!(consider(&mut it, &offer), Verdict::Refused(_)));
        let another = ConnectionSettingsOffers { hash: vec![8], ..offer };
        assert_eq!(consider(&mut it, &another), Verdict::Try);
    }

    #[test]
    fn no_offer_takes_the_protection_away() {
        let mut it = Credential::enrolment("https://a/v1/opamp".to_owned(), "token");
        for endpoint in ["http://a/v1/opamp", "ws://a/v1/opamp", "file:///etc/passwd", ""] {
            assert!(
                matches!(consider(&mut it, &offer(endpoint, Some("x"))), Verdict::Refused(_)),
                "{endpoint}"
            );
        }
        assert!(matches!(consider(&mut it, &offer("https://a", Some("a\nb: c"))), Verdict::Refused(_)));
        assert_eq!(it.candidate, None);
        assert_eq!(consider(&mut it, &ConnectionSettingsOffers::default()), Verdict::Nothing);
    }
}
