//! `syncline collection`: named parts of the library, and where their files come from.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};
use syncline_domain::{
    Name,
    place::Collection,
    refresh::{CollectionSource, HttpSource, StoreSource, Unlisted},
    schedule::When,
};

use super::{
    Client, Paging,
    run::{self, Wait},
    schedule,
};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, fields, list, moment},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all collections
    List,
    /// Show one
    Show {
        /// Name of the collection
        name: Name,
    },
    /// Make a part of a store known under a name
    Add {
        /// Name of the new collection
        name: Name,
        /// Store that holds it
        #[arg(long)]
        store: Name,
        /// Folder in the store; all of it if absent
        #[arg(long, default_value = "")]
        prefix: String,
        /// For people
        #[arg(long, default_value = "")]
        description: String,
        #[command(flatten)]
        spec: Box<Spec>,
    },
    /// Change what is given, leave the rest
    Change {
        /// Name of the collection
        name: Name,
        /// Store that holds it; files stay where they are
        #[arg(long)]
        store: Option<Name>,
        /// Folder in the store
        #[arg(long)]
        prefix: Option<String>,
        /// For people
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        spec: Box<Spec>,
    },
    /// Bring what its source has into a collection
    Refresh {
        /// Name of the collection
        name: Name,
        #[command(flatten)]
        wait: Wait,
    },
    /// Forget a collection; its files stay
    Remove {
        /// Name of the collection
        name: Name,
    },
}

/// Source, schedule and limits of a collection.
#[derive(Debug, Args)]
pub struct Spec {
    /// Have its files come from a server: the URL of a manifest that lists them
    #[arg(long, value_name = "URL", group = "from")]
    from_url: Option<String>,
    /// Have its files come from another store, or a folder of it
    #[arg(long, value_name = "STORE[:FOLDER]", group = "from")]
    from_store: Option<String>,
    /// Have it filled by hand
    #[arg(long, group = "from")]
    by_hand: bool,
    /// Secret for the server: a bearer token, or the password of --user
    #[arg(long, value_name = "NAME", requires = "from_url")]
    secret: Option<Name>,
    /// User for the server
    #[arg(long, value_name = "USER", requires = "secret")]
    user: Option<String>,
    /// Authorities (PEM) that the server's certificate is checked by, in place of the system's
    #[arg(long, value_name = "FILE", requires = "from_url")]
    ca: Option<String>,
    /// Files that are downloaded at a time
    #[arg(long, value_name = "COUNT", requires = "from_url", default_value = "4")]
    parallel: u8,
    /// What a refresh does with files that the source does not have
    #[arg(long, value_enum, value_name = "WHAT", requires = "from", default_value = "keep")]
    unlisted: Other,
    /// Refresh it every so often, such as 1h
    #[arg(long, value_name = "TIME", value_parser = args::seconds, group = "when")]
    every: Option<u32>,
    /// Refresh it by a cron expression, such as "30 2 * * 1-5"
    #[arg(long, value_name = "EXPRESSION", group = "when")]
    cron: Option<String>,
    /// Refresh it only by hand
    #[arg(long, group = "when")]
    no_schedule: bool,
    /// Zone of --cron
    #[arg(long, value_name = "IANA NAME", default_value = "UTC")]
    time_zone: String,
    /// Hold a refresh that would remove more files than this
    #[arg(long, value_name = "COUNT")]
    max_deletes: Option<u64>,
    /// Hold a refresh that would remove a larger part of the collection than this
    #[arg(long, value_name = "PERCENT")]
    max_delete_percent: Option<u8>,
}

/// What becomes of files that the source does not have.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Other {
    /// They stay
    Keep,
    /// They are removed, within the collection's limits
    Remove,
}

