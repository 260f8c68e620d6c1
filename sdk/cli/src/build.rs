//! `syncline-plugin build`: compile, make a component, put the manifest in, write one file.

use std::{
    ffi::OsString,
    fs,
    io::{BufReader, Write},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, TargetKind};

use crate::{
    compiler::{Choice, Compiler},
    component::{self, Imports},
    manifest::Manifest,
    module, note,
    project::{DEVICE_POLICY, Project},
    say,
};

/// Compile a plugin and write it as one package file.
///
/// The package is a WebAssembly component that holds its manifest: name, version, description and licence from the
/// package in Cargo.toml, world and wants from [package.metadata.syncline], the settings' schema from the code.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the plugin's project.
    #[arg(default_value = ".")]
    project: PathBuf,
    /// File to write.
    #[arg(long, short, value_name = "FILE.wasm")]
    output: PathBuf,
    #[command(flatten)]
    options: Options,
}

/// How to compile.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Compile with checks and line numbers, faster to build, larger and slower to run.
    #[arg(long)]
    debug: bool,
    /// Which compiler to use.
    #[arg(long, value_enum, default_value_t, value_name = "WAY")]
    compiler: Choice,
    /// Arguments for cargo, such as `--locked`.
    #[arg(last = true, value_name = "CARGO-ARGS")]
    cargo: Vec<OsString>,
}

/// A package, not yet written.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) manifest: Manifest,
    pub(crate) bytes: Vec<u8>,
    imports: Imports,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let package = make(&args.project, &args.options)?;
    write(&args.output, &package.bytes)?;
    describe(&package, &args.output)?;
    Ok(ExitCode::SUCCESS)
}

/// Everything but writing it.
pub(crate) fn make(folder: &Path, options: &Options) -> Result<Package> {
    let project = Project::read(folder)?;
    let compiler = Compiler::find(options.compiler, &project.folder)?;
    note(format!("compiling {} {} with {compiler}", project.name, project.version))?;
    let module = fs::read(compile(&project, &compiler, options)?).context("reading what cargo built")?;
    let world = component::world(&module)?.with_context(|| {
        format!(
            "the library {} holds no plugin: end src/lib.rs with `syncline_plugin::export!(YourPlugin);`, or with \
             `syncline_plugin::export!({}: YourPlugin);`",
            project.library,
            project.world
        )
    })?;
    if world.name != project.world {
        bail!(
            "Cargo.toml says world = {:?}, but the code exports a plugin of world {:?}: make them agree",
            project.world,
            world.name
        );
    }
    let schema = module::settings_schema(&module)?;
    let component = component::encode(&module::finish(&module)?)?;
    let imports = Imports::of(&component)?;
    imports.check(&project.wants).context("in [package.metadata.syncline]")?;
    for name in imports.unwanted(&project.wants) {
        note(format!("warning: it calls `{name}` without wanting it: each such call will be denied"))?;
    }
    let manifest = Manifest {
        name: project.name,
        version: project.version,
        world: world.name,
        contract: world.contract,
        description: project.description,
        licence: project.licence,
        settings_schema: schema.unwrap_or_else(|| serde_json::json!({ "type": "object" })),
        wants: project.wants,
        asks: project.asks,
    };
    let bytes = manifest.put_into(component)?;
    wasmparser::Validator::new().validate_all(&bytes).context("the package is not valid")?;
    Ok(Package { manifest, bytes, imports })
}

/// Runs cargo and finds the module that it made.
fn compile(project: &Project, compiler: &Compiler, options: &Options) -> Result<PathBuf> {
    let mut command = compiler.cargo_build(&project.folder, flags(project, options.debug));
    command.args(["--lib", "--message-format", "json-render-diagnostics"]);
    if !options.debug {
        // One module, optimised as a whole: it is compiled once more on the host, and called often.
        command.args(["--release", "--config", "profile.release.lto='fat'"]);
        command.args([
            "--config",
            "profile.release.codegen-units=1",
            "--config",
            "profile.release.strip='debuginfo'",
        ]);
    }
    command.args(&options.cargo);
    let mut cargo =
        command.stdout(Stdio::piped()).spawn().context("cargo cannot be run: install Rust (rustup.rs)")?;
    let output = cargo.stdout.take().context("cargo has no output")?;
    let mut found = None;
    for message in Message::parse_stream(BufReader::new(output)) {
        let Message::CompilerArtifact(artifact) = message.context("reading what cargo says")? else {
            continue;
        };
        let ours =
            artifact.target.name == project.library && artifact.target.kind.contains(&TargetKind::CDyLib);
        if ours && artifact.manifest_path.parent().is_some_and(|folder| folder == project.folder) {
            found = artifact.filenames.into_iter().find(|file| file.extension() == Some("wasm"));
        }
    }
    let status = cargo.wait()?;
    if !status.success() {
        bail!("{} does not compile: see above", project.name);
    }
    Ok(found.context("cargo built no module for WebAssembly")?.into())
}

/// For rustc. The stack lies below the data, so that one that overflows ends the instance instead of overwriting it; how
/// large it is decides how much memory each call of a plugin touches.
fn flags(project: &Project, debug: bool) -> Vec<OsString> {
    let stack = if debug { 1 << 20 } else { 64 << 10 };
    let mut flags = vec![format!("-Clink-arg=-zstack-size={stack}").into()];
    // Messages of a panic name source files: no paths of the machine that built it should be among them.
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let local = project.local.iter().map(|(folder, name)| (folder.clone(), name.clone()));
    for (folder, name) in home.map(|home| (home, "cargo".to_owned())).into_iter().chain(local) {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(folder);
        flag.push(format!("=/{name}"));
        flags.push(flag);
    }
    flags
}

/// Writes all or nothing: a reader never sees half a package.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let attempt = || -> Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().permissions(readable()).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    attempt().with_context(|| format!("writing {}", path.display()))
}

/// As any file that a program writes, rather than as a secret.
fn readable() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o666)
}

fn describe(package: &Package, output: &Path) -> Result<()> {
    let Package { manifest, bytes, imports } = package;
    say(format_args!("{} {} -> {}", manifest.name, manifest.version, output.display()))?;
    say(format_args!("  world    {} (contract {})", manifest.world, manifest.contract))?;
    say(format_args!("  size     {} bytes", bytes.len()))?;
    say(format_args!("  digest   blake3:{}", blake3::hash(bytes).to_hex()))?;
    let all: Vec<_> = imports.contract.iter().chain(&imports.foreign).map(String::as_str).collect();
    say(format_args!("  imports  {}", all.join(", ")))?;
    describe_wants(manifest)
}

/// What an administrator will be asked for.
pub(crate) fn describe_wants(manifest: &Manifest) -> Result<()> {
    if manifest.world == DEVICE_POLICY {
        say(format_args!("  given    {}", manifest.asks))?;
    }
    if manifest.wants.is_empty() {
        return say("  wants    nothing");
    }
    manifest.wants.iter().try_for_each(|want| say(format_args!("  wants    {want}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_its_folder_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/x.wasm");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1, "nothing temporary is left");
        let error = write(&path.join("below-a-file"), b"").unwrap_err();
        assert!(error.to_string().contains("below-a-file"), "{error}");
    }
}
