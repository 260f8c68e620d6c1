//! The password that a source binds with.

use std::fmt;

use syncline_domain::Failure;
use zeroize::Zeroizing;

/// A password. Wiped from memory when dropped, and never shown.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// From the bytes of a secret. Fails if they are empty or no text: with an empty password some servers let anybody in,
    /// as nobody (RFC 4513, section 5.1.2).
    pub fn new(secret: Zeroizing<Vec<u8>>) -> Result<Self, Failure> {
        let text = std::str::from_utf8(&secret).map_err(|_| {
            Failure::settings("password", "the password is not UTF-8, as LDAP wants it: set the secret anew")
        })?;
        if text.is_empty() {
            return Err(Failure::settings(
                "password",
                "the password is empty, and servers take that for an anonymous bind: set the secret, or leave out `bind_as`",
            ));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_shown() {
        let password = Password::new(Zeroizing::new(b"hunter2".to_vec())).unwrap();
        assert_eq!(format!("{password:?}"), "Password(..)");
        for bad in [&b""[..], b"hunter2\xff"] {
            let failure = Password::new(Zeroizing::new(bad.to_vec())).unwrap_err();
            assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        }
    }
}
