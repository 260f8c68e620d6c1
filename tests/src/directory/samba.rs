//! Samba as a domain controller: Active Directory's schema, controls and ways, without its limits.
//!
//! Its ports are fixed (389, 636, 3268, 3269), so that each one has an address of its own in 127.0.0.0/8, and root starts
//! it. It needs no namespaces: nothing but LDAP is switched on, in one process that ends with its input.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

use super::{certificates::Authority, run, wait_until_it_listens};

/// What everything is below.
pub const SUFFIX: &str = "DC=lab,DC=example";

/// Name that its certificate is for, beside its address.
pub const NAME: &str = "dc1.lab.example";

/// The domain's administrator, who may do anything.
pub const ADMIN: (&str, &str) = ("Administrator@lab.example", "Admin-Secret-0123");

/// An ordinary user: may read what everybody may.
pub const READER: (&str, &str) = ("reader@lab.example", "Reader-Secret-0123");

/// A running domain controller for `lab.example`. Ends and is removed when dropped.
#[derive(Debug)]
pub struct Samba {
    folder: TempDir,
    process: Option<Child>,
    /// Where it listens.
    pub address: Ipv4Addr,
    /// PEM of the authority that vouches for it.
    pub authority: String,
}

impl Samba {
    /// Makes a domain, loads `ldif` into it, and starts it. That takes about 5 s and some more for each 1,000 entries.
    pub fn start(ldif: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let address = free_address();
        let at = |name: &str| folder.path().join(name);
        let authority = Authority::new("Lab authority");
        let identity = authority.issue(&[NAME, &address.to_string()]);
        fs::write(at("smb.conf"), "[global]\n").expect("a file can be written");
        // Into a folder that others may look into: samba wants its own to be root's alone, and does that itself.
        run(
            Command::new("samba-tool")
                .args(["domain", "provision", "--realm=LAB.EXAMPLE", "--domain=LAB", "--server-role=dc"])
                .args(["--dns-backend=NONE", "--host-name=dc1", "--use-rfc2307"])
                .arg(format!("--targetdir={}", at("domain").display()))
                .arg(format!("--configfile={}", at("smb.conf").display()))
                .arg(format!("--adminpass={}", ADMIN.1))
                .arg(format!("--host-ip={address}"))
                .arg(format!("--option=interfaces={address}/8"))
                .arg("--option=bind interfaces only=yes")
                // Extended attributes of the system may not be there, in containers.
                .arg("--option=vfs objects=dfs_samba4 acl_xattr xattr_tdb"),
            "",
        );
        for (name, text) in
            [("ca", &authority.pem()), ("cert", &identity.certificate), ("key", &identity.key)]
        {
            write_private(&at(&format!("{name}.pem")), text);
        }
        let mut samba = Self { folder, process: None, address, authority: authority.pem() };
        run(
            Command::new("samba-tool").args(["user", "create", "reader", READER.1, "-s"]).arg(samba.conf()),
            "",
        );
        samba.load(ldif);
        samba.resume();
        samba
    }

    /// Adds to what it holds, past the server: fast, and only while it is stopped.
    #[track_caller]
    fn load(&self, ldif: &str) {
        if ldif.is_empty() {
            return;
        }
        let file = self.folder.path().join("load.ldif");
        fs::write(&file, ldif).expect("a file can be written");
        let sam = self.folder.path().join("domain/private/sam.ldb");
        run(
            Command::new("ldbadd")
                .arg("-H")
                .arg(sam)
                .arg(format!("--configfile={}", self.conf().display()))
                .arg(file),
            "",
        );
    }

