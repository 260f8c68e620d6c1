//! `syncline node` and `syncline whoami`.

use clap::Subcommand;
use jiff::Timestamp;
use serde::Deserialize;
use syncline_domain::{access::Role, ids::NodeId};

use super::{Client, Paging, token};
use crate::{
    outcome::{Exit, Result},
    output::{Output, Rows, moment},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List the nodes that share the database
    List,
}

/// A node as the API shows it.
#[derive(Debug, Deserialize)]
struct Node {
    id: NodeId,
    name: String,
    version: String,
    last_seen: Timestamp,
    #[serde(default)]
    gone: bool,
}

#[derive(Debug, Deserialize)]
struct Me {
    name: String,
    role: Role,
}

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => client.show_list(out, "/api/v1/nodes", &[], &Paging::ALL, table),
    }
}

/// Says whose token this is.
pub fn whoami(client: &Client, out: Output) -> Result<Exit> {
    out.show(&client.get("/api/v1/me")?, |me: &Me| format!("{} ({})", me.name, token::role(me.role)))
}

fn table(nodes: &[Node]) -> String {
    let mut rows = Rows::new(&["ID", "NAME", "VERSION", "LAST SEEN"], "There are no nodes.");
    for one in nodes {
        let seen = moment(one.last_seen);
        let seen = if one.gone { format!("{seen} (gone)") } else { seen };
        rows.add([one.id.to_string(), one.name.clone(), one.version.clone(), seen]);
    }
    rows.render()
}
