//! Lists: page after page, up to as many as are wanted.

use clap::Args;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Client, http::with_query};
use crate::{
    outcome::{CliError, Exit, Result},
    output::Output,
};

/// How much of a long list.
#[derive(Debug, Clone, Args)]
pub struct Paging {
    /// Show at most so many
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Go on after this cursor, as printed at the end of the list before
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
}

impl Paging {
    /// Everything, for lists of what people registered.
    pub const ALL: Self = Self { limit: u32::MAX, after: None };
}

/// Items asked for at a time.
const PAGE: u32 = 200;

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    next: Option<String>,
}

impl Client {
    /// Reads a list and prints it: `render` for people, the API's JSON for programs. Several pages become one.
    pub fn show_list<T: DeserializeOwned>(
        &self,
        out: Output,
        path: &str,
        query: &[(&str, Option<String>)],
        paging: &Paging,
        render: impl FnOnce(&[T]) -> String,
    ) -> Result<Exit> {
        let (items, next) = self.read_list(path, query, paging)?;
        if out.is_json() {
            out.line(json!({ "items": items, "next": next }))?;
            return Ok(Exit::Ok);
        }
        let items: Vec<T> = serde_json::from_value(Value::Array(items)).map_err(|error| {
            CliError::failed(format!("the server's answer makes no sense to this client: {error}"))
                .hint("use a client of the server's version, or --json to see the answer as it is")
        })?;
        out.line(render(&items))?;
        if let Some(next) = next {
            out.note(format!("There are more: --after {next}"));
        }
        Ok(Exit::Ok)
    }

    /// Reads a list up to what `paging` asks for, and where it goes on.
    pub fn read_list(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
        paging: &Paging,
    ) -> Result<(Vec<Value>, Option<String>)> {
        let mut items = Vec::new();
        let mut after = paging.after.clone();
        loop {
            let wanted = paging.limit.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
            if wanted == 0 {
                return Ok((items, after));
            }
            let mut parameters = query.to_vec();
            parameters.push(("limit", Some(wanted.min(PAGE).to_string())));
            parameters.push(("after", after));
            let page: Page = self.get(&with_query(path, &parameters))?.parse()?;
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok((items, None));
            }
        }
    }
}
