//! Plugins: versions, grants, enabling and going back, strikes, removal.

use syncline_domain::{
    Failure,
    plugin::{Capability, PluginState, STRIKES, SandboxLimits},
};
use syncline_store::Error;

use crate::lab::{Lab, both_engines, event, name};

both_engines! {
    async fn a_version_reads_back_as_it_was_added(lab: Lab) {
        let db = lab.open().await;
        let plugin = lab.plugin("p", "1.2.3-rc.1", "blake3:1");
        db.add_plugin(&plugin, b"\0asm", event("plugin.uploaded")).await.unwrap();
        assert_eq!(db.plugin_by_digest("blake3:1").await.unwrap(), plugin);
        assert_eq!(db.package("blake3:1").await.unwrap(), b"\0asm");
        assert_eq!(db.plugin_versions(Some(&name("p"))).await.unwrap(), std::slice::from_ref(&plugin));

        let again = db.add_plugin(&plugin, b"\0asm", event("plugin.uploaded")).await.unwrap_err();
        assert!(matches!(again, Error::Exists { what: "plugin", .. }), "{again}");
        assert!(matches!(db.plugin_by_digest("blake3:2").await.unwrap_err(), Error::NotFound { .. }));
        assert!(matches!(db.package("blake3:2").await.unwrap_err(), Error::NotFound { .. }));
        assert_eq!(db.last_event().await.unwrap(), 1, "what failed wrote no event");
    }

    async fn versions_are_listed_newest_first(lab: Lab) {
        let db = lab.open().await;
        for (plugin, version, digest) in
            [("b", "1.9.0", "1"), ("b", "1.10.0", "2"), ("a", "1.0.0", "3"), ("b", "1.10.0-rc.1", "4")]
        {
            db.add_plugin(&lab.plugin(plugin, version, digest), b"x", event("plugin.uploaded")).await.unwrap();
        }
        let digests: Vec<_> = db.plugin_versions(None).await.unwrap().into_iter().map(|one| one.digest).collect();
        assert_eq!(digests, ["3", "2", "4", "1"]);
    }

    async fn grants_and_limits_belong_to_a_digest(lab: Lab) {
        let db = lab.open().await;
        db.add_plugin(&lab.plugin("p", "1.0.0", "1"), b"x", event("plugin.uploaded")).await.unwrap();
        db.add_plugin(&lab.plugin("p", "1.1.0", "2"), b"x", event("plugin.uploaded")).await.unwrap();
        let grant = Capability {
            capability: "stores".to_owned(),
            names: Some(vec![name("patches")]),
            allow: vec![],
            reason: String::new(),
        };
        let granted = db.set_grants("1", std::slice::from_ref(&grant), event("plugin.granted")).await.unwrap();
        assert_eq!(granted.grants, Some(vec![grant]));
        let limits = SandboxLimits { cpu_ms: 1, ..SandboxLimits::default() };
        assert_eq!(db.set_limits("1", &limits, event("plugin.limited")).await.unwrap().limits, limits);
        let other = db.plugin_by_digest("2").await.unwrap();
        assert_eq!((other.grants, other.limits), (None, SandboxLimits::default()));
        let missing = db.set_grants("3", &[], event("plugin.granted")).await.unwrap_err();
        assert!(matches!(missing, Error::NotFound { .. }));
    }

    async fn one_version_is_enabled_and_one_call_goes_back(lab: Lab) {
        let db = lab.open().await;
        let p = name("p");
        for digest in ["1", "2"] {
            db.add_plugin(&lab.plugin("p", "1.0.0", digest), b"x", event("plugin.uploaded")).await.unwrap();
        }
        assert_eq!(db.enabled_plugin(&p).await.unwrap(), None);
        db.enable_plugin("1", event("plugin.enabled")).await.unwrap();
        assert_eq!(db.previous_plugin(&p).await.unwrap(), None);
        db.enable_plugin("2", event("plugin.enabled")).await.unwrap();
        assert_eq!(db.enabled_plugin(&p).await.unwrap().unwrap().digest, "2");
        assert_eq!(db.plugin_by_digest("1").await.unwrap().state, PluginState::Disabled);
        assert_eq!(db.previous_plugin(&p).await.unwrap().as_deref(), Some("1"));

        // Enabling what is enabled, or was disabled in between, does not forget the way back.
        db.enable_plugin("2", event("plugin.enabled")).await.unwrap();
        db.disable_plugin(&p, event("plugin.disabled")).await.unwrap();
        assert_eq!(db.enabled_plugin(&p).await.unwrap(), None);
        db.enable_plugin("2", event("plugin.enabled")).await.unwrap();
        assert_eq!(db.previous_plugin(&p).await.unwrap().as_deref(), Some("1"));

        db.enable_plugin("1", event("plugin.enabled")).await.unwrap();
        assert_eq!(db.previous_plugin(&p).await.unwrap().as_deref(), Some("2"));
        db.remove_plugin("2", event("plugin.removed")).await.unwrap();
        assert_eq!(db.previous_plugin(&p).await.unwrap(), None);

        db.disable_plugin(&p, event("plugin.disabled")).await.unwrap();
        let twice = db.disable_plugin(&p, event("plugin.disabled")).await.unwrap_err();
        assert!(matches!(twice, Error::NotFound { .. }));
    }

    async fn strikes_in_a_row_suspend(lab: Lab) {
        let db = lab.open().await;
        db.add_plugin(&lab.plugin("p", "1.0.0", "1"), b"x", event("plugin.uploaded")).await.unwrap();
        db.enable_plugin("1", event("plugin.enabled")).await.unwrap();
        let failure = Failure::plugin("trap", "it trapped");
        for strike in 1..STRIKES {
            let plugin = db.strike("1", &failure).await.unwrap();
            assert_eq!((plugin.strikes, plugin.state), (strike, PluginState::Enabled));
        }
        db.clear_strikes("1").await.unwrap();
        assert_eq!(db.plugin_by_digest("1").await.unwrap().strikes, 0);
        let before = db.last_event().await.unwrap();
        for _ in 0..STRIKES {
            db.strike("1", &failure).await.unwrap();
        }
        let suspended = db.plugin_by_digest("1").await.unwrap();
        assert_eq!(suspended.state, PluginState::Suspended);
        assert_eq!(suspended.suspended, Some(failure.clone()));
        assert_eq!(db.enabled_plugin(&name("p")).await.unwrap(), None);
        let events = db.events_after(before, 10).await.unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].event.kind, "plugin.suspended");

        // A run that was under way ends badly too: no second event.
        db.strike("1", &failure).await.unwrap();
        assert_eq!(db.last_event().await.unwrap(), before + 1);
        let enabled = db.enable_plugin("1", event("plugin.enabled")).await.unwrap();
        assert_eq!((enabled.state, enabled.strikes, enabled.suspended), (PluginState::Enabled, 0, None));
    }

    async fn what_syncs_need_is_not_removed(lab: Lab) {
        let db = lab.with_sync().await;
        let only = db.remove_plugin("blake3:1", event("plugin.removed")).await.unwrap_err();
        assert_eq!(only.to_string(), "plugin \"p\" is in use by sync s");
        db.add_plugin(&lab.plugin("p", "2.0.0", "blake3:2"), b"x", event("plugin.uploaded")).await.unwrap();
        db.enable_plugin("blake3:2", event("plugin.enabled")).await.unwrap();
        let enabled = db.remove_plugin("blake3:2", event("plugin.removed")).await.unwrap_err();
        assert!(matches!(enabled, Error::InUse { .. }), "{enabled}");
        db.remove_plugin("blake3:1", event("plugin.removed")).await.unwrap();
        assert!(matches!(db.package("blake3:1").await.unwrap_err(), Error::NotFound { .. }));
        db.remove_sync(&name("s"), event("sync.removed")).await.unwrap();
        db.remove_plugin("blake3:2", event("plugin.removed")).await.unwrap();
        assert_eq!(db.plugin_versions(None).await.unwrap(), []);
    }
}
