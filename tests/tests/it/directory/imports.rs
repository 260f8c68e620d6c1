//! Imports as operators have them: a server, the plugin `ldap-directory` in its sandbox, and real directories.

use ldap3_proto::proto::LdapResultCode;
use serde_json::{Value, json};
use syncline_domain::directory::Security;
use syncline_tests::{
    api::Api,
    directory::{
        certificates::Authority,
        ldif::{self, READER},
        misbehaving::{self, Behaviour, Misbehaving},
        samba::{self, Samba},
        slapd::{Options, Slapd},
    },
    programs,
    server::Server,
};

/// A server with the plugin, and a source.
struct Desk {
    _folder: tempfile::TempDir,
    _server: Server,
    api: Api,
}

impl Desk {
    /// The source is called `corp`, the sync `people`.
    fn new(source: Value, password: &str, sync: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(&folder.path().join("data"));
        let api = server.api();
        api.post("/secrets", &json!({ "name": "corp-password", "value": password })).expect(201);
        let mut body = json!({ "name": "corp", "secret": "corp-password" });
        merge(&mut body, source);
        api.post("/directory-sources", &body).expect(201);
        for group in ["/sales", "/staff"] {
            api.post("/groups", &json!({ "path": group })).expect(201);
        }
        let plugin = api.install(&programs::plugin("ldap-directory"));
        let mut body = json!({
            "name": "people", "plugin": plugin, "sources": ["corp"], "max_attempts": 1,
            "directory": { "mode": "automatic" },
        });
        merge(&mut body, sync);
        api.post("/syncs", &body).expect(201);
        Self { _folder: folder, _server: server, api }
    }

    fn of(slapd: &Slapd, directory: Value) -> Self {
        let source = json!({ "servers": [slapd.plain()], "security": "plain", "bind_as": READER.0 });
        Self::new(source, READER.1, json!({ "directory": directory }))
    }

    /// Imports, and expects this end.
    #[track_caller]
    fn import(&self, state: &str) -> Value {
        let run = self.api.run("people", "apply");
        let log = self.api.get(&format!("/runs/{}/log", run["id"].as_str().unwrap()));
        assert_eq!(run["state"], state, "{run:#}\n{log:#}");
        run
    }

    fn users(&self) -> Vec<Value> {
        self.api.all("/users?limit=1000")
    }

    /// The user of this name.
    #[track_caller]
    fn user(&self, name: &str) -> Value {
        let found = self.api.all(&format!("/users?name={name}"));
        assert_eq!(found.len(), 1, "{found:#?}");
        found.into_iter().next().unwrap()
    }

    fn entries(&self, filter: &str) -> Vec<Value> {
        self.api.all(&format!("/directory-entries?limit=1000&{filter}"))
    }

    #[track_caller]
    fn entry(&self, text: &str) -> Value {
        let found = self.entries(&format!("kind=person&q={text}"));
        assert_eq!(found.len(), 1, "{found:#?}");
        found.into_iter().next().unwrap()
    }
}

fn merge(into: &mut Value, more: Value) {
    for (name, value) in more.as_object().unwrap() {
        into[name] = value.clone();
    }
}

fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

fn people(slapd_has: usize, session_log: bool) -> Slapd {
    let ldif = ldif::base() + &ldif::people(1..=slapd_has) + &ldif::group("staff", 1..=slapd_has);
    Slapd::start(&Options { ldif, session_log, ..Options::default() })
}

/// Full, then what changed, by each way in which slapd tells of it.
fn openldap(session_log: bool) {
    let slapd = people(60, session_log);
    let desk = Desk::of(&slapd, json!({ "mode": "automatic" }));
    desk.import("succeeded");
    assert_eq!(desk.users().len(), 60);
    let before = desk.user("user000007");
    assert_eq!(
        (&before["email"], &before["display_name"]),
        (&json!("user000007@example.org"), &json!("User 7"))
    );
    assert_eq!(before["origins"]["email"]["source"], "mail", "{before:#}");
    assert_eq!(desk.entries("kind=person&state=linked").len(), 60);

    let nothing = desk.import("succeeded");
    assert_eq!(
        (&nothing["counts"]["updated"], &nothing["counts"]["removed"]),
        (&json!(0), &json!(0)),
        "{nothing:#}"
    );

    slapd.rename(&ldif::person_dn(7), "uid=ada", Some("ou=groups,dc=example,dc=org"));
    slapd.change(
        "dn: uid=ada,ou=groups,dc=example,dc=org\nchangetype: modify\nreplace: mail\nmail: ada@example.org\n",
    );
    slapd.delete(&[&ldif::person_dn(8)]);
    slapd.add(&ldif::person(61));
    let preview = desk.api.run("people", "preview");
    assert_eq!(preview["state"], "succeeded", "{preview:#}");
    assert_eq!(desk.users().len(), 60, "a preview writes nothing");
    desk.import("succeeded");
    let renamed = desk.user("ada");
    assert_eq!((id(&renamed), &renamed["email"]), (id(&before), &json!("ada@example.org")));
    assert_eq!(desk.user("user000061")["disabled"], false);
    assert_eq!(desk.user("user000008")["disabled"], true, "gone there, switched off here");
    let orphans = desk.entries("state=orphaned");
    assert_eq!(orphans.len(), 1, "{orphans:#?}");

    desk.api.delete(&format!("/directory-entries/{}", id(&orphans[0]))).expect(204);
    assert_eq!(desk.users().len(), 60);
    desk.import("succeeded");
    assert_eq!(desk.users().len(), 60);
}

