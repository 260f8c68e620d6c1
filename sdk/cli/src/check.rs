//! `syncline-plugin check`: would a host take this package, and what would it ask an administrator for?

use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{
    build,
    component::Imports,
    host::{self, Location},
    manifest::Manifest,
    say,
};

/// Say whether a host would accept a package, and what it would ask for.
///
/// The host's own program decides. Without one, the package is only described, and the exit code is 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The package.
    #[arg(value_name = "FILE.wasm")]
    package: PathBuf,
    /// Answer as JSON, as the host gives it.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: Location,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let path = args.package.display();
    let bytes = fs::read(&args.package).with_context(|| format!("reading {path}"))?;
    let described = if args.json { Ok(()) } else { describe(&bytes) };
    let Some(program) = args.host.find() else {
        described.with_context(|| path.to_string())?;
        bail!("whether a host accepts {path} was not checked: {}", Location::MISSING);
    };
    // What cannot be described here, the host refuses with better words.
    let mut command = Command::new(&program);
    command.args(["plugin", "check"]).arg(&args.package);
    if args.json {
        command.arg("--json");
    }
    host::run(&program, &mut command)
}

fn describe(bytes: &[u8]) -> Result<()> {
    let manifest = Manifest::read_from(bytes)?;
    let imports = Imports::of(bytes)?;
    say(format_args!("{} {}: {}", manifest.name, manifest.version, manifest.description))?;
    say(format_args!("  world    {} (contract {})", manifest.world, manifest.contract))?;
    let all: Vec<_> = imports.contract.iter().chain(&imports.foreign).map(String::as_str).collect();
    say(format_args!("  imports  {}", all.join(", ")))?;
    build::describe_wants(&manifest)
}
