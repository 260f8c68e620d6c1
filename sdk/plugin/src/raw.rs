//! The contract as wit-bindgen generates it. The rest of this crate wraps it; use it directly only for what is not
//! wrapped, or to see how the host answers what the wrappers never send. World `file-sync` first.

#![allow(
    missing_docs,
    unsafe_code,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::too_many_lines,
    reason = "generated code"
)]

wit_bindgen::generate!({
    world: "file-sync",
    path: "wit",
    runtime_path: "::syncline_plugin::wit_bindgen::rt",
    pub_export_macro: true,
    export_macro_name: "export_file_sync_world",
    default_bindings_module: "::syncline_plugin::raw",
    additional_derives: [PartialEq],
});

/// World `device-policy`. What it shares with `file-sync` is generated above, once.
pub mod device_policy {
    wit_bindgen::generate!({
        world: "device-policy",
        path: "wit",
        runtime_path: "::syncline_plugin::wit_bindgen::rt",
        pub_export_macro: true,
        export_macro_name: "export_device_policy_world",
        default_bindings_module: "::syncline_plugin::raw::device_policy",
        additional_derives: [PartialEq],
        with: {
            "syncline:plugin/types@0.1.0": ::syncline_plugin::raw::syncline::plugin::types,
            "syncline:plugin/log@0.1.0": ::syncline_plugin::raw::syncline::plugin::log,
            "syncline:plugin/settings@0.1.0": ::syncline_plugin::raw::syncline::plugin::settings,
        },
    });
}

/// World `directory-sync`: what it has beyond `file-sync`. Its export is that of `file-sync`, and its type is made by the
/// build script, which says why.
pub mod directory_sync {
    wit_bindgen::generate!({
        inline: "
            package syncline:bindings;
            world directory-imports {
                import syncline:plugin/ldap@0.1.0;
                import syncline:plugin/http@0.1.0;
                import syncline:plugin/desired-directory@0.1.0;
            }
        ",
        path: "wit",
        runtime_path: "::syncline_plugin::wit_bindgen::rt",
        additional_derives: [PartialEq],
        generate_all,
        with: { "syncline:plugin/types@0.1.0": ::syncline_plugin::raw::syncline::plugin::types },
    });

    /// The type of the world, for a section of the guest's module.
    #[doc(hidden)]
    pub const TYPE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/directory-sync.component-type"));

    /// Bytes as an array, which alone can be a section.
    #[doc(hidden)]
    pub const fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
        match bytes.first_chunk() {
            Some(array) => *array,
            None => [0; N],
        }
    }
}
