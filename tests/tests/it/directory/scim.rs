//! Directories over SCIM: a server, the plugin `scim-directory` in its sandbox, a service that others wrote, and one that goes
//! wrong.

use serde_json::{Value, json};
use syncline_tests::{
    api::Api,
    directory::scim::{Misbehaving, Scim, TOKEN, Wrong},
    programs,
    server::Server,
};

/// A server with the plugin, the source `corp`, and the sync `people`.
struct Desk {
    _folder: tempfile::TempDir,
    server: Server,
    api: Api,
}

impl Desk {
    fn new(url: &str, plugin: &[u8], settings: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(&folder.path().join("data"));
        let api = server.api();
        api.post("/secrets", &json!({ "name": "corp-token", "value": TOKEN })).expect(201);
        let source = json!({ "name": "corp", "kind": "scim", "url": url, "security": "plain", "secret": "corp-token" });
        api.post("/directory-sources", &source).expect(201);
        let plugin = api.install(plugin);
        let sync = json!({
            "name": "people", "plugin": plugin, "sources": ["corp"], "max_attempts": 1, "settings": settings,
            "directory": { "mode": "automatic" },
        });
        api.post("/syncs", &sync).expect(201);
        Self { _folder: folder, server, api }
    }

    fn reading(url: &str, settings: Value) -> Self {
        Self::new(url, &programs::plugin("scim-directory"), settings)
    }

    /// Imports, and expects this end.
    #[track_caller]
    fn import(&self, state: &str) -> Value {
        let run = self.api.run("people", "apply");
        let log = self.api.get(&format!("/runs/{}/log", run["id"].as_str().unwrap()));
        assert_eq!(run["state"], state, "{run:#}\n{log:#}");
        run
    }

    #[track_caller]
    fn user(&self, name: &str) -> Value {
        let found = self.api.all(&format!("/users?name={name}"));
        assert_eq!(found.len(), 1, "{found:#?}");
        found.into_iter().next().unwrap()
    }

    fn count(&self, filter: &str) -> usize {
        self.api.all(&format!("/directory-entries?limit=1000&{filter}")).len()
    }

    /// Tests the source: whether all is well, and the steps with what was found.
    fn test(&self) -> (bool, Vec<(String, bool, String)>) {
        let report = self.api.post("/directory-sources/corp/test", &json!({})).expect(200);
        let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
        let steps = report["steps"].as_array().unwrap().iter();
        let steps = steps.map(|one| (text(one, "step"), one["ok"].as_bool().unwrap(), text(one, "message")));
        (report["ok"].as_bool().unwrap(), steps.collect())
    }

    /// Nothing that anybody can read has the token in it.
    fn gives_nothing_away(&self) {
        let said = format!("{:?}{}", self.api.all("/events?limit=1000"), self.server.log());
        assert!(!said.contains(TOKEN));
    }
}

#[test]
fn a_service_that_others_wrote_is_imported_and_followed() {
    let scim = Scim::start();
    let ids: Vec<_> = (1..=12).map(|n| scim.add_user(&format!("user{n}"))).collect();
    let inner = scim.add_group("inner", &[&ids[1]]);
    scim.add_group("outer", &[&ids[0], &inner]);
    let desk = Desk::reading(&scim.url, json!({ "page_size": 5 }));
    let (ok, steps) = desk.test();
    let names: Vec<_> = steps.iter().map(|(step, ..)| step.as_str()).collect();
    assert!(ok, "{steps:#?}");
    assert_eq!(names, ["name", "route", "tls", "credentials", "base", "rights"]);
    assert!(steps[5].2.contains("12 users and 2 groups"), "{steps:#?}");

    desk.import("succeeded");
    assert_eq!((desk.count("kind=person&state=linked"), desk.count("kind=group")), (12, 2));
    let before = desk.user("user7");
    assert_eq!(before["email"], "user7@example.org", "{before:#}");
    assert_eq!(before["display_name"], "USER7", "{before:#}");

    let nothing = desk.import("succeeded");
    let counts = &nothing["counts"];
    assert_eq!((&counts["updated"], &counts["removed"]), (&json!(0), &json!(0)), "{nothing:#}");

    scim.set(&ids[6], "userName", &json!("ada"));
    scim.set(&ids[8], "active", &json!(false));
    scim.delete(&ids[7]);
    scim.add_user("user13");
    desk.import("succeeded");
    let renamed = desk.user("ada");
    assert_eq!(renamed["id"], before["id"]);
    assert_eq!(desk.user("user13")["disabled"], false);
    assert_eq!(desk.user("user9")["disabled"], true, "switched off there");
    assert_eq!(desk.user("user8")["disabled"], true, "gone there, switched off here");
    assert_eq!(desk.count("state=orphaned"), 1);
    desk.gives_nothing_away();
}

