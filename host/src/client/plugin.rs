//! `syncline plugin`: upload, look at, grant, enable; and checking or trying a package without a server (see
//! [`super::offline`]).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use syncline_domain::{
    Name,
    plugin::{Capability, PluginState, PluginVersion, SandboxLimits, not_granted},
};

use super::{Client, Paging, http::with_query, offline};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, bytes, fields, list, moment},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all plugins: the enabled version of each, or the newest
    List,
    /// Show one: what it asks for, what it was granted, its limits and versions
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Upload a package; it is not enabled yet
    #[command(visible_alias = "add")]
    Install {
        /// The package, a .wasm file
        file: PathBuf,
    },
    /// Say what a package asks for and whether this version would take it; needs no server
    Check {
        /// The package, a .wasm file
        file: PathBuf,
    },
    /// Run a package on folders as a sync would, and show the difference; needs no server
    Try(offline::Try),
    /// Set what a plugin may do, in place of what it was granted before
    Grant {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        what: What,
    },
    /// Set limits of a plugin's sandbox; those that are not given stay
    Limits {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        limits: Limits,
    },
    /// Send the plugin's syncs to a version, from their next run on
    Enable {
        #[command(flatten)]
        which: Which,
    },
    /// Stop the plugin's syncs
    Disable {
        /// Name of the plugin
        name: Name,
    },
    /// Go back to the version that was enabled before
    Rollback {
        /// Name of the plugin
        name: Name,
    },
    /// Remove a version, or all of them; refused while a sync needs it
    Remove {
        #[command(flatten)]
        which: Which,
    },
}

/// Which plugin.
#[derive(Debug, Args)]
pub struct Which {
    /// Name of the plugin
    name: Name,
    /// Its version or digest; without it the enabled one, else the newest
    #[arg(long = "version", value_name = "VERSION")]
    of_version: Option<String>,
}

/// What is granted.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct What {
    /// All that it asks for
    #[arg(long)]
    all: bool,
    /// A list of capabilities, each within what it asks for; [] grants nothing
    #[arg(long, value_name = "JSON|@FILE", value_parser = args::json)]
    grants: Option<Value>,
}

/// Limits of the sandbox.
#[derive(Debug, Args)]
#[group(id = "sandbox-limits", required = true, multiple = true)]
pub struct Limits {
    /// Memory of one instance
    #[arg(long, value_name = "BYTES")]
    memory_bytes: Option<u64>,
    /// Time on a processor, in milliseconds
    #[arg(long, value_name = "MS")]
    cpu_ms: Option<u64>,
    /// Time on the wall, in milliseconds
    #[arg(long, value_name = "MS")]
    wall_ms: Option<u64>,
    /// Text in the log of one run
    #[arg(long, value_name = "BYTES")]
    log_bytes: Option<u64>,
    /// Log lines a second
    #[arg(long, value_name = "COUNT")]
    log_lines_per_second: Option<u64>,
    /// What one call to the host carries
    #[arg(long, value_name = "BYTES")]
    call_bytes: Option<u64>,
    /// Calls to the host in one run
    #[arg(long, value_name = "COUNT")]
    calls: Option<u64>,
    /// Handles held at a time
    #[arg(long, value_name = "COUNT")]
    handles: Option<u64>,
    /// Settings of a sync
    #[arg(long, value_name = "BYTES")]
    settings_bytes: Option<u64>,
}

/// A plugin as the API shows it.
#[derive(Debug, Deserialize)]
struct Shown {
    #[serde(flatten)]
    plugin: PluginVersion,
    #[serde(default)]
    versions: Vec<Version>,
}

/// One of its versions.
#[derive(Debug, Deserialize)]
struct Version {
    version: String,
    state: PluginState,
}

const PATH: &str = "/api/v1/plugins";

impl Which {
    fn path(&self, verb: &str) -> String {
        with_query(&format!("{PATH}/{}{verb}", self.name), &[("version", self.of_version.clone())])
    }
}

