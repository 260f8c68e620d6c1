//! From what an operating system says to a [`Failure`] that names store and path and says what to do.

use rustix::io::Errno;
use syncline_domain::{Failure, FailureKind, Fault, Name, RelPath};

/// A failed system call on `path` of `store`. `doing` is a verb that fits "cannot … the file".
pub(crate) fn io(store: &Name, path: &RelPath, doing: &str, errno: Errno) -> Failure {
    let (kind, fault, code, hint) = classify(errno);
    let path = place(path);
    Failure::new(kind, fault, code, format!("store {store}: cannot {doing} {path}: {errno}; {hint}"))
}

/// How a path is written in a message.
pub(crate) fn place(path: &RelPath) -> String {
    if path.is_root() { "its root folder".to_owned() } else { format!("{:?}", path.to_text()) }
}

fn classify(errno: Errno) -> (FailureKind, Fault, &'static str, &'static str) {
    use FailureKind as Kind;
    match errno {
        Errno::NOSPC | Errno::DQUOT => {
            (Kind::Limit, Fault::Remote, "no-space", "free space there or raise the quota")
        }
        Errno::FBIG => {
            (Kind::Limit, Fault::Remote, "file-too-large", "its file system takes no file of this size")
        }
        Errno::ROFS => {
            (Kind::Denied, Fault::Settings, "read-only", "mount the file system for reading and writing")
        }
        Errno::ACCESS | Errno::PERM => (
            Kind::Denied,
            Fault::Settings,
            "permission",
            "give the account that runs the host the permission",
        ),
        Errno::NOENT => (Kind::NotFound, Fault::Remote, "not-found", "it is not there"),
        Errno::NOTDIR | Errno::LOOP => (
            Kind::Invalid,
            Fault::Remote,
            "not-a-folder",
            "a link or a file stands on the way; links are not followed",
        ),
        Errno::MFILE | Errno::NFILE => (
            Kind::Limit,
            Fault::Host,
            "open-files",
            "raise the limit on open files of the host (LimitNOFILE)",
        ),
        Errno::NAMETOOLONG => (
            Kind::Unsupported,
            Fault::Remote,
            "name-too-long",
            "its file system takes no name of this length",
        ),
        Errno::XDEV => (
            Kind::Unsupported,
            Fault::Settings,
            "mount-point",
            "another file system is mounted there; register it as a store of its own",
        ),
        Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR => {
            (Kind::Changed, Fault::Remote, "changed", "something else came to stand there meanwhile")
        }
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::ILSEQ => {
            (Kind::Unsupported, Fault::Remote, "file-system", "its file system cannot do that")
        }
        Errno::BUSY | Errno::TXTBSY | Errno::AGAIN => {
            (Kind::Unavailable, Fault::Remote, "busy", "something else is using it")
        }
        _ => (Kind::Unavailable, Fault::Remote, "io", "look at the disk, the mount or the server behind it"),
    }
}

/// What a folder is that carries a mark below a store's root.
pub(crate) const NESTED: &str = "store of its own";
const NESTED_CODE: &str = "nested-store";

/// A folder that was named is a store of its own.
pub(crate) fn nested(store: &Name, path: &RelPath) -> Failure {
    let message = format!(
        "store {store}: {} is a store of its own, which has a .syncline; use that store, or remove the .syncline there if it is none any more",
        place(path)
    );
    Failure::settings(NESTED_CODE, message)
}

/// Whether a failure says that a folder is a store of its own.
pub(crate) fn is_nested(failure: &Failure) -> bool {
    failure.code == NESTED_CODE
}

/// Whether a failure says that the thing is not there.
pub(crate) fn is_missing(failure: &Failure) -> bool {
    failure.kind == FailureKind::NotFound
}

/// Whether after this failure nothing more can be written to the same target.
pub(crate) fn ends_target(failure: &Failure) -> bool {
    match failure.kind {
        FailureKind::Unavailable => failure.code != "busy",
        FailureKind::Limit => failure.code == "no-space",
        FailureKind::Denied => failure.code == "read-only",
        _ => false,
    }
}
