//! Why a device has the values that it has, as people read it.

use serde::Deserialize;
use serde_json::Value;
use syncline_domain::{
    Failure, Name,
    device::{Delivery, policy::Place},
    ids::PolicyId,
    policy::{Document, LockedOut, Origin, Provenance, Setting},
};

use super::policy::place;
use crate::output::{Rows, fields, list, moment_or, plain};

/// Where a document comes from, as the API shows it.
#[derive(Debug, Deserialize)]
pub struct Explanation {
    application: Name,
    layers: Vec<Layer>,
    document: Option<Document>,
    #[serde(default)]
    locked_out: Vec<LockedOut>,
    failure: Option<Failure>,
    delivery: Option<Delivery>,
}

#[derive(Debug, Deserialize)]
struct Layer {
    policy: Option<PolicyId>,
    version: Option<u64>,
    place: Option<Place>,
    settings: Value,
    #[serde(default)]
    locks: Vec<String>,
}

/// Each value with the layer that it comes from and what that overruled, after the layers.
pub fn render(explanation: &Explanation) -> String {
    let mut parts = vec![head(explanation)];
    if !explanation.layers.is_empty() {
        parts.push(layers(&explanation.layers));
    }
    if let Some(document) = &explanation.document {
        parts.push(values(document, &explanation.layers));
    }
    if !explanation.locked_out.is_empty() {
        let told: Vec<String> =
            explanation.locked_out.iter().map(|one| locked(one, &explanation.layers)).collect();
        parts.push(told.join("\n"));
    }
    parts.join("\n\n")
}

fn head(explanation: &Explanation) -> String {
    let state = match (&explanation.failure, &explanation.document) {
        (Some(failure), _) => format!("not worked out, what was before stays: {}", failure.message),
        (None, Some(document)) => format!("{}, {} bytes", document.content_type, document.body.len()),
        (None, None) if explanation.layers.is_empty() => "none: no policy concerns the device".to_owned(),
        (None, None) => "none: it is withdrawn".to_owned(),
    };
    let mut shown = vec![("application", explanation.application.to_string()), ("document", state)];
    if let Some(delivery) = &explanation.delivery {
        shown.push(("wanted", format!("version {}", delivery.wanted_version)));
        shown.push(("held", delivery.held_version.map(|one| format!("version {one}")).unwrap_or_default()));
        shown.push(("delivery", delivery.state.to_string()));
        shown.push(("delivered", moment_or(delivery.delivered_at, "never")));
        shown.push(("error", delivery.error.clone().unwrap_or_default()));
    }
    fields(&shown)
}

fn layers(layers: &[Layer]) -> String {
    let mut rows = Rows::new(&["LAYER>", "WHERE", "POLICY", "VERSION>", "LOCKS"], "");
    for (number, layer) in layers.iter().enumerate() {
        rows.add([
            number.to_string(),
            of(layer),
            layer.policy.map(|id| id.to_string()).unwrap_or_default(),
            layer.version.map(|version| version.to_string()).unwrap_or_default(),
            list(layer.locks.iter().map(|lock| if lock.is_empty() { "everything" } else { lock })),
        ]);
    }
    rows.render()
}

fn of(layer: &Layer) -> String {
    layer.place.as_ref().map_or_else(|| "defaults".to_owned(), place)
}

fn values(document: &Document, layers: &[Layer]) -> String {
    let whole: Option<Value> = serde_json::from_slice(&document.body).ok();
    let headings = ["VALUE", "IS", "FROM", "OVERRULED"];
    let mut rows = Rows::new(&headings, "The plugin does not say where its values come from.");
    for Provenance { pointer, origin, overruled } in &document.provenance {
        let is = whole.as_ref().and_then(|whole| whole.pointer(pointer.as_str()));
        let overruled = overruled.iter().map(|setting| {
            let said = said(setting, layers).map(|value| format!(": {}", short(value))).unwrap_or_default();
            format!("{}{said}", layer(setting, layers))
        });
        rows.add([
            everything(pointer.as_str()),
            is.map(short).unwrap_or_default(),
            self::origin(origin, layers),
            overruled.collect::<Vec<_>>().join("; "),
        ]);
    }
    rows.render()
}

