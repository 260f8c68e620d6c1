//! Lines in the log of the run: `info!("took {name}")`, or with fields, `warn!(server = name, left = 3; "no rule for it")`.
//!
//! A message is cut at 4 KiB, a field at 1 KiB, a line at 32 fields, and past 64 KiB a run lines are only counted. In
//! native tests, lines go to standard error.

use std::fmt;

pub use crate::raw::syncline::plugin::log::Level;

/// Whether lines of this level are kept: ask before making costly ones. `trace!` and `debug!` ask by themselves.
pub fn enabled(level: Level) -> bool {
    #[cfg(target_family = "wasm")]
    return crate::raw::syncline::plugin::log::enabled(level);
    #[cfg(not(target_family = "wasm"))]
    return level >= Level::Info;
}

/// Write a line. Never fails and never waits. The macros are shorter.
pub fn write(level: Level, message: fmt::Arguments<'_>, fields: &[(&str, String)]) {
    #[cfg(target_family = "wasm")]
    {
        use crate::raw::syncline::plugin::{log, types::Label};
        let field = |(name, value): &(&str, String)| Label { name: (*name).to_owned(), value: value.clone() };
        log::write(level, &message.to_string(), &fields.iter().map(field).collect::<Vec<_>>());
    }
    #[cfg(not(target_family = "wasm"))]
    {
        use std::io::Write;
        let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        // As in the host: a line that cannot be written is no reason to fail.
        let _ = writeln!(std::io::stderr(), "{level:?}: {message}{fields}");
    }
}

/// Write a line of a level that is known only at run time: `log!(level, field = value; "message {}", 1)`.
#[macro_export]
macro_rules! log {
    ($level:expr, $($field:ident = $value:expr),+ ; $($message:tt)+) => {
        $crate::log::write(
            $level,
            ::core::format_args!($($message)+),
            &[$((::core::stringify!($field), ::std::string::ToString::to_string(&$value))),+],
        )
    };
    ($level:expr, $($message:tt)+) => {
        $crate::log::write($level, ::core::format_args!($($message)+), &[])
    };
}

/// A line of level `trace`; costs one call to the host where that is not kept.
#[macro_export]
macro_rules! trace {
    ($($line:tt)+) => {
        if $crate::log::enabled($crate::log::Level::Trace) {
            $crate::log!($crate::log::Level::Trace, $($line)+)
        }
    };
}

/// A line of level `debug`; costs one call to the host where that is not kept.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => {
        if $crate::log::enabled($crate::log::Level::Debug) {
            $crate::log!($crate::log::Level::Debug, $($line)+)
        }
    };
}

/// A line of level `info`.
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Info, $($line)+) };
}

/// A line of level `warn`: an operator should look at it some day.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Warn, $($line)+) };
}

/// A line of level `error`: this run cannot do its work.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Error, $($line)+) };
}