#[test]
fn openldap_tells_what_was_deleted() {
    openldap(true);
}

#[test]
fn openldap_tells_what_is_still_there() {
    openldap(false);
}

#[test]
fn an_operator_decides_where_imports_are_manual() {
    let slapd = people(5, true);
    let desk = Desk::of(&slapd, json!({ "mode": "manual" }));
    desk.import("succeeded");
    assert_eq!((desk.users().len(), desk.entries("kind=person&state=unlinked").len()), (0, 5));
    let post = |entry: &Value, what: &str, body: Value| {
        desk.api.post(&format!("/directory-entries/{}/{what}", id(entry)), &body)
    };
    let own = desk.api.post("/users", &json!({ "name": "somebody" })).expect(201);
    let (one, two, three) = (desk.entry("user000001"), desk.entry("user000002"), desk.entry("user000003"));
    post(&one, "link", json!({ "user": id(&own) })).expect(200);
    assert_eq!(desk.user("user000001")["id"], own["id"]);
    assert_eq!(post(&two, "link", json!({ "user": id(&own) })).status, 409, "a user goes by one entry");
    post(&two, "link", json!({})).expect(200);
    assert_eq!(post(&three, "ignore", json!({})).expect(200)["state"], "ignored");
    let refused = post(&three, "link", json!({})).expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("ignored"), "{refused:#}");

    desk.api.delete(&format!("/directory-entries/{}", id(&two))).expect(200);
    assert_eq!(desk.users().len(), 1, "deleted here while it is there: ignored from now on");
    desk.import("succeeded");
    assert_eq!((desk.users().len(), desk.entries("state=ignored").len()), (1, 2));
    assert_eq!(post(&two, "unignore", json!({})).expect(200)["state"], "unlinked");
    assert_eq!(post(&one, "unlink", json!({})).expect(200)["state"], "unlinked");
    assert_eq!(desk.user("user000001")["origins"], json!({}));
}

#[test]
fn a_mass_deletion_is_held_until_somebody_looked_at_it() {
    let slapd = people(100, true);
    let desk = Desk::of(&slapd, json!({ "mode": "automatic" }));
    desk.import("succeeded");
    let gone: Vec<_> = (1..=40).map(ldif::person_dn).collect();
    slapd.delete(&gone.iter().map(String::as_str).collect::<Vec<_>>());
    let held = desk.import("held");
    assert_eq!(held["excesses"][0]["limit"], "max_delete_percent", "{held:#}");
    assert!(desk.users().iter().all(|user| user["disabled"] == false), "nothing was written");
    let listed = desk.api.operations(id(&held));
    assert!(listed.iter().filter(|one| one["kind"] == "remove").count() >= 40, "{listed:#?}");
    desk.api.post(&format!("/runs/{}/approve", id(&held)), &json!({})).expect(202);
    let run = desk.api.ended(id(&held));
    assert_eq!(run["state"], "succeeded", "{run:#}");
    assert_eq!(desk.entries("state=orphaned").len(), 40);
    assert_eq!(desk.users().iter().filter(|user| user["disabled"] == true).count(), 40);
}

#[test]
fn collisions_wait_for_a_person_and_no_import_loses_them() {
    let twin = ldif::person(3).replace("user000003@example.org", "user000002@example.org");
    let ldif = ldif::base() + &ldif::people(1..=2) + &twin;
    let slapd = Slapd::start(&Options { ldif, ..Options::default() });
    let desk = Desk::of(&slapd, json!({ "mode": "automatic" }));
    desk.import("partial");
    assert_eq!(desk.users().len(), 1, "neither of two with one e-mail is made a user");
    let held = desk.entries("held=true");
    assert_eq!(held.len(), 2, "{held:#?}");
    assert!(held[0]["held"].as_str().unwrap().contains("user000002@example.org"), "{held:#?}");
    // Nothing changed there: they are told again.
    desk.import("partial");
    slapd.change(&format!(
        "dn: {}\nchangetype: modify\nreplace: mail\nmail: third@example.org\n",
        ldif::person_dn(3)
    ));
    desk.import("succeeded");
    assert_eq!((desk.users().len(), desk.entries("held=true").len()), (3, 0));
}

