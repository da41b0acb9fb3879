//! Work on all processors with results in the order of the work.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Applies `work` to every item on as many threads as there are processors. The results come in the
/// order of the items, whoever was ready first.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let infallible = |item: &T| Ok::<R, std::convert::Infallible>(work(item));
    match try_map(items, infallible) {
        Ok(results) => results,
        Err(never) => match never {},
    }
}

/// As [`map`], up to the first item in order that fails: its error comes back. Later items may have
/// been worked on by then.
pub(crate) fn try_map<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(items.len());
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    // Items are taken in their order, so every item before one that failed was taken before it and
    // is brought to its end: the first error in order is always found.
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let worker = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            let result = work(item);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            done.push((index, result));
        }
        done
    };
    let mut all = thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
        let mut all = worker();
        for helper in helpers {
            match helper.join() {
                Ok(done) => all.extend(done),
                // A panic of a worker is one of the caller.
                Err(panic) => resume_unwind(panic),
            }
        }
        all
    });
    all.sort_unstable_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(map(&items, |i| i * 2), (0..1000).map(|i| i * 2).collect::<Vec<_>>());
        assert!(map(&[], |i: &usize| *i).is_empty());
    }

    #[test]
    fn the_first_error_in_order_is_the_one_reported() {
        let items: Vec<usize> = (0..1000).collect();
        for _ in 0..20 {
            let result = try_map(&items, |&i| if i % 7 == 3 { Err(i) } else { Ok(i) });
            assert_eq!(result, Err(3));
        }
    }
}
