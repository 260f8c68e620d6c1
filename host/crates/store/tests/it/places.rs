//! Stores and collections: what reads back, stale revisions, what is in use.

use syncline_store::Error;

use crate::lab::{Lab, both_engines, event, name};

both_engines! {
    async fn places_read_back_as_they_were_added(lab: Lab) {
        let db = lab.open().await;
        let store = lab.store("site");
        assert_eq!(db.add_store(&store, event("store.added")).await.unwrap(), store);
        assert_eq!(db.store(&name("site")).await.unwrap(), store);
        let collection = lab.collection("patches", "site");
        assert_eq!(db.add_collection(&collection, event("collection.added")).await.unwrap(), collection);
        assert_eq!(db.collection(&name("patches")).await.unwrap(), collection);
        assert_eq!(db.stores().await.unwrap(), [store]);
        assert_eq!(db.collections().await.unwrap(), [collection]);
    }

    async fn lists_are_in_the_order_of_bytes(lab: Lab) {
        let db = lab.open().await;
        for store in ["b", "a_b", "a-b", "a.b", "ab", "0"] {
            db.add_store(&lab.store(store), event("store.added")).await.unwrap();
        }
        let names: Vec<_> = db.stores().await.unwrap().into_iter().map(|store| store.name.to_string()).collect();
        assert_eq!(names, ["0", "a-b", "a.b", "a_b", "ab", "b"]);
    }

    async fn names_and_folders_are_registered_once(lab: Lab) {
        let db = lab.open().await;
        let store = lab.store("site");
        db.add_store(&store, event("store.added")).await.unwrap();
        let same_name = db.add_store(&lab.store("site"), event("store.added")).await.unwrap_err();
        assert!(matches!(same_name, Error::Exists { what: "store", .. }));
        let mut same_folder = lab.store("other");
        same_folder.id = store.id;
        let refused = db.add_store(&same_folder, event("store.added")).await.unwrap_err();
        assert!(matches!(&refused, Error::Conflict(why) if why.contains("store site")), "{refused}");
        db.add_collection(&lab.collection("c", "site"), event("collection.added")).await.unwrap();
        let same = db.add_collection(&lab.collection("c", "site"), event("collection.added")).await.unwrap_err();
        assert!(matches!(same, Error::Exists { what: "collection", .. }));
        let nowhere = db.add_collection(&lab.collection("d", "nowhere"), event("collection.added")).await;
        assert!(matches!(nowhere.unwrap_err(), Error::NotFound { what: "store", .. }));
        assert_eq!(db.last_event().await.unwrap(), 2);
    }

    async fn a_change_needs_the_revision_that_was_read(lab: Lab) {
        let db = lab.with_sync().await;
        let mut store = db.store(&name("site")).await.unwrap();
        store.description = "first".to_owned();
        store.bytes_per_second = None;
        let changed = db.update_store(&store, event("store.changed")).await.unwrap();
        assert_eq!((changed.revision, changed.bytes_per_second), (store.revision + 1, None));
        store.description = "second".to_owned();
        let stale = db.update_store(&store, event("store.changed")).await.unwrap_err();
        assert!(matches!(stale, Error::Stale { what: "store", .. }));
        assert_eq!(db.store(&name("site")).await.unwrap().description, "first");

        let mut collection = db.collection(&name("patches")).await.unwrap();
        collection.description = "first".to_owned();
        db.update_collection(&collection, event("collection.changed")).await.unwrap();
        let stale = db.update_collection(&collection, event("collection.changed")).await.unwrap_err();
        assert!(matches!(stale, Error::Stale { what: "collection", .. }));

        collection.name = name("missing");
        let missing = db.update_collection(&collection, event("collection.changed")).await.unwrap_err();
        assert!(matches!(missing, Error::NotFound { .. }));
        store.name = name("missing");
        store.id = lab.store("x").id;
        let missing = db.update_store(&store, event("store.changed")).await.unwrap_err();
        assert!(matches!(missing, Error::NotFound { .. }));
    }

    async fn what_is_named_elsewhere_is_not_removed(lab: Lab) {
        let db = lab.with_sync().await;
        let store = db.remove_store(&name("site"), event("store.removed")).await.unwrap_err();
        assert_eq!(store.to_string(), "store \"site\" is in use by collection patches, sync s");
        let collection = db.remove_collection(&name("patches"), event("collection.removed")).await.unwrap_err();
        assert_eq!(collection.to_string(), "collection \"patches\" is in use by sync s");

        db.remove_sync(&name("s"), event("sync.removed")).await.unwrap();
        db.remove_collection(&name("patches"), event("collection.removed")).await.unwrap();
        db.remove_store(&name("site"), event("store.removed")).await.unwrap();
        assert!(matches!(db.store(&name("site")).await.unwrap_err(), Error::NotFound { .. }));
        let twice = db.remove_store(&name("site"), event("store.removed")).await.unwrap_err();
        assert!(matches!(twice, Error::NotFound { .. }));
        let twice = db.remove_collection(&name("patches"), event("collection.removed")).await.unwrap_err();
        assert!(matches!(twice, Error::NotFound { .. }));
    }

    async fn a_damaged_row_is_named(lab: Lab) {
        let db = lab.open().await;
        db.add_store(&lab.store("site"), event("store.added")).await.unwrap();
        lab.raw("UPDATE stores SET kind = 'tape'").await;
        let error = db.store(&name("site")).await.unwrap_err().to_string();
        assert!(error.starts_with("table stores, column kind, row \"site\": unknown variant `tape`"), "{error}");
    }
}