#[test]
fn a_directory_that_misbehaves_removes_nobody() {
    let directory = Misbehaving::start(
        [misbehaving::people(9_000), vec![misbehaving::group("staff", 90_000, 1..=3_000)]].concat(),
    );
    let source =
        json!({ "servers": [directory.address()], "security": "plain", "bind_as": misbehaving::READER.0 });
    let desk = Desk::new(
        source,
        misbehaving::READER.1,
        json!({ "settings": {
        "search_time_limit_s": 2, "filters": { "people": "(objectClass=user)", "groups": "(objectClass=group)" },
    } }),
    );
    desk.import("succeeded");
    let all = |desk: &Desk| {
        let mut users: Vec<_> = desk
            .users()
            .into_iter()
            .map(|user| (user["name"].clone(), user["email"].clone(), user["disabled"].clone()))
            .collect();
        users.sort_by_key(|(name, ..)| name.to_string());
        users
    };
    let before = all(&desk);
    assert_eq!(before.len(), 9_000);
    for behaviour in [
        Behaviour::DropOnPage(7),
        Behaviour::EndPage(3, LdapResultCode::SizeLimitExceeded),
        Behaviour::EndPage(2, LdapResultCode::TimeLimitExceeded),
        Behaviour::ForgetPages,
        Behaviour::SameCookie,
        Behaviour::RefuseCookie,
        Behaviour::TruncatedBer,
        Behaviour::HugeLength,
        Behaviour::Endless,
        Behaviour::Silent,
        Behaviour::Empty,
        Behaviour::Refer("ldap://127.0.0.1:9/".to_owned()),
        Behaviour::Reference("ldap://127.0.0.1:9/".to_owned()),
    ] {
        let shown = format!("{behaviour:?}");
        directory.behave(behaviour);
        let answer = desk.api.post("/syncs/people/runs", &json!({ "anew": true })).expect(202);
        let run = desk.api.ended(id(&answer));
        let state = run["state"].as_str().unwrap();
        assert!(matches!(state, "failed" | "held" | "timed-out"), "{shown}: {run:#}");
        if state == "held" {
            desk.api.post(&format!("/runs/{}/reject", id(&run)), &json!({})).expect(200);
        }
        assert!(desk.entries("state=orphaned").is_empty(), "{shown}");
    }
    assert_eq!(all(&desk), before);
    directory.behave(Behaviour::Well);
    desk.import("succeeded");
    assert_eq!(all(&desk), before);
}

#[test]
fn active_directory_is_read_and_followed() {
    let people: String = (1..=1_200).map(|number| samba::person("people", number)).collect();
    let samba = Samba::start(
        &(samba::unit("people")
            + &samba::unit("sales")
            + &samba::group("sales", "sellers", [])
            + &people
            + &samba::group("people", "staff", 1..=1_200)),
    );
    let source = json!({
        "servers": [samba.ldaps()], "certificate_authorities": samba.authority, "bind_as": samba::READER.0,
        "bases": [format!("OU=people,{}", samba::SUFFIX), format!("OU=sales,{}", samba::SUFFIX)],
    });
    let directory = json!({
        "mode": "automatic-with-groups",
        "placement": [{ "unit": "sales", "group": "/sales" }, { "member_of": "staff", "group": "/staff" }],
    });
    let desk = Desk::new(source, samba::READER.1, json!({ "directory": directory }));
    let report = desk.api.post("/directory-sources/corp/test", &json!({})).expect(200);
    assert_eq!(
        (&report["ok"], &report["servers"][0]["kind"]),
        (&json!(true), &json!("active-directory")),
        "{report:#}"
    );
    desk.import("succeeded");
    let users = desk.users();
    assert_eq!(users.len(), 1_200);
    assert!(users.iter().all(|user| user["group"] == "/staff"), "{:#}", users[0]);
    let moved = desk.entry("User%20000007");

    // Accounts without a password are switched off there.
    assert!(users.iter().all(|user| user["disabled"] == true), "{:#}", users[0]);
    samba.change(&format!(
        "dn: {}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: 544\n",
        samba::person_dn("people", 7)
    ));
    samba.change(&format!(
        "dn: {}\nchangetype: modrdn\nnewrdn: CN=Ada\ndeleteoldrdn: 1\nnewsuperior: OU=sales,{}\n",
        samba::person_dn("people", 7),
        samba::SUFFIX
    ));
    samba.change(&format!("dn: {}\nchangetype: delete\n", samba::person_dn("people", 8)));
    let run = desk.import("succeeded");
    let told = desk.api.get(&format!("/runs/{}/log", id(&run)));
    let user = desk.api.get(&format!("/users/{}", moved["user"].as_str().unwrap()));
    assert_eq!((&user["group"], &user["disabled"]), (&json!("/sales"), &json!(false)), "{user:#}");
    assert_eq!(desk.entries("kind=person&state=orphaned").len(), 1, "{told:#}");
}

