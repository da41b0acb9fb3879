//! A pool of threads that sleep until there is work, and share one piece of work at a time.

#![expect(unsafe_code, reason = "threads that outlive a call borrow what the call owns")]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::placement::Placement;

/// How often a thread that waits for another looks again before it lets others run: some 20 µs, about as long
/// as it would take to sleep and to be woken.
const LOOKS: usize = 2_000;

/// Waits inside a job until `done`, or until a thread of the pool has `failed`; says which. Another thread is
/// at work on it, so this takes a part of a millisecond.
pub(super) fn wait_for(done: &dyn Fn() -> bool, failed: &dyn Fn() -> bool) -> bool {
    let mut looks = 0;
    while !done() {
        looks += 1;
        if looks < LOOKS {
            std::hint::spin_loop();
        } else if failed() {
            return false;
        } else {
            std::thread::yield_now();
        }
    }
    true
}

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
    /// A thread panicked in the current job.
    failed: AtomicBool,
    placement: Placement,
}

struct State {
    job: Option<Job>,
    /// Counts the jobs, so that a helper takes each once.
    generation: u64,
    /// Helpers that have not left the current job.
    busy: usize,
    quit: bool,
}

/// What each thread does: given its number, and whether another one has panicked.
pub(super) type Task<'a> = dyn Fn(usize, &dyn Fn() -> bool) + Sync + 'a;

/// A closure of the calling thread, without its lifetime.
#[derive(Clone, Copy)]
struct Job(*const Task<'static>);

// SAFETY: the closure behind the pointer is `Sync`, so any thread may call it; that it is alive is
// `Pool::everywhere`'s care.
unsafe impl Send for Job {}

impl Pool {
    /// A pool of `threads` threads, the caller's included; 0 for one a processor.
    pub(super) fn new(threads: usize) -> io::Result<Self> {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { processors() } else { threads };
        let state = State { job: None, generation: 0, busy: 0, quit: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            done: Condvar::new(),
            failed: AtomicBool::new(false),
            placement: Placement::new(threads.saturating_sub(1)),
        });
        let mut pool = Self { shared, helpers: Vec::new() };
        for i in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let helper = std::thread::Builder::new().name(format!("sandglass-cpu-{i}"));
            pool.helpers.push(helper.spawn(move || shared.help(i))?);
        }
        Ok(pool)
    }

    /// Threads that work, the caller's included.
    pub(super) fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `job` once on every thread, the caller's included, and returns when all calls have. The job is
    /// given the thread's number and a way to learn whether another thread has panicked.
    pub(super) fn everywhere(&self, job: &Task<'_>) {
        self.shared.failed.store(false, Ordering::Relaxed);
        if self.helpers.is_empty() {
            return job(0, &|| false);
        }
        self.shared.placement.make_way();
        let pointer: *const Task<'_> = job;
        // SAFETY: only the lifetime changes. Helpers call the job only between here and the wait below,
        // which does not end before every one of them has left it, also where the job panics.
        let pointer: *const Task<'static> = unsafe { std::mem::transmute(pointer) };
        {
            let mut state = self.shared.lock();
            state.job = Some(Job(pointer));
            state.generation += 1;
            state.busy = self.helpers.len();
        }
        self.shared.work.notify_all();
        let wait = WaitForHelpers(&self.shared);
        job(0, &|| self.shared.failed.load(Ordering::Relaxed));
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
        if std::thread::panicking() {
            self.0.failed.store(true, Ordering::Relaxed);
        }
        let mut state = self.0.lock();
        while state.busy > 0 {
            state = self.0.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.job = None;
        drop(state);
        let failed = self.0.failed.load(Ordering::Relaxed);
        // A kernel that panics is a defect of this crate; it must not pass for a result.
        assert!(!failed || std::thread::panicking(), "a helper thread panicked");
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a helper: wait for a job, do it, say so.
    fn help(&self, number: usize) {
        self.placement.arrive(number - 1);
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
                (unsafe { &*job.0 })(number, &|| self.failed.load(Ordering::Relaxed));
            }));
            if result.is_err() {
                self.failed.store(true, Ordering::Relaxed);
            }
            let mut state = self.lock();
            state.busy -= 1;
            if state.busy == 0 {
                self.done.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn every_thread_once() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            for _ in 0..100 {
                let calls: Vec<_> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
                pool.everywhere(&|thread, failed| {
                    assert!(!failed());
                    calls[thread].fetch_add(1, Ordering::Relaxed);
                    // Nobody leaves before all have come.
                    assert!(wait_for(&|| calls.iter().all(|c| c.load(Ordering::Relaxed) == 1), failed));
                });
            }
        }
    }

    #[test]
    fn a_panic_is_not_lost_and_holds_nobody() {
        let pool = Pool::new(3).unwrap();
        for guilty in 0..3 {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                pool.everywhere(&|thread, failed| {
                    assert!(thread != guilty, "on purpose");
                    assert!(!wait_for(&|| false, failed));
                });
            }));
            assert!(caught.is_err());
        }
        pool.everywhere(&|_, failed| assert!(!failed()));
    }
}