/// Does it. `client` is only asked for where a server is needed.
pub fn run(action: Action, client: &dyn Fn() -> Result<Client>, out: Output) -> Result<Exit> {
    match action {
        Action::Check { file } => offline::check(&file, out),
        Action::Try(what) => offline::try_out(what, out),
        other => ask(other, &client()?, out),
    }
}

fn ask(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => client.show_list(out, PATH, &[], &Paging::ALL, table),
        Action::Show { which } => out.show(&client.get(&which.path(""))?, details),
        Action::Install { file } => install(&file, client, out),
        Action::Grant { which, what } => {
            let grants = match what.grants {
                Some(grants) => grants,
                None => json!(client.get(&which.path(""))?.parse::<Shown>()?.plugin.wants),
            };
            let answer = client.put(&which.path("/grants"), &json!({ "grants": grants }), None)?;
            out.show(&answer, details)
        }
        Action::Limits { which, limits } => {
            let mut body = json!(client.get(&which.path(""))?.parse::<Shown>()?.plugin.limits);
            limits.write_into(&mut body);
            out.show(&client.put(&which.path("/limits"), &body, None)?, details)
        }
        Action::Enable { which } => out.show(&client.post_empty(&which.path("/enable"))?, details),
        Action::Disable { name } => out.show(&client.post_empty(&format!("{PATH}/{name}/disable"))?, details),
        Action::Rollback { name } => {
            out.show(&client.post_empty(&format!("{PATH}/{name}/rollback"))?, details)
        }
        Action::Remove { which } => {
            client.delete(&which.path(""))?;
            out.done(format!("Plugin {} was removed.", which.name))
        }
        Action::Check { .. } | Action::Try(_) => Err(CliError::failed("this command needs no server")),
    }
}

fn install(file: &PathBuf, client: &Client, out: Output) -> Result<Exit> {
    let package =
        std::fs::read(file).map_err(|error| CliError::failed(format!("{}: {error}", file.display())))?;
    let answer = client.post_package(PATH, &package)?;
    out.show(&answer, details)?;
    let plugin = answer.parse::<Shown>()?.plugin;
    if plugin.state != PluginState::Enabled {
        let name = &plugin.name;
        out.note(format!(
            "\nNext: `syncline plugin grant {name} --version {version} --all` (or a part with --grants), then \
             `syncline plugin enable {name} --version {version}`.",
            version = plugin.version
        ));
    }
    Ok(Exit::Ok)
}

impl Limits {
    fn write_into(&self, body: &mut Value) {
        let given = [
            ("memory_bytes", self.memory_bytes),
            ("cpu_ms", self.cpu_ms),
            ("wall_ms", self.wall_ms),
            ("log_bytes", self.log_bytes),
            ("log_lines_per_second", self.log_lines_per_second),
            ("call_bytes", self.call_bytes),
            ("calls", self.calls),
            ("handles", self.handles),
            ("settings_bytes", self.settings_bytes),
        ];
        for (name, limit) in given {
            if let Some(limit) = limit {
                body[name] = limit.into();
            }
        }
    }
}

fn table(plugins: &[Shown]) -> String {
    let headings = ["NAME", "VERSION", "STATE", "WORLD", "ASKS FOR", "OTHER VERSIONS"];
    let mut rows = Rows::new(&headings, "There are no plugins.");
    for Shown { plugin, versions } in plugins {
        let others = versions.iter().filter(|one| one.version != plugin.version.to_string());
        rows.add([
            plugin.name.to_string(),
            plugin.version.to_string(),
            state(plugin.state).to_owned(),
            plugin.world.clone(),
            list(plugin.wants.iter().map(capability)),
            list(others.map(|one| format!("{} ({})", one.version, state(one.state)))),
        ]);
    }
    rows.render()
}

