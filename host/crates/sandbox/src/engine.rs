//! How the engine is set up. What is decided here holds for every plugin of every world.

use syncline_domain::Failure;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::limits::{INSTANCES, MEMORIES, STACK_BYTES};

/// Where instances get their memory from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Allocation {
    /// From places set aside when the sandbox is made: fastest. Takes much address space, and little memory.
    #[default]
    Pooling,
    /// From the operating system, for each instance anew.
    OnDemand,
}

/// Most calls at a time: each sets address space aside.
pub(crate) const MAX_CONCURRENCY: u32 = 64;
/// What stays in memory of a place that was used, so that the next call finds it there.
const KEPT_RESIDENT: usize = 256 << 10;
/// As much for a table: what some thousand functions take that are called by pointer.
const TABLE_KEPT_RESIDENT: usize = 32 << 10;
/// Elements of a table, at most.
const TABLE_ELEMENTS: usize = 100_000;
/// What the engine itself keeps of an instance.
const INSTANCE_BYTES: usize = 4 << 20;

/// An engine for at most `concurrency` calls at a time.
pub(crate) fn engine(allocation: Allocation, concurrency: u32) -> Result<Engine, Failure> {
    if !(1..=MAX_CONCURRENCY).contains(&concurrency) {
        let message = format!("{concurrency} plugins at a time: use 1 to {MAX_CONCURRENCY}");
        return Err(Failure::settings("concurrency", message));
    }
    let mut config = Config::new();
    // What a guest may be made of; `package` accepts the same.
    config.wasm_component_model(true).wasm_memory64(false);
    // Calls are synchronous, one at a time: without this each one is 5 to 20 % cheaper.
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK_BYTES);
    config.memory_init_cow(true);
    if allocation == Allocation::Pooling {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(concurrency)));
    }
    Engine::new(&config).map_err(|error| {
        let hint = match allocation {
            Allocation::Pooling => "; allocating on demand needs less address space",
            Allocation::OnDemand => "",
        };
        Failure::host("sandbox", format!("the sandbox could not be set up: {error:#}{hint}"))
    })
}

fn pool(concurrency: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(concurrency)
        .total_core_instances(concurrency * INSTANCES)
        .total_memories(concurrency * MEMORIES)
        .total_tables(concurrency * MEMORIES)
        .total_stacks(concurrency)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(MEMORIES)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEPT_RESIDENT)
        .table_keep_resident(TABLE_KEPT_RESIDENT);
    pool
}
