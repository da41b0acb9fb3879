//! Keeps the helpers off the processor of the thread that calls them.
//!
//! A helper sleeps between two inputs. When it wakes, Linux puts it on the processor where it last ran; if the
//! caller has moved there meanwhile, both share that one, and the other stays idle until the next balancing,
//! some 10 ms later. That is as long as a whole run. So the helpers are told to stay away before they wake.

#[cfg(target_os = "linux")]
use std::sync::OnceLock;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(target_os = "linux")]
use rustix::thread::{Pid, gettid, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The helpers of a pool, by their numbers in the system.
#[cfg(target_os = "linux")]
pub(super) struct Placement {
    helpers: Vec<OnceLock<Pid>>,
    /// The processor that they last were told to leave.
    left: AtomicUsize,
}

#[cfg(target_os = "linux")]
impl Placement {
    pub(super) fn new(helpers: usize) -> Self {
        let helpers = (0..helpers).map(|_| OnceLock::new()).collect();
        Self { helpers, left: AtomicUsize::new(usize::MAX) }
    }

    /// Says that the calling thread is the helper of this index.
    pub(super) fn arrive(&self, helper: usize) {
        if let Some(id) = self.helpers.get(helper) {
            id.get_or_init(gettid);
        }
    }

    /// Leaves the processor of the calling thread to it. Where there are not enough others, or the system
    /// refuses, everything stays as it is.
    pub(super) fn make_way(&self) {
        let here = sched_getcpu();
        if self.helpers.is_empty() || self.left.load(Ordering::Relaxed) == here {
            return;
        }
        let Ok(mut processors) = sched_getaffinity(None) else { return };
        processors.unset(here);
        let ids = self.helpers.iter().filter_map(OnceLock::get);
        if ids.clone().count() < self.helpers.len() || (processors.count() as usize) < self.helpers.len() {
            return;
        }
        for id in ids {
            let _ = sched_setaffinity(Some(*id), &processors);
        }
        self.left.store(here, Ordering::Relaxed);
    }
}

/// Other systems place threads by themselves.
#[cfg(not(target_os = "linux"))]
pub(super) struct Placement;

#[cfg(not(target_os = "linux"))]
impl Placement {
    pub(super) fn new(_helpers: usize) -> Self {
        Self
    }

    pub(super) fn arrive(&self, _helper: usize) {}

    pub(super) fn make_way(&self) {}
}
