//! A real Samba as a domain controller of Active Directory: DirSync and numbers of changes.

use std::{
    fs,
    io::{self, Read},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use syncline_plugin::Result;

use super::{
    Recorder,
    wire::{Wire, run},
};
use crate::{Connection, Source};

const ADMIN: &str = "Administrator@LAB.EXAMPLE";
const PASSWORD: &str = "Secret-Pass-1";
const SERVE: &str = r#"
set -e
# Everything in here holds standard output under another number: it ends when all have ended.
exec 9>&1 >"$T.log" 2>&1
ip link set lo up
hostname dc1
samba-tool domain provision --targetdir="$T" --realm=LAB.EXAMPLE --domain=LAB --server-role=dc --adminpass="$P" \
    --dns-backend=NONE --host-name=dc1 --host-ip=127.0.0.1 --option="interfaces=lo" --option="bind interfaces only=yes" \
    --option="vfs objects=dfs_samba4 acl_xattr xattr_tdb"
exec samba -i -s "$T/etc/smb.conf" --option="server services=ldap" --option="ldap server require strong auth=no" \
    --option="pid directory=$T"
"#;
/// Standard input and output to the server and back.
const RELAY: &str = "exec 3<>/dev/tcp/127.0.0.1/389 && { cat <&3 & cat >&3; }";

/// A domain controller in namespaces and a folder of its own, which go with it.
struct Samba {
    folder: PathBuf,
    process: Child,
}

impl Samba {
    fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ldap-directory-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let process = Command::new("unshare")
            .args(["-m", "-n", "-u", "-p", "-f", "--kill-child", "bash", "-c", SERVE])
            .env("T", folder.join("dc"))
            .env("P", PASSWORD)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut samba = Self { folder, process };
        samba.wait();
        samba
    }

    /// Until it answers. Each try is a program of its own, which is pause enough.
    fn wait(&mut self) {
        let begin = Instant::now();
        let answers = |samba: &Self| {
            let mut probe = samba.inside("bash");
            probe.args(["-c", "exec 3<>/dev/tcp/127.0.0.1/389"]).stderr(Stdio::null());
            probe.status().is_ok_and(|status| status.success())
        };
        while !answers(self) {
            let ended = self.process.try_wait().unwrap();
            let late = begin.elapsed() > Duration::from_secs(180);
            if ended.is_some() || late {
                let log = fs::read_to_string(self.folder.join("dc.log")).unwrap_or_default();
                panic!(
                    "samba does not answer (it needs root, and what scripts/setup.sh installs for tests): {log}"
                );
            }
        }
    }

    fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.process.id().to_string(), program]);
        command
    }

    fn connect(&self) -> Wire {
        let mut relay = self.inside("bash");
        relay.args(["-c", RELAY]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = relay.spawn().unwrap();
        let (from, to) = (process.stdout.take().unwrap(), process.stdin.take().unwrap());
        let from = Relay { process, from };
        Wire::bind("dc1:389".to_owned(), from, to, ADMIN, PASSWORD).unwrap()
    }

    fn modify(&self, ldif: &str) {
        let file = self.folder.join("change.ldif");
        fs::write(&file, ldif).unwrap();
        let url = ["-H", "ldap://127.0.0.1/", "-f"];
        run(self.inside("ldapmodify").args(["-x", "-D", ADMIN, "-w", PASSWORD]).args(url).arg(file));
    }

    fn run(&self, host: &mut Recorder, method: &str) {
        let settings = format!(r#"{{"method":"{method}","bases":["OU=Staff,DC=lab,DC=example"]}}"#);
        let settings = syncline_plugin::settings::parse(&settings).unwrap();
        let source = Source { name: "ad".to_owned(), kind: String::new(), bases: Vec::new() };
        let mut connect = |_: &str| -> Result<Box<dyn Connection>> { Ok(Box::new(self.connect())) };
        host.run(&settings, &[source], &mut connect).unwrap();
    }
}

/// What comes from the server, and the program that brings it.
struct Relay {
    process: Child,
    from: ChildStdout,
}

impl Read for Relay {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.from.read(buffer)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Samba {
    fn drop(&mut self) {
        let _ = self.process.kill();
        // Before the folder goes, all that writes to it must have ended.
        if let Some(mut held) = self.process.stdout.take() {
            let _ = held.read_to_end(&mut Vec::new());
        }
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn user(name: &str, control: u32) -> String {
    format!(
        "dn: CN={name},OU=Staff,DC=lab,DC=example\nchangetype: add\nobjectClass: user\nsAMAccountName: {name}\n\
         userAccountControl: {control}\nmail: {name}@X\n\n"
    )
}

/// What changes, and what is there then.
fn steps() -> [(&'static str, String, Vec<&'static str>); 6] {
    let staff = "OU=Staff,DC=lab,DC=example";
    let modify = |name: &str, change: &str| format!("dn: CN={name},{staff}\nchangetype: {change}\n\n");
    [
        (
            "nothing",
            String::new(),
            vec![
                "group Team in Staff of ada+bob",
                "person ada <ada@x> in Staff",
                "person bob <bob@x> in Staff (off)",
                "unit Staff",
            ],
        ),
        (
            "a person, and a member",
            user("eve", 544)
                + &modify(
                    "Team",
                    &format!(
                        "modify\nadd: member\nmember: CN=eve,{staff}\n-\ndelete: member\nmember: CN=bob,{staff}"
                    ),
                ),
            vec![
                "group Team in Staff of ada+eve",
                "person ada <ada@x> in Staff",
                "person bob <bob@x> in Staff (off)",
                "person eve <eve@x> in Staff",
                "unit Staff",
            ],
        ),
        (
            "another name and switched on",
            modify("eve", "modrdn\nnewrdn: CN=eva\ndeleteoldrdn: 1")
                + &modify("bob", "modify\nreplace: userAccountControl\nuserAccountControl: 544"),
            vec![
                "group Team in Staff of ada+eva",
                "person ada <ada@x> in Staff",
                "person bob <bob@x> in Staff",
                "person eva <eve@x> in Staff",
                "unit Staff",
            ],
        ),
        (
            "moved out of what is read",
            modify("bob", "modrdn\nnewrdn: CN=bob\ndeleteoldrdn: 1\nnewsuperior: CN=Users,DC=lab,DC=example"),
            vec![
                "group Team in Staff of ada+eva",
                "person ada <ada@x> in Staff",
                "person eva <eve@x> in Staff",
                "unit Staff",
            ],
        ),
        (
            "gone",
            modify("eva", "delete"),
            vec!["group Team in Staff of ada", "person ada <ada@x> in Staff", "unit Staff"],
        ),
        (
            "the unit written again under its name",
            format!("dn: {staff}\nchangetype: modrdn\nnewrdn: OU=Staff\ndeleteoldrdn: 1\n\n"),
            vec!["group Team in Staff of ada", "person ada <ada@x> in Staff", "unit Staff"],
        ),
    ]
}

#[test]
fn dirsync_and_numbers_of_changes_come_to_what_a_full_read_comes_to() {
    let samba = Samba::start("samba");
    samba.modify("dn: OU=Staff,DC=lab,DC=example\nchangetype: add\nobjectClass: organizationalUnit\n\n");
    samba.modify(&(user("ada", 544) + &user("bob", 546)));
    samba.modify(
        "dn: CN=Team,OU=Staff,DC=lab,DC=example\nchangetype: add\nobjectClass: group\nsAMAccountName: Team\n\
         member: CN=ada,OU=Staff,DC=lab,DC=example\nmember: CN=bob,OU=Staff,DC=lab,DC=example\n",
    );
    let methods = ["dirsync", "usn", "auto"];
    let mut hosts = methods.map(|_| Recorder::default());
    for (method, host) in methods.iter().zip(&mut hosts) {
        samba.run(host, method);
        assert!(host.whole && host.puts == 4, "{method}: {:?}", host.lines());
    }
    for (what, change, expected) in steps() {
        if !change.is_empty() {
            samba.modify(&change);
        }
        let mut fresh = Recorder::default();
        samba.run(&mut fresh, "full");
        for (method, host) in methods.iter().zip(&mut hosts) {
            samba.run(host, method);
            assert_eq!(host.lines(), expected, "{method}: {what}");
            assert_eq!(fresh.lines(), expected, "full: {what}");
            assert!(!host.whole, "{method}: {what}: a list of changes is enough");
            assert!(what != "nothing" || host.puts == 0, "{method}: {} entries were put", host.puts);
        }
    }
}
