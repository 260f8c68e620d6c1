//! `syncline-plugin test`: run a plugin in the host's sandbox and pipeline on folders of this machine, or ask it about a
//! device.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{
    build,
    host::{self, Location},
    manifest::Manifest,
    project::{DIRECTORY_SYNC, Project},
};

/// Run a plugin on folders and print the difference that it would make, or ask it about a device and print its answers.
///
/// It runs as on a host: in the same sandbox, through the same pipeline. A project is built first. Plugins of world
/// `file-sync` take --source and --target, those of world `device-policy` take --request. Those of world `directory-sync`
/// cannot be tried yet.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a project, or a package.
    #[arg(default_value = ".", value_name = "PROJECT|FILE.wasm")]
    plugin: PathBuf,
    /// A folder to read, bound as a source. Can be given more than once, then with names. Without a name: `source`.
    #[arg(long, required_unless_present = "request", value_name = "[NAME=]FOLDER")]
    source: Vec<String>,
    /// A folder to be filled. Can be given more than once, then with names. Without a name: `target`. Without any: an
    /// empty folder that is thrown away.
    #[arg(long, value_name = "[NAME=]FOLDER")]
    target: Vec<String>,
    /// What is asked about a device: a file with a JSON object of `applications`, `facts`, `users` and `explain`. The README
    /// of a new project has an example.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "target", "apply"])]
    request: Option<PathBuf>,
    /// Settings: a JSON object, or a file with one.
    #[arg(long, default_value = "{}", value_name = "JSON|FILE")]
    settings: String,
    /// Make it so, instead of only printing it.
    #[arg(long, requires = "target")]
    apply: bool,
    /// Answer as JSON, as the host gives it.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: Location,
    #[command(flatten)]
    options: build::Options,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if world(&args.plugin)?.as_deref() == Some(DIRECTORY_SYNC) {
        bail!(
            "plugins of world {DIRECTORY_SYNC:?} cannot be tried with `test` yet: test what it decides with `cargo test`, and \
             preview a sync of it on a server"
        );
    }
    let program = args.host.find().context(Location::MISSING)?;
    let scratch = tempfile::tempdir().context("making a temporary folder")?;
    let settings = object("settings", &args.settings)?;
    let on = match &args.request {
        Some(file) => vec!["--request".into(), request(file)?],
        None => folders(args, scratch.path())?,
    };
    let package = if args.plugin.is_dir() {
        let package = build::make(&args.plugin, &args.options)?;
        let path = scratch.path().join(format!("{}.wasm", package.manifest.name));
        build::write(&path, &package.bytes)?;
        path
    } else {
        args.plugin.clone()
    };
    let mut command = Command::new(&program);
    command.args(["plugin", "try"]).arg(package).arg("--settings").arg(settings).args(on);
    if args.json {
        command.arg("--json");
    }
    host::run(&program, &mut command)
}

/// The world of a project or package. `None` where that cannot be told: building or the host says then what is wrong with it.
fn world(plugin: &Path) -> Result<Option<String>> {
    if plugin.is_dir() {
        return Ok(Some(Project::read(plugin)?.world));
    }
    let package = fs::read(plugin).with_context(|| format!("reading {}", plugin.display()))?;
    Ok(Manifest::read_from(&package).ok().map(|manifest| manifest.world))
}

/// The host's arguments for folders.
fn folders(args: &Args, scratch: &Path) -> Result<Vec<OsString>> {
    let sources = bindings(&args.source, "source")?;
    let mut targets = bindings(&args.target, "target")?;
    if targets.is_empty() {
        let empty = scratch.join("target");
        fs::create_dir(&empty)?;
        targets.push(format!("target={}", empty.display()));
    }
    let mut on = Vec::new();
    for (option, folders) in [("--source", sources), ("--target", targets)] {
        for folder in folders {
            on.extend([option.into(), folder.into()]);
        }
    }
    if args.apply {
        on.push("--apply".into());
    }
    Ok(on)
}

/// The host's argument for a request: the file, which can be larger than an argument, once it is known to hold an object.
fn request(file: &Path) -> Result<OsString> {
    let text =
        fs::read_to_string(file).with_context(|| format!("reading the request from {}", file.display()))?;
    parse("request", &text)?;
    let mut argument = OsString::from("@");
    argument.push(file);
    Ok(argument)
}

/// Each as `NAME=FOLDER`, the folder absolute. A single one can do without a name.
fn bindings(given: &[String], default: &str) -> Result<Vec<String>> {
    given
        .iter()
        .map(|text| {
            let (name, folder) = match text.split_once('=') {
                // A folder can have `=` in its path; a name has no `/`.
                Some((name, folder)) if !name.contains('/') => (name, folder),
                _ if given.len() == 1 => (default, text.as_str()),
                _ => bail!("{text:?} has no name: where there are several, give each as NAME=FOLDER"),
            };
            crate::project::check_name(name)?;
            let folder =
                Path::new(folder).canonicalize().with_context(|| format!("the folder {folder:?}"))?;
            if !folder.is_dir() {
                bail!("{} is no folder", folder.display());
            }
            Ok(format!("{name}={}", folder.display()))
        })
        .collect()
}

/// The text of a JSON object, given as such or as a file.
fn object(what: &str, given: &str) -> Result<String> {
    let text = if given.trim_start().starts_with('{') {
        given.to_owned()
    } else {
        fs::read_to_string(given).with_context(|| format!("reading the {what} from {given:?}"))?
    };
    Ok(parse(what, &text)?.to_string())
}

fn parse(what: &str, text: &str) -> Result<serde_json::Value> {
    let value: serde_json::Value =
        serde_json::from_str(text).with_context(|| format!("{what}: this is no JSON"))?;
    if !value.is_object() {
        bail!("{what}: this is no JSON object");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_needs_no_name_and_several_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let path = path.to_str().unwrap();
        let check = |given: &[&str]| {
            let given: Vec<_> = given.iter().map(|text| text.replace('@', path)).collect();
            bindings(&given, "source")
                .map(|found| found.join(" ").replace(path, "@"))
                .map_err(|e| e.to_string())
        };
        assert_eq!(check(&[]).unwrap(), "");
        assert_eq!(check(&["@"]).unwrap(), "source=@");
        assert_eq!(check(&["a=@", "b=@"]).unwrap(), "a=@ b=@");
        assert!(check(&["@", "@"]).unwrap_err().contains("NAME=FOLDER"));
        assert!(check(&["A=@"]).unwrap_err().contains("is no name"));
        assert!(check(&["a=@/missing"]).unwrap_err().contains("missing"));
    }

    #[test]
    fn settings_are_an_object_or_a_file_with_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.json");
        fs::write(&file, "{ \"a\": 1 }").unwrap();
        let settings = |given: &str| object("settings", given);
        assert_eq!(settings(file.to_str().unwrap()).unwrap(), r#"{"a":1}"#);
        assert_eq!(settings(" {}").unwrap(), "{}");
        fs::write(&file, "[]").unwrap();
        assert!(settings(file.to_str().unwrap()).unwrap_err().to_string().contains("no JSON object"));
        assert!(settings("{").unwrap_err().to_string().contains("no JSON"));
        assert!(settings("nowhere.json").unwrap_err().to_string().contains("nowhere.json"));
    }
}
