//! The way to one server: its name, an address, TCP, TLS, bind.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ldap3_proto::proto::{LdapExtendedRequest, LdapOp, LdapResultCode};
use rustls_pki_types::ServerName;
use syncline_domain::{
    Failure, address,
    directory::{Security, TestStep},
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    answer,
    bind::{self, Identity},
    exchange,
    server::Server,
    tls::Trust,
    wire::{Bytes, Wire},
};

/// StartTLS (RFC 4511, section 4.14).
const STARTTLS: &str = "1.3.6.1.4.1.1466.20037";

/// What a server is connected to with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub security: Security,
    /// None only where there is no TLS.
    pub trust: Option<&'a Trust>,
    pub identity: &'a Identity,
    /// For all of it.
    pub time: Duration,
}

/// Where the way ended, and why.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub step: TestStep,
    pub failure: Failure,
}

/// Steps that went well, and what was found.
pub(crate) type Trail = Vec<(TestStep, String)>;

/// A server that is on the way to being bound.
pub(crate) struct Approach<'a> {
    server: &'a Server,
    terms: Terms<'a>,
    until: Instant,
}

impl<'a> Approach<'a> {
    /// From here on the time runs.
    pub fn new(server: &'a Server, terms: Terms<'a>) -> Self {
        Self { server, terms, until: Instant::now() + terms.time }
    }

    /// All of it.
    pub async fn connect(&self) -> Result<Wire, Failure> {
        let mut wire = self.reach(&mut Trail::new()).await.map_err(|stopped| stopped.failure)?;
        self.bind(&mut wire).await.map_err(|stopped| stopped.failure)?;
        Ok(wire)
    }

    /// All but the bind.
    pub async fn reach(&self, trail: &mut Trail) -> Result<Wire, Stopped> {
        let at = |step| move |failure| Stopped { step, failure };
        let addresses = self.addresses().await.map_err(at(TestStep::Name))?;
        let texts: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
        let found = match self.server.name {
            ServerName::DnsName(_) => format!("{} is {}", self.server.host(), texts.join(", ")),
            _ => format!("{} is an address", self.server.host()),
        };
        trail.push((TestStep::Name, found));

        let (tcp, address) = self.dial(&addresses).await.map_err(at(TestStep::Route))?;
        trail.push((TestStep::Route, format!("{address} answers")));

        let (wire, how) = self.secure(tcp).await.map_err(at(TestStep::Tls))?;
        trail.push((TestStep::Tls, how));
        Ok(wire)
    }

    /// The bind.
    pub async fn bind(&self, wire: &mut Wire) -> Result<(), Stopped> {
        let bound = self.within("bind", "connect", bind::bind(wire, self.terms.identity)).await;
        // A server that closes or talks nonsense instead of answering is one that cannot be had.
        let failure = match bound {
            Ok(()) => return Ok(()),
            Err(failure) if matches!(failure.code.as_str(), "closed" | "framing") => Failure::unavailable(
                "connect",
                format!(
                    "{}; that was in answer to the bind: is this a port for LDAP, and with this security?",
                    failure.message
                ),
            ),
            Err(failure) => failure,
        };
        Err(Stopped { step: TestStep::Credentials, failure })
    }

