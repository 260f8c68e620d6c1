//! Where declarations go: the host in a run, a recorder in tests.

use syncline_plugin::{
    Directory, Entry, Failure, Result,
    directory::{MembershipChange, Reference},
    progress,
};

/// What `desired-directory` takes. Failures can show at a later call than the one that they are about, at the latest at
/// `flush`.
pub trait Declare {
    /// This entry is as given.
    ///
    /// # Errors
    ///
    /// Those of the host.
    fn put(&mut self, entry: Entry) -> Result<()>;

    /// All members of a group.
    ///
    /// # Errors
    ///
    /// Those of the host.
    fn members(&mut self, group: &str, members: Vec<Reference>) -> Result<()>;

    /// This entry is there, unchanged.
    ///
    /// # Errors
    ///
    /// Code `unknown` if it was never put; those of the host.
    fn present(&mut self, id: &str) -> Result<()>;

    /// This cannot be taken over.
    ///
    /// # Errors
    ///
    /// Those of the host.
    fn reject(&mut self, id: Option<String>, name: &str, reason: Failure) -> Result<()>;

    /// Hands over what waits.
    ///
    /// # Errors
    ///
    /// As those of what waits.
    fn flush(&mut self) -> Result<()>;

    /// How many entries were read, of how many that the service has of this kind.
    fn progress(&mut self, entries: u64, total: u64);
}

impl Declare for Directory {
    fn put(&mut self, entry: Entry) -> Result<()> {
        self.put(entry)
    }

    fn members(&mut self, group: &str, members: Vec<Reference>) -> Result<()> {
        self.members(group, MembershipChange::LastPart, members)
    }

    fn present(&mut self, id: &str) -> Result<()> {
        self.present(id)
    }

    fn reject(&mut self, id: Option<String>, name: &str, reason: Failure) -> Result<()> {
        self.reject(id, name, reason)
    }

    fn flush(&mut self) -> Result<()> {
        self.flush()
    }

    fn progress(&mut self, entries: u64, total: u64) {
        progress::report(entries, Some(total), "entries");
    }
}
