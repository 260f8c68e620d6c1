//! `syncline collection`: named parts of the library.

use clap::Subcommand;
use serde_json::json;
use syncline_domain::{Name, place::Collection};

use super::{Client, Paging};
use crate::{
    outcome::{Exit, Result},
    output::{Output, Rows, fields, moment},
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
    },
    /// Forget a collection; its files stay
    Remove {
        /// Name of the collection
        name: Name,
    },
}

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    const PATH: &str = "/api/v1/collections";
    match action {
        Action::List => client.show_list(out, PATH, &[], &Paging::ALL, table),
        Action::Show { name } => out.show(&client.get(&format!("{PATH}/{name}"))?, details),
        Action::Add { name, store, prefix, description } => {
            let body = json!({ "name": name, "store": store, "prefix": prefix, "description": description });
            out.show(&client.post(PATH, &body)?, details)
        }
        Action::Remove { name } => {
            client.delete(&format!("{PATH}/{name}"))?;
            out.done(format!("Collection {name} was removed; its files stay."))
        }
    }
}

fn table(collections: &[Collection]) -> String {
    let mut rows = Rows::new(&["NAME", "STORE", "FOLDER", "DESCRIPTION"], "There are no collections.");
    for one in collections {
        rows.add([one.name.to_string(), one.store.to_string(), folder(one), one.description.clone()]);
    }
    rows.render()
}

fn details(one: &Collection) -> String {
    fields(&[
        ("name", one.name.to_string()),
        ("store", one.store.to_string()),
        ("folder", folder(one)),
        ("description", one.description.clone()),
        ("made", moment(one.created_at)),
    ])
}

fn folder(one: &Collection) -> String {
    if one.prefix.is_root() { "(all)".to_owned() } else { one.prefix.to_text() }
}
