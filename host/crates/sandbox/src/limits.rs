//! The limits that end a call, each with what it says to an administrator; and the counting of memory.
//!
//! Where each limit is held: memory here; processor time in [`crate::meter`]; wall-clock time and stack in
//! [`crate::call`]; bytes, number of calls and handles in [`crate::capability`]; log in [`crate::capability::log`].

use syncline_domain::Failure;
use wasmtime::ResourceLimiter;

/// Most linear memories, and as many tables, that one instance can have: what the pooling allocator sets aside.
pub(crate) const MEMORIES: u32 = 128;
/// Most core instances of a component.
pub(crate) const INSTANCES: u32 = 512;
/// Bytes on the stack of the guest's own calls.
pub(crate) const STACK_BYTES: usize = 512 << 10;
/// What an element of a table costs.
const TABLE_ELEMENT: usize = size_of::<usize>();

/// A limit that a guest ran into. As an error it ends the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Limit {
    #[error(
        "the plugin asked for more memory than its limit of {0} bytes, all its memories and tables together; an \
         administrator can raise the plugin's limit `memory_bytes`"
    )]
    Memory(u64),
    #[error(
        "the plugin has {0} linear memories or tables, and one instance can have 128: its author can join them"
    )]
    Memories(u32),
    #[error(
        "the plugin used more than its limit of {0} ms of processor time; an administrator can raise the plugin's limit \
         `cpu_ms` if its work is that large"
    )]
    Cpu(u64),
    #[error(
        "the plugin took longer than its limit of {0} ms by the clock; an administrator can raise the plugin's limit \
         `wall_ms` if its sources are that slow"
    )]
    Wall(u64),
    #[error(
        "the plugin called itself too deeply: the {STACK_BYTES} bytes of its stack are used up; the author has to mend it"
    )]
    Stack,
    #[error(
        "one call between the plugin and the host carried more than the limit of {0} bytes; the author can use smaller \
         batches, or an administrator can raise the plugin's limit `call_bytes`"
    )]
    CallBytes(u64),
    #[error(
        "the plugin called the host more often than its limit of {0} calls; an administrator can raise the plugin's \
         limit `calls`"
    )]
    Calls(u64),
    #[error(
        "the plugin holds more than its limit of {0} handles; the author has to drop those that are done with, or an \
         administrator can raise the plugin's limit `handles`"
    )]
    Handles(u32),
}

impl Limit {
    fn code(self) -> &'static str {
        match self {
            Self::Memory(_) | Self::Memories(_) => "memory",
            Self::Cpu(_) => "cpu",
            Self::Wall(_) => "wall",
            Self::Stack => "stack",
            Self::CallBytes(_) => "call-bytes",
            Self::Calls(_) => "calls",
            Self::Handles(_) => "handles",
        }
    }

    /// As a failure, always the plugin's fault; `place` says where in the plugin, if that is known.
    pub(crate) fn failure(self, place: Option<&str>) -> Failure {
        let place = place.map(|place| format!(" (it was in {place})")).unwrap_or_default();
        Failure::plugin_limit(self.code(), format!("{self}{place}"))
    }
}

/// Sums all memories and tables of a store: many small ones count like one large one.
#[derive(Debug)]
pub(crate) struct MemoryMeter {
    limit: u64,
    used: u64,
    peak: u64,
    last_growth: u64,
}

impl MemoryMeter {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, used: 0, peak: 0, last_growth: 0 }
    }

    /// Most bytes that were in use at a time.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }

    fn grow(&mut self, by: u64) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(by);
        if used > self.limit {
            return Err(Limit::Memory(self.limit).into());
        }
        self.used = used;
        self.peak = self.peak.max(used);
        self.last_growth = by;
        Ok(true)
    }

    /// The engine could not do what was allowed just before.
    fn take_back(&mut self) {
        self.used -= std::mem::take(&mut self.last_growth);
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.grow(desired.saturating_sub(current) as u64)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT) as u64)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MEMORIES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_memories_count_together() {
        let mut meter = MemoryMeter::new(100);
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(meter.memory_growing(0, 40, None).unwrap());
        let error = meter.table_growing(0, 1, None).unwrap_err();
        assert_eq!(error.downcast_ref::<Limit>(), Some(&Limit::Memory(100)));
        assert_eq!(meter.peak(), 100);
    }

    #[test]
    fn growth_that_did_not_happen_is_not_counted() {
        let mut meter = MemoryMeter::new(100);
        assert!(!meter.memory_growing(0, 60, Some(50)).unwrap());
        assert!(meter.memory_growing(0, 60, None).unwrap());
        meter.memory_grow_failed(wasmtime::Error::msg("no pages left")).unwrap();
        assert!(meter.memory_growing(0, 100, None).unwrap());
    }
}
