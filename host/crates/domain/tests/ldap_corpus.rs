//! Holds the reading of LDAPMessages against what servers said and against what `make soak` found.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

#[path = "../examples/soak/properties.rs"]
mod properties;

use std::collections::BTreeMap;

use syncline_domain::directory::message::{Changes, Operation, parse, split};

fn corpus() -> BTreeMap<String, Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/corpus/ldap");
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap())
    };
    std::fs::read_dir(folder).unwrap().map(file).collect()
}

#[test]
fn all_of_it_is_read_without_a_fault_of_ours() {
    let corpus = corpus();
    assert!(corpus.len() > 20);
    for (name, bytes) in corpus {
        println!("{name}");
        properties::hold(&bytes);
    }
}

#[test]
fn what_openldap_says_is_understood() {
    let corpus = corpus();
    let results = |name: &str| -> Vec<(u32, bool)> {
        let messages = split(&corpus[name]).map(|message| parse(message.unwrap()).unwrap());
        let done = messages.filter(|message| message.operation == Operation::SearchResultDone);
        done.map(|done| (done.outcome().unwrap().code, done.has_more().unwrap())).collect()
    };
    assert_eq!(results("search-answered"), [(0, false)]);
    assert_eq!(results("limit-answered"), [(4, false)]);
    assert_eq!(results("missing-answered"), [(32, false)]);
    let (last, others) =
        results("paged-answered").split_last().map(|(last, others)| (*last, others.to_vec())).unwrap();
    assert_eq!(last, (0, false));
    assert!(others.len() > 2 && others.iter().all(|page| *page == (0, true)), "{others:?}");
    let asked = |name: &str| {
        let messages = split(&corpus[name]).map(|message| parse(message.unwrap()).unwrap());
        messages
            .filter(|message| message.operation == Operation::SearchRequest)
            .last()
            .unwrap()
            .changes()
            .unwrap()
    };
    assert_eq!(asked("search-asked"), Changes::No);
    assert_eq!(asked("sync-asked"), Changes::Sync);
    assert_eq!(asked("dirsync-asked"), Changes::DirSync);
}