#[test]
fn what_administrators_and_others_may_do_and_see() {
    let authority = Authority::new("Example authority");
    let identity = authority.issue(&["localhost"]);
    let ldif = ldif::base() + &ldif::people(1..=3);
    let slapd = Slapd::start(&Options { ldif, identity: Some(identity), ..Options::default() });
    let source = json!({
        "servers": [format!("localhost:{}", slapd.tls_port)], "security": Security::Ldaps,
        "certificate_authorities": authority.pem(), "bind_as": READER.0,
    });
    let desk = Desk::new(source, "wrong-0123", json!({}));
    let report = desk.api.post("/directory-sources/corp/test", &json!({})).expect(200);
    let last = report["steps"].as_array().unwrap().last().unwrap();
    assert_eq!((&report["ok"], &last["step"]), (&json!(false), &json!("credentials")), "{report:#}");
    let run = desk.import("failed");
    assert_eq!(run["failure"]["code"], "credentials", "{run:#}");

    desk.api.put("/secrets/corp-password", &json!({ "value": READER.1 })).expect(200);
    let begun = desk.api.post("/directory-sources/corp/import", &json!({})).expect(202);
    let run = desk.api.ended(begun["runs"][0]["run"].as_str().unwrap());
    assert_eq!(run["state"], "succeeded", "{run:#}");
    let begun = desk.api.post("/directory-imports", &json!({ "mode": "preview" })).expect(202);
    assert_eq!(begun["runs"][0]["sync"], "people");
    desk.api.ended(begun["runs"][0]["run"].as_str().unwrap());

    let shown = desk.api.get("/directory-sources/corp");
    assert!(!shown.to_string().contains(READER.1), "{shown:#}");
    assert_eq!(desk.api.delete("/directory-sources/corp").status, 409, "a sync reads it");
    let viewer = desk.api.post("/tokens", &json!({ "name": "v", "role": "viewer" })).expect(201);
    let viewer = desk.api.with_token(viewer["token"].as_str().unwrap());
    for path in ["/directory-sources/corp/test", "/directory-sources/corp/import", "/directory-imports"] {
        assert_eq!(viewer.post(path, &json!({})).status, 403, "{path}");
    }
    assert_eq!(viewer.get("/directory-entries?kind=person")["items"].as_array().unwrap().len(), 3);
    // Whoever reads what the server logged, or what happened, learns no password.
    let events = desk.api.all("/events?limit=1000");
    assert!(!format!("{events:?}{}", desk._server.log()).contains(READER.1));
}

#[test]
fn a_plugin_that_wants_to_change_a_directory_is_cut_off_and_named() {
    let slapd = people(3, true);
    let desk = Desk::of(&slapd, json!({}));
    let plugin = desk.api.install(&programs::guest("hostile-directory"));
    let before = slapd.search(ldif::SUFFIX, "(objectClass=*)", &["*", "entryCSN"]);
    for (at, operation) in ["modify", "add", "delete", "bind"].into_iter().enumerate() {
        let name = format!("hostile-{at}");
        let body = json!({
            "name": name, "plugin": plugin, "sources": ["corp"], "max_attempts": 1,
            "settings": { "do": operation }, "directory": {},
        });
        desk.api.post("/syncs", &body).expect(201);
        let run = desk.api.run(&name, "apply");
        assert_eq!(run["state"], "failed", "{run:#}");
        let failure = &run["failure"];
        assert_eq!(
            (&failure["fault"], &failure["code"]),
            (&json!("plugin"), &json!("ldap-operation")),
            "{run:#}"
        );
        assert!(failure["message"].as_str().unwrap().contains(operation), "{run:#}");
        // It is suspended after some of these.
        desk.api.post(&format!("/plugins/{plugin}/enable"), &json!({}));
    }
    assert_eq!(slapd.search(ldif::SUFFIX, "(objectClass=*)", &["*", "entryCSN"]), before);
}
