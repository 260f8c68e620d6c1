//! `syncline plugin check` and `try`: a package looked at and run on this machine, without a server. What a policy plugin
//! answers is printed by [`super::policy_answers`].

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use serde_json::{Value, json};
use syncline_domain::{
    Failure, Name,
    clock::SystemClock,
    log::{LogLevel, LogLine},
    plugin::{DEVICE_POLICY, Manifest},
};
use syncline_engine::{
    Engine, Error,
    try_out::{
        self, TryOut, TryReport,
        policy::{TryPolicy, try_policy},
    },
};

use super::{plugin, policy_answers, run::level, summary};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, bytes, fields, list, plain},
};

/// A package run on folders, or asked about a device.
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
    /// What a plugin that decides for devices is asked: an object of `applications`, `facts`, `users` and `explain`
    #[arg(
        long, value_name = "JSON|@FILE", value_parser = args::json, conflicts_with_all = ["sources", "targets", "apply"]
    )]
    request: Option<Value>,
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
            if manifest.world == DEVICE_POLICY {
                out.line(format!("\nGiven of a device: {}", given(manifest)))?;
            }
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

/// Runs a package on folders and shows the difference that it makes, or would make; or asks it about a device and shows
/// what it answers.
pub fn try_out(what: Try, out: Output) -> Result<Exit> {
    let Try { file, sources, targets, request, settings, apply } = what;
    let package = read(&file)?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| CliError::failed(format!("no threads can be started: {error}")))?;
    let clock = Arc::new(SystemClock);
    if let Some(request) = request {
        let what = TryPolicy { package, request, settings };
        let report = runtime.block_on(try_policy(what, clock)).map_err(Error::into_failure);
        return report
            .map_or_else(|failure| refused(&failure, out), |report| policy_answers::show(&report, out));
    }
    let world = Engine::inspect_package(&package).map(|package| package.manifest.world);
    if world.is_ok_and(|world| world == DEVICE_POLICY) {
        return Err(CliError::usage(format!(
            "{} is of world {DEVICE_POLICY}: say with --request what it is asked about a device",
            file.display()
        )));
    }
    let what = TryOut { package, sources, targets, settings, apply };
    let report = runtime.block_on(try_out::try_out(what, clock)).map_err(Error::into_failure);
    report.map_or_else(|failure| refused(&failure, out), |report| show(&report, apply, out))
}

fn refused(failure: &Failure, out: Output) -> Result<Exit> {
    if out.is_json() {
        out.line(json!({ "failure": failure }))?;
        return Ok(Exit::Failed);
    }
    Err(failed(failure))
}

/// What was logged, for people.
pub(super) fn note_log(log: &[LogLine], out: Output) {
    for line in log.iter().filter(|line| line.level >= LogLevel::Info) {
        let fields: String = line.fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        out.note(format!("{:<5} {}", level(line.level), plain(&format!("{}{fields}", line.message))));
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
    note_log(&report.log, out);
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

/// What a policy plugin is given of a device, in words.
fn given(manifest: &Manifest) -> String {
    let users = manifest.users.then_some("its users with their key sets");
    let applications =
        if manifest.whole_device { "all applications in one call" } else { "its applications, one a call" };
    let facts = manifest.facts.iter().map(String::as_str);
    list(facts.chain(users).chain([applications]))
}

fn failed(failure: &Failure) -> CliError {
    let code = if failure.code.is_empty() { String::new() } else { format!(" [{}]", failure.code) };
    CliError::failed(format!("{}{code}", plain(&failure.message)))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| CliError::failed(format!("{}: {error}", file.display())))
}
