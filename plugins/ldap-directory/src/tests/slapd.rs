//! A real slapd: content synchronisation with and without its log of sessions.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use ldap3_proto::{
    LdapCodec,
    proto::{LdapBindCred, LdapBindRequest, LdapMsg, LdapOp, LdapResultCode},
};
use syncline_plugin::{Failure, Result};
use tokio_util::codec::Encoder;

use super::Recorder;
use crate::{Connection, Source};

const ROOT: &str = "cn=admin,dc=example,dc=com";

/// A server in a folder of its own, which goes with it.
struct Slapd {
    folder: std::path::PathBuf,
    process: Child,
    port: u16,
}

impl Slapd {
    fn start(name: &str, session_log: bool) -> Self {
        let folder = std::env::temp_dir().join(format!("ldap-directory-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("data")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (conf, log) =
            (folder.join("slapd.conf"), if session_log { "syncprov-sessionlog 100000" } else { "" });
        let schemas: String = ["core", "cosine", "inetorgperson", "nis"]
            .map(|one| format!("include /etc/ldap/schema/{one}.schema\n"))
            .concat();
        let data = folder.join("data").display().to_string();
        let text = format!(
            "{schemas}modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload syncprov\nsizelimit unlimited\n\
             database mdb\nsuffix dc=example,dc=com\nrootdn {ROOT}\nrootpw secret\ndirectory {data}\nmaxsize 268435456\ndbnosync\n\
             index objectClass,entryUUID,entryCSN eq\noverlay syncprov\n{log}\n"
        );
        fs::write(&conf, text).unwrap();
        fs::write(folder.join("begin.ldif"), BEGIN).unwrap();
        run(Command::new("/usr/sbin/slapadd")
            .arg("-q")
            .arg("-f")
            .arg(&conf)
            .arg("-l")
            .arg(folder.join("begin.ldif")));
        let url = format!("ldap://127.0.0.1:{port}/");
        let process = Command::new("/usr/sbin/slapd")
            .args(["-d", "0", "-h", &url, "-f"])
            .arg(&conf)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("slapd cannot be run: install what scripts/setup.sh names for tests");
        Self { folder, process, port }
    }

    /// Waits until it answers.
    fn connect(&self) -> Tcp {
        let begin = Instant::now();
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => return Tcp::bind(stream, self.port),
                Err(error)
                    if error.kind() == ErrorKind::ConnectionRefused
                        && begin.elapsed() < Duration::from_secs(30) =>
                {
                    std::thread::yield_now();
                }
                Err(error) => panic!("slapd does not answer: {error}"),
            }
        }
    }