const PATH: &str = "/api/v1/collections";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => client.show_list(out, PATH, &[], &Paging::ALL, table),
        Action::Show { name } => out.show(&client.get(&format!("{PATH}/{name}"))?, details),
        Action::Add { name, store, prefix, description, spec } => {
            let mut body = Map::new();
            let given = json!({ "name": name, "store": store, "prefix": prefix, "description": description });
            body.extend(given.as_object().cloned().unwrap_or_default());
            spec.write_into(&mut body)?;
            out.show(&client.post(PATH, &Value::Object(body))?, details)
        }
        Action::Change { name, store, prefix, description, spec } => {
            let mut body = Map::new();
            let given = [
                ("store", store.map(|store| json!(store))),
                ("prefix", prefix.map(Value::from)),
                ("description", description.map(Value::from)),
            ];
            body.extend(given.into_iter().filter_map(|(member, value)| Some((member.to_owned(), value?))));
            change(&name, body, &spec, client, out)
        }
        Action::Refresh { name, wait } => {
            let answer = client.post_empty(&format!("{PATH}/{name}/refresh"))?;
            run::follow(client, out, &answer, wait)
        }
        Action::Remove { name } => {
            client.delete(&format!("{PATH}/{name}"))?;
            out.done(format!("Collection {name} was removed; its files stay."))
        }
    }
}

/// Limits are set as a whole: those that are not given stay as they were read.
fn change(
    name: &Name,
    mut body: Map<String, Value>,
    spec: &Spec,
    client: &Client,
    out: Output,
) -> Result<Exit> {
    let path = format!("{PATH}/{name}");
    let answer = client.get(&path)?;
    let present: Map<String, Value> = answer.parse()?;
    if spec.max_deletes.is_some() || spec.max_delete_percent.is_some() {
        body.extend(present.get("limits").map(|limits| ("limits".to_owned(), limits.clone())));
    }
    spec.write_into(&mut body)?;
    if body.is_empty() {
        return Err(CliError::usage(format!(
            "nothing of collection {name} would change: see `syncline collection change --help`"
        )));
    }
    out.show(&client.patch(&path, &Value::Object(body), answer.etag.as_deref())?, details)
}

impl Spec {
    /// Sets what is given.
    fn write_into(&self, body: &mut Map<String, Value>) -> Result<()> {
        if let Some(source) = self.source()? {
            body.insert("source".to_owned(), json!(source));
        }
        let when = match (self.every, &self.cron) {
            (Some(seconds), _) => Some(When::Interval { seconds, anchor: None }),
            (_, Some(expression)) => {
                Some(When::Cron { expression: expression.clone(), time_zone: self.time_zone.clone() })
            }
            _ => None,
        };
        if let Some(when) = when {
            body.insert("refresh".to_owned(), json!({ "when": when }));
        } else if self.no_schedule {
            body.insert("refresh".to_owned(), Value::Null);
        }
        let limits = [
            ("max_deletes", self.max_deletes),
            ("max_delete_percent", self.max_delete_percent.map(u64::from)),
        ];
        for (limit, value) in limits.into_iter().filter_map(|(limit, value)| Some((limit, value?))) {
            let limits = body.entry("limits").or_insert_with(|| json!({}));
            limits[limit] = value.into();
        }
        Ok(())
    }

    fn source(&self) -> Result<Option<CollectionSource>> {
        let unlisted = match self.unlisted {
            Other::Keep => Unlisted::Keep,
            Other::Remove => Unlisted::Remove,
        };
        if self.by_hand {
            return Ok(Some(CollectionSource::None));
        }
        if let Some(from) = &self.from_store {
            let (store, prefix) = from.split_once(':').unwrap_or((from, ""));
            let bad = |why: String| CliError::usage(format!("--from-store {from:?}: {why}"));
            return Ok(Some(CollectionSource::Store(StoreSource {
                store: store.parse().map_err(|error| bad(format!("{error}")))?,
                prefix: syncline_domain::RelPath::from_text(prefix)
                    .map_err(|error| bad(error.to_string()))?,
                unlisted,
            })));
        }
        let Some(url) = self.from_url.clone() else { return Ok(None) };
        let authorities = self.ca.as_deref().map(args::read_file).transpose()?;
        let authorities = authorities.map(String::from_utf8).transpose();
        Ok(Some(CollectionSource::Http(HttpSource {
            url,
            secret: self.secret.clone(),
            user: self.user.clone(),
            certificate_authorities: authorities
                .map_err(|_| CliError::usage("--ca: give a file with certificates in PEM"))?,
            parallel: self.parallel,
            unlisted,
        })))
    }
}