    /// Addresses that may be connected to.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        let server = self.server;
        let host = server.host();
        let unresolved = |why: &str| {
            Failure::unavailable(
                "resolve",
                format!(
                    "{host}, of the server {server}, has no address: {why}; check the name, and this machine's DNS"
                ),
            )
        };
        let found = self.within("look-up of the name", "resolve", async {
            let found = lookup_host((host.as_str(), server.port)).await;
            found.map(Vec::from_iter).map_err(|error| unresolved(&error.to_string()))
        });
        let found = found.await?;
        if found.is_empty() {
            return Err(unresolved("DNS knows the name, and no address of it"));
        }
        let (refused, mut allowed): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| address::refusal(found.ip()).is_some());
        allowed.dedup();
        match refused.first().map(|found| (found.ip(), address::refusal(found.ip()))) {
            Some((address, Some(why))) if allowed.is_empty() => Err(refusal(server, address, why)),
            _ => Ok(allowed),
        }
    }

    /// Connects to the first address that answers. Each has its share of the time, so that one that swallows packets leaves
    /// some to the next.
    async fn dial(&self, addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Failure> {
        let mut tried = Vec::new();
        for (position, address) in addresses.iter().enumerate() {
            let left = self.until.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - position).unwrap_or(u32::MAX);
            let why = match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => match stream.set_nodelay(true) {
                    Ok(()) => return Ok((stream, *address)),
                    Err(error) => error.to_string(),
                },
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer in {:.1} s", share.as_secs_f64()),
            };
            tried.push(format!("{address}: {why}"));
        }
        Err(Failure::unavailable(
            "connect",
            format!(
                "nothing answers at {} ({}): check the port, whether the server runs, and what stands between",
                self.server,
                tried.join("; ")
            ),
        ))
    }

    /// Makes the connection safe, as far as the source says so. Answers how, too.
    async fn secure(&self, tcp: TcpStream) -> Result<(Wire, String), Failure> {
        let server = self.server;
        let bytes: Box<dyn Bytes> = match self.terms.security {
            Security::Plain => {
                let how = match self.terms.identity {
                    Some(_) => "none, as the source is set: the password crosses the network readable",
                    None => "none, as the source is set: what is read crosses the network readable",
                };
                return Ok((self.wire(Box::new(tcp)), how.to_owned()));
            }
            Security::Ldaps => Box::new(tcp),
            Security::Starttls => self.within("StartTLS", "tls", self.ask_for_tls(tcp)).await?,
        };
        let Some(trust) = self.terms.trust else {
            return Err(Failure::host("tls", format!("{server}: TLS is wanted and was not set up")));
        };
        let (stream, how) = self.within("TLS handshake", "tls", trust.shake(server, bytes)).await?;
        Ok((self.wire(Box::new(stream)), how))
    }

    async fn ask_for_tls(&self, tcp: TcpStream) -> Result<Box<dyn Bytes>, Failure> {
        let server = self.server;
        let mut wire = self.wire(Box::new(tcp));
        let request = LdapExtendedRequest { name: STARTTLS.to_owned(), value: None };
        let answered = exchange::ask(&mut wire, LdapOp::ExtendedRequest(request), 0).await;
        let refused = |why: String| {
            Failure::unavailable(
                "tls",
                format!(
                    "{server} does not do StartTLS: {why}; give the server a certificate, or set the source's security to \
                     `ldaps` with the port for that (636)"
                ),
            )
        };
        match answered.map_err(|failure| refused(failure.message))? {
            LdapOp::ExtendedResponse(response) if response.res.code == LdapResultCode::Success => {}
            LdapOp::ExtendedResponse(response) => return Err(refused(answer::told(&response.res))),
            _ => return Err(refused("it answers with something else".to_owned())),
        }
        wire.into_bytes().map_err(|more| {
            Failure::unavailable(
                "tls",
                format!(
                    "{more} bytes came with the answer of {server} to StartTLS, before TLS: somebody between may have put \
                     them there; the connection was given up"
                ),
            )
        })
    }

    fn wire(&self, bytes: Box<dyn Bytes>) -> Wire {
        Wire::new(self.server.as_str().to_owned(), bytes)
    }

    /// Holds the time for all. `what` and `code` are for the failure.
    async fn within<T>(
        &self,
        what: &str,
        code: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout_at(self.until, work).await.unwrap_or_else(|_| {
            let seconds = self.terms.time.as_secs_f64();
            Err(Failure::unavailable(
                code,
                format!("{}: the {what} did not end within {seconds} s of connecting", self.server),
            ))
        })
    }
}

fn refusal(server: &Server, address: IpAddr, why: &str) -> Failure {
    Failure::denied(
        "address",
        format!(
            "the server {server} has the address {address}, which is {why}: nothing is ever connected to there; correct \
             the name, or what DNS says of it"
        ),
    )
}
