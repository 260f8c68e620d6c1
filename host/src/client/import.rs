//! Imports of directories that were begun, and waiting for them.

use serde::Deserialize;
use serde_json::{Value, json};
use syncline_domain::{Name, ids::RunId};

use super::{Answer, Client, progress, run::Wait};
use crate::{
    outcome::{Exit, Result},
    output::{Output, Rows},
};

/// What was begun: of each sync its run, or why none was.
#[derive(Debug, Deserialize)]
struct Imports {
    runs: Vec<Import>,
}

#[derive(Debug, Deserialize)]
struct Import {
    sync: Name,
    run: Option<RunId>,
    problem: Option<Problem>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
}

/// Prints what was begun, or waits for it first. The exit code is that of the import that ended worst; one that did not begin
/// has failed.
pub fn follow(client: &Client, out: Output, answer: &Answer, wait: Wait) -> Result<Exit> {
    let begun: Imports = answer.parse()?;
    let mut worst = begun.runs.iter().map(Import::exit).fold(Exit::Ok, Exit::worse);
    if !wait.wait {
        out.show(answer, table)?;
        return Ok(worst);
    }
    let mut ended: Vec<Value> = Vec::new();
    for Import { sync, run, problem } in &begun.runs {
        let Some(id) = run else {
            let why = problem.as_ref().map_or("", |problem| problem.detail.as_str());
            if !out.is_json() {
                out.line(format!("sync {sync} was not begun: {}\n", crate::output::plain(why)))?;
            }
            ended.push(json!({ "sync": sync, "problem": { "detail": why } }));
            continue;
        };
        let (answer, run) = progress::wait(client, out, *id, None)?;
        worst = worst.worse(Exit::of_run(run.state));
        if out.is_json() {
            ended.push(json!({ "sync": sync, "run": answer.parse::<Value>()? }));
        } else {
            progress::show(out, &answer, &run)?;
            out.line("")?;
        }
    }
    if out.is_json() {
        out.line(json!({ "runs": ended }))?;
    } else if begun.runs.is_empty() {
        out.line(NONE)?;
    }
    Ok(worst)
}

const NONE: &str = "No sync reads a directory.";

impl Import {
    fn exit(&self) -> Exit {
        if self.run.is_some() { Exit::Ok } else { Exit::Failed }
    }
}

fn table(begun: &Imports) -> String {
    let mut rows = Rows::new(&["SYNC", "RUN", "WHY NOT"], NONE);
    for Import { sync, run, problem } in &begun.runs {
        rows.add([
            sync.to_string(),
            run.map(|id| id.to_string()).unwrap_or_default(),
            problem.as_ref().map(|problem| problem.detail.clone()).unwrap_or_default(),
        ]);
    }
    rows.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_begin_says_why_and_counts_as_failed() {
        let begun: Imports = serde_json::from_value(json!({"runs": [
            {"sync": "branch", "problem": {"type": "/problems/held", "detail": "there is no directory source branch"}},
            {"sync": "office", "run": "01930000-0000-7000-8000-000000000001"},
        ]}))
        .unwrap();
        insta::assert_snapshot!(table(&begun), @r"
        SYNC    RUN                                   WHY NOT
        branch                                        there is no directory source branch
        office  01930000-0000-7000-8000-000000000001
        ");
        assert_eq!(begun.runs.iter().map(Import::exit).fold(Exit::Ok, Exit::worse), Exit::Failed);
    }
}
