//! How large this machine's caches are.

use std::sync::OnceLock;

/// Taken where the processor does not say, or says what cannot be.
const USUAL: usize = 512 * 1024;

/// Bytes of the L2 that a core has.
pub(super) fn l2() -> usize {
    static FOUND: OnceLock<usize> = OnceLock::new();
    *FOUND.get_or_init(|| match found().map(|kib| kib * 1024) {
        // Above, cores share it.
        Some(bytes @ 0x4_0000..) => bytes.min(2 << 20),
        _ => USUAL,
    })
}

/// In KiB, from the processor.
#[cfg(target_arch = "x86_64")]
fn found() -> Option<usize> {
    let info = raw_cpuid::CpuId::new().get_l2_l3_cache_and_tlb_info()?;
    Some(info.l2cache_size().into())
}

#[cfg(not(target_arch = "x86_64"))]
fn found() -> Option<usize> {
    None
}
