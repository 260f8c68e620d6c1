//! From a name to addresses that may be connected to.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use syncline_domain::address;
use tokio::net::lookup_host;

/// The system's resolver, and what is refused of its answers.
#[derive(Debug)]
pub(crate) struct Resolver;

/// Why there is no address.
#[derive(Debug)]
pub(crate) enum Nowhere {
    /// The name is not known, with why.
    Unresolved(String),
    /// Nothing is connected to there.
    Refused(IpAddr, &'static str),
}

impl std::fmt::Display for Nowhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unresolved(why) => f.write_str(why),
            Self::Refused(address, why) => write!(f, "{address} is {why}"),
        }
    }
}

impl Error for Nowhere {}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port of the URL is put in where it is connected.
            let found = lookup_host((name.as_str(), 0)).await;
            let found = found.map_err(|error| Nowhere::Unresolved(error.to_string()))?;
            let allowed: Addrs = Box::new(allowed(found)?.into_iter());
            Ok(allowed)
        })
    }
}

fn allowed(found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Nowhere> {
    let mut refused = None;
    let mut allowed: Vec<SocketAddr> = Vec::new();
    for found in found {
        match address::refusal(found.ip()) {
            Some(why) => refused = refused.or(Some(Nowhere::Refused(found.ip(), why))),
            None if !allowed.contains(&found) => allowed.push(found),
            None => {}
        }
    }
    match refused {
        _ if !allowed.is_empty() => Ok(allowed),
        Some(refused) => Err(refused),
        None => Err(Nowhere::Unresolved("DNS knows the name, and no address of it".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Result<Vec<SocketAddr>, Nowhere> {
        allowed(texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)))
    }

    #[test]
    fn what_is_refused_is_left_out_and_told_where_nothing_else_is() {
        assert_eq!(of(&["169.254.169.254", "10.0.0.1", "10.0.0.1"]).unwrap().len(), 1);
        assert!(matches!(of(&["169.254.169.254"]), Err(Nowhere::Refused(..))));
        assert!(matches!(of(&["::ffff:169.254.169.254", "0.0.0.0"]), Err(Nowhere::Refused(..))));
        assert!(matches!(of(&[]), Err(Nowhere::Unresolved(_))));
    }
}
