//! What `bindgen!` makes of wit/: generated once, here, and seen by nobody outside this crate. World `file-sync` first.

#![allow(missing_docs, unsafe_code, unused_qualifications, reason = "generated code; wit/ documents it")]

wasmtime::component::bindgen!({
    world: "file-sync",
    path: "../../../wit",
    imports: {
        // Reading waits for stores that can be far away. All else is answered at once.
        "syncline:plugin/stores": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "syncline:plugin/stores.store": crate::capability::stores::OpenStore,
        "syncline:plugin/stores.listing": crate::capability::stores::OpenListing,
        "syncline:plugin/desired-files.content": crate::capability::desired_files::Content,
    },
    trappable_error_type: {
        "syncline:plugin/types.failure" => crate::capability::Refusal,
    },
});

/// World `device-policy`. What it shares with `file-sync` is generated above, once.
pub mod device_policy {
    wasmtime::component::bindgen!({
        world: "device-policy",
        path: "../../../wit",
        exports: { default: async },
        with: {
            "syncline:plugin/types": crate::bindings::syncline::plugin::types,
            "syncline:plugin/log": crate::bindings::syncline::plugin::log,
            "syncline:plugin/settings": crate::bindings::syncline::plugin::settings,
        },
    });
}

/// World `directory-sync`. What it shares with `file-sync` is generated above, once.
pub mod directory_sync {
    wasmtime::component::bindgen!({
        world: "directory-sync",
        path: "../../../wit",
        imports: {
            // Directory and web servers can be far away. All else is answered at once.
            "syncline:plugin/http": async | trappable,
            "syncline:plugin/ldap": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: {
            "syncline:plugin/types": crate::bindings::syncline::plugin::types,
            "syncline:plugin/log": crate::bindings::syncline::plugin::log,
            "syncline:plugin/settings": crate::bindings::syncline::plugin::settings,
            "syncline:plugin/clock": crate::bindings::syncline::plugin::clock,
            "syncline:plugin/progress": crate::bindings::syncline::plugin::progress,
            "syncline:plugin/ldap.session": crate::capability::ldap::OpenSession,
        },
        trappable_error_type: {
            "syncline:plugin/types.failure" => crate::capability::Refusal,
        },
    });
}
