//! Connections to directory servers: everything of LDAP (RFC 4511) that plugins are kept from.
//!
//! A [`Directory`] is a source as an administrator registered it, with its password. [`Directory::connect`] goes through
//! its servers in their order: it resolves the name, vets the addresses, connects to one of those same addresses, does TLS
//! or StartTLS, and binds. What comes out is a [`Session`], on which whole LDAPMessages go to and fro; who sends what is
//! the business of others. [`Directory::test`] goes the same road and says in an administrator's words where it ends.
//!
//! Failures are those of wit/ldap.wit: they name the server and say what to do.
//!
//! Where to look: `directory` (servers in turn), `connect` (one server), `server` and `referral` (names of servers),
//! `tls`, `bind`, `exchange` (questions that the host asks for itself), `wire` (bytes
//! to messages), `session`, `report` (the connection test), `answer` (result codes in words), `password`.
//!
//! # What holds everywhere
//!
//! * The address that was vetted is the one that is connected to: a name is resolved once.
//! * Nothing that came before the handshake is believed after it. A password is sent after TLS, unless an administrator
//!   set the source to `plain`.
//! * A password that one server refuses is not tried at the next: directories lock accounts after a few tries.
//! * A connection that breaks is a failure, whenever it does, and never the end of an answer.
//! * Passwords are in no failure, log or `Debug`.

mod answer;
mod bind;
mod connect;
mod directory;
mod exchange;
mod password;
mod referral;
mod report;
mod server;
mod session;
mod tls;
mod wire;

pub use directory::Directory;
pub use password::Password;
pub use session::Session;
