//! `syncline sync`: a plugin with settings, sources and targets; and starting it.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};
use syncline_domain::{
    Name,
    directory::{ImportMode, ImportSpec},
    sync::{Compare, Sync, Verify},
};

use super::{
    Client, Paging,
    run::{self, Wait},
};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, fields, list, moment},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all syncs
    List,
    /// Show one
    Show {
        /// Name of the sync
        name: Name,
    },
    /// Make a sync
    Add {
        /// Name of the new sync
        name: Name,
        /// Plugin that decides
        #[arg(long)]
        plugin: Name,
        #[command(flatten)]
        spec: Box<Spec>,
    },
    /// Change what is given, leave the rest; lists are replaced as a whole
    Change {
        /// Name of the sync
        name: Name,
        /// Plugin that decides
        #[arg(long)]
        plugin: Option<Name>,
        #[command(flatten)]
        spec: Box<Spec>,
    },
    /// Remove a sync; what it put on its targets stays
    Remove {
        /// Name of the sync
        name: Name,
    },
    /// Start a run
    Run {
        /// Name of the sync
        name: Name,
        /// Only find the difference, change nothing
        #[arg(long)]
        preview: bool,
        /// Have the plugin read everything, whatever it remembers
        #[arg(long)]
        anew: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Have the plugin forget where it was: its next run reads everything
    Reset {
        /// Name of the sync
        name: Name,
    },
}

/// What can be set of a sync.
#[derive(Debug, Args)]
pub struct Spec {
    /// Collection, store or directory source that it reads; can be repeated
    #[arg(long = "source", value_name = "NAME")]
    sources: Vec<Name>,
    /// Store that it fills; can be repeated
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<Name>,
    /// Settings of the plugin
    #[arg(long, value_name = "JSON|@FILE", value_parser = args::json)]
    settings: Option<Value>,
    /// Hold a run that would remove more files than this on a target
    #[arg(long, value_name = "COUNT")]
    max_deletes: Option<u64>,
    /// Hold a run that would remove a larger part of a target than this
    #[arg(long, value_name = "PERCENT")]
    max_delete_percent: Option<u8>,
    /// Hold a run that would add or replace more files than this on a target
    #[arg(long, value_name = "COUNT")]
    max_changes: Option<u64>,
    /// Hold a run that would add or replace a larger part of a target than this
    #[arg(long, value_name = "PERCENT")]
    max_change_percent: Option<u8>,
    /// How files are compared: by size and time, or by their bytes
    #[arg(long, value_enum, value_name = "HOW")]
    compare: Option<Thoroughness>,
    /// How the result is looked at: by size and time, or by its bytes
    #[arg(long, value_enum, value_name = "HOW")]
    verify: Option<Thoroughness>,
    /// Flush each file to the disk before it gets its name
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    fsync: Option<bool>,
    /// Let the plugin remove files, if its grants allow it
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    allow_removal: Option<bool>,
    /// Attempts of a run after failures that can pass, the first included
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<u32>,
    /// Refresh its collections that have a source before each run that changes something
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    refresh_before: Option<bool>,
    /// Of a plugin that reads directories: what becomes of what it reads, in place of all that was set, such as
    /// {"mode": "automatic", "people_need_email": true, "group": "/staff"}
    #[arg(long, value_name = "JSON|@FILE|-", value_parser = directory)]
    directory: Option<Value>,
    /// Of the same: who decides that a person becomes a user: manual, automatic or automatic-with-groups
    #[arg(long, value_name = "MODE")]
    import_mode: Option<ImportMode>,
    /// For people
    #[arg(long)]
    description: Option<String>,
}

/// How thoroughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Thoroughness {
    /// By size and modification time
    Quick,
    /// By the bytes
    Full,
}

const PATH: &str = "/api/v1/syncs";

/// An import as it is sent: looked at before anything is asked of the server.
fn directory(text: &str) -> Result<Value, String> {
    let value = args::json(text)?;
    match serde_json::from_value::<Option<ImportSpec>>(value.clone()) {
        Ok(_) => Ok(value),
        Err(error) => Err(format!("this is no import of a directory: {error}")),
    }
}

