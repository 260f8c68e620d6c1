//! What a policy plugin answered about a device, as people read it.

use std::fmt::Write;

use syncline_domain::policy::{Answer, Document, LockedOut, Origin, Provenance, Setting, Verdict};
use syncline_engine::try_out::policy::PolicyReport;

use super::offline::note_log;
use crate::{
    outcome::{CliError, Exit, Result},
    output::{Output, bytes, plain},
};

/// Prints the verdict on each application; fails if one of them failed.
pub fn show(report: &PolicyReport, out: Output) -> Result<Exit> {
    let failed = |answer: &Answer| matches!(answer.verdict, Verdict::Failed(_));
    let exit = if report.answers.iter().any(failed) { Exit::Failed } else { Exit::Ok };
    if out.is_json() {
        let json = serde_json::to_string(report)
            .map_err(|error| CliError::failed(format!("the report cannot be written as JSON: {error}")))?;
        out.line(json)?;
        return Ok(exit);
    }
    note_log(&report.log, out);
    for answer in &report.answers {
        let mut text = format!("{}: ", answer.application);
        match &answer.verdict {
            Verdict::Withdrawn => text.push_str("withdrawn"),
            Verdict::Failed(failure) => text.push_str(&format!("failed: {}", plain(&failure.message))),
            Verdict::Document(document) => text.push_str(&described(document)),
        }
        for one in report.locked_out.get(&answer.application).into_iter().flatten() {
            text.push_str(&locked(one));
        }
        out.line(text)?;
    }
    Ok(exit)
}

fn described(document: &Document) -> String {
    let Document { content_type, body, provenance } = document;
    let mut text = format!("{}, {}", plain(content_type), bytes(body.len() as u64));
    // Laid out if it is JSON, as it stands if it is another text, and left out if it is none.
    let laid_out =
        serde_json::from_slice(body).and_then(|json: serde_json::Value| serde_json::to_string_pretty(&json));
    match laid_out.or_else(|_| String::from_utf8(body.clone())) {
        Ok(body) => body.lines().for_each(|line| text.push_str(&format!("\n  {}", plain(line)))),
        Err(_) => text.push_str("\n  (no text; --json has it)"),
    }
    provenance.iter().for_each(|one| text.push_str(&explained(one)));
    text
}

fn explained(Provenance { pointer, origin, overruled }: &Provenance) -> String {
    let origin = match origin {
        Origin::Setting(setting) => of(setting),
        Origin::Assignment { user, key_set } => format!("key set {key_set:?} of user {user:?}"),
        Origin::Fact(name) => format!("fact {name}"),
        Origin::Plugin(why) => format!("the plugin: {why}"),
    };
    let mut text = format!("\n  {:?} comes from {}", pointer.as_str(), plain(&origin));
    for lost in overruled {
        // Writing to a text cannot fail.
        let _ = write!(text, "; overruled {}", plain(&of(lost)));
    }
    text
}

fn of(Setting { layer, pointer }: &Setting) -> String {
    format!("layer {layer} {:?}", pointer.as_str())
}

fn locked(LockedOut { setting, by }: &LockedOut) -> String {
    format!("\n  {} was taken out: {} locks it", plain(&of(setting)), plain(&of(by)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_laid_out_and_explained() {
        let setting = |layer| Setting { layer, pointer: "/a".parse().unwrap() };
        let document = Document {
            content_type: "application/json".to_owned(),
            body: br#"{"a":1}"#.to_vec(),
            provenance: vec![Provenance {
                pointer: "/a".parse().unwrap(),
                origin: Origin::Setting(setting(1)),
                overruled: vec![setting(0)],
            }],
        };
        let text = described(&document);
        assert!(text.starts_with("application/json, "), "{text}");
        assert!(text.contains("\n    \"a\": 1\n"), "{text}");
        assert!(text.ends_with("\n  \"/a\" comes from layer 1 \"/a\"; overruled layer 0 \"/a\""), "{text}");
        let none = Document { body: vec![0xff], ..document };
        assert!(described(&none).contains("(no text"));
    }
}
