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

    /// Members of a group.
    ///
    /// # Errors
    ///
    /// Those of the host.
    fn members(&mut self, group: &str, change: MembershipChange, members: Vec<Reference>) -> Result<()>;

    /// This entry is there, unchanged.
    ///
    /// # Errors
    ///
    /// Code `unknown` if it was never put; those of the host.
    fn present(&mut self, id: String) -> Result<()>;

    /// This entry is there no more.
    ///
    /// # Errors
    ///
    /// Those of the host.
    fn gone(&mut self, id: String) -> Result<()>;

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

    /// How many entries were read.
    fn progress(&mut self, entries: u64);
}

impl Declare for Directory {
    fn put(&mut self, entry: Entry) -> Result<()> {
        self.put(entry)
    }

    fn members(&mut self, group: &str, change: MembershipChange, members: Vec<Reference>) -> Result<()> {
        self.members(group, change, members)
    }

    fn present(&mut self, id: String) -> Result<()> {
        self.present(id)
    }

    fn gone(&mut self, id: String) -> Result<()> {
        self.gone(id)
    }

    fn reject(&mut self, id: Option<String>, name: &str, reason: Failure) -> Result<()> {
        self.reject(id, name, reason)
    }

    fn flush(&mut self) -> Result<()> {
        self.flush()
    }

    fn progress(&mut self, entries: u64) {
        progress::report(entries, None, "entries");
    }
}