    fn modify(&self, ldif: &str) {
        let file = self.folder.join("change.ldif");
        fs::write(&file, ldif).unwrap();
        let url = format!("ldap://127.0.0.1:{}/", self.port);
        run(Command::new("ldapmodify").args(["-x", "-D", ROOT, "-w", "secret", "-H", &url, "-f"]).arg(file));
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(Path::new("/usr/sbin/slapd").exists());
}

const BEGIN: &str = "\
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=People,dc=example,dc=com
objectClass: organizationalUnit
ou: People

dn: uid=ada,ou=People,dc=example,dc=com
objectClass: inetOrgPerson
cn: Ada
sn: L
uid: ada
mail: Ada@Example.com

dn: uid=bob,ou=People,dc=example,dc=com
objectClass: inetOrgPerson
cn: Bob
sn: B
uid: bob

dn: cn=devs,dc=example,dc=com
objectClass: groupOfNames
cn: devs
member: uid=ada,ou=People,dc=example,dc=com

";

/// A bound connection.
struct Tcp {
    stream: TcpStream,
    waiting: Vec<u8>,
    port: u16,
}

impl Tcp {
    fn bind(stream: TcpStream, port: u16) -> Self {
        let mut tcp = Self { stream, waiting: Vec::new(), port };
        let cred = LdapBindCred::Simple("secret".to_owned());
        let op = LdapOp::BindRequest(LdapBindRequest { dn: ROOT.to_owned(), cred });
        let mut bytes = BytesMut::new();
        LdapCodec::default().encode(LdapMsg { msgid: 1, op, ctrl: Vec::new() }, &mut bytes).unwrap();
        tcp.send(&bytes).unwrap();
        let mut answer = BytesMut::from(&tcp.receive(1 << 20, Duration::from_secs(10)).unwrap()[..]);
        let answer =
            tokio_util::codec::Decoder::decode(&mut LdapCodec::default(), &mut answer).unwrap().unwrap();
        let LdapOp::BindResponse(response) = answer.op else { panic!("{answer:?}") };
        assert_eq!(response.res.code, LdapResultCode::Success);
        tcp
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

impl Connection for Tcp {
    fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn send(&mut self, messages: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(messages)?)
    }

    fn receive(&mut self, _: u32, wait: Duration) -> Result<Vec<u8>> {
        self.stream.set_read_timeout(Some(wait))?;
        let mut chunk = vec![0; 64 << 10];
        while whole(&self.waiting) == 0 {
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err(Failure::unavailable("the server closed the connection").with_code("closed"));
            }
            self.waiting.extend_from_slice(&chunk[..read]);
        }
        let rest = self.waiting.split_off(whole(&self.waiting));
        Ok(std::mem::replace(&mut self.waiting, rest))
    }
}

fn follows_changes(name: &str, session_log: bool) {
    let slapd = Slapd::start(name, session_log);
    let settings = syncline_plugin::settings::parse(r#"{"method":"syncrepl"}"#).unwrap();
    let source = Source { name: "hq".to_owned(), kind: String::new(), bases: Vec::new() };
    let mut host = Recorder::default();
    let mut check = |expected: &[&str]| {
        let mut connect = |_: &str| -> Result<Box<dyn Connection>> { Ok(Box::new(slapd.connect())) };
        host.run(&settings, std::slice::from_ref(&source), &mut connect).unwrap();
        assert_eq!(host.lines(), expected);
        (host.puts, host.whole)
    };
    let (devs, ada, bob, unit) = (
        "group devs of Ada",
        "person Ada <ada@example.com> in People",
        "person Bob in People",
        "unit People",
    );
    assert_eq!(check(&[devs, ada, bob, unit]), (4, true));
    assert_eq!(check(&[devs, ada, bob, unit]), (0, false));

    slapd.modify(
        "dn: uid=eve,ou=People,dc=example,dc=com\nchangetype: add\nobjectClass: inetOrgPerson\ncn: Eve\nsn: E\nuid: eve\n\n\
         dn: uid=bob,ou=People,dc=example,dc=com\nchangetype: modify\nreplace: mail\nmail: BOB@x\n\n\
         dn: cn=devs,dc=example,dc=com\nchangetype: modify\nadd: member\nmember: uid=eve,ou=people,dc=Example,dc=com\n",
    );
    let (puts, _) =
        check(&["group devs of Ada+Eve", ada, "person Bob <bob@x> in People", "person Eve in People", unit]);
    assert_eq!(puts, 3);

    slapd.modify(
        "dn: uid=bob,ou=People,dc=example,dc=com\nchangetype: delete\n\n\
         dn: uid=eve,ou=People,dc=example,dc=com\nchangetype: modrdn\nnewrdn: uid=eva\ndeleteoldrdn: 1\n",
    );
    let (puts, whole) = check(&["group devs of Ada+Eve", ada, "person Eve in People", unit]);
    assert_eq!((puts, whole), (1, !session_log));

    slapd.modify("dn: ou=People,dc=example,dc=com\nchangetype: modrdn\nnewrdn: ou=Folk\ndeleteoldrdn: 1\n");
    let ada = "person Ada <ada@example.com> in Folk";
    let eve = "person Eve in Folk";
    // The group still lists them by their old names.
    let stale = "group devs of ?uid=ada,ou=people,dc=example,dc=com+?uid=eve,ou=people,dc=example,dc=com";
    assert_eq!(check(&[stale, ada, eve, "unit Folk"]), (4, true));
}

#[test]
fn with_a_log_of_sessions_deletions_are_told() {
    follows_changes("log", true);
}

#[test]
fn without_one_it_is_told_what_is_still_there() {
    follows_changes("present", false);
}
