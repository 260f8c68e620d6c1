//! A domain as it is provisioned, made once a program and kept in memory: it takes 5 s to make and 30 MB to keep.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::{super::run, ADMIN, READER, write_private};

/// Stand for themselves in the configuration that is kept.
const FOLDER: &str = "@FOLDER@";
const ADDRESS: &str = "127.126.125.124";

/// What a folder of it has, before what is in the folder.
enum Kept {
    Folder(PathBuf),
    File(PathBuf, Vec<u8>),
}

/// Writes the domain to `folder`, which is not there yet, for a server at `address`.
pub(super) fn write(folder: &Path, address: Ipv4Addr) {
    static DOMAIN: OnceLock<Vec<Kept>> = OnceLock::new();
    for kept in DOMAIN.get_or_init(provision) {
        match kept {
            // Samba insists on folders of its own that nobody else may enter.
            Kept::Folder(path) => {
                fs::DirBuilder::new().mode(0o700).create(folder.join(path)).expect("a folder can be made")
            }
            Kept::File(path, bytes) if path.ends_with("smb.conf") => {
                let text = String::from_utf8_lossy(bytes).replace(FOLDER, &folder.display().to_string());
                write_private(&folder.join(path), text.replace(ADDRESS, &address.to_string()).as_bytes());
            }
            Kept::File(path, bytes) => write_private(&folder.join(path), bytes),
        }
    }
}

/// Makes the domain, with the reader in it.
fn provision() -> Vec<Kept> {
    let temporary = tempfile::tempdir().expect("a folder can be made");
    let domain = temporary.path().join("domain");
    let nothing = temporary.path().join("smb.conf");
    fs::write(&nothing, "[global]\n").expect("a file can be written");
    run(
        Command::new("samba-tool")
            .args(["domain", "provision", "--realm=LAB.EXAMPLE", "--domain=LAB", "--server-role=dc"])
            .args(["--dns-backend=NONE", "--host-name=dc1", "--use-rfc2307"])
            .arg(format!("--targetdir={}", domain.display()))
            .arg(format!("--configfile={}", nothing.display()))
            .arg(format!("--adminpass={}", ADMIN.1))
            .arg(format!("--host-ip={ADDRESS}"))
            .arg(format!("--option=interfaces={ADDRESS}/8"))
            .arg("--option=bind interfaces only=yes")
            // Extended attributes of the system may not be there, in containers.
            .arg("--option=vfs objects=dfs_samba4 acl_xattr xattr_tdb"),
        "",
    );
    let reader = ["user", "create", "reader", READER.1, "-s"];
    run(Command::new("samba-tool").args(reader).arg(domain.join("etc/smb.conf")), "");
    let mut kept = Vec::new();
    keep(&domain, Path::new(""), &mut kept);
    kept
}

fn keep(domain: &Path, path: &Path, kept: &mut Vec<Kept>) {
    kept.push(Kept::Folder(path.to_owned()));
    for entry in fs::read_dir(domain.join(path)).expect("a folder can be read") {
        let entry = entry.expect("a folder can be read");
        let path = path.join(entry.file_name());
        if entry.file_type().expect("it has a type").is_dir() {
            keep(domain, &path, kept);
            continue;
        }
        let mut bytes = fs::read(entry.path()).expect("a file can be read");
        if path.ends_with("smb.conf") {
            bytes =
                String::from_utf8_lossy(&bytes).replace(&domain.display().to_string(), FOLDER).into_bytes();
        }
        kept.push(Kept::File(path, bytes));
    }
}