    /// Starts it again on what it holds, after [`kill`](Self::kill).
    pub fn resume(&mut self) {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let log = self.folder.path().join("samba.log");
        let output = fs::File::create(&log).expect("a log can be made");
        let mut child = Command::new("samba")
            .args(["--interactive", "--model=single", "--debug-stdout", "-d", "1", "-s"])
            .arg(self.conf())
            .args(["--option=server services=ldap", "--option=ldap server require strong auth=no"])
            .arg(format!("--option=pid directory={}", at("")))
            .arg(format!("--option=ncalrpc dir={}", at("ncalrpc")))
            .arg(format!("--option=log file={}", at("log")))
            .arg(format!("--option=tls cafile={}", at("ca.pem")))
            .arg(format!("--option=tls certfile={}", at("cert.pem")))
            .arg(format!("--option=tls keyfile={}", at("key.pem")))
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a log can be shared"))
            .stderr(output)
            .spawn()
            .expect("samba is installed: scripts/setup.sh test");
        // The last of the ports that it opens.
        wait_until_it_listens(&mut child, SocketAddr::from((self.address, 3_269)), &log);
        self.process = Some(child);
    }

    /// `address:port` without TLS, or for StartTLS.
    pub fn plain(&self) -> String {
        format!("{}:389", self.address)
    }

    /// `address:port` with TLS.
    pub fn ldaps(&self) -> String {
        format!("{}:636", self.address)
    }

    /// Changes what it holds, by LDIF with `changetype:` (add, modify, modrdn, delete).
    #[track_caller]
    pub fn change(&self, ldif: &str) {
        run(&mut self.tool("ldapmodify"), ldif);
    }

    /// What `ldapsearch -LLL` answers the administrator.
    #[track_caller]
    pub fn search(&self, base: &str, filter: &str, attributes: &[&str]) -> String {
        run(
            self.tool("ldapsearch").args(["-LLL", "-o", "ldif-wrap=no", "-b", base, filter]).args(attributes),
            "",
        )
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.args(["-x", "-H", &format!("ldap://{}", self.plain()), "-D", ADMIN.0, "-w", ADMIN.1]);
        command
    }

    fn conf(&self) -> std::path::PathBuf {
        self.folder.path().join("domain/etc/smb.conf")
    }

    /// SIGKILL, at once: connections break.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it runs");
            process.wait().expect("a child can be waited for");
        }
    }
}

impl Drop for Samba {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // An error means that it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// LDIF of a unit below the suffix.
pub fn unit(name: &str) -> String {
    format!("dn: OU={name},{SUFFIX}\nobjectClass: organizationalUnit\nou: {name}\n\n")
}

/// The distinguished name of person `number`.
pub fn person_dn(unit: &str, number: usize) -> String {
    format!("CN=User {number:06},OU={unit},{SUFFIX}")
}

/// LDIF of person `number`: `user000007`, `User 000007`, `user000007@lab.example`. They cannot sign in.
pub fn person(unit: &str, number: usize) -> String {
    format!(
        "dn: {}\nobjectClass: user\nsAMAccountName: user{number:06}\nuserPrincipalName: user{number:06}@lab.example\n\
         givenName: User\nsn: {number:06}\nmail: user{number:06}@lab.example\n\n",
        person_dn(unit, number)
    )
}

/// LDIF of a group with people of `unit` as its members.
pub fn group(unit: &str, name: &str, members: impl IntoIterator<Item = usize>) -> String {
    let mut text = format!("dn: CN={name},OU={unit},{SUFFIX}\nobjectClass: group\nsAMAccountName: {name}\n");
    for member in members {
        text += &format!("member: {}\n", person_dn(unit, member));
    }
    text.push('\n');
    text
}

/// An address in 127.64.0.0/10 that nothing listens at.
fn free_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) << 10 ^ std::process::id();
        let [_, a, b, c] = number.to_be_bytes();
        let address = Ipv4Addr::new(127, 64 | a & 63, b, c);
        match TcpListener::bind((address, 389)) {
            Ok(_) => return address,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => panic!("{address}:389: {error}; these tests are for root, since the port is fixed"),
        }
    }
}

/// Keys that others can read are refused by samba.
fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    std::io::Write::write_all(&mut file.expect("a file can be made"), text.as_bytes())
        .expect("it can be written");
}
