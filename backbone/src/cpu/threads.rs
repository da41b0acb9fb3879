//! A pool of threads that sleep until there is work, and share one piece of work at a time.

#![expect(unsafe_code, reason = "threads that outlive a call borrow what the call owns")]

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Pieces of work a thread gets on average, so that a slow core holds nobody up.
const PIECES_PER_THREAD: usize = 3;

/// `threads - 1` sleeping helpers of the calling thread.
pub(super) struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// There is work, or the pool ends.
    work: Condvar,
    /// The last helper has left the work.
    done: Condvar,
}

struct State {
    job: Option<Job>,
    /// Counts the jobs, so that a helper takes each once.
    generation: u64,
    /// Helpers that have not left the current job.
    busy: usize,
    /// A helper panicked in the current job.
    failed: bool,
    quit: bool,
}

/// A closure of the calling thread, without its lifetime.
#[derive(Clone, Copy)]
struct Job(*const (dyn Fn() + Sync));

// SAFETY: the closure behind the pointer is `Sync`, so any thread may call it; that it is alive is
// `Pool::everywhere`'s care.
unsafe impl Send for Job {}

impl Pool {
    /// A pool of `threads` threads, the caller's included; 0 for one a processor.
    pub(super) fn new(threads: usize) -> io::Result<Self> {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { processors() } else { threads };
        let state = State { job: None, generation: 0, busy: 0, failed: false, quit: false };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), work: Condvar::new(), done: Condvar::new() });
        let mut pool = Self { shared, helpers: Vec::new() };
        for i in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let helper = std::thread::Builder::new().name(format!("sandglass-cpu-{i}"));
            pool.helpers.push(helper.spawn(move || shared.help())?);
        }
        Ok(pool)
    }

    /// Threads that work, the caller's included.
    pub(super) fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Into how many pieces work is best cut.
    pub(super) fn pieces(&self) -> usize {
        if self.helpers.is_empty() { 1 } else { self.threads() * PIECES_PER_THREAD }
    }

    /// Calls `work(index, chunk)` for each chunk of `len` values of `data` (the last may be shorter), on
    /// all threads, and returns when all are done.
    pub(super) fn for_each_chunk(
        &self,
        data: &mut [f32],
        len: usize,
        work: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) {
        let len = len.max(1);
        if self.helpers.is_empty() || data.len() <= len {
            data.chunks_mut(len).enumerate().for_each(|(index, chunk)| work(index, chunk));
            return;
        }
        let chunks = data.len().div_ceil(len);
        let total = data.len();
        let next = AtomicUsize::new(0);
        let start = SharedPointer(data.as_mut_ptr());
        self.everywhere(&|| {
            let start = &start;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= chunks {
                    return;
                }
                let first = index * len;
                // SAFETY: `first + count` is at most `total`, the length of `data`, which is borrowed
                // mutably until all threads have left; each index is handed out once, so no two chunks
                // overlap.
                let chunk =
                    unsafe { std::slice::from_raw_parts_mut(start.0.add(first), len.min(total - first)) };
                work(index, chunk);
            }
        });
    }

    /// Calls `job` once on every thread, the caller's included, and returns when all calls have.
    fn everywhere(&self, job: &(dyn Fn() + Sync)) {
        let pointer: *const (dyn Fn() + Sync + '_) = job;
        // SAFETY: only the lifetime changes. Helpers call the job only between here and the wait below,
        // which does not end before every one of them has left it, also where the job panics.
        let pointer: *const (dyn Fn() + Sync) = unsafe { std::mem::transmute(pointer) };
        {
            let mut state = self.shared.lock();
            state.job = Some(Job(pointer));
            state.generation += 1;
            state.busy = self.helpers.len();
        }
        self.shared.work.notify_all();
        let wait = WaitForHelpers(&self.shared);
        job();
        drop(wait);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().quit = true;
        self.shared.work.notify_all();
        for helper in self.helpers.drain(..) {
            let _ = helper.join();
        }
    }
}

/// Waits at its end until no helper is in the job, also while the caller unwinds.
struct WaitForHelpers<'a>(&'a Shared);

impl Drop for WaitForHelpers<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        while state.busy > 0 {
            state = self.0.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.job = None;
        let failed = std::mem::take(&mut state.failed);
        drop(state);
        // A kernel that panics is a defect of this crate; it must not pass for a result.
        assert!(!failed || std::thread::panicking(), "a helper thread panicked");
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a helper: wait for a job, do it, say so.
    fn help(&self) {
        let mut seen = 0;
        loop {
            let job = {
                let mut state = self.lock();
                loop {
                    if state.quit {
                        return;
                    }
                    match state.job {
                        Some(job) if state.generation != seen => {
                            seen = state.generation;
                            break job;
                        }
                        _ => state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                    }
                }
            };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                // SAFETY: the caller of `everywhere` waits until `busy` is 0, so the closure is alive.
                (unsafe { &*job.0 })();
            }));
            let mut state = self.lock();
            state.failed |= result.is_err();
            state.busy -= 1;
            if state.busy == 0 {
                self.done.notify_one();
            }
        }
    }
}

/// The start of the data whose chunks the threads share.
struct SharedPointer(*mut f32);

// SAFETY: threads only make slices that do not overlap from it, see `for_each_chunk`.
unsafe impl Sync for SharedPointer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_once() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).unwrap();
            for len in [1, 7, 100, 1000] {
                let mut data = vec![0.0; 100];
                for _ in 0..20 {
                    pool.for_each_chunk(&mut data, len, &|index, chunk| {
                        chunk.iter_mut().enumerate().for_each(|(i, v)| *v += (index * len + i) as f32);
                    });
                }
                assert!(data.iter().enumerate().all(|(i, &v)| v == 20.0 * i as f32));
            }
            pool.for_each_chunk(&mut [], 4, &|_, _| unreachable!());
        }
    }

    #[test]
    fn a_panic_is_not_lost() {
        let pool = Pool::new(3).unwrap();
        let mut data = vec![0.0; 64];
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.for_each_chunk(&mut data, 1, &|index, _| assert!(index != 40));
        }));
        assert!(caught.is_err());
        pool.for_each_chunk(&mut data, 1, &|_, chunk| chunk[0] = 1.0);
        assert_eq!(data, vec![1.0; 64]);
    }
}
