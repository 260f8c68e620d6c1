//! Connecting to a real domain controller.

use syncline_domain::{
    FailureKind,
    directory::{DirectoryKind, Security, TestStep},
};
use syncline_tests::directory::samba::{READER, SUFFIX, Samba, group, person, unit};

use super::{Client, directory, refused, source};

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_controller_is_read_over_every_kind_of_connection() {
    let people: String = (1..=50).map(|number| person("people", number)).collect();
    let samba = Samba::start(&(unit("people") + &people + &group("people", "everybody", 1..=50)));
    let mut source = source(Security::Ldaps, Some(&samba.authority), &[&samba.ldaps()]);
    source.bind_as = Some(READER.0.to_owned());
    for (security, address) in [
        (Security::Ldaps, samba.ldaps()),
        (Security::Starttls, samba.plain()),
        (Security::Plain, samba.plain()),
    ] {
        source.security = security;
        source.servers = vec![address];
        let mut client = Client::new(directory(&source, READER.1).connect().await.unwrap());
        let answer = client.search(&format!("OU=people,{SUFFIX}"), &["member", "objectGUID"]).await.unwrap();
        assert_eq!(answer.entries.len(), 52, "{security}");

        let failure = directory(&source, "hunter2").connect().await.unwrap_err();
        refused(&failure, FailureKind::Denied, "credentials", &[READER.0, "the password is wrong"]);
    }
    let report = directory(&source, READER.1).test(&[]).await;
    assert!(report.ok, "{report:?}");
    let facts = &report.servers[0];
    assert_eq!((facts.kind, facts.paging, facts.dirsync), (DirectoryKind::ActiveDirectory, true, true));
    assert!(facts.naming_contexts.iter().any(|name| name.eq_ignore_ascii_case(SUFFIX)), "{facts:?}");
    let rights = report.steps.iter().find(|step| step.step == TestStep::Rights).unwrap();
    assert!(rights.message.contains("objectGUID"), "{rights:?}");

    // What changes there is changed by the ordinary tools.
    samba.change(&format!("dn: CN=User 000001,OU=people,{SUFFIX}\nchangetype: modrdn\nnewrdn: CN=Ada\ndeleteoldrdn: 1\nnewsuperior: {SUFFIX}\n"));
    samba.change(&format!("dn: CN=User 000002,OU=people,{SUFFIX}\nchangetype: delete\n"));
    assert!(samba.search(SUFFIX, "(cn=Ada)", &["cn"]).contains("cn: Ada"));
}
