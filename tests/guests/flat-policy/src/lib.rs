//! Takes the place of `device-policy` with documents of another kind: each value as a line of text, `a.b = 1`, sorted, below
//! a comment that names the device's system. A stronger layer replaces what a weaker one says under the same name.

use std::{collections::BTreeMap, fmt::Write as _};

use syncline_plugin::{
    prelude::*,
    serde_json::{Map, Value},
};

struct Flat;

impl DevicePolicy for Flat {
    type Settings = NoSettings;

    fn decide(_: &NoSettings, device: &Device, application: &Application) -> Result<Verdict> {
        if application.layers.is_empty() {
            return Ok(Verdict::Withdrawn);
        }
        let mut lines = BTreeMap::new();
        for layer in &application.layers {
            flatten(&layer.settings, "", &mut lines);
        }
        let mut text = format!("# for {}\n", device.facts.text("os.type").unwrap_or("any system"));
        for (name, value) in lines {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{name} = {value}");
        }
        Ok(Document::new("text/plain", text).into())
    }
}

fn flatten(members: &Map<String, Value>, above: &str, lines: &mut BTreeMap<String, Value>) {
    for (name, value) in members {
        let name = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match value {
            Value::Object(members) => flatten(members, &name, lines),
            value => drop(lines.insert(name, value.clone())),
        }
    }
}

syncline_plugin::export!(device-policy: Flat);
