//! The allocator of a guest: talc over the memory that an instance is born with, before it asks for more.
//!
//! `syncline-plugin build` gives a module a few pages beyond its data. The host maps those copy-on-write when it makes the
//! instance, while each `memory.grow` costs it a call into the kernel: a short call that fits never grows.

#![allow(unsafe_code, reason = "an allocator hands out raw memory")]

use core::{
    alloc::Layout,
    arch::wasm32::{memory_grow, memory_size},
    ptr::NonNull,
};

use talc::{
    base::{CHUNK_UNIT, Talc, binning::Binning},
    cell::TalcSyncCell,
    source::Source,
    wasm::WasmBinning,
};

const PAGE: usize = 64 * 1024;

#[global_allocator]
static ALLOCATOR: TalcSyncCell<InitialThenGrow, WasmBinning> =
    TalcSyncCell::new_wasm(InitialThenGrow { begun: false, end: None });

unsafe extern "C" {
    /// The linker puts it at the first byte after stack and data.
    static __heap_base: u8;
}

/// First what lies between the data and the end of the memory, then whole pages.
#[derive(Debug)]
struct InitialThenGrow {
    begun: bool,
    end: Option<NonNull<u8>>,
}

// SAFETY: nothing here allocates, and the regions handed over belong to nobody else: the first begins where the linker says
// that data ends, later ones were just made by `memory.grow`.
unsafe impl Source for InitialThenGrow {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        if !talc.source.begun {
            talc.source.begun = true;
            let base = (&raw const __heap_base).cast_mut();
            let size = (memory_size::<0>() * PAGE).saturating_sub(base as usize);
            // SAFETY: see above. `None` only means that it is too small to be of use.
            talc.source.end = unsafe { talc.claim(base, size) };
            if talc.source.end.is_some() {
                return Ok(());
            }
        }
        // Twice the unit: the header of the allocation and the end of a heap that begins anew.
        let needed = layout.size() + layout.align().max(CHUNK_UNIT) + 2 * CHUNK_UNIT;
        let pages = needed.div_ceil(PAGE);
        let old = memory_grow::<0>(pages);
        if old == usize::MAX {
            return Err(());
        }
        let base = (old * PAGE) as *mut u8;
        let end = base.wrapping_add(pages * PAGE);
        talc.source.end = match talc.source.end {
            // SAFETY: `old_end` came from `claim` or `extend`, and the memory from there on is new.
            Some(old_end) if old_end.as_ptr() == base => Some(unsafe { talc.extend(old_end, end) }),
            // SAFETY: the pages are new.
            _ => unsafe { talc.claim(base, pages * PAGE) },
        };
        talc.source.end.map(|_| ()).ok_or(())
    }
}
