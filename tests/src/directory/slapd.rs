//! OpenLDAP's server.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{
    certificates::Identity,
    free_port,
    ldif::{ADMIN, BLIND, SUFFIX},
    run, wait_until_it_listens,
};

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it holds at first, in LDIF.
    pub ldif: String,
    /// Whether it remembers what was deleted: then deletions are told one by one, else by naming what is still there.
    pub session_log: bool,
    /// With it, it does TLS: LDAPS, and StartTLS.
    pub identity: Option<Identity>,
    /// Most entries that a search without pages is answered with, for everybody but the administrator.
    pub size_limit: Option<u32>,
    /// More lines of slapd.conf, at the end of the database's.
    pub more: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ldif: super::ldif::base(),
            session_log: true,
            identity: None,
            size_limit: None,
            more: String::new(),
        }
    }
}

/// A running `slapd` on 127.0.0.1 with the database `dc=example,dc=org`. Killed and removed when dropped.
#[derive(Debug)]
pub struct Slapd {
    folder: TempDir,
    /// None while it is stopped.
    process: Option<Child>,
    /// Of plain LDAP and StartTLS.
    pub port: u16,
    /// Of LDAPS.
    pub tls_port: u16,
    tls: bool,
}

impl Slapd {
    /// Loads what it holds at first, and starts it.
    pub fn start(options: &Options) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("data")).expect("a folder can be made");
        let mut tls = String::new();
        if let Some(identity) = &options.identity {
            fs::write(at("cert.pem"), &identity.certificate).expect("a file can be written");
            fs::write(at("key.pem"), &identity.key).expect("a file can be written");
            tls = format!(
                "TLSCertificateFile {}\nTLSCertificateKeyFile {}\n",
                at("cert.pem").display(),
                at("key.pem").display()
            );
        }
        let session_log = if options.session_log { "syncprov-sessionlog 100000" } else { "" };
        let limit = options.size_limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
        let conf = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\ninclude /etc/ldap/schema/nis.schema\n\
             pidfile {pid}\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload syncprov\n{tls}\
             sizelimit size.soft={limit} size.hard={limit} size.prtotal=unlimited\n\
             database mdb\nmaxsize 1073741824\nsuffix {SUFFIX}\nrootdn {admin}\nrootpw {password}\ndirectory {data}\n\
             dbnosync\nindex objectClass,entryUUID,entryCSN,uid eq\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to dn.exact={SUFFIX} by * read\naccess to * by dn.exact={blind} none by * read\n\
             {more}\noverlay syncprov\n{session_log}\n",
            pid = at("slapd.pid").display(),
            admin = ADMIN.0,
            password = ADMIN.1,
            data = at("data").display(),
            blind = BLIND.0,
            more = options.more,
        );
        fs::write(at("slapd.conf"), conf).expect("a file can be written");
        fs::write(at("first.ldif"), &options.ldif).expect("a file can be written");
        run(
            Command::new("slapadd").arg("-q").arg("-f").arg(at("slapd.conf")).arg("-l").arg(at("first.ldif")),
            "",
        );
        let mut server = Self {
            folder,
            process: None,
            port: free_port(),
            tls_port: free_port(),
            tls: options.identity.is_some(),
        };
        server.resume();
        server
    }

    /// Starts it again on what it holds, after [`stop`](Self::stop) or [`kill`](Self::kill).
    pub fn resume(&mut self) {
        let mut urls = format!("ldap://127.0.0.1:{}/", self.port);
        if self.tls {
            urls += &format!(" ldaps://127.0.0.1:{}/", self.tls_port);
        }
        let log = fs::File::create(self.log()).expect("a log can be made");
        let child = Command::new("slapd")
            .arg("-f")
            .arg(self.folder.path().join("slapd.conf"))
            // Stays in the foreground, and logs what goes wrong.
            .args(["-h", &urls, "-d", "none"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let mut child = child.expect("slapd is installed: scripts/setup.sh test");
        // It says that it is starting before it listens, and nothing afterwards.
        let ports = [Some(self.port), self.tls.then_some(self.tls_port)];
        for port in ports.into_iter().flatten() {
            wait_until_it_listens(&mut child, SocketAddr::from(([127, 0, 0, 1], port)), &self.log());
        }
        self.process = Some(child);
    }

    /// `host:port` without TLS, or for StartTLS.
    pub fn plain(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` with TLS.
    pub fn ldaps(&self) -> String {
        format!("127.0.0.1:{}", self.tls_port)
    }

    /// Changes what it holds, by LDIF with `changetype:` (add, modify, modrdn, delete).
    #[track_caller]
    pub fn change(&self, ldif: &str) {
        run(&mut self.tool("ldapmodify"), ldif);
    }

    /// Adds entries.
    #[track_caller]
    pub fn add(&self, ldif: &str) {
        run(&mut self.tool("ldapadd"), ldif);
    }

    /// Deletes entries.
    #[track_caller]
    pub fn delete(&self, dns: &[&str]) {
        run(self.tool("ldapdelete").args(dns), "");
    }

    /// Gives an entry another name, and another place below `superior` if there is one.
    #[track_caller]
    pub fn rename(&self, dn: &str, rdn: &str, superior: Option<&str>) {
        let mut command = self.tool("ldapmodrdn");
        command.arg("-r");
        if let Some(superior) = superior {
            command.args(["-s", superior]);
        }
        run(command.args([dn, rdn]), "");
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

    fn log(&self) -> PathBuf {
        self.folder.path().join("slapd.log")
    }

    /// SIGKILL, at once: connections break.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it runs");
            process.wait().expect("a child can be waited for");
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let pid = rustix::process::Pid::from_child(&process);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
            process.wait().expect("a child can be waited for");
        }
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // An error means that it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
