//! Nodes, digests of files, remembered requests.

use std::time::Duration;

use syncline_domain::{RelPath, ids::NodeId};
use syncline_store::{Error, REMEMBERED_FOR, Remembered};

use crate::lab::{Lab, both_engines, event, name};

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

both_engines! {
    async fn a_node_is_seen(lab: Lab) {
        let db = lab.open().await;
        db.touch_node(lab.node, "console-1", "0.1.0").await.unwrap();
        let first = db.nodes().await.unwrap();
        assert_eq!((first[0].id, first[0].name.as_str(), first[0].version.as_str()), (lab.node, "console-1", "0.1.0"));
        lab.pass(Duration::from_secs(1));
        let other = NodeId::new(lab.now());
        db.touch_node(other, "console-2", "0.1.0").await.unwrap();
        db.touch_node(lab.node, "console-1", "0.2.0").await.unwrap();
        let nodes = db.nodes().await.unwrap();
        assert_eq!(nodes.len(), 2);
        assert_eq!((nodes[0].id, nodes[0].version.as_str()), (lab.node, "0.2.0"));
        assert!(nodes[0].last_seen > first[0].last_seen);
    }

    async fn digests_of_a_folder_are_those_below_it(lab: Lab) {
        let db = lab.with_sync().await;
        let site = name("site");
        let odd = RelPath::new(b"a/\xff".to_vec()).unwrap();
        let folders = ["", "a", "a/b", "a/b/c", "a-b", "a0", "ab", "b"].map(path);
        let saved: Vec<_> = folders.iter().chain([&odd]).map(|one| (one.clone(), one.as_bytes().to_vec())).collect();
        let saved: Vec<_> = saved.into_iter().map(|(path, mut body)| { body.push(1); (path, body) }).collect();
        db.save_digests(&site, &saved).await.unwrap();
        let known = |folder: RelPath| {
            let (db, site) = (db.clone(), site.clone());
            async move {
                let known = db.known_digests(&site, &folder).await.unwrap();
                known.into_iter().map(|(path, _)| path).collect::<Vec<_>>()
            }
        };
        assert_eq!(known(path("a")).await, [path("a"), path("a/b"), path("a/b/c"), odd]);
        assert_eq!(known(path("a/b/c")).await, [path("a/b/c")]);
        assert_eq!(known(path("none")).await, []);
        assert_eq!(known(RelPath::root()).await.len(), 9);

        // Changed, forgotten, and named twice, of which the last counts.
        let change = [
            (path("a"), b"new".to_vec()), (path("a/b"), vec![]),
            (path("b"), b"x".to_vec()), (path("b"), b"y".to_vec()),
        ];
        db.save_digests(&site, &change).await.unwrap();
        let known = db.known_digests(&site, &path("a")).await.unwrap();
        assert_eq!(known[0], (path("a"), b"new".to_vec()));
        assert_eq!(known.len(), 3);
        assert_eq!(db.known_digests(&site, &path("b")).await.unwrap()[0].1, b"y");
        assert_eq!(db.known_digests(&name("other"), &RelPath::root()).await.unwrap(), []);
    }

    async fn digests_go_with_their_store(lab: Lab) {
        let db = lab.open().await;
        let store = name("gone");
        let digests: Vec<_> = (0..1_000).map(|n| (path(&format!("f{n:04}")), vec![7; 100])).collect();
        db.add_store(&lab.store("gone"), event("store.added")).await.unwrap();
        db.save_digests(&store, &digests).await.unwrap();
        assert_eq!(db.known_digests(&store, &RelPath::root()).await.unwrap(), digests);
        db.remove_store(&store, event("store.removed")).await.unwrap();
        // A run that was under way saves what nobody needs any more.
        db.save_digests(&store, &digests).await.unwrap();
        db.add_store(&lab.store("gone"), event("store.added")).await.unwrap();
        assert_eq!(db.known_digests(&store, &RelPath::root()).await.unwrap(), []);
    }

    async fn an_answer_is_remembered_for_a_day(lab: Lab) {
        let db = lab.open().await;
        let answer = Remembered {
            request_digest: "1".to_owned(),
            status: 202,
            body: "{}".to_owned(),
            location: Some("/api/v1/runs/1".to_owned()),
        };
        assert_eq!(db.remembered("k", "a").await.unwrap(), None);
        db.remember("k", "a", &answer).await.unwrap();
        assert_eq!(db.remembered("k", "a").await.unwrap(), Some(answer.clone()));
        assert_eq!(db.remembered("k", "b").await.unwrap(), None, "keys are each actor's own");
        let second = Remembered { status: 409, location: None, ..answer.clone() };
        assert!(matches!(db.remember("k", "a", &second).await.unwrap_err(), Error::Exists { .. }));
        assert_eq!(db.remembered("k", "a").await.unwrap(), Some(answer));
        lab.pass(REMEMBERED_FOR);
        assert_eq!(db.remembered("k", "a").await.unwrap(), None);
        db.remember("k", "a", &second).await.unwrap();
        assert_eq!(db.remembered("k", "a").await.unwrap(), Some(second));
    }
}
