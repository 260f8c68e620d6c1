//! From a document to the bytes of a file.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::config::{Application, Form};

/// The largest file that is made of a document.
const LIMIT: usize = 8 * 1024 * 1024;

/// Makes the file; fails with words that do not repeat what is in the document.
pub fn render(application: &Application, body: &[u8]) -> Result<Vec<u8>, String> {
    let file = match application.form {
        Form::AsIs => body.to_vec(),
        Form::Json => json(&parse(body)?)?,
        Form::Toml => toml(parse(body)?)?.into_bytes(),
        Form::Ini => ini(&parse(body)?)?.into_bytes(),
        Form::Template => template(application, &parse(body)?)?.into_bytes(),
    };
    if file.len() > LIMIT {
        return Err(format!("the file would have {} bytes, more than {LIMIT}", file.len()));
    }
    Ok(file)
}

fn parse(body: &[u8]) -> Result<Value, String> {
    let whole = serde_json::from_slice(body);
    whole.map_err(|error| {
        format!("the document is not JSON (line {}, column {})", error.line(), error.column())
    })
}

fn json(value: &Value) -> Result<Vec<u8>, String> {
    let mut file = serde_json::to_vec_pretty(value).map_err(|error| error.to_string())?;
    file.push(b'\n');
    Ok(file)
}

fn toml(value: Value) -> Result<String, String> {
    let Value::Object(map) = value else { return Err(no_object("TOML")) };
    // TOML has no null: what is null is not set.
    let set: Map<String, Value> =
        map.into_iter().filter_map(|(key, value)| Some((key, without_null(value)?))).collect();
    toml::to_string_pretty(&set).map_err(|error| format!("the document cannot be written as TOML: {error}"))
}

fn without_null(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Array(list) => Some(list.into_iter().filter_map(without_null).collect()),
        Value::Object(map) => {
            Some(map.into_iter().filter_map(|(key, value)| Some((key, without_null(value)?))).collect())
        }
        other => Some(other),
    }
}

/// Keys of the object come first, then each object in it as a section.
fn ini(value: &Value) -> Result<String, String> {
    let Value::Object(map) = value else { return Err(no_object("INI")) };
    let (sections, keys): (Vec<_>, Vec<_>) = map.iter().partition(|(_, value)| value.is_object());
    let mut file = String::new();
    for (key, value) in keys {
        ini_line(&mut file, key, value)?;
    }
    for (name, section) in sections {
        if name.contains([']', '\n', '\r', '\0']) {
            return Err(format!("the section {name:?} cannot be written as INI"));
        }
        // Writing to a text cannot fail.
        let _ = writeln!(file, "[{name}]");
        for (key, value) in section.as_object().into_iter().flatten() {
            ini_line(&mut file, key, value)?;
        }
    }
    Ok(file)
}

/// A line end in a value would begin a line of its own, which the program would read as another key.
fn ini_line(file: &mut String, key: &str, value: &Value) -> Result<(), String> {
    let text = match value {
        Value::Null => return Ok(()),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => {
            return Err(format!("{key:?} has a list or object, INI has none"));
        }
    };
    let bad_key =
        key.is_empty() || key.contains(['=', '\n', '\r', '\0']) || key.starts_with(['[', ';', '#', ' ']);
    if bad_key || text.contains(['\n', '\r', '\0']) {
        return Err(format!("the key {key:?} or its value cannot be written as INI"));
    }
    // Writing to a text cannot fail.
    let _ = writeln!(file, "{key} = {text}");
    Ok(())
}

/// The template is the device's own, the document only its data. What is not set is an error and not an empty place.
fn template(application: &Application, value: &Value) -> Result<String, String> {
    let path = application.template.as_deref().ok_or("the form is a template, but none is named")?;
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut environment = minijinja::Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let made = environment.render_str(&text, minijinja::value::Serde(value));
    let made = made.map_err(|error| {
        format!("the template {} does not fit the document: {}", path.display(), error.kind())
    })?;
    // The template's last line end belongs to the file.
    Ok(if text.ends_with('\n') && !made.ends_with('\n') { made + "\n" } else { made })
}

fn no_object(form: &str) -> String {
    format!("the document is no JSON object, which {form} needs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(form: &str, document: &str) -> Result<String, String> {
        let text = format!("file = \"/a\"\n{form}");
        let file = render(&toml::from_str(&text).unwrap(), document.as_bytes())?;
        Ok(String::from_utf8(file).unwrap())
    }

    const DOCUMENT: &str = r#"{"on":true,"none":null,"till":{"name":"A 1","port":80}}"#;

    #[test]
    fn each_form_is_what_programs_read() {
        let check = |form: &str, file: &str| assert_eq!(rendered(form, DOCUMENT).unwrap(), file);
        check("form = \"as-is\"", DOCUMENT);
        check("form = \"toml\"", "on = true\n\n[till]\nname = \"A 1\"\nport = 80\n");
        check("form = \"ini\"", "on = true\n[till]\nname = A 1\nport = 80\n");
        assert_eq!(rendered("form = \"json\"", "{\"a\":1}").unwrap(), "{\n  \"a\": 1\n}\n");
    }

    #[test]
    fn a_template_is_filled_in_or_fails() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "name {{ till.name }}\n{{ missing }}").unwrap();
        let form = format!("form = \"template\"\ntemplate = {:?}", file.path());
        assert!(rendered(&form, DOCUMENT).unwrap_err().contains("does not fit"));
        std::fs::write(file.path(), "name {{ till.name }}\n").unwrap();
        assert_eq!(rendered(&form, DOCUMENT).unwrap(), "name A 1\n");
    }

    #[test]
    fn what_would_be_another_line_is_refused() {
        for document in [
            r#"{"a":"b\nc = d"}"#,
            r#"{"a\nb":1}"#,
            r#"{"x]\n[y":{}}"#,
            r#"{"[x]":1}"#,
            r#"{"a":"\u0000"}"#,
            r#"{"a":[1]}"#,
            r#"{"s":{"a":{}}}"#,
            "[1]",
        ] {
            assert!(rendered("form = \"ini\"", document).is_err(), "{document}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_without_repeating_it() {
        let error = rendered("form = \"toml\"", "hunter2").unwrap_err();
        assert!(error.contains("line 1") && !error.contains("hunter2"), "{error}");
        let deep = "[".repeat(100_000);
        assert!(rendered("form = \"json\"", &deep).is_err());
    }
}
