//! Behaviours that run into a limit.

use std::hint::black_box;

use syncline_plugin::{prelude::*, raw::directory_sync::syncline::plugin::ldap as raw};

use crate::{message, talk};

pub(crate) fn endless_loop() {
    let mut number = 0_u64;
    while black_box(number) != u64::MAX {
        number += 1;
    }
}

pub(crate) fn memory_bomb() {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Whatever comes, and whether anything comes at all.
pub(crate) fn endless_receive(session: &raw::Session, base: &str) -> Result<()> {
    talk::say(session, &message::search(1, base, None))?;
    loop {
        if let Err(failure) = session.receive(1 << 20, 1)
            && failure.code != "timeout"
        {
            return Err(failure.into());
        }
    }
}

pub(crate) fn many_sessions(source: Option<&str>) -> Result<()> {
    let kept = (0..9).map(|_| talk::connect(source)).collect::<Result<Vec<_>>>()?;
    drop(black_box(kept));
    Ok(())
}

pub(crate) fn many_connections(source: Option<&str>) -> Result<()> {
    (0..1_001).try_for_each(|_| talk::connect(source).map(drop))
}

pub(crate) fn many_searches(session: &raw::Session, base: &str) -> Result<()> {
    (1..=1_001).try_for_each(|id| talk::say(session, &message::search(id, base, None)))
}
