//! Directory servers of one's own.
//!
//! * [`slapd`]: OpenLDAP, with TLS and with or without a session log
//! * [`samba`]: Samba as an Active Directory domain controller
//! * [`misbehaving`]: a small server with the limits of Active Directory, that goes wrong on command
//! * [`scripted`]: says what it is told to, byte for byte
//! * [`scim`]: a service that speaks SCIM, and one that goes wrong on command
//! * [`certificates`]: authorities and what they issue
//! * [`ldif`]: people and groups to begin with

pub mod certificates;
pub mod ldif;
pub mod misbehaving;
pub mod samba;
pub mod scim;
pub mod scripted;
pub mod slapd;

use std::{
    io::{ErrorKind, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Runs a program of the LDAP or Samba tools, with `input`. Answers what it says.
#[track_caller]
fn run(command: &mut Command, input: &str) -> String {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}: scripts/setup.sh test"));
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // A program that ends early says why itself.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().expect("a child can be waited for");
    writer.join().expect("writing does not panic");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A port of 127.0.0.1 that nobody listens on, for a server that cannot be given port 0. It is below those that the system
/// gives out by itself, so that nobody gets it meanwhile.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(61).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + u16::try_from(number % 12_000).expect("it is small");
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return port,
            Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse, "port {port}: {error}"),
        }
    }
}

/// Waits until a server that says nothing when it is ready takes connections.
fn wait_until_it_listens(server: &mut Child, address: SocketAddr, log: &Path) {
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = server.try_wait().expect("a child can be asked") {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("the server for {address} ended with {status}:\n{log}");
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing listens at {address}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
