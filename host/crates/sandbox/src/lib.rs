//! The sandbox: runs plugins, which are WebAssembly components by anybody, so that they can do nothing but what they were
//! granted, within limits, and so that whatever they do ends in an answer or in a [`Failure`](syncline_domain::Failure)
//! that says whose fault it was.
//!
//! # Map
//!
//! * [`Sandbox`] (`sandbox`): an engine, loading (compile once, then from the `code_cache`), calling.
//! * `package`: what an uploaded file is, and whether this host can run it; nothing of it is run for that.
//! * `host`: the traits by which the rest of the host gives a call its sources, log and progress, and the [`StopSignal`].
//! * `file_sync`, `directory_sync`, `device_policy`: a world, one file each: what goes into a call of it, and what comes out.
//! * `capability`: what plugins can call, one file for each WIT interface.
//! * `call`: one call of whatever world, with every limit around it. `limits`, `meter` (processor time), `ticker` (the
//!   epoch thread) and `outcome` (what an error of the engine becomes) serve it.
//! * `bindings`: generated from wit/. Its types do not leave this crate.
//!
//! # What always holds
//!
//! * Each call has a fresh store and instance, and both are gone when it returns.
//! * A guest that loops is made to pause every 10 ms. What it waits for does not count as processor time.
//! * All memories and tables of an instance count together. A trap, a limit, a broken rule are the plugin's fault,
//!   whatever it says.
//! * There is no WASI. A component that imports it is refused at upload, with what to do; the SDK's components never do.
//!
//! # To add a capability
//!
//! 1. Write its interface in wit/ and import it in the worlds that get it; list a new file in `package::contract::WIT`.
//! 2. Add a file in `capability`: a context with what a call is bound to, and `impl Host for Call`, where each function
//!    calls `begin`, authorises, validates, works. Resources are named in `bindings`.
//! 3. Give [`call::Call`] the context, empty by default, and fill it in the worlds' modules from the grants.
//! 4. If it has to be granted, add it to its worlds in `package::contract::WORLDS`.
//! 5. Test each refusal beside what is allowed, and let a hostile guest run into each limit.
//!
//! # To add a world
//!
//! 1. Write it in wit/worlds.wit, and a rule for it in `package::contract::WORLDS`.
//! 2. Generate its bindings in `bindings`, with `with:` naming the modules that are there already.
//! 3. Add a file like `file_sync`: its export, its linker, its call and answer, and an [`call::Entry`] that `call::guarded`
//!    runs: no limit has to be thought of again. Limits of its own to begin with are `SandboxLimits::for_world`.
//! 4. Add it to `sandbox::World` and `sandbox::Linkers`, where a component's world is known by its export, and where two
//!    worlds export the same by the import that its rule names.

mod bindings;
mod call;
mod capability;
mod code_cache;
mod device_policy;
mod directory_sync;
mod engine;
mod file_sync;
mod host;
mod limits;
mod meter;
mod outcome;
mod package;
mod sandbox;
mod text;
mod ticker;

pub use call::Usage;
pub use device_policy::{PolicyAnswer, PolicyCall, PolicyInput};
pub use directory_sync::{BoundDirectory, BoundWeb, DirectorySyncAnswer, DirectorySyncCall};
pub use engine::Allocation;
pub use file_sync::{BoundSource, BoundTarget, FileSyncAnswer, FileSyncCall};
pub use host::{
    DirectoryConnector, DirectorySession, DirectorySink, FileInfo, Listing, LogSink, ProgressSink,
    SourceHandle, SourceReader, StopSignal, Stopper, WebAnswer, WebConnector, WebRequest, WebSecret,
};
pub use package::{MAX_PACKAGE, Package};
pub use sandbox::{Plugin, Sandbox, SandboxConfig};
