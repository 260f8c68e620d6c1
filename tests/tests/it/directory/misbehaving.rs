//! That the server which misbehaves does what it says: others' tests build on it.

use ldap3_proto::proto::LdapResultCode;
use syncline_domain::{Failure, FailureKind, directory::Security};
use syncline_tests::directory::misbehaving::{
    Behaviour, Misbehaving, PAGE, RANGE, READER, SUFFIX, group, people,
};

use super::{Answer, Client, directory, refused, source};

async fn client(server: &Misbehaving) -> Client {
    let mut source = source(Security::Plain, None, &[&server.address()]);
    source.bind_as = Some(READER.0.to_owned());
    Client::new(directory(&source, READER.1).connect().await.unwrap())
}

/// Entries of all pages, and how the last one ended.
async fn pages(client: &mut Client, most: usize) -> Result<(usize, Answer), Failure> {
    let (mut count, mut cookie) = (0, Vec::new());
    for _ in 0..most {
        let answer = client.page(SUFFIX, &["cn"], &cookie).await?;
        count += answer.entries.len();
        cookie = answer.cookie.clone().unwrap_or_default();
        if cookie.is_empty() {
            return Ok((count, answer));
        }
    }
    panic!("more than {most} pages")
}

fn code(answer: &Answer) -> LdapResultCode {
    answer.result.as_ref().unwrap().code.clone()
}

#[tokio::test]
async fn it_has_the_limits_of_active_directory() {
    let mut entries = people(7_500);
    entries.push(group("everybody", 100_000, 1..=3_200));
    let server = Misbehaving::start(entries);
    let mut client = client(&server).await;
    let (count, last) = pages(&mut client, 8).await.unwrap();
    assert_eq!((count, code(&last)), (7_503, LdapResultCode::Success));

    let answer = client.search(SUFFIX, &["cn"]).await.unwrap();
    assert_eq!((answer.entries.len(), code(&answer)), (PAGE, LdapResultCode::SizeLimitExceeded));

    let dn = format!("CN=everybody,OU=people,{SUFFIX}");
    let mut asked = "member".to_owned();
    for (given, count) in
        [("member;range=0-1499", RANGE), ("member;range=1500-2999", RANGE), ("member;range=3000-*", 200)]
    {
        let answer = client.search(&dn, &[&asked]).await.unwrap();
        let part = answer.entries[0].attributes.last().unwrap();
        assert_eq!((part.atype.as_str(), part.vals.len()), (given, count));
        let next =
            given.rsplit('-').next().and_then(|last| last.parse::<usize>().ok()).map_or(0, |last| last + 1);
        asked = format!("member;range={next}-*");
    }
    assert!(server.asked().iter().all(|asked| matches!(*asked, "bind" | "search")));
}

#[tokio::test]
async fn it_goes_wrong_as_it_is_told() {
    let server = Misbehaving::start(people(7_500));
    let behave = async |behaviour| {
        server.behave(behaviour);
        client(&server).await
    };
    let mut client = behave(Behaviour::DropOnPage(7)).await;
    let failure = pages(&mut client, 8).await.unwrap_err();
    refused(&failure, FailureKind::Unavailable, "closed", &[&server.address()]);

    let mut client = behave(Behaviour::EndPage(3, LdapResultCode::SizeLimitExceeded)).await;
    client.page(SUFFIX, &["cn"], b"page:1000").await.unwrap();
    let answer = client.page(SUFFIX, &["cn"], b"page:2000").await.unwrap();
    assert_eq!(code(&answer), LdapResultCode::SizeLimitExceeded);

    let mut client = behave(Behaviour::ForgetPages).await;
    assert_eq!(pages(&mut client, 1).await.unwrap().0, PAGE);

    let mut client = behave(Behaviour::SameCookie).await;
    let first = client.page(SUFFIX, &["cn"], b"page:1000").await.unwrap();
    assert_eq!(first.cookie.as_deref(), Some(&b"page:1000"[..]));

    let mut client = behave(Behaviour::RefuseCookie).await;
    let (count, last) = pages(&mut client, 2).await.unwrap();
    assert_eq!((count, code(&last)), (PAGE, LdapResultCode::UnwillingToPerform));

    let mut client = behave(Behaviour::Empty).await;
    let (count, last) = pages(&mut client, 1).await.unwrap();
    assert_eq!((count, code(&last)), (0, LdapResultCode::Success));

    let url = "ldap://elsewhere.example/".to_owned();
    let mut client = behave(Behaviour::Refer(url.clone())).await;
    let answer = client.page(SUFFIX, &["cn"], b"").await.unwrap();
    assert_eq!(answer.result.unwrap().referral, [url.as_str()]);
    let mut client = behave(Behaviour::Reference(url.clone())).await;
    assert_eq!(client.page(SUFFIX, &["cn"], b"").await.unwrap().references, [url]);

    let mut client = behave(Behaviour::HugeLength).await;
    let failure = client.page(SUFFIX, &["cn"], b"").await.unwrap_err();
    refused(&failure, FailureKind::Limit, "message-size", &["4 MiB"]);

    // The frame is whole, and what is inside ends too early: that is for whoever reads the inside.
    let mut client = behave(Behaviour::TruncatedBer).await;
    client.ask(SUFFIX, &["cn"], None).await.unwrap();
    assert_eq!(client.session.receive(1 << 16, std::time::Duration::from_secs(10)).await.unwrap().len(), 10);

    let mut client = behave(Behaviour::Endless).await;
    client.ask(SUFFIX, &["cn"], None).await.unwrap();
    for _ in 0..100 {
        client.session.receive(1 << 16, std::time::Duration::from_secs(10)).await.unwrap();
    }

    let mut client = behave(Behaviour::Silent).await;
    client.ask(SUFFIX, &["cn"], None).await.unwrap();
    let failure = client.session.receive(1 << 16, std::time::Duration::from_millis(50)).await.unwrap_err();
    refused(&failure, FailureKind::Unavailable, "timeout", &[&server.address()]);
}
