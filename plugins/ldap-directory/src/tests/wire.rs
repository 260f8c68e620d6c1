//! A bound connection to a real server, over whatever carries bytes.

use std::{
    io::{Read, Write},
    process::Command,
    time::Duration,
};

use bytes::BytesMut;
use ldap3_proto::{
    LdapCodec,
    proto::{LdapBindCred, LdapBindRequest, LdapMsg, LdapOp, LdapResultCode},
};
use syncline_plugin::{Failure, Result};
use tokio_util::codec::{Decoder, Encoder};

use crate::Connection;

pub(super) struct Wire {
    server: String,
    from: Box<dyn Read>,
    to: Box<dyn Write>,
    waiting: Vec<u8>,
}

impl Wire {
    pub(super) fn bind(
        server: String,
        from: impl Read + 'static,
        to: impl Write + 'static,
        name: &str,
        password: &str,
    ) -> Result<Self> {
        let mut wire = Self { server, from: Box::new(from), to: Box::new(to), waiting: Vec::new() };
        let (dn, cred) = (name.to_owned(), LdapBindCred::Simple(password.to_owned()));
        let op = LdapOp::BindRequest(LdapBindRequest { version: 3, dn, cred });
        let mut bytes = BytesMut::new();
        LdapCodec::default().encode(LdapMsg { msgid: 1, op, ctrl: Vec::new() }, &mut bytes)?;
        wire.send(&bytes)?;
        let mut answer = BytesMut::from(&wire.receive(1 << 20, Duration::ZERO)?[..]);
        let answer = LdapCodec::default().decode(&mut answer)?.unwrap();
        let LdapOp::BindResponse(response) = answer.op else { panic!("{answer:?}") };
        assert_eq!(response.res.code, LdapResultCode::Success, "{}", response.res.message);
        Ok(wire)
    }
}

/// Bytes of the whole messages at the beginning.
fn whole(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let [_, length, rest @ ..] = &bytes[at..] {
        let (head, length) = if *length < 0x80 {
            (2, usize::from(*length))
        } else {
            let size = usize::from(length - 0x80);
            let Some(digits) = rest.get(..size) else { break };
            (2 + size, digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)))
        };
        if bytes.len() < at + head + length {
            break;
        }
        at += head + length;
    }
    at
}

impl Connection for Wire {
    fn server(&self) -> String {
        self.server.clone()
    }

    fn send(&mut self, messages: &[u8]) -> Result<()> {
        self.to.write_all(messages)?;
        Ok(self.to.flush()?)
    }

    fn receive(&mut self, _: u32, _: Duration) -> Result<Vec<u8>> {
        let mut chunk = vec![0; 64 << 10];
        while whole(&self.waiting) == 0 {
            let read = self.from.read(&mut chunk)?;
            if read == 0 {
                return Err(Failure::unavailable("the server closed the connection").with_code("closed"));
            }
            self.waiting.extend_from_slice(&chunk[..read]);
        }
        let rest = self.waiting.split_off(whole(&self.waiting));
        Ok(std::mem::replace(&mut self.waiting, rest))
    }
}

/// Runs a program, and fails the test with what it says if it does not work.
pub(super) fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: see scripts/setup.sh"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
