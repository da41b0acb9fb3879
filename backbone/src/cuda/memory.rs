//! Memory: of the device, and of the host where the device copies by itself.

#![expect(unsafe_code, reason = "the driver's interface is C")]

use cudarc::driver::{result, sys};

use super::driver::{Device, failed};
use crate::error::Error;

/// Memory of the device, freed at the end.
pub(super) struct Memory {
    device: Device,
    pub(super) address: sys::CUdeviceptr,
}

impl Memory {
    /// Zeros.
    pub(super) fn new(device: &Device, bytes: usize) -> Result<Self, Error> {
        let fail = || failed(format!("taking {:.1} MB of the device's memory", bytes as f64 / 1e6));
        // SAFETY: the context is bound; what was taken is given back in `drop`.
        let address = unsafe { result::malloc_sync(bytes.max(1)) }.map_err(fail())?;
        let memory = Self { device: device.clone(), address };
        // SAFETY: so many bytes were just taken.
        unsafe { result::memset_d8_sync(memory.address, 0, bytes) }.map_err(fail())?;
        Ok(memory)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: taken in `new`; nothing uses it any more. Where the device is lost, so is its memory.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

/// Pinned memory of the host: the device copies from and to it by itself.
pub(super) struct Pinned {
    device: Device,
    start: *mut u8,
    bytes: usize,
}

impl Pinned {
    pub(super) fn new(device: &Device, bytes: usize) -> Result<Self, Error> {
        // SAFETY: the context is bound; what was taken is given back in `drop`.
        let start = unsafe { result::malloc_host(bytes.max(1), 0) }
            .map_err(failed(format!("taking {bytes} bytes of pinned memory")))?
            .cast::<u8>();
        // SAFETY: so many bytes were just taken.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self { device: device.clone(), start, bytes })
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        // SAFETY: so many bytes, written by `new`, are there until `drop`; the device writes them during
        // `Runner::run` alone, for which the runner is borrowed mutably.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: taken in `new`; nothing uses it any more.
            let _ = unsafe { result::free_host(self.start.cast()) };
        }
    }
}
