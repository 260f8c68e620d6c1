//! Packages: offered, and what became of them (section "Packages"). Beta.

use std::collections::BTreeMap;

use super::Headers;

/// An offer of packages (section "PackagesAvailable Message").
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PackagesAvailable {
    /// By name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub packages: BTreeMap<String, PackageAvailable>,
    /// Of all names and contents; always set.
    #[prost(bytes = "vec", tag = "2")]
    pub all_packages_hash: Vec<u8>,
}

/// One package (section "PackageAvailable Message").
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct PackageAvailable {
    /// What it is to the agent. `type` in the specification.
    #[prost(enumeration = "PackageType", tag = "1")]
    pub kind: i32,
    /// Which version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Where to get it.
    #[prost(message, optional, tag = "3")]
    pub file: Option<DownloadableFile>,
    /// Of the fields and the content; tells whether the agent has it.
    #[prost(bytes = "vec", tag = "4")]
    pub hash: Vec<u8>,
}

/// What a package is to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum PackageType {
    /// The agent itself.
    TopLevel = 0,
    /// Something beside it.
    Addon = 1,
}

/// Where to get a file (section "DownloadableFile Message").
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct DownloadableFile {
    /// For a GET request, best one that takes ranges.
    #[prost(string, tag = "1")]
    pub download_url: String,
    /// Of the content.
    #[prost(bytes = "vec", tag = "2")]
    pub content_hash: Vec<u8>,
    /// Of the content, in a way that the agent knows; can be empty.
    #[prost(bytes = "vec", tag = "3")]
    pub signature: Vec<u8>,
    /// To send along. Development.
    #[prost(message, optional, tag = "4")]
    pub headers: Option<Headers>,
}

/// The packages that an agent has or was offered (section "PackageStatuses Message").
#[derive(Clone, PartialEq, prost::Message)]
pub struct PackageStatuses {
    /// By name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub packages: BTreeMap<String, PackageStatus>,
    /// The `all_packages_hash` of the last offer.
    #[prost(bytes = "vec", tag = "2")]
    pub server_provided_all_packages_hash: Vec<u8>,
    /// What was wrong with the offer as a whole.
    #[prost(string, tag = "3")]
    pub error_message: String,
}

/// What became of one package (section "PackageStatus Message").
#[derive(Clone, PartialEq, prost::Message)]
pub struct PackageStatus {
    /// The key it has in the map.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The version that the agent has; empty if it has none.
    #[prost(string, tag = "2")]
    pub agent_has_version: String,
    /// The hash of what the agent has; empty if it has none.
    #[prost(bytes = "vec", tag = "3")]
    pub agent_has_hash: Vec<u8>,
    /// The version that was offered; empty if none was.
    #[prost(string, tag = "4")]
    pub server_offered_version: String,
    /// The hash of what was offered; empty if nothing was.
    #[prost(bytes = "vec", tag = "5")]
    pub server_offered_hash: Vec<u8>,
    /// How far it is.
    #[prost(enumeration = "PackageStatusEnum", tag = "6")]
    pub status: i32,
    /// What went wrong.
    #[prost(string, tag = "7")]
    pub error_message: String,
    /// How the download goes. Development.
    #[prost(message, optional, tag = "8")]
    pub download_details: Option<PackageDownloadDetails>,
}

/// How a download goes. Development.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct PackageDownloadDetails {
    /// Of 100.
    #[prost(double, tag = "1")]
    pub download_percent: f64,
    /// Bytes a second.
    #[prost(double, tag = "2")]
    pub download_bytes_per_second: f64,
}

/// How far a package is. The first value says that it is installed: read the field with `try_from`, since values that are not
/// known would be taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum PackageStatusEnum {
    /// Done.
    Installed = 0,
    /// Not begun.
    InstallPending = 1,
    /// Under way.
    Installing = 2,
    /// Given up; the message says why.
    InstallFailed = 3,
    /// On its way. Development.
    Downloading = 4,
}
