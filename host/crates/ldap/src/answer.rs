//! Result codes in words.

use ldap3_proto::proto::{LdapResult, LdapResultCode};

/// Most characters that are shown of a server's own words.
const WORDS: usize = 300;

/// A result as it is shown: its name, its number, and the server's own words.
pub(crate) fn told(result: &LdapResult) -> String {
    let code = result.code.clone() as i64;
    let name = format!("{:?}", result.code);
    let mut letters = name.chars();
    let name: String =
        letters.next().into_iter().map(|first| first.to_ascii_lowercase()).chain(letters).collect();
    match plain(&result.message) {
        words if words.is_empty() => format!("{name} ({code})"),
        words => format!("{name} ({code}): {words:?}"),
    }
}

/// Text from a server, short and without control characters.
pub(crate) fn plain(text: &str) -> String {
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect::<String>();
    text.trim().to_owned()
}

/// What Active Directory means by the `data` of a refused bind: what is wrong, and what to do.
pub(crate) fn active_directory(result: &LdapResult) -> Option<&'static str> {
    if result.code != LdapResultCode::InvalidCredentials {
        return None;
    }
    let (_, rest) = result.message.split_once("data ")?;
    let data = rest.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    Some(match data {
        "525" => "there is no such account: check `bind_as`",
        "52e" => "the password is wrong: set the secret anew",
        "530" => "the account may not sign in at this time of day: change its logon hours",
        "531" => "the account may not sign in from here: change its permitted workstations",
        "532" => "the account's password has expired: change it there, then set the secret anew",
        "533" => "the account is disabled: enable it there",
        "701" => "the account has expired: extend it there",
        "773" => "the account has to change its password first: do that there, then set the secret anew",
        "775" => "the account is locked after wrong passwords: unlock it there, and check the secret",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(code: LdapResultCode, message: &str) -> LdapResult {
        LdapResult { code, matcheddn: String::new(), message: message.to_owned(), referral: Vec::new() }
    }

    #[test]
    fn a_result_is_named_as_the_rfc_does() {
        let told = |code, message| told(&result(code, message));
        assert_eq!(told(LdapResultCode::NoSuchObject, ""), "noSuchObject (32)");
        assert_eq!(told(LdapResultCode::Busy, "come\nback\u{1b}[0m "), "busy (51): \"come back [0m\"");
        assert!(told(LdapResultCode::Other, &"ü".repeat(5_000)).len() < 700);
    }

    #[test]
    fn active_directory_says_why_in_hexadecimal() {
        let text =
            "80090308: LdapErr: DSID-0C090449, comment: AcceptSecurityContext error, data 52e, v4563\0";
        let why = active_directory(&result(LdapResultCode::InvalidCredentials, text));
        assert!(why.unwrap().contains("password is wrong"));
        assert_eq!(active_directory(&result(LdapResultCode::InvalidCredentials, "data")), None);
        assert_eq!(active_directory(&result(LdapResultCode::InvalidCredentials, "data 999")), None);
        assert_eq!(active_directory(&result(LdapResultCode::Busy, "data 52e")), None);
    }
}