/// What an API answer has beside what can be set.
const NOT_SET_BY_PEOPLE: [&str; 5] = ["name", "made_by", "created_at", "updated_at", "revision"];

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => client.show_list(out, PATH, &[], &Paging::ALL, table),
        Action::Show { name } => out.show(&client.get(&format!("{PATH}/{name}"))?, details),
        Action::Add { name, plugin, spec } => {
            let mut body = Map::new();
            body.insert("name".to_owned(), json!(name));
            body.insert("plugin".to_owned(), json!(plugin));
            spec.write_into(&mut body);
            out.show(&client.post(PATH, &Value::Object(body))?, details)
        }
        Action::Change { name, plugin, spec } => change(&name, plugin, &spec, client, out),
        Action::Remove { name } => {
            client.delete(&format!("{PATH}/{name}"))?;
            out.done(format!("Sync {name} was removed; what it put on its targets stays."))
        }
        Action::Run { name, preview, anew, wait } => {
            let body = json!({ "mode": if preview { "preview" } else { "apply" }, "anew": anew });
            let answer = client.post(&format!("{PATH}/{name}/runs"), &body)?;
            run::follow(client, out, &answer, wait)
        }
        Action::Reset { name } => {
            client.delete(&format!("{PATH}/{name}/cursor"))?;
            out.done(format!("The next run of sync {name} reads everything."))
        }
    }
}

/// Reads the sync, changes what is given, and writes it back unless someone else was faster.
fn change(name: &Name, plugin: Option<Name>, spec: &Spec, client: &Client, out: Output) -> Result<Exit> {
    let path = format!("{PATH}/{name}");
    let answer = client.get(&path)?;
    let before: Map<String, Value> = answer.parse()?;
    let mut body = before.clone();
    body.retain(|member, _| !NOT_SET_BY_PEOPLE.contains(&member.as_str()));
    if let Some(plugin) = plugin {
        body.insert("plugin".to_owned(), json!(plugin));
    }
    spec.write_into(&mut body);
    if body.iter().all(|(member, value)| before.get(member) == Some(value)) {
        return Err(CliError::usage(format!(
            "nothing of sync {name} would change: see `syncline sync change --help`"
        )));
    }
    out.show(&client.put(&path, &Value::Object(body), answer.etag.as_deref())?, details)
}

impl Spec {
    /// Sets what is given.
    fn write_into(&self, body: &mut Map<String, Value>) {
        let mut set = |member: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(member.to_owned(), value);
            }
        };
        set("sources", (!self.sources.is_empty()).then(|| json!(self.sources)));
        set("targets", (!self.targets.is_empty()).then(|| json!(self.targets)));
        set("settings", self.settings.clone());
        set("directory", self.directory.clone());
        set("compare", self.compare.map(Thoroughness::json));
        set("verify", self.verify.map(Thoroughness::json));
        set("fsync", self.fsync.map(Value::from));
        set("allow_removal", self.allow_removal.map(Value::from));
        set("max_attempts", self.max_attempts.map(Value::from));
        set("refresh_before", self.refresh_before.map(Value::from));
        set("description", self.description.clone().map(Value::from));
        if let Some(mode) = self.import_mode {
            set_in(body, "directory", Map::from_iter([("mode".to_owned(), json!(mode))]));
        }
        let limits = [
            ("max_deletes", self.max_deletes),
            ("max_delete_percent", self.max_delete_percent.map(u64::from)),
            ("max_changes", self.max_changes),
            ("max_change_percent", self.max_change_percent.map(u64::from)),
        ];
        let given =
            limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), Value::from(limit?))));
        let given: Map<String, Value> = given.collect();
        if !given.is_empty() {
            set_in(body, "limits", given);
        }
    }
}

/// Sets members of a member, and leaves its others as they are.
fn set_in(body: &mut Map<String, Value>, member: &str, given: Map<String, Value>) {
    match body.get_mut(member) {
        Some(Value::Object(present)) => present.extend(given),
        _ => drop(body.insert(member.to_owned(), Value::Object(given))),
    }
}

impl Thoroughness {
    fn json(self) -> Value {
        match self {
            Self::Quick => "quick".into(),
            Self::Full => "full".into(),
        }
    }
}

fn table(syncs: &[Sync]) -> String {
    let mut rows = Rows::new(&["NAME", "PLUGIN", "SOURCES", "TARGETS", "DESCRIPTION"], "There are no syncs.");
    for Sync { name, spec, .. } in syncs {
        rows.add([
            name.to_string(),
            spec.plugin.to_string(),
            list(&spec.sources),
            list(&spec.targets),
            spec.description.clone(),
        ]);
    }
    rows.render()
}

