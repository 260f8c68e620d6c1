//! A real slapd: content synchronisation with and without its log of sessions.

use std::{
    fs,
    io::ErrorKind,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use syncline_plugin::Result;

use super::{
    Recorder,
    wire::{Wire, run},
};
use crate::{Connection, Source};

const ROOT: &str = "cn=admin,dc=example,dc=com";

/// A server in a folder of its own, which goes with it.
struct Slapd {
    folder: PathBuf,
    process: Child,
    port: u16,
}

impl Slapd {
    fn start(name: &str, overlay: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ldap-directory-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("data")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let conf = folder.join("slapd.conf");
        let schemas: String = ["core", "cosine", "inetorgperson", "nis"]
            .map(|one| format!("include /etc/ldap/schema/{one}.schema\n"))
            .concat();
        let data = folder.join("data").display().to_string();
        let text = format!(
            "{schemas}modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload syncprov\nsizelimit unlimited\n\
             database mdb\nsuffix dc=example,dc=com\nrootdn {ROOT}\nrootpw secret\ndirectory {data}\nmaxsize 268435456\ndbnosync\n\
             index objectClass,entryUUID,entryCSN eq\n{overlay}\n"
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
        let slapd = Self { folder, process, port };
        drop(slapd.connect());
        slapd
    }

    /// Waits until it answers.
    fn connect(&self) -> Wire {
        let begin = Instant::now();
        let stream = loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => break stream,
                Err(error)
                    if error.kind() == ErrorKind::ConnectionRefused
                        && begin.elapsed() < Duration::from_secs(30) =>
                {
                    std::thread::yield_now();
                }
                Err(error) => panic!("slapd does not answer: {error}"),
            }
        };
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let server = format!("127.0.0.1:{}", self.port);
        Wire::bind(server, stream.try_clone().unwrap(), stream, ROOT, "secret").unwrap()
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

const fn overlay(session_log: bool) -> &'static str {
    if session_log { "overlay syncprov\nsyncprov-sessionlog 100000" } else { "overlay syncprov" }
}

fn follows_changes(name: &str, session_log: bool) {
    let slapd = Slapd::start(name, overlay(session_log));
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
    // Without its log, and with the entry changed again that the cookie is of, slapd sends everything.
    assert_eq!(puts, if session_log { 3 } else { 5 });

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
    // The unit came among the changes, and then all.
    assert_eq!(check(&[stale, ada, eve, "unit Folk"]), (5, true));
}

#[test]
fn what_is_left_out_is_left_out_by_the_server() {
    for session_log in [true, false] {
        let slapd = Slapd::start(&format!("exclude-{session_log}"), overlay(session_log));
        let settings = r#"{"method":"syncrepl","exclude":["OU=Old,ou=people,dc=example,dc=com"]}"#;
        let settings = syncline_plugin::settings::parse(settings).unwrap();
        let source = Source { name: "hq".to_owned(), kind: String::new(), bases: Vec::new() };
        let mut host = Recorder::default();
        let mut check = |people: usize, puts: usize| {
            let mut connect = |_: &str| -> Result<Box<dyn Connection>> { Ok(Box::new(slapd.connect())) };
            host.run(&settings, std::slice::from_ref(&source), &mut connect).unwrap();
            let lines = host.lines();
            assert_eq!(lines.iter().filter(|line| line.starts_with("person")).count(), people, "{lines:?}");
            assert!(host.puts <= puts, "{} puts: {lines:?}", host.puts);
        };
        let person = |name: &str, unit: &str| {
            let dn = format!("uid={name},{unit}ou=People,dc=example,dc=com");
            format!(
                "dn: {dn}\nchangetype: add\nobjectClass: inetOrgPerson\ncn: {name}\nsn: x\nuid: {name}\n\n"
            )
        };
        let unit = "dn: ou=Old,ou=People,dc=example,dc=com\nchangetype: add\nobjectClass: organizationalUnit\nou: Old\n\n";
        slapd.modify(&(unit.to_owned() + &person("old", "ou=Old,") + &person("new", "")));
        check(3, 5);
        slapd.modify(&(person("older", "ou=Old,") + &person("newer", "")));
        // Nothing unknown is named: everything would be read once more after that. Without its log, slapd may send everything.
        check(4, if session_log { 1 } else { 6 });
    }
}

/// The control is known to the server, but not for this database.
#[test]
fn without_content_synchronisation_times_of_modification_are_taken() {
    let slapd = Slapd::start("timestamp", "");
    let settings = syncline_plugin::settings::parse("{}").unwrap();
    let source = Source { name: "hq".to_owned(), kind: String::new(), bases: Vec::new() };
    let mut host = Recorder::default();
    let mut check = |expected: &[&str]| {
        let mut connect = |_: &str| -> Result<Box<dyn Connection>> { Ok(Box::new(slapd.connect())) };
        host.run(&settings, std::slice::from_ref(&source), &mut connect).unwrap();
        assert_eq!(host.lines(), expected);
        assert!(String::from_utf8_lossy(host.cursor.as_deref().unwrap()).contains("modify-timestamp"));
        assert!(host.whole);
    };
    let (devs, ada, unit) = ("group devs of Ada", "person Ada <ada@example.com> in People", "unit People");
    check(&[devs, ada, "person Bob in People", unit]);
    slapd.modify("dn: uid=bob,ou=People,dc=example,dc=com\nchangetype: modify\nreplace: mail\nmail: B@x\n");
    check(&[devs, ada, "person Bob <b@x> in People", unit]);
    slapd.modify("dn: uid=bob,ou=People,dc=example,dc=com\nchangetype: delete\n");
    check(&[devs, ada, unit]);
}

#[test]
fn with_a_log_of_sessions_deletions_are_told() {
    follows_changes("log", true);
}

#[test]
fn without_one_it_is_told_what_is_still_there() {
    follows_changes("present", false);
}
