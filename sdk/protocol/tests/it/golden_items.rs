//! Items, against bytes of Google's encoder for Python with a schema of the same fields. These bytes are the contract with
//! devices in the field: a change that breaks this test is a new version of the capability.

use syncline_protocol::items::*;

use crate::golden;

/// Every field of every body.
const ITEMS: &str = "\
    0a600a100101010101010101010101010101010110e80752490a10020202020202020202020202020202021210030303\
    030303030303030303030303031a20040404040404040404040404040404040404040404040404040404040404040420\
    e9070a6d0a100101010101010101010101010101010110e8075a560a540a0474696c6c12200505050505050505050505\
    050505050505050505050505050505050505050505180220e7072a200606060606060606060606060606060606060606\
    06060606060606060606060630013a01650a290a100101010101010101010101010101010162150a1007070707070707\
    0707070707070707071201720a280a10010101010101010101010101010101016a140a10070707070707070707070707\
    0707070710010a2c0a1001010101010101010101010101010101721808041201741a017822060a016112013122060a01\
    621201320a1c0a10010101010101010101010101010101017a0808e0d40310a0f7361210090909090909090909090909\
    09090909";

#[test]
fn every_field_of_every_item() {
    golden(&items(), ITEMS);
    assert_eq!(items().check(), Ok(()));
}

fn items() -> Items {
    let hello = Hello {
        run_id: vec![2; 16],
        boot_id: vec![3; 16],
        machine_fingerprint: vec![4; 32],
        clock_unix_ms: 1001,
    };
    let application = Application {
        name: "till".to_owned(),
        document_digest: vec![5; 32],
        state: ApplicationState::Applied.into(),
        applied_at_unix_ms: 999,
        digest_on_disk: vec![6; 32],
        drift: true,
        error: "e".to_owned(),
    };
    let notice = Notice {
        severity: Severity::Critical.into(),
        title: "t".to_owned(),
        text: "x".to_owned(),
        details: [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into(),
    };
    let request = SyncRequest { sync_id: vec![7; 16], reason: "r".to_owned() };
    let result = SyncResult { sync_id: vec![7; 16], outcome: SyncOutcome::Synchronised.into() };
    let next = NextContact { delay_ms: 60_000, period_ms: 900_000 };
    let id = Id::new([1; 16]);
    Items {
        items: vec![
            Item::new(id, 1000, Body::Hello(hello)),
            Item::new(id, 1000, Body::Applications(Applications { applications: vec![application] })),
            Item::new(id, 0, Body::SyncRequest(request)),
            Item::new(id, 0, Body::SyncResult(result)),
            Item::new(id, 0, Body::Notice(notice)),
            Item::new(id, 0, Body::NextContact(next)),
        ],
        received: vec![vec![9; 16]],
    }
}