fn details(shown: &Shown) -> String {
    let Shown { plugin, versions } = shown;
    let grants = match &plugin.grants {
        None => "nobody decided yet".to_owned(),
        Some(grants) if grants.is_empty() => "nothing".to_owned(),
        Some(grants) => list(grants.iter().map(capability)),
    };
    let lacks = match &plugin.grants {
        None => String::new(),
        Some(grants) => list(not_granted(&plugin.wants, grants).into_iter().map(capability)),
    };
    let head = fields(&[
        ("name", plugin.name.to_string()),
        ("version", plugin.version.to_string()),
        ("state", state(plugin.state).to_owned()),
        ("suspended", plugin.suspended.as_ref().map(|failure| failure.message.clone()).unwrap_or_default()),
        ("strikes", if plugin.strikes == 0 { String::new() } else { plugin.strikes.to_string() }),
        ("description", plugin.manifest.description.clone()),
        ("licence", plugin.manifest.licence.clone()),
        ("world", format!("{} of contract {}", plugin.world, plugin.manifest.contract)),
        ("granted", grants),
        ("not granted", lacks),
        ("limits", limits(&plugin.limits)),
        ("versions", list(versions.iter().map(|one| format!("{} ({})", one.version, state(one.state))))),
        ("digest", plugin.digest.clone()),
        ("size", bytes(plugin.size)),
        ("installed", format!("{} by {}", moment(plugin.installed_at), plugin.installed_by)),
    ]);
    format!("{head}\n\n{}", wants(&plugin.wants))
}

/// What a plugin asks for and why, as an administrator reads it before granting.
pub fn wants(wants: &[Capability]) -> String {
    if wants.is_empty() {
        return "It asks for nothing.".to_owned();
    }
    let mut rows = Rows::new(&["ASKS FOR", "BECAUSE"], "");
    for want in wants {
        rows.add([capability(want), want.reason.clone()]);
    }
    rows.render()
}

fn capability(capability: &Capability) -> String {
    let mut text = capability.capability.clone();
    if !capability.allow.is_empty() {
        text.push_str(&format!(" with {}", capability.allow.join(" and ")));
    }
    if let Some(names) = &capability.names {
        text.push_str(&format!(" of {}", if names.is_empty() { "none".to_owned() } else { list(names) }));
    }
    text
}

fn limits(limits: &SandboxLimits) -> String {
    format!(
        "{} memory, {} ms processor, {} ms wall, {} log, {} lines/s, {} a call, {} calls, {} handles, {} settings",
        bytes(limits.memory_bytes),
        limits.cpu_ms,
        limits.wall_ms,
        bytes(limits.log_bytes),
        limits.log_lines_per_second,
        bytes(limits.call_bytes),
        limits.calls,
        limits.handles,
        bytes(limits.settings_bytes),
    )
}

const fn state(state: PluginState) -> &'static str {
    match state {
        PluginState::Installed => "installed",
        PluginState::Enabled => "enabled",
        PluginState::Disabled => "disabled",
        PluginState::Suspended => "suspended",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> Shown {
        let wants = json!([
            {"capability": "stores", "reason": "reads the library"},
            {"capability": "desired-files", "allow": ["prune"], "reason": "fills\nthe servers"},
        ]);
        serde_json::from_value(json!({
            "name": "files", "version": "1.2.0", "digest": "blake3:00", "world": "file-sync",
            "manifest": {"name": "files", "version": "1.2.0", "world": "file-sync", "contract": "0.1.0", "wants": wants,
                "description": "Keeps servers as the library is.", "licence": "Apache-2.0"},
            "wants": wants, "imports": [], "grants": [{"capability": "stores", "names": ["patches"]}],
            "state": "installed", "strikes": 0, "limits": {}, "size": 81920,
            "installed_at": "2026-11-22T10:00:00Z", "installed_by": "ana",
            "versions": [{"version": "1.2.0", "state": "installed", "digest": "blake3:00"},
                {"version": "1.1.0", "state": "enabled", "digest": "blake3:01"}],
        }))
        .unwrap()
    }

    #[test]
    fn an_administrator_reads_what_it_asks_for_and_what_it_lacks() {
        insta::assert_snapshot!(details(&shown()));
    }

    #[test]
    fn a_list_of_plugins_names_their_other_versions() {
        insta::assert_snapshot!(table(&[shown()]));
    }
}
