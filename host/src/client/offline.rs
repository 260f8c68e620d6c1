//! `syncline plugin check` and `try`: a package looked at and run on this machine, without a server.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use serde_json::{Value, json};
use syncline_domain::{Failure, Name, clock::SystemClock, log::LogLevel};
use syncline_engine::{
    Engine, Error,
    try_out::{self, TryOut, TryReport},
};

use super::{plugin, run::level, summary};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, bytes, fields, list, plain},
};

/// A package run on folders.
#[derive(Debug, Args)]
pub struct Try {
    /// The package, a .wasm file
    file: PathBuf,
    /// A folder to read, under the name that the plugin sees; can be repeated
    #[arg(long = "source", value_name = "NAME=DIR", value_parser = named_folder)]
    sources: Vec<(Name, PathBuf)>,
    /// A folder to fill, under the name that the plugin sees; can be repeated
    #[arg(long = "target", value_name = "NAME=DIR", value_parser = named_folder)]
    targets: Vec<(Name, PathBuf)>,
    /// Settings
    #[arg(long, value_name = "JSON|@FILE", value_parser = args::json, default_value = "{}")]
    settings: Value,
    /// Make it so, instead of only showing the difference
    #[arg(long)]
    apply: bool,
}

/// Operations that are shown to people; --json has them all.
const SHOWN: usize = 200;

fn named_folder(text: &str) -> Result<(Name, PathBuf), String> {
    let (name, path) = args::pair(text)?;
    Ok((name.parse().map_err(|error| format!("{error}"))?, PathBuf::from(path)))
}

/// Says what a package asks for, or why it is refused.
pub fn check(file: &Path, out: Output) -> Result<Exit> {
    let package = read(file)?;
    match Engine::inspect_package(&package) {
        Ok(package) if out.is_json() => {
            out.line(json!({
                "accepted": true, "manifest": package.manifest, "digest": package.digest,
                "imports": package.imports, "size": package.size,
            }))?;
            Ok(Exit::Ok)
        }
        Ok(package) => {
            let manifest = &package.manifest;
            out.line(fields(&[
                ("name", manifest.name.to_string()),
                ("version", manifest.version.to_string()),
                ("world", format!("{} of contract {}", manifest.world, manifest.contract)),
                ("description", manifest.description.clone()),
                ("licence", manifest.licence.clone()),
                ("imports", list(&package.imports)),
                ("size", bytes(package.size)),
                ("digest", package.digest.clone()),
            ]))?;
            out.line(format!("\n{}\n\nThis version of Syncline takes it.", plugin::wants(&manifest.wants)))?;
            Ok(Exit::Ok)
        }
        Err(error) => {
            let failure = error.into_failure();
            if out.is_json() {
                out.line(json!({ "accepted": false, "failure": failure }))?;
                return Ok(Exit::Failed);
            }
            Err(CliError::failed(format!("{} would be refused: {}", file.display(), plain(&failure.message))))
        }
    }
}

/// Runs a package on folders and shows the difference that it makes, or would make.
pub fn try_out(what: Try, out: Output) -> Result<Exit> {
    let package = read(&what.file)?;
    let apply = what.apply;
    let what =
        TryOut { package, sources: what.sources, targets: what.targets, settings: what.settings, apply };
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| CliError::failed(format!("no threads can be started: {error}")))?;
    let report = runtime.block_on(try_out::try_out(what, Arc::new(SystemClock))).map_err(Error::into_failure);
    match report {
        Ok(report) => show(&report, apply, out),
        Err(failure) if out.is_json() => {
            out.line(json!({ "failure": failure }))?;
            Ok(Exit::Failed)
        }
        Err(failure) => Err(failed(&failure)),
    }
}

fn show(report: &TryReport, apply: bool, out: Output) -> Result<Exit> {
    let exit = match (&report.failure, report.counts.failed) {
        (Some(_), _) => Exit::Failed,
        (None, 0) if apply && !report.excesses.is_empty() => Exit::Held,
        (None, 0) => Exit::Ok,
        (None, _) => Exit::Partial,
    };
    if out.is_json() {
        let json = serde_json::to_string(report)
            .map_err(|error| CliError::failed(format!("the report cannot be written as JSON: {error}")))?;
        out.line(json)?;
        return Ok(exit);
    }
    for line in report.log.iter().filter(|line| line.level >= LogLevel::Info) {
        let fields: String = line.fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        out.note(format!("{:<5} {}", level(line.level), plain(&format!("{}{fields}", line.message))));
    }
    let shown = &report.operations[..report.operations.len().min(SHOWN)];
    out.line(summary::operations(shown))?;
    if let Some(more) = report.operations.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        out.line(format!("… and {more} more; --json has them all"))?;
    }
    out.line(format!("\n{}", summary::targets(&report.targets, &report.counts)))?;
    for excess in &report.excesses {
        out.line(format!("Over the default limits: {excess}"))?;
    }
    match &report.failure {
        Some(failure) => Err(failed(failure)),
        None => Ok(exit),
    }
}

fn failed(failure: &Failure) -> CliError {
    let code = if failure.code.is_empty() { String::new() } else { format!(" [{}]", failure.code) };
    CliError::failed(format!("{}{code}", plain(&failure.message)))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| CliError::failed(format!("{}: {error}", file.display())))
}