#[test]
fn a_service_that_goes_wrong_costs_nobody_anything() {
    let service = Misbehaving::start(12);
    let desk = Desk::reading(&service.url, json!({ "page_size": 5 }));
    desk.import("succeeded");
    assert_eq!(desk.count("kind=person&state=linked"), 12);
    let elsewhere = Misbehaving::start(1);
    for (wrong, code, fault) in [
        (Wrong::Unauthorized, "credentials", "settings"),
        (Wrong::Busy, "busy", "remote"),
        (Wrong::DroppedPage, "closed", "remote"),
        (Wrong::EndlessPage, "body-size", "remote"),
        (Wrong::Total, "total", "remote"),
        (Wrong::Redirect(elsewhere.url.clone()), "redirect", "settings"),
        (Wrong::Redirect("http://169.254.169.254/latest".to_owned()), "redirect", "settings"),
        (Wrong::Echo, "secret", "settings"),
    ] {
        service.goes(wrong.clone());
        let run = desk.import("failed");
        let failure = &run["failure"];
        assert_eq!(
            (&failure["code"], &failure["fault"]),
            (&json!(code), &json!(fault)),
            "{wrong:?}: {run:#}"
        );
        assert_eq!(desk.count("kind=person&state=linked"), 12, "{wrong:?}");
    }
    service.goes(Wrong::Nothing);
    desk.import("succeeded");
    desk.gives_nothing_away();
}

#[test]
fn a_test_says_what_is_not_well_and_what_to_do() {
    let service = Misbehaving::start(3);
    let desk = Desk::reading(&service.url, json!({}));
    let (ok, steps) = desk.test();
    assert!(ok, "{steps:#?}");
    for (wrong, step, words) in [
        (Wrong::Unauthorized, "credentials", "set the secret anew"),
        (Wrong::Busy, "base", "429"),
        (Wrong::Redirect("https://elsewhere.example/".to_owned()), "base", "elsewhere.example"),
        (Wrong::Echo, "base", "no SCIM"),
    ] {
        service.goes(wrong.clone());
        let (ok, steps) = desk.test();
        let (at, well, message) = steps.last().unwrap();
        assert_eq!((ok, at.as_str(), *well), (false, step, false), "{wrong:?}: {steps:#?}");
        assert!(message.contains(words) && !message.contains(TOKEN), "{message}");
    }
    for (url, step) in [("http://nobody.invalid/v2", "name"), ("http://127.0.0.1:1/v2", "route")] {
        let mut source = desk.api.get("/directory-sources/corp");
        source["url"] = json!(url);
        desk.api.put("/directory-sources/corp", &source).expect(200);
        let (ok, steps) = desk.test();
        assert_eq!((ok, steps.last().unwrap().0.as_str()), (false, step), "{steps:#?}");
    }
    desk.gives_nothing_away();
}

#[test]
fn a_plugin_that_looks_for_the_token_does_not_find_it() {
    let service = Misbehaving::start(3);
    service.goes(Wrong::Echo);
    let backwards: String = TOKEN.chars().rev().collect();
    let settings = json!({ "do": "web-look-for", "backwards": backwards });
    let desk = Desk::new(&service.url, &programs::guest("hostile-directory"), settings);
    let run = desk.import("failed");
    assert_eq!(run["failure"]["code"], "secret", "{run:#}");
    desk.gives_nothing_away();
}