fn origin(origin: &Origin, layers: &[Layer]) -> String {
    match origin {
        Origin::Setting(setting) => layer(setting, layers),
        Origin::Assignment { user, key_set } => format!("key set {key_set} of user {user}"),
        Origin::Fact(name) => format!("fact {name}"),
        Origin::Plugin(why) => format!("the plugin: {why}"),
    }
}

fn layer(setting: &Setting, layers: &[Layer]) -> String {
    let layer = usize::try_from(setting.layer).ok().and_then(|number| layers.get(number));
    let of = layer.map(|layer| format!(" ({})", of(layer))).unwrap_or_default();
    format!("layer {}{of}", setting.layer)
}

fn said<'a>(setting: &Setting, layers: &'a [Layer]) -> Option<&'a Value> {
    layers.get(usize::try_from(setting.layer).ok()?)?.settings.pointer(setting.pointer.as_str())
}

fn locked(LockedOut { setting, by }: &LockedOut, layers: &[Layer]) -> String {
    let wanted = said(setting, layers).map(|value| format!(" ({})", short(value))).unwrap_or_default();
    plain(&format!(
        "{}{wanted} of {} does not hold: {} locks {}",
        everything(setting.pointer.as_str()),
        layer(setting, layers),
        layer(by, layers),
        everything(by.pointer.as_str()),
    ))
}

fn everything(pointer: &str) -> String {
    if pointer.is_empty() { "everything".to_owned() } else { pointer.to_owned() }
}

/// A value that fits into a table.
fn short(value: &Value) -> String {
    const MOST: usize = 40;
    let text = value.to_string();
    if text.chars().count() <= MOST {
        return text;
    }
    format!("{}…", text.chars().take(MOST).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_value_tells_its_layer_and_what_that_overruled() {
        let explanation: Explanation = serde_json::from_value(json!({
            "application": "browser",
            "layers": [
                {"policy": null, "version": null, "place": null, "settings": {"home": "a", "tabs": 3}, "locks": []},
                {"policy": "01930000-0000-7000-8000-000000000001", "version": 2, "place": {"group": "/"},
                    "settings": {"home": "b"}, "locks": ["/home"]},
                {"policy": "01930000-0000-7000-8000-000000000002", "version": 1,
                    "place": {"device": "01930000-0000-7000-8000-000000000003"}, "settings": {"home": "c", "tabs": 5},
                    "locks": []},
            ],
            "document": {
                "content_type": "application/json", "body": {"text": "{\"home\":\"b\",\"tabs\":5}"},
                "provenance": [
                    {"pointer": "/home", "origin": {"setting": {"layer": 1, "pointer": "/home"}},
                        "overruled": [{"layer": 0, "pointer": "/home"}]},
                    {"pointer": "/tabs", "origin": {"setting": {"layer": 2, "pointer": "/tabs"}},
                        "overruled": [{"layer": 0, "pointer": "/tabs"}]},
                ],
            },
            "locked_out": [{"setting": {"layer": 2, "pointer": "/home"}, "by": {"layer": 1, "pointer": "/home"}}],
            "failure": null,
            "delivery": null,
        }))
        .unwrap();
        insta::assert_snapshot!(render(&explanation));
    }

    #[test]
    fn an_application_that_no_policy_concerns_is_told_so() {
        let explanation: Explanation = serde_json::from_value(json!({
            "application": "browser", "layers": [], "document": null, "locked_out": [], "failure": null, "delivery": null,
        }))
        .unwrap();
        assert!(render(&explanation).ends_with("none: no policy concerns the device"));
    }
}
