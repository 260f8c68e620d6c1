//! The messages. Times are milliseconds since 1970-01-01T00:00:00Z; ids have 16 bytes, digests 32 (BLAKE3).

use std::{collections::BTreeMap, fmt};

/// Items and acknowledgements: the data of one custom message.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Items {
    /// What is said.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<Item>,
    /// The ids of items that the sender of this has received and stored.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub received: Vec<Vec<u8>>,
}

/// One thing that is said, at least once.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Item {
    /// Its own, the same whenever it is sent again.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// When it was made, by the clock of who made it.
    #[prost(uint64, tag = "2")]
    pub sent_unix_ms: u64,
    /// What it says; `None` if it is of a kind that is not known here.
    #[prost(oneof = "Body", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19")]
    pub body: Option<Body>,
}

/// What an item says.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Body {
    /// Who speaks.
    #[prost(message, tag = "10")]
    Hello(Hello),
    /// The state of every application.
    #[prost(message, tag = "11")]
    Applications(Applications),
    /// Bring the device up to date.
    #[prost(message, tag = "12")]
    SyncRequest(SyncRequest),
    /// What became of that.
    #[prost(message, tag = "13")]
    SyncResult(SyncResult),
    /// A message for people.
    #[prost(message, tag = "14")]
    Notice(Notice),
    /// When to come back.
    #[prost(message, tag = "15")]
    NextContact(NextContact),
    /// Run an action.
    #[prost(message, tag = "16")]
    Task(Task),
    /// What became of that.
    #[prost(message, tag = "17")]
    TaskResult(TaskResult),
    /// Someone on the device has an activation code.
    #[prost(message, tag = "18")]
    Activation(Activation),
    /// What became of that.
    #[prost(message, tag = "19")]
    ActivationResult(ActivationResult),
}

/// Who speaks. Two runs at once, or another fingerprint, under one credential are a machine that was cloned.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Hello {
    /// Drawn whenever the agent's process starts; 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub run_id: Vec<u8>,
    /// Drawn whenever the operating system starts; 16 bytes, or empty if there is none.
    #[prost(bytes = "vec", tag = "2")]
    pub boot_id: Vec<u8>,
    /// A digest of what stays the same in a machine and differs between two; 32 bytes, or empty if it cannot be had.
    #[prost(bytes = "vec", tag = "3")]
    pub machine_fingerprint: Vec<u8>,
    /// The device's clock when this was made.
    #[prost(uint64, tag = "4")]
    pub clock_unix_ms: u64,
}

/// The state of every application that the device has or had a document for: one that is not listed is none of them. The last
/// report is the one that counts.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Applications {
    /// In any order, each name once.
    #[prost(message, repeated, tag = "1")]
    pub applications: Vec<Application>,
}

/// The state of one application.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Application {
    /// The key of its document in the configuration that was offered.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The document that `state` is about; 32 bytes, or empty if it was withdrawn.
    #[prost(bytes = "vec", tag = "2")]
    pub document_digest: Vec<u8>,
    /// How far it is.
    #[prost(enumeration = "ApplicationState", tag = "3")]
    pub state: i32,
    /// When that document was applied, by the device's clock; 0 if it was not.
    #[prost(uint64, tag = "4")]
    pub applied_at_unix_ms: u64,
    /// What is on the disk, read anew for this report; 32 bytes, or empty if nothing is there or it cannot be read.
    #[prost(bytes = "vec", tag = "5")]
    pub digest_on_disk: Vec<u8>,
    /// What is on the disk is not what was applied there: someone else changed it.
    #[prost(bool, tag = "6")]
    pub drift: bool,
    /// What went wrong, for people; empty if nothing did. Never a secret.
    #[prost(string, tag = "7")]
    pub error: String,
}

/// How far the document of an application is on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ApplicationState {
    /// Not said, or not known here.
    Unspecified = 0,
    /// Received, not in use yet.
    Applying = 1,
    /// In use.
    Applied = 2,
    /// Not in use; the error says why. What was in use before still is.
    Failed = 3,
    /// Being taken back.
    Withdrawing = 4,
    /// Taken back. Reported until acknowledged; then the application is not listed any more.
    Withdrawn = 5,
    /// The device has no way to configure this application.
    Unsupported = 6,
}

