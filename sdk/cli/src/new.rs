//! `syncline-plugin new`: a project that builds, with settings, wants and a test.
//!
//! The files are in `template/`, with `{{name}}` and the like in them. A world of its own gets a folder there.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};

use crate::{project::check_name, say};

/// Make the project of a new plugin.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the plugin, or path of the folder to make, whose last part is its name.
    name: PathBuf,
    /// What kind of plugin it is.
    #[arg(long, value_enum, default_value_t)]
    world: World,
    /// Folder of the SDK's crate `syncline-plugin`. Without it: found from where this program stands.
    #[arg(long, env = "SYNCLINE_SDK", value_name = "FOLDER")]
    sdk: Option<PathBuf>,
}

/// The worlds that there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum World {
    /// Says which files should stand on distribution servers.
    #[default]
    FileSync,
    /// Decides what devices should hold.
    DevicePolicy,
    /// Reads people, groups, computers and units from a directory.
    DirectorySync,
}

/// Files of a project of world `file-sync`: path and text.
const FILE_SYNC: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("../template/file-sync/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../template/file-sync/lib.rs.in")),
    ("README.md", include_str!("../template/file-sync/README.md.in")),
    ("settings.json", include_str!("../template/file-sync/settings.json.in")),
    (".gitignore", "/target\n/*.wasm\n"),
];

/// Files of a project of world `device-policy`.
const DEVICE_POLICY: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("../template/device-policy/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../template/device-policy/lib.rs.in")),
    ("README.md", include_str!("../template/device-policy/README.md.in")),
    ("settings.json", include_str!("../template/device-policy/settings.json.in")),
    ("request.json", include_str!("../template/device-policy/request.json.in")),
    (".gitignore", "/target\n/*.wasm\n"),
];

/// Files of a project of world `directory-sync`.
const DIRECTORY_SYNC: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("../template/directory-sync/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../template/directory-sync/lib.rs.in")),
    ("README.md", include_str!("../template/directory-sync/README.md.in")),
    ("settings.json", include_str!("../template/directory-sync/settings.json.in")),
    (".gitignore", "/target\n/*.wasm\n"),
];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let name = args.name.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    check_name(name)?;
    check_crate_name(name)?;
    let sdk = find_sdk(args.sdk.as_deref())?;
    let sdk = sdk.to_str().with_context(|| format!("the path {} is not Unicode", sdk.display()))?;
    let files: &[_] = match args.world {
        World::FileSync => &FILE_SYNC,
        World::DevicePolicy => &DEVICE_POLICY,
        World::DirectorySync => &DIRECTORY_SYNC,
    };
    if args.name.exists() {
        bail!("{} is there already: choose another name, or remove it", args.name.display());
    }
    for (path, text) in files {
        let text = text
            .replace("{{name}}", name)
            .replace("{{type}}", &type_name(name))
            .replace("{{sdk}}", &toml::Value::from(sdk).to_string());
        let path = args.name.join(path);
        let folder = path.parent().context("a file without a folder")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let shown = args.name.display();
    say(format_args!("made {shown}: begin with {shown}/src/lib.rs"))?;
    say(format_args!("  syncline-plugin build {shown} --output {name}.wasm"))?;
    say(format_args!("  syncline-plugin check {name}.wasm"))?;
    Ok(ExitCode::SUCCESS)
}

/// What cargo takes as a package's name is narrower than what a host takes as a plugin's.
fn check_crate_name(name: &str) -> Result<()> {
    if name.contains('.') || name.starts_with(|first: char| first.is_ascii_digit()) {
        bail!(
            "{name:?} is no name for a Rust package: begin with a letter and use no '.' (a plugin can have another name than \
             its package: `name` in [package.metadata.syncline])"
        );
    }
    Ok(())
}

/// `my-plugin` as the name of a type, `MyPlugin`.
fn type_name(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split(['-', '_']).map(capital).collect()
}

/// The SDK's crate: as named, or from where this program was built (`target/release/…` in the repository).
fn find_sdk(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        if !is_sdk(named) {
            bail!(
                "{} does not hold the SDK (the crate `syncline-plugin`): give its folder `sdk/plugin`",
                named.display()
            );
        }
        return named.canonicalize().with_context(|| named.display().to_string());
    }
    let this = env::current_exe().and_then(fs::canonicalize).context("asking where this program stands")?;
    let found =
        this.ancestors().skip(1).map(|folder| folder.join("sdk/plugin")).find(|folder| is_sdk(folder));
    found.context(
        "the SDK (the crate `syncline-plugin`) was not found above this program: name its folder, `sdk/plugin` in \
         Syncline's repository, with --sdk or SYNCLINE_SDK",
    )
}

fn is_sdk(folder: &Path) -> bool {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    let manifest: toml::Table = manifest.parse().unwrap_or_default();
    let name = manifest.get("package").and_then(|package| package.get("name"));
    name.and_then(toml::Value::as_str) == Some("syncline-plugin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_after_plugins() {
        assert_eq!(type_name("my-first_plugin2"), "MyFirstPlugin2");
        assert_eq!(type_name("a--b"), "AB");
    }

    #[test]
    fn packages_have_narrower_names() {
        assert!(check_crate_name("hello-2").is_ok());
        for bad in ["2nd", "a.b"] {
            assert!(check_crate_name(bad).is_err(), "{bad}");
        }
    }
}
