//! `syncline enrolment-token`: how devices get in.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;
use syncline_domain::{
    device::{
        GroupPath,
        enrolment::{Admits, EnrolmentToken},
    },
    ids::EnrolmentTokenId,
};

use super::{Client, Paging, named, once};
use crate::{
    args,
    outcome::{Exit, Result},
    output::{Output, Rows, moment, moment_or},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List enrolment tokens, never their texts
    List,
    /// Make an enrolment token; its text is given out this once
    Add {
        /// What it is for
        name: String,
        #[command(flatten)]
        admits: Admitted,
        /// Let one device use it up; one for a single device always is
        #[arg(long)]
        single_use: bool,
        /// When it ends
        #[arg(long, value_name = "TIME", default_value = "7d", value_parser = args::duration)]
        expires: Duration,
        /// Write it to a new file with mode 0600 instead of printing it
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// End a token: devices that came with it and are not in yet get no further
    Revoke {
        /// Id of the token
        id: EnrolmentTokenId,
    },
}

/// Whom a token lets in.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Admitted {
    /// New devices, into this group
    #[arg(long)]
    group: Option<GroupPath>,
    /// This device alone, by name or id: also what an agent without credentials of its own keeps
    #[arg(long)]
    device: Option<String>,
}

#[derive(Deserialize)]
struct Made {
    token: String,
}

const PATH: &str = "/api/v1/enrolment-tokens";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => client.show_list(out, PATH, &[], &Paging::ALL, table),
        Action::Add { name, admits, single_use, expires, output } => {
            let admits = match (admits.group, admits.device) {
                (_, Some(device)) => Admits::Device(named::device(client, &device)?),
                (group, None) => Admits::Group(group.unwrap_or_else(GroupPath::root)),
            };
            let body = json!({
                "name": name,
                "admits": admits,
                "single_use": single_use,
                "expires_at": args::from_now(expires)?,
            });
            once::give_out(out, output, "The token", || client.post(PATH, &body), |made: Made| made.token)
        }
        Action::Revoke { id } => {
            client.delete(&format!("{PATH}/{id}"))?;
            out.done(format!("Enrolment token {id} was revoked."))
        }
    }
}

fn table(tokens: &[EnrolmentToken]) -> String {
    let headings = ["ID", "NAME", "LETS IN", "USES>", "MADE", "EXPIRES", "ENDED"];
    let mut rows = Rows::new(&headings, "There are no enrolment tokens.");
    for one in tokens {
        let admits = match &one.admits {
            Admits::Group(group) if one.single_use => format!("one device into {group}"),
            Admits::Group(group) => format!("devices into {group}"),
            Admits::Device(device) => format!("device {device}"),
        };
        rows.add([
            one.id.to_string(),
            one.name.clone(),
            admits,
            one.uses.to_string(),
            moment(one.created_at),
            moment(one.expires_at),
            moment_or(one.ended_at, ""),
        ]);
    }
    rows.render()
}
