//! How far the plugin has come with declaring. What is copied afterwards, the host counts by itself.

use crate::raw::syncline::plugin::progress;

/// Tell a position. Never fails and never waits; the latest one holds.
///
/// `total` is `None` while unknown, and can change. `unit` is a plural for people, such as `entries`, at most 32 bytes.
pub fn report(done: u64, total: Option<u64>, unit: &str) {
    progress::report(done, total, unit);
}
