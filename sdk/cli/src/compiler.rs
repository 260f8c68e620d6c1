//! Finding a compiler that can build for `wasm32-unknown-unknown`, and running cargo with it.
//!
//! Two ways, tried in this order:
//!
//! 1. a toolchain that has the target, or gets it by `rustup target add`;
//! 2. Debian's `rustc` with the sources of the standard library (packages `rustc-web` and `rust-web-src`) and any wasm-ld,
//!    for machines that rustup cannot fetch to. The standard library is then built with the plugin.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::note;

/// What guests are compiled for: it has no system, so a component made from it imports what the world gives and no more.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Where Debian puts its compiler, whatever else is in the PATH.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Which way to take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// The first that works.
    #[default]
    Auto,
    /// The toolchain in the PATH, with the target from rustup.
    Rustup,
    /// Debian's packages rustc-web and rust-web-src.
    Debian,
}

/// A compiler that was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// `rustc` in the PATH, with the target.
    Target { version: String },
    /// A `rustc` that builds the standard library itself.
    BuildStd { rustc: PathBuf, version: String, linker: Linker },
}

/// A linker for WebAssembly.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Linker {
    program: PathBuf,
    /// Whether it must be told which of its faces to show.
    is_rust_lld: bool,
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target { version } => write!(f, "{version}, which has the target {TARGET}"),
            Self::BuildStd { rustc, version, linker } => {
                let linker = linker.program.display();
                write!(
                    f,
                    "{version} ({}), building the standard library, linking with {linker}",
                    rustc.display()
                )
            }
        }
    }
}

/// The cargo to run: the one that runs us, if one does.
pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

impl Compiler {
    /// Finds one for the project in `folder` (which can name its toolchain).
    pub(crate) fn find(choice: Choice, folder: &Path) -> Result<Self> {
        let mut reasons = Vec::new();
        if choice != Choice::Debian {
            match with_target(folder) {
                Ok(found) => return Ok(found),
                Err(error) => reasons.push(format!("rustup: {error:#}")),
            }
        }
        if choice != Choice::Rustup {
            match with_std(Path::new(DEBIAN_RUSTC), folder) {
                Ok(found) => return Ok(found),
                Err(error) => reasons.push(format!("Debian: {error:#}")),
            }
        }
        bail!(
            "no compiler for {TARGET}: run `rustup target add {TARGET}`, or, where rustup cannot fetch it, `apt-get install \
             rustc-web rust-web-src lld`\n  tried {}",
            reasons.join("\n  tried ")
        )
    }

    /// `cargo build` with everything that this compiler needs; `flags` are for rustc.
    pub(crate) fn cargo_build(&self, folder: &Path, mut flags: Vec<OsString>) -> Command {
        let mut command = Command::new(cargo());
        command.current_dir(folder).args(["build", "--target", TARGET]);
        // What a caller set for its own programs is not meant for guests, and would go before what is set here.
        command.env_remove("RUSTFLAGS").env_remove("RUSTC_WORKSPACE_WRAPPER");
        if let Self::BuildStd { rustc, linker, .. } = self {
            command.args(["-Z", "build-std=std,panic_abort"]);
            command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &linker.program);
            if linker.is_rust_lld {
                flags.push("-Clinker-flavor=wasm-ld".into());
            }
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\x1f")));
        command
    }
}

fn with_target(folder: &Path) -> Result<Compiler> {
    let rustc = env::var_os("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from);
    let sysroot = PathBuf::from(answer(&rustc, &["--print", "sysroot"], folder)?);
    let version = answer(&rustc, &["--version"], folder)?;
    if !has_target(&sysroot) {
        note(format!("adding the target {TARGET} with rustup"))?;
        let status = Command::new("rustup")
            .args(["target", "add", TARGET])
            .current_dir(folder)
            .stdout(Stdio::null())
            .status()
            .context("the target is missing, and rustup, which could add it, is not there")?;
        if !status.success() || !has_target(&sysroot) {
            bail!("`rustup target add {TARGET}` did not work ({status})");
        }
    }
    Ok(Compiler::Target { version })
}

/// Whether this toolchain came with a standard library for the target.
fn has_target(sysroot: &Path) -> bool {
    let folder = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let is_std = |name: &OsStr| name.to_string_lossy().starts_with("libstd-");
    folder
        .read_dir()
        .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|one| is_std(&one.file_name()))))
}

