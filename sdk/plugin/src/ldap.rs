//! Reading directory servers over LDAP. The host finds the address, checks it, does TLS and binds; the plugin brings the
//! codec, and only searches pass.

use std::time::Duration;

use crate::{Labels, failure::Result, raw::directory_sync::syncline::plugin::ldap as raw};

/// A directory source that is bound to the sync, and granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySource {
    /// Its name.
    pub name: String,
    /// What an administrator noted: `kind`, such as `active-directory`, and each `base`, a distinguished name below which it
    /// is to be read.
    pub labels: Labels,
}

/// All directory sources, sorted by name; the same at each call.
pub fn directory_sources() -> Vec<DirectorySource> {
    let source = |raw: raw::Source| DirectorySource { name: raw.name, labels: raw.labels.into() };
    raw::sources().into_iter().map(source).collect()
}

impl DirectorySource {
    /// Connect to the first of its servers that answers, and bind.
    ///
    /// # Errors
    ///
    /// `unavailable` with code `resolve`, `connect` or `tls`; `denied` with code `not-granted`, `address`, `certificate` or
    /// `credentials`.
    pub fn connect(&self) -> Result<Session> {
        Ok(Session(raw::connect(&self.name)?))
    }

    /// Connect to the server that a referral of this source names, an LDAP URL, and bind.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and `denied` with code `referral` if the grant does not name that server.
    pub fn follow(&self, referral: &str) -> Result<Session> {
        Ok(Session(raw::follow(&self.name, referral)?))
    }
}

/// A bound connection. Dropping it closes it. At most 8 at a time.
#[derive(Debug)]
pub struct Session(raw::Session);

impl Session {
    /// Most bytes of one [`send`](Self::send).
    pub const MAX_SEND: usize = 1 << 20;
    /// The fewest and the most bytes that [`receive`](Self::receive) can be asked for.
    pub const RECEIVE: std::ops::RangeInclusive<u32> = (64 << 10)..=(1 << 20);

    /// `host:port` of the server that answered, as the administrator wrote it: some cursors hold on one server only.
    pub fn server(&self) -> String {
        self.0.server()
    }

    /// Send whole LDAPMessages, one after the other, at most [`MAX_SEND`](Self::MAX_SEND) bytes. Earlier requests need not be
    /// answered yet. Message ids are the plugin's, from 1 up.
    ///
    /// # Errors
    ///
    /// `invalid` with code `framing`, `unavailable` with code `closed`: the session is over.
    pub fn send(&self, messages: &[u8]) -> Result<()> {
        Ok(self.0.send(messages)?)
    }

    /// The next whole LDAPMessages: at least one, and as many as have come and fit in `max_bytes`, which is within
    /// [`RECEIVE`](Self::RECEIVE). A larger one comes alone. Waits no longer than `wait`.
    ///
    /// # Errors
    ///
    /// `unavailable` with code `timeout`, and the session goes on; `unavailable` with code `closed`, `invalid` with code
    /// `framing`, `limit` with code `message-size`, and it is over. None of these is the end of a search.
    pub fn receive(&self, max_bytes: u32, wait: Duration) -> Result<Vec<u8>> {
        Ok(self.0.receive(max_bytes, u32::try_from(wait.as_millis()).unwrap_or(u32::MAX))?)
    }
}
