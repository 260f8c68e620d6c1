//! Access tokens.

use std::time::Duration;

use syncline_domain::{access::Role, ids::TokenId};
use syncline_store::Error;

use crate::lab::{LONG, Lab, both_engines, event};

both_engines! {
    async fn a_token_is_known_by_its_secret_alone(lab: Lab) {
        let db = lab.open().await;
        let (record, token) = db.create_token("ci", Role::Operator, None, event("token.made")).await.unwrap();
        assert!(token.starts_with("syn_") && token.len() == 68, "32 random bytes");
        assert_eq!((record.name.as_str(), record.role, record.last_used_at), ("ci", Role::Operator, None));
        let found = db.token_by_secret(&token).await.unwrap().unwrap();
        assert_eq!((found.id, found.role), (record.id, Role::Operator));
        for wrong in ["", "syn_", &token[..67], &token.to_uppercase(), &token.replacen("syn_", "", 1)] {
            assert_eq!(db.token_by_secret(wrong).await.unwrap(), None, "{wrong:?}");
        }
        let (_, second) = db.create_token("ci", Role::Viewer, None, event("token.made")).await.unwrap();
        assert_ne!(token, second);
        assert_eq!(db.tokens().await.unwrap().len(), 2);
    }

    async fn a_token_ends(lab: Lab) {
        let db = lab.open().await;
        let ends = lab.now().checked_add(LONG).unwrap();
        let (record, token) = db.create_token("a", Role::Viewer, Some(ends), event("token.made")).await.unwrap();
        assert_eq!(record.expires_at, Some(ends));
        assert!(db.token_by_secret(&token).await.unwrap().is_some());
        lab.pass(LONG);
        assert_eq!(db.token_by_secret(&token).await.unwrap(), None);
        let (record, token) = db.create_token("b", Role::Admin, None, event("token.made")).await.unwrap();
        db.remove_token(record.id, event("token.removed")).await.unwrap();
        assert_eq!(db.token_by_secret(&token).await.unwrap(), None);
        let twice = db.remove_token(record.id, event("token.removed")).await.unwrap_err();
        assert!(matches!(twice, Error::NotFound { what: "token", .. }));
        let unknown = db.remove_token(TokenId::new(lab.now()), event("token.removed")).await.unwrap_err();
        assert!(matches!(unknown, Error::NotFound { what: "token", .. }));
    }

    async fn the_last_use_is_remembered_to_the_minute(lab: Lab) {
        let db = lab.open().await;
        let (_, token) = db.create_token("a", Role::Viewer, None, event("token.made")).await.unwrap();
        let minute = lab.now();
        for seconds in [5, 30, 24] {
            lab.pass(Duration::from_secs(seconds));
            assert_eq!(db.token_by_secret(&token).await.unwrap().unwrap().last_used_at, Some(minute));
        }
        lab.pass(Duration::from_secs(1));
        db.token_by_secret(&token).await.unwrap();
        assert_eq!(db.tokens().await.unwrap()[0].last_used_at, Some(lab.now()));
        assert_eq!(db.last_event().await.unwrap(), 1, "looking is no event");
    }
}
