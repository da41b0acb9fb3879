//! A slot between two threads in which the newest value wins.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One value of `T` that senders change and one receiver takes, leaving a default behind.
///
/// Nothing queues up in it: a slow receiver sees the latest state of things, not their history.
pub(crate) struct Mailbox<T> {
    slot: Mutex<Slot<T>>,
    changed: Condvar,
}

struct Slot<T> {
    value: T,
    fresh: bool,
    closed: bool,
}

/// What waiting at a [`Mailbox`] came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Post<T> {
    /// Something was sent.
    Came(T),
    /// The time was up first.
    TimeUp,
    /// Nobody will send any more.
    Closed,
}

/// How long to wait at a [`Mailbox`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    No,
    /// Until then.
    Until(Instant),
    /// Until something comes.
    Forever,
}

impl<T: Default> Mailbox<T> {
    pub(crate) fn new() -> Self {
        Self {
            slot: Mutex::new(Slot { value: T::default(), fresh: false, closed: false }),
            changed: Condvar::new(),
        }
    }

    /// Changes the value; the receiver wakes up.
    pub(crate) fn send(&self, change: impl FnOnce(&mut T)) {
        let mut slot = self.lock();
        change(&mut slot.value);
        slot.fresh = true;
        drop(slot);
        self.changed.notify_one();
    }

    /// Looks at the value without taking it.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock().value)
    }

    /// Tells the receiver to go home.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The value, as soon as one was sent.
    pub(crate) fn take(&self, wait: Wait) -> Post<T> {
        let mut slot = self.lock();
        loop {
            if slot.closed {
                return Post::Closed;
            }
            if slot.fresh {
                slot.fresh = false;
                return Post::Came(std::mem::take(&mut slot.value));
            }
            slot = match wait {
                Wait::No => return Post::TimeUp,
                Wait::Forever => self.changed.wait(slot).unwrap_or_else(PoisonError::into_inner),
                Wait::Until(then) => {
                    let left = then.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Post::TimeUp;
                    }
                    self.changed.wait_timeout(slot, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    // A sender that died left a whole value behind: every change is a plain assignment.
    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_latest_wins_and_is_taken_once() {
        let mailbox = Mailbox::<Option<u32>>::new();
        mailbox.send(|slot| *slot = Some(1));
        mailbox.send(|slot| *slot = Some(2));
        assert_eq!(mailbox.peek(|slot| *slot), Some(2));
        assert_eq!(mailbox.take(Wait::No), Post::Came(Some(2)));
        assert_eq!(mailbox.take(Wait::No), Post::TimeUp);
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(mailbox.take(Wait::Until(soon)), Post::TimeUp);
        assert!(Instant::now() >= soon);
    }

    #[test]
    fn a_waiting_receiver_wakes_up() {
        let mailbox = Arc::new(Mailbox::<u32>::new());
        let receiver = std::thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || (mailbox.take(Wait::Forever), mailbox.take(Wait::Forever))
        });
        mailbox.send(|slot| *slot += 3);
        std::thread::sleep(Duration::from_millis(20));
        mailbox.close();
        assert_eq!(receiver.join().unwrap(), (Post::Came(3), Post::Closed));
    }
}
