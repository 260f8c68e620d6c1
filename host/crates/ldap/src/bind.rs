//! Simple bind (RFC 4511, section 4.2), and what becomes of a refusal.

use ldap3_proto::proto::{LdapBindCred, LdapBindRequest, LdapOp, LdapResult, LdapResultCode};
use syncline_domain::Failure;

use crate::{answer, exchange, password::Password, wire::Wire};

/// Who binds: name and password, or nobody.
pub(crate) type Identity = Option<(String, Password)>;

/// Binds. Fails with kind `denied` and code `credentials` where the server will not have them.
pub(crate) async fn bind(wire: &mut Wire, identity: &Identity) -> Result<(), Failure> {
    let (name, password) = match identity {
        Some((name, password)) => (name.as_str(), password.as_str()),
        None => ("", ""),
    };
    let request =
        LdapBindRequest { version: 3, dn: name.to_owned(), cred: LdapBindCred::Simple(password.to_owned()) };
    match exchange::ask(wire, LdapOp::BindRequest(request), name.len() + password.len()).await? {
        LdapOp::BindResponse(response) if response.res.code == LdapResultCode::Success => Ok(()),
        LdapOp::BindResponse(response) => Err(refused(wire.server(), identity, &response.res)),
        _ => Err(exchange::nonsense(wire.server(), "answers a bind with something else")),
    }
}

fn refused(server: &str, identity: &Identity, result: &LdapResult) -> Failure {
    use LdapResultCode as Code;
    let told = answer::told(result);
    let who = match identity {
        Some((name, _)) => format!("the bind as {name:?}"),
        None => "an anonymous bind".to_owned(),
    };
    let hint = match result.code {
        Code::Busy
        | Code::Unavailable
        | Code::OperationsError
        | Code::TimeLimitExceeded
        | Code::AdminLimitExceeded
        | Code::Other => {
            return Failure::unavailable("connect", format!("{server} cannot do {who} now: {told}"));
        }
        Code::ConfidentialityRequired | Code::StrongerAuthRequired => {
            "it wants the connection protected: set the source's security to `ldaps` or `starttls`"
        }
        Code::InvalidDNSyntax | Code::NoSuchObject => {
            "check `bind_as`: it is a distinguished name, or for Active Directory user@domain"
        }
        Code::InappropriateAuthentication | Code::UnwillingToPerform if identity.is_none() => {
            "it lets nobody in without a name: set `bind_as` and a secret"
        }
        Code::InappropriateAuthentication => "that entry has no password: check `bind_as`",
        _ => answer::active_directory(result).unwrap_or("check `bind_as`, and set the secret anew"),
    };
    Failure::denied("credentials", format!("{server} refuses {who}: {hint}; it answers {told}"))
}

#[cfg(test)]
mod tests {
    use syncline_domain::FailureKind;
    use zeroize::Zeroizing;

    use super::*;

    fn check(code: LdapResultCode, kind: FailureKind, hint: &str) {
        let password = Password::new(Zeroizing::new(b"hunter2".to_vec())).unwrap();
        let identity = Some(("cn=reader,dc=example".to_owned(), password));
        let result =
            LdapResult { code, matcheddn: String::new(), message: "why".to_owned(), referral: Vec::new() };
        let failure = refused("dc1:636", &identity, &result);
        assert_eq!(failure.kind, kind);
        for part in ["dc1:636", "cn=reader,dc=example", hint, "\"why\""] {
            assert!(failure.message.contains(part), "{part}: {failure}");
        }
        assert!(!format!("{failure:?} {identity:?}").contains("hunter2"));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        check(LdapResultCode::InvalidCredentials, FailureKind::Denied, "set the secret anew");
        check(LdapResultCode::StrongerAuthRequired, FailureKind::Denied, "`starttls`");
        check(LdapResultCode::InvalidDNSyntax, FailureKind::Denied, "distinguished name");
        check(LdapResultCode::Busy, FailureKind::Unavailable, "now");
    }
}