/// Asks the other side to bring the device up to date now.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SyncRequest {
    /// Of this request, 16 bytes; its result has the same.
    #[prost(bytes = "vec", tag = "1")]
    pub sync_id: Vec<u8>,
    /// Why, for people; can be empty.
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SyncResult {
    /// That of the request, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub sync_id: Vec<u8>,
    /// How it ended.
    #[prost(enumeration = "SyncOutcome", tag = "2")]
    pub outcome: i32,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum SyncOutcome {
    /// Not said, or not known here.
    Unspecified = 0,
    /// The device has what it should have.
    Synchronised = 1,
    /// Something went wrong; the state of the applications says what.
    Failed = 2,
    /// Not now: too often, or not allowed.
    Refused = 3,
}

/// A message for people: on the device, or at the server.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Notice {
    /// How bad.
    #[prost(enumeration = "Severity", tag = "1")]
    pub severity: i32,
    /// A few words.
    #[prost(string, tag = "2")]
    pub title: String,
    /// Sentences; plain text, not markup.
    #[prost(string, tag = "3")]
    pub text: String,
    /// More, by name, for programs and for who looks closer.
    #[prost(btree_map = "string, string", tag = "4")]
    pub details: BTreeMap<String, String>,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Severity {
    /// Not said, or not known here.
    Unspecified = 0,
    /// Good to know.
    Info = 1,
    /// Someone should look at it some day.
    Warning = 2,
    /// Something does not work.
    Error = 3,
    /// Nothing works, or data are being lost.
    Critical = 4,
}

/// When to come back, to the device that this was said to; the heartbeat interval is for those that cannot read it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct NextContact {
    /// Milliseconds from the receipt of this to the next contact.
    #[prost(uint64, tag = "1")]
    pub delay_ms: u64,
    /// Milliseconds between contacts after that; 0 leaves it to the device.
    #[prost(uint64, tag = "2")]
    pub period_ms: u64,
}

/// Asks a device to run an action that it has configured, at most once.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Task {
    /// Its own, 16 bytes: the same task under another item is still the same task.
    #[prost(bytes = "vec", tag = "1")]
    pub task_id: Vec<u8>,
    /// The action, as the device has configured it.
    #[prost(string, tag = "2")]
    pub action: String,
    /// What the action is given: JSON; empty for nothing.
    #[prost(string, tag = "3")]
    pub parameters: String,
    /// Milliseconds from the receipt of this in which it may begin; 0 is any time.
    #[prost(uint64, tag = "4")]
    pub expires_in_ms: u64,
}

/// What became of a task.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct TaskResult {
    /// That of the task, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub task_id: Vec<u8>,
    /// How it ended.
    #[prost(enumeration = "TaskOutcome", tag = "2")]
    pub outcome: i32,
    /// More, for people; can be empty. Never a secret.
    #[prost(string, tag = "3")]
    pub text: String,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum TaskOutcome {
    /// Not said, or not known here.
    Unspecified = 0,
    /// It ran and succeeded.
    Succeeded = 1,
    /// It ran and failed, or was interrupted; it is not run again.
    Failed = 2,
    /// The device has no such action.
    Unsupported = 3,
    /// Its time was over before it began.
    Expired = 4,
}

/// Someone on the device has an activation code. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
#[prost(skip_debug)]
pub struct Activation {
    /// Of this attempt, 16 bytes; its result has the same.
    #[prost(bytes = "vec", tag = "1")]
    pub activation_id: Vec<u8>,
    /// As it was typed.
    #[prost(string, tag = "2")]
    pub code: String,
}

impl fmt::Debug for Activation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Activation").field("activation_id", &self.activation_id).finish_non_exhaustive()
    }
}

/// What became of an activation.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ActivationResult {
    /// That of the attempt, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub activation_id: Vec<u8>,
    /// Whether the code activated someone.
    #[prost(bool, tag = "2")]
    pub activated: bool,
    /// Who was activated, or why nobody was; for people.
    #[prost(string, tag = "3")]
    pub text: String,
}
