//! What devices hold is decided by whichever plugin an application names.

use std::fs;

use serde_json::json;
use syncline_tests::{agent::Device, devices::application_of, programs, server::Server};

#[test]
fn another_plugin_takes_the_place_of_the_one_that_comes_with_syncline() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let api = server.api();
    api.add_application("till");
    let device = Device::without_applications();
    let file = device.at("till.conf");
    device.configure(&format!("[applications.till]\nfile = {file:?}\n"));
    let id = device.enrol(&server, &api);
    let _agent = device.run();
    api.add_policy("till", &json!({ "printer": { "name": "A", "copies": 2 }, "home": "a" }));
    api.delivered(&id, "till", 1);
    let before = r#"{"home":"a","printer":{"copies":2,"name":"A"}}"#;
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    let plugin = api.install(&programs::guest("flat-policy"));
    api.put("/applications/till", &json!({ "plugin": plugin })).expect(200);
    let shown = api.delivered(&id, "till", 2);
    let after = "# for linux\nhome = \"a\"\nprinter.copies = 2\nprinter.name = \"A\"\n";
    assert_eq!(fs::read_to_string(&file).unwrap(), after);
    assert_eq!(application_of(&shown, "till")["delivery"]["state"], "verified");
}
