//! Where the values of a document come from, and which settings lost.
//!
//! Found by asking each layer anew about each value, rather than kept while merging: documents are explained seldom, and
//! made often. A test holds both to the same result.

use syncline_plugin::{
    Application, json,
    policy::{Origin, Provenance, Setting},
    serde_json::{Map, Value},
};

use crate::{facts, keys::Added};

/// One entry for each value of the document that is no object, and for each empty object. `merged` is what the layers say,
/// before facts and keys were put in.
pub(crate) fn document(
    application: &Application,
    merged: &Map<String, Value>,
    facts: bool,
    keys: Option<&Added<'_>>,
) -> Vec<Provenance> {
    let mut entries = Vec::new();
    if merged.is_empty() && keys.is_none() {
        let origin = Origin::Setting(Setting { layer: 0, pointer: String::new() });
        return vec![Provenance { pointer: String::new(), origin, overruled: Vec::new() }];
    }
    let mut walk = Walk { application, facts, entries: &mut entries };
    let is_keys = |name: &str| keys.is_some_and(|keys| keys.member == name);
    for (name, value) in merged.iter().filter(|(name, _)| !is_keys(name)) {
        walk.value(&mut vec![name], &json::child("", name), value);
    }
    if let Some(keys) = keys {
        added(application, keys, &mut entries);
    }
    entries
}

/// Keys take the place of whatever the layers say there.
fn added(application: &Application, keys: &Added<'_>, entries: &mut Vec<Provenance>) {
    let at = json::child("", keys.member);
    let layers = (0..).zip(&application.layers);
    let lost = layers.filter(|(_, layer)| layer.settings.contains_key(keys.member));
    let overruled = lost.map(|(layer, _)| Setting { layer, pointer: at.clone() }).collect();
    let why =
        format!("the setting `keys_member` is {:?}: keys of the device's users stand here", keys.member);
    entries.push(Provenance { pointer: at.clone(), origin: Origin::Plugin(why), overruled });
    for user in keys.users {
        let of_user = json::child(&at, &user.name);
        for set in &user.key_sets {
            let origin = Origin::Assignment { user: user.name.clone(), key_set: set.name.clone() };
            let pointer = json::child(&of_user, &set.name);
            entries.push(Provenance { pointer, origin, overruled: Vec::new() });
        }
    }
}

struct Walk<'a> {
    application: &'a Application,
    facts: bool,
    entries: &'a mut Vec<Provenance>,
}

impl Walk<'_> {
    fn value<'v>(&mut self, names: &mut Vec<&'v str>, at: &str, value: &'v Value) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (name, value) in members {
                    names.push(name);
                    self.value(names, &json::child(at, name), value);
                    names.pop();
                }
            }
            value => self.leaf(names, at, value),
        }
    }

    fn leaf(&mut self, names: &[&str], at: &str, value: &Value) {
        let Some((setting, overruled)) = contest(self.application, names) else { return };
        let fact = value.as_str().and_then(facts::whole).filter(|_| self.facts);
        let origin = fact.map_or(Origin::Setting(setting), |name| Origin::Fact(name.to_owned()));
        self.entries.push(Provenance { pointer: at.to_owned(), origin, overruled });
    }
}

/// Which setting a place got its value from, and which lost to stronger ones, weakest first.
fn contest(application: &Application, names: &[&str]) -> Option<(Setting, Vec<Setting>)> {
    let mut holder: Option<(Setting, &Value)> = None;
    let mut overruled = Vec::new();
    for (number, layer) in (0..).zip(&application.layers) {
        let Some((pointer, value)) = says(&layer.settings, names) else { continue };
        let setting = Setting { layer: number, pointer };
        match holder.take() {
            // Objects are merged: the first made the place one.
            Some(first) if first.1.is_object() && value.is_object() => holder = Some(first),
            Some((weaker, other)) => {
                if other != value || weaker.pointer != setting.pointer {
                    overruled.push(weaker);
                }
                holder = Some((setting, value));
            }
            None => holder = Some((setting, value)),
        }
    }
    holder.map(|(setting, _)| (setting, overruled))
}

/// What a layer says of a place: its value there, or whatever stands above and is no object.
fn says<'v>(settings: &'v Map<String, Value>, names: &[&str]) -> Option<(String, &'v Value)> {
    let (last, above) = names.split_last()?;
    let mut members = settings;
    let mut at = String::new();
    for name in above {
        at = json::child(&at, name);
        match members.get(*name)? {
            Value::Object(inner) => members = inner,
            other => return Some((at, other)),
        }
    }
    members.get(*last).map(|value| (json::child(&at, last), value))
}
