//! Write Syncline plugins in Rust.
//!
//! A plugin says what should be; the host finds the difference, shows it, guards it, and makes it so. This is a whole one:
//!
//! ```
//! use syncline_plugin::prelude::*;
//!
//! /// What an administrator can set.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     /// Folder on the servers.
//!     #[serde(default)]
//!     folder: String,
//! }
//!
//! struct Hello;
//!
//! impl FileSync for Hello {
//!     type Settings = Settings;
//!
//!     fn declare(settings: Settings, _request: Request) -> Result<Outcome> {
//!         let targets = targets();
//!         for source in sources() {
//!             Tree::of(&source).at(&settings.folder).declare(&targets)?;
//!         }
//!         info!(targets = targets.len(); "declared every source");
//!         Ok(Outcome::done())
//!     }
//! }
//!
//! syncline_plugin::export!(Hello);
//! ```
//!
//! `syncline-plugin new` makes a project around it, `syncline-plugin build` turns it into a package.
//!
//! # Where to look
//!
//! * [`FileSync`]: what a plugin of world `file-sync` implements. [`DevicePolicy`]: of world `device-policy`. [`DirectorySync`]:
//!   of world `directory-sync`. One trait a world.
//! * [`desired`]: declaring files. [`stores`]: reading sources. [`policy`]: deciding what devices hold. [`json`]: merging
//!   settings, writing documents. [`ldap`]: reading directory servers. [`http`]: asking web sources. [`directory`]: declaring what a directory has.
//! * [`Failure`]: saying why something did not work. [`mod@log`]: telling operators. [`progress`], [`clock`]: the rest that a
//!   host offers, but not to `device-policy`.
//! * [`raw`]: the contract as generated, for what is not wrapped.
//!
//! # Tests
//!
//! The crate compiles natively as well, so that what a plugin decides can be tested with `cargo test`. Calls that need a host
//! end such a test with a panic: keep deciding and declaring apart, and try the rest with `syncline-plugin test`.
//!
//! To add a world: a module like `raw`, a trait with an adapter like `file_sync`, an arm of [`export!`], and the world's name
//! in the command line's `new`.

extern crate self as syncline_plugin;

#[cfg(all(feature = "allocator", target_family = "wasm", not(target_feature = "atomics")))]
mod allocator;
pub mod clock;
#[cfg(any(test, all(feature = "memcmp", target_family = "wasm")))]
mod compare;
pub mod desired;
pub mod directory;
mod directory_sync;
mod failure;
mod file_sync;
pub mod http;
pub mod json;
mod labels;
pub mod ldap;
pub mod log;
pub mod policy;
pub mod progress;
pub mod raw;
pub mod settings;
pub mod stores;
mod sync;

pub use desired::{Content, File, Inventory, Prune, Target, Tree, declare_files, targets};
pub use directory::{Directory, Entry};
pub use directory_sync::DirectorySync;
#[doc(hidden)]
pub use directory_sync::DirectorySyncAdapter;
pub use failure::{Failure, FailureKind, Fault, Result};
pub use file_sync::FileSync;
#[doc(hidden)]
pub use file_sync::FileSyncAdapter;
pub use http::{WebSource, web_sources};
pub use labels::Labels;
pub use ldap::{DirectorySource, Session, directory_sources};
#[doc(hidden)]
pub use policy::DevicePolicyAdapter;
pub use policy::{Answer, Application, Device, DevicePolicy, Document, Verdict};
pub use schemars;
pub use serde;
pub use serde_json;
pub use settings::NoSettings;
pub use stores::{FileInfo, Source, Store, sources};
pub use sync::{Outcome, Request};
#[doc(hidden)]
pub use wit_bindgen;

/// What nearly every plugin uses.
pub mod prelude {
    pub use schemars::JsonSchema;
    pub use serde::Deserialize;

    pub use crate::{
        Answer, Application, Content, Device, DevicePolicy, Directory, DirectorySource, DirectorySync,
        Document, Entry, Failure, File, FileSync, Inventory, NoSettings, Outcome, Prune, Request, Result,
        Source, Target, Tree, Verdict, WebSource, debug, directory_sources, error, info, sources, targets,
        trace, warn, web_sources,
    };
}

/// Makes a type the plugin of this crate: `export!(Hello)` for a [`FileSync`], `export!(device-policy: Hello)` for a
/// [`DevicePolicy`], `export!(directory-sync: Hello)` for a [`DirectorySync`]. Once in a crate.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        $crate::export!(file-sync: $plugin);
    };
    (file-sync: $plugin:ty) => {
        // Names of exports of a component are no names for a native linker.
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::FileSyncAdapter<$plugin>;
            $crate::raw::export_file_sync_world!(Exported with_types_in $crate::raw);
            $crate::export!(@schema <$plugin as $crate::FileSync>::Settings);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            const fn implements<P: $crate::FileSync>() {}
            implements::<$plugin>()
        };
    };
    (device-policy: $plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::DevicePolicyAdapter<$plugin>;
            $crate::raw::device_policy::export_device_policy_world!(
                Exported with_types_in $crate::raw::device_policy
            );
            $crate::export!(@schema <$plugin as $crate::DevicePolicy>::Settings);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            const fn implements<P: $crate::DevicePolicy>() {}
            implements::<$plugin>()
        };
    };
    (directory-sync: $plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::DirectorySyncAdapter<$plugin>;
            $crate::raw::exports::syncline::plugin::sync::__export_syncline_plugin_sync_0_1_0_cabi!(
                Exported with_types_in $crate::raw::exports::syncline::plugin::sync
            );
            #[unsafe(link_section = "component-type:syncline:plugin@0.1.0:directory-sync:imports and exports")]
            static TYPE: [u8; $crate::raw::directory_sync::TYPE.len()] =
                $crate::raw::directory_sync::array($crate::raw::directory_sync::TYPE);
            $crate::export!(@schema <$plugin as $crate::DirectorySync>::Settings);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            const fn implements<P: $crate::DirectorySync>() {}
            implements::<$plugin>()
        };
    };
    (@schema $settings:ty) => {
        /// Run by `syncline-plugin build`, which then takes it out.
        #[unsafe(no_mangle)]
        extern "C" fn syncline_settings_schema() -> u64 {
            $crate::settings::leak_schema::<$settings>()
        }
    };
}
