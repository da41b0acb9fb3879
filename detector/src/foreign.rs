//! Calls of other people's code that is known to panic: that is an error of a source, and no mistake of ours.

use std::cell::Cell;
#[cfg(any(feature = "arrow", feature = "camera"))]
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Calls it; what it panics with is the error. Nothing that it had is used after a panic.
#[cfg(any(feature = "arrow", feature = "camera"))]
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> std::thread::Result<T> {
    let before = INSIDE.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    INSIDE.set(before);
    outcome
}

/// Whether this thread is inside of [`catch`], so that a panic will be caught.
#[cfg(any(feature = "program", test))]
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

#[cfg(all(test, feature = "camera"))]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_is_known_while_it_lasts() {
        assert!(!is_inside());
        assert!(catch(|| assert!(!is_inside(), "made up for the test")).is_err() && !is_inside());
        let nested = catch(|| (catch(is_inside).unwrap_or(false), is_inside()));
        assert!(matches!(nested, Ok((true, true))) && !is_inside());
    }
}
