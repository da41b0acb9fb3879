//! How large this processor's caches are.

use std::sync::OnceLock;

/// Bytes of L2 taken where the processor does not say.
const USUAL: usize = 512 * 1024;
/// The least and the most that is believed. Where there is more, the rest of the chip has a part in it.
const BELIEVED: (usize, usize) = (256 * 1024, 2 * 1024 * 1024);

/// Bytes of L2 that each of some threads can count on: where cores share one, or a core runs two threads, a part.
pub(super) fn l2(threads: usize) -> usize {
    static FOUND: OnceLock<(usize, usize)> = OnceLock::new();
    let (bytes, sharers) = *FOUND.get_or_init(|| found().unwrap_or((USUAL, 1)));
    (bytes / sharers.min(threads).max(1)).clamp(BELIEVED.0, BELIEVED.1)
}

/// The bytes of an L2, and how many of the processor's threads share it.
#[cfg(target_arch = "x86_64")]
fn found() -> Option<(usize, usize)> {
    let id = raw_cpuid::CpuId::new();
    let second = id.get_cache_parameters().and_then(|mut caches| caches.find(|cache| cache.level() == 2));
    let described = second.map(|cache| {
        let lines = cache.sets() * cache.associativity() * cache.physical_line_partitions();
        (lines * cache.coherency_line_size(), cache.max_cores_for_cache())
    });
    let told = || Some((usize::from(id.get_l2_l3_cache_and_tlb_info()?.l2cache_size()) * 1024, 1));
    described.filter(|(bytes, _)| *bytes > 0).or_else(told).filter(|(bytes, _)| *bytes > 0)
}

#[cfg(not(target_arch = "x86_64"))]
fn found() -> Option<(usize, usize)> {
    None
}