fn table(collections: &[Collection]) -> String {
    let headings = ["NAME", "STORE", "FOLDER", "SOURCE", "REFRESHED", "DESCRIPTION"];
    let mut rows = Rows::new(&headings, "There are no collections.");
    for one in collections {
        rows.add([
            one.name.to_string(),
            one.store.to_string(),
            folder(one),
            source(&one.source),
            refreshed(one),
            one.description.clone(),
        ]);
    }
    rows.render()
}

fn details(one: &Collection) -> String {
    let (secret, unlisted, parallel) = match &one.source {
        CollectionSource::None => (None, None, None),
        CollectionSource::Http(http) => (http.secret.as_ref(), Some(http.unlisted), Some(http.parallel)),
        CollectionSource::Store(store) => (None, Some(store.unlisted), None),
    };
    let limits = [
        one.limits.max_deletes.map(|most| format!("max_deletes={most}")),
        one.limits.max_delete_percent.map(|most| format!("max_delete_percent={most}")),
    ];
    let unlisted = unlisted.map(|unlisted| match unlisted {
        Unlisted::Keep => "stay",
        Unlisted::Remove => "are removed",
    });
    fields(&[
        ("name", one.name.to_string()),
        ("store", one.store.to_string()),
        ("folder", folder(one)),
        ("source", source(&one.source)),
        ("secret", secret.map(ToString::to_string).unwrap_or_default()),
        ("at a time", parallel.map(|count| count.to_string()).unwrap_or_default()),
        ("other files", unlisted.unwrap_or_default().to_owned()),
        ("refreshed", refreshed(one)),
        ("limits", list(limits.into_iter().flatten())),
        ("description", one.description.clone()),
        ("made", if one.as_made { "by the server".to_owned() } else { moment(one.created_at) }),
    ])
}

fn source(source: &CollectionSource) -> String {
    match source {
        CollectionSource::None => "by hand".to_owned(),
        CollectionSource::Http(http) => http.url.clone(),
        CollectionSource::Store(from) if from.prefix.is_root() => format!("store {}", from.store),
        CollectionSource::Store(from) => format!("store {}:{}", from.store, from.prefix.to_text()),
    }
}

fn refreshed(one: &Collection) -> String {
    match (&one.refresh, one.source.is_some()) {
        (Some(refresh), _) => schedule::when(&refresh.when),
        (None, true) => "when asked".to_owned(),
        (None, false) => String::new(),
    }
}

fn folder(one: &Collection) -> String {
    if one.prefix.is_root() { "(all)".to_owned() } else { one.prefix.to_text() }
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

    fn body(line: &[&str]) -> Value {
        let line = Line::parse_from(["test"].iter().chain(line));
        let mut body = Map::new();
        line.spec.write_into(&mut body).unwrap();
        Value::Object(body)
    }

    #[test]
    fn only_what_is_given_is_set() {
        assert_eq!(body(&[]), json!({}));
        assert_eq!(
            body(&["--by-hand", "--no-schedule"]),
            json!({ "source": { "kind": "none" }, "refresh": null })
        );
        let line =
            ["--from-url", "https://a/m.json", "--secret", "s", "--unlisted", "remove", "--every", "1h"];
        let source = json!({
            "kind": "http", "url": "https://a/m.json", "secret": "s", "parallel": 4, "unlisted": "remove"
        });
        let when = json!({ "when": { "kind": "interval", "seconds": 3600 } });
        assert_eq!(body(&line), json!({ "source": source, "refresh": when }));
        let source = json!({ "kind": "store", "store": "mirror", "prefix": "a/b", "unlisted": "keep" });
        let line = ["--from-store", "mirror:a/b", "--max-deletes", "3"];
        assert_eq!(body(&line), json!({ "source": source, "limits": { "max_deletes": 3 } }));
    }

    #[test]
    fn a_collection_has_one_source_and_one_rule() {
        for line in [
            &["--from-url", "https://a/m", "--from-store", "b"][..],
            &["--by-hand", "--from-store", "b"],
            &["--secret", "s"],
            &["--every", "1h", "--cron", "* * * * *"],
        ] {
            assert!(Line::try_parse_from(["test"].iter().chain(line)).is_err(), "{line:?}");
        }
    }
}