fn details(sync: &Sync) -> String {
    let Sync { name, spec, .. } = sync;
    let limits = &spec.limits;
    let limit = |name: &str, limit: Option<u64>| limit.map(|limit| format!("{name}={limit}"));
    let limits = [
        limit("max_deletes", limits.max_deletes),
        limit("max_delete_percent", limits.max_delete_percent.map(u64::from)),
        limit("max_changes", limits.max_changes),
        limit("max_change_percent", limits.max_change_percent.map(u64::from)),
    ];
    let limits = list(limits.into_iter().flatten());
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    fields(&[
        ("name", name.to_string()),
        ("plugin", spec.plugin.to_string()),
        ("settings", spec.settings.to_string()),
        ("sources", list(&spec.sources)),
        ("targets", list(&spec.targets)),
        ("limits", if limits.is_empty() { "the defaults".to_owned() } else { limits }),
        ("compare", if spec.compare == Compare::Full { "full" } else { "quick" }.to_owned()),
        ("verify", if spec.verify == Verify::Full { "full" } else { "quick" }.to_owned()),
        ("fsync", yes(spec.fsync)),
        ("removal", if spec.allow_removal { "as the plugin's grants allow" } else { "never" }.to_owned()),
        ("attempts", spec.max_attempts.to_string()),
        ("refreshes", if spec.refresh_before { "its collections, before each run" } else { "" }.to_owned()),
        ("import", spec.directory.as_ref().map(import).unwrap_or_default()),
        ("description", spec.description.clone()),
        ("made", moment(sync.created_at)),
        ("changed", moment(sync.updated_at)),
    ])
}

/// What becomes of what is read from a directory.
fn import(spec: &ImportSpec) -> String {
    let mut told = vec![spec.mode.to_string()];
    if spec.people_need_email {
        told.push("people need an e-mail".to_owned());
    }
    told.push(format!("new users in group {}", spec.default_group()));
    if !spec.placement.is_empty() {
        told.push(format!("rules of placement: {}", spec.placement.len()));
    }
    if spec.match_computers {
        told.push("computers matched to devices".to_owned());
    }
    told.push(match spec.purge_orphans_after_days {
        Some(days) => format!("orphans deleted after {days} days"),
        None => "orphans kept".to_owned(),
    });
    list(told)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        spec: Spec,
    }

    fn body(before: Value, line: &[&str]) -> Value {
        let line = Line::parse_from(["test"].iter().chain(line));
        let Value::Object(mut body) = before else { panic!("no object") };
        line.spec.write_into(&mut body);
        Value::Object(body)
    }

    #[test]
    fn only_what_is_given_is_set() {
        let before = json!({ "targets": ["a"], "limits": { "max_deletes": 3 }, "fsync": false });
        assert_eq!(body(before.clone(), &[]), before);
        let line =
            ["--max-changes", "7", "--target", "b", "--target", "c", "--fsync", "--settings", "{\"x\":1}"];
        insta::assert_json_snapshot!(body(before, &line));
    }

    #[test]
    fn an_import_is_set_as_a_whole_and_its_mode_alone() {
        let before = json!({ "directory": { "mode": "manual", "group": "/staff" } });
        let line = ["--import-mode", "automatic"];
        let after = json!({ "directory": { "mode": "automatic", "group": "/staff" } });
        assert_eq!(body(before.clone(), &line), after);
        assert_eq!(
            body(json!({ "directory": null }), &line),
            json!({ "directory": { "mode": "automatic" } })
        );
        let line = ["--directory", r#"{"match_computers": true}"#, "--import-mode", "automatic"];
        let after = json!({ "directory": { "mode": "automatic", "match_computers": true } });
        assert_eq!(body(before, &line), after);
        let error = directory(r#"{"modus": "manual"}"#).unwrap_err();
        assert!(error.contains("modus") && error.contains("mode"), "{error}");
    }

    #[test]
    fn an_import_in_words() {
        let spec = serde_json::from_value(json!({
            "mode": "automatic-with-groups", "placement": [{ "unit": "ou=sales,dc=x", "group": "/sales" }],
            "people_need_email": true, "match_computers": true, "purge_orphans_after_days": 90,
        }));
        assert_eq!(
            import(&spec.unwrap()),
            "automatic-with-groups, people need an e-mail, new users in group /, rules of placement: 1, computers matched \
             to devices, orphans deleted after 90 days"
        );
    }

    #[test]
    fn a_switch_can_be_turned_off() {
        assert_eq!(body(json!({}), &["--allow-removal", "false"]), json!({ "allow_removal": false }));
    }
}
