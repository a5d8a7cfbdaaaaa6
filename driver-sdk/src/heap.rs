//! How the C library's allocator keeps memory that was freed: the one module with unsafe code.
//!
//! Pieces of blobs are buffers of some 100 KiB, made and freed some thousand times a second, most of them by libraries.
//! By default glibc gives the memory back to the kernel each time the end of a heap becomes free, and takes it again,
//! page fault by page fault: a quarter of the processor time of a push (docs/adr/0020).

/// Freed memory stays in the process up to this much for each heap.
#[cfg(target_env = "gnu")]
const KEPT: libc::c_int = 64 * 1024 * 1024;
/// What is larger comes from the kernel by itself, and goes back when it is freed.
#[cfg(target_env = "gnu")]
const OWN_MAPPING: libc::c_int = 4 * 1024 * 1024;

/// Lets the process keep what it frees, for the next piece. To be called once, before other threads begin. Other C
/// libraries than glibc have no such setting, and are left as they are.
///
/// What is kept, is kept by each heap, and by default glibc makes one for each thread, up to eight for each processor: a
/// driver whose threads wait for files would keep a piece of every upload in many of them. No more heaps than processors
/// serve as well.
pub fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
    // SAFETY: mallopt(3) takes two integers and no pointer; glibc serialises it with the arenas' locks. A value that it
    // refuses changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        libc::mallopt(libc::M_ARENA_MAX, heaps());
    }
}

/// As many as processors, but two where there is one: a thread that waits for a page must not stop the other.
#[cfg(target_env = "gnu")]
fn heaps() -> libc::c_int {
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    libc::c_int::try_from(processors.max(2)).unwrap_or(libc::c_int::MAX)
}
