//! `syncline secret`: set and forgotten, never shown.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::Subcommand;
use serde_json::json;
use syncline_domain::{Name, secret::SecretRecord};

use super::{Client, Paging};
use crate::{
    args,
    outcome::{CliError, Exit, Result},
    output::{Output, Rows, moment},
};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List the names of secrets
    List,
    /// Set a secret; its value is read from standard input or a file, and one line end after it is left out
    Set {
        /// Name of the secret
        name: Name,
        /// File with the value
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// For people
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Forget a secret
    Remove {
        /// Name of the secret
        name: Name,
    },
}

const PATH: &str = "/api/v1/secrets";

/// Does it.
pub fn run(action: Action, client: &Client, out: Output) -> Result<Exit> {
    match action {
        Action::List => client.show_list(out, PATH, &[], &Paging::ALL, table),
        Action::Set { name, file, description } => {
            if file.is_none() && io::stdin().is_terminal() {
                out.note("Type the value; end it with Enter and Ctrl-D. It will be seen on the screen.");
            }
            let path = file.map_or_else(|| "-".to_owned(), |file| file.display().to_string());
            let value = value(args::read_file(&path)?)?;
            let body = json!({ "value": value, "description": description });
            out.show(&client.put(&format!("{PATH}/{name}"), &body, None)?, details)
        }
        Action::Remove { name } => {
            client.delete(&format!("{PATH}/{name}"))?;
            out.done(format!("Secret {name} was removed."))
        }
    }
}

/// The text without the line end that editors and `echo` put after it.
fn value(bytes: Vec<u8>) -> Result<String> {
    let mut text =
        String::from_utf8(bytes).map_err(|_| CliError::usage("the value of a secret must be UTF-8 text"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn table(secrets: &[SecretRecord]) -> String {
    let mut rows = Rows::new(&["NAME", "SET", "DESCRIPTION"], "There are no secrets.");
    for one in secrets {
        rows.add([one.name.to_string(), moment(one.updated_at), one.description.clone()]);
    }
    rows.render()
}

fn details(one: &SecretRecord) -> String {
    format!("Secret {} was set.", one.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_left_out_and_no_more() {
        for (given, kept) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("\n", "")] {
            assert_eq!(value(given.into()).unwrap(), kept, "{given:?}");
        }
        assert!(value(vec![0xff]).is_err());
    }
}