fn with_std(rustc: &Path, folder: &Path) -> Result<Compiler> {
    let sysroot = PathBuf::from(answer(rustc, &["--print", "sysroot"], folder)?);
    if !sysroot.join("lib/rustlib/src/rust/library/Cargo.lock").is_file() {
        bail!("{} has no sources of the standard library: install the package rust-web-src", rustc.display());
    }
    let version = answer(rustc, &["--version"], folder)?;
    let mut sysroots = vec![sysroot];
    // Of a toolchain of rustup, which brings a linker, even where it has not the target.
    sysroots.extend(answer(Path::new("rustc"), &["--print", "sysroot"], folder).ok().map(PathBuf::from));
    let path = env::var_os("PATH").unwrap_or_default();
    let linker = find_linker(&sysroots, env::split_paths(&path)).context(
        "there is no linker for WebAssembly (rust-lld, wasm-ld or wasm-ld-NN): install the package lld",
    )?;
    Ok(Compiler::BuildStd { rustc: rustc.to_owned(), version, linker })
}

/// `rust-lld` of a toolchain, or else the newest wasm-ld in the PATH.
fn find_linker(sysroots: &[PathBuf], path: impl Iterator<Item = PathBuf>) -> Option<Linker> {
    let hosts =
        sysroots.iter().filter_map(|root| root.join("lib/rustlib").read_dir().ok()).flatten().flatten();
    let rust_lld = hosts.map(|host| host.path().join("bin/rust-lld")).find(|program| program.is_file());
    if let Some(program) = rust_lld {
        return Some(Linker { program, is_rust_lld: true });
    }
    let entries = path.filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    let wasm_ld = entries.filter_map(|entry| Some((wasm_ld(&entry.file_name())?, entry.path())));
    wasm_ld.max_by_key(|(version, _)| *version).map(|(_, program)| Linker { program, is_rust_lld: false })
}

/// Version of LLVM in the name of a linker; that without a number is what the system prefers.
fn wasm_ld(name: &OsStr) -> Option<u32> {
    match name.to_str()?.strip_prefix("wasm-ld")? {
        "" => Some(u32::MAX),
        rest => rest.strip_prefix('-')?.parse().ok(),
    }
}

/// The first line that a program prints.
fn answer(program: &Path, args: &[&str], folder: &Path) -> Result<String> {
    let shown = program.display();
    let output = Command::new(program)
        .args(args)
        .current_dir(folder)
        .output()
        .with_context(|| format!("{shown} cannot be run"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown} {}` failed: {}", args.join(" "), stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn a_toolchain_has_the_target_if_its_standard_library_is_there() {
        let root = tempfile::tempdir().unwrap();
        assert!(!has_target(root.path()));
        touch(&root.path().join("lib/rustlib/wasm32-unknown-unknown/lib/libcore-1.rlib"));
        assert!(!has_target(root.path()));
        touch(&root.path().join("lib/rustlib/wasm32-unknown-unknown/lib/libstd-1.rlib"));
        assert!(has_target(root.path()));
    }

    #[test]
    fn rust_lld_goes_before_the_newest_wasm_ld() {
        let (root, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let find = || find_linker(&[root.path().to_owned()], [bin.path().to_owned()].into_iter());
        assert_eq!(find(), None);
        for name in ["wasm-ld-9", "wasm-ld-19", "wasm-ldx", "ld"] {
            touch(&bin.path().join(name));
        }
        assert_eq!(find().unwrap().program, bin.path().join("wasm-ld-19"));
        touch(&root.path().join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld"));
        assert!(find().unwrap().is_rust_lld);
    }

    #[test]
    fn a_compiler_without_sources_says_which_package_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let error = with_std(Path::new("/does/not/exist/rustc"), folder.path()).unwrap_err();
        assert!(format!("{error:#}").contains("cannot be run"), "{error:#}");
    }
}
