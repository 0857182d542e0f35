//! Counts the bytes that are alive, so that a leak is seen where it happens.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes allocated and not yet freed.
pub fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Bytes that can still be allocated: a page has 4 GiB.
pub fn available() -> u64 {
    u64::from(u32::MAX) - live() as u64
}

struct Counting;

fn count(pointer: *mut u8, added: usize, removed: usize) -> *mut u8 {
    if !pointer.is_null() {
        LIVE.fetch_add(added.wrapping_sub(removed), Ordering::Relaxed);
    }
    pointer
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout is valid and not empty, as `GlobalAlloc::alloc` requires.
        count(unsafe { System.alloc(layout) }, layout.size(), 0)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout is valid and not empty, as `GlobalAlloc::alloc_zeroed` requires.
        count(unsafe { System.alloc_zeroed(layout) }, layout.size(), 0)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(pointer, 0, layout.size());
        // SAFETY: `System` allocated the pointer with this layout, because every allocation above goes to it.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: `System` allocated the pointer with this layout, and the new size is not 0.
        count(unsafe { System.realloc(pointer, layout, size) }, size, layout.size())
    }
}
