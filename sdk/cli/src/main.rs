//! `syncline-plugin`: make, build, check and try plugins.
//!
//! One verb a file: [`new`], [`build`], [`check`], [`trial`] (the verb `test`). What they share: [`project`] reads a project,
//! [`compiler`] finds a compiler for it, [`module`] and [`component`] turn its output into a package, [`manifest`] is what a
//! package says of itself, [`host`] finds the `syncline` program.
//!
//! This tool knows nothing of the host but the command line of `syncline`: what a host accepts, only a host can say.

mod build;
mod check;
mod compiler;
mod component;
mod host;
mod manifest;
mod module;
mod new;
mod project;
mod trial;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Make, build, check and try Syncline plugins.
#[derive(Debug, Parser)]
#[command(name = "syncline-plugin", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 it did not work or was refused, 2 wrong arguments.";

#[derive(Debug, Subcommand)]
enum Verb {
    New(new::Args),
    Build(build::Args),
    Check(check::Args),
    Test(trial::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::New(args) => new::run(&args),
        Verb::Build(args) => build::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Test(args) => trial::run(&args),
    };
    result.unwrap_or_else(|error| {
        // Where not even this can be written, the exit code is all that is left to say.
        let _ = writeln!(io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

/// A line for people, on standard output.
fn say(line: impl std::fmt::Display) -> Result<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}

/// A line about how the work goes, on standard error.
fn note(line: impl std::fmt::Display) -> Result<()> {
    Ok(writeln!(io::stderr(), "{line}")?)
}
