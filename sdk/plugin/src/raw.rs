//! The contract as wit-bindgen generates it. The rest of this crate wraps it; use it directly only for what is not
//! wrapped, or to see how the host answers what the wrappers never send.

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
