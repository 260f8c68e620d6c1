//! What `bindgen!` makes of wit/: generated once, here, and seen by nobody outside this crate.

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
