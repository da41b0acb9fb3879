//! The thread that owns a camera.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::driver::{Driver, Stream};
use super::{CameraCounts, CameraEvent, CameraFormat, CameraInfo, Wish, find, pixels};
use crate::frame::Frame;

/// How often a lost camera is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long closing waits for a camera that gives nothing: its thread cannot be called off a read.
const FAREWELL: Duration = Duration::from_secs(1);
/// Pictures in a row that cannot be decoded before that counts as a reason.
const CORRUPT_IN_A_ROW: u64 = 30;
/// Events that nobody fetches are forgotten beyond this many.
const MOST_EVENTS: usize = 64;

/// A camera's thread, from whoever reads it.
pub(super) struct Capture {
    shared: Arc<Shared>,
    began: Instant,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    newest: Option<Frame>,
    events: Vec<CameraEvent>,
    counts: CameraCounts,
    /// How opening it for the first time went.
    first: Option<Result<CameraFormat, String>>,
    /// Why no pictures come at the moment.
    trouble: Option<String>,
    quit: bool,
    finished: bool,
}

impl Capture {
    /// Starts the thread, which opens the camera.
    pub(super) fn start(driver: impl Driver, info: CameraInfo, wish: Wish) -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let began = Instant::now();
        let worker = Worker { shared: Arc::clone(&shared), driver, info, wish, began };
        let thread = std::thread::Builder::new().name("sandglass-camera".into());
        if let Err(error) = thread.spawn(move || worker.run()) {
            let mut state = shared.lock();
            state.first = Some(Err(format!("no thread for it: {error}")));
            state.finished = true;
        }
        Self { shared, began }
    }

    /// Waits until the camera was opened for the first time, or not.
    pub(super) fn opened(&self) -> Result<CameraFormat, String> {
        let mut state = self.shared.lock();
        loop {
            match &state.first {
                Some(outcome) => return outcome.clone(),
                None => state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// The newest picture that was not taken yet; where none comes in time, why.
    pub(super) fn newest(&self, patience: Duration) -> Result<Frame, String> {
        let until = Instant::now() + patience;
        let mut state = self.shared.lock();
        loop {
            if let Some(frame) = state.newest.take() {
                return Ok(frame);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.finished {
                let silent = || format!("it gave no picture for {} seconds", patience.as_secs());
                return Err(state.trouble.clone().unwrap_or_else(silent));
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn events(&self) -> Vec<CameraEvent> {
        std::mem::take(&mut self.shared.lock().events)
    }

    pub(super) fn counts(&self) -> CameraCounts {
        self.shared.lock().counts
    }

    /// The moment that frame times count from.
    pub(super) fn began(&self) -> Instant {
        self.began
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let until = Instant::now() + FAREWELL;
        let mut state = self.shared.lock();
        state.quit = true;
        self.shared.changed.notify_all();
        // A device can be open once only: whoever opens it next should find it closed.
        while !state.finished {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    // Every change is a plain assignment, so a thread that died left a whole state behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn event(state: &mut State, event: CameraEvent) {
        if state.events.len() < MOST_EVENTS {
            state.events.push(event);
        }
    }

    /// Waits; true when it is time to go.
    fn quit_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.quit || left.is_zero() {
                return state.quit;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The thread's own.
struct Worker<D> {
    shared: Arc<Shared>,
    driver: D,
    info: CameraInfo,
    wish: Wish,
    began: Instant,
}

/// Says that the thread is gone, however it ends.
struct Finished(Arc<Shared>);

impl Drop for Finished {
    fn drop(&mut self) {
        self.0.update(|state| {
            state.finished = true;
            let reason = || Err("its thread ended".into());
            state.first.get_or_insert_with(reason);
        });
    }
}

impl<D: Driver> Worker<D> {
    fn run(mut self) {
        let _finished = Finished(Arc::clone(&self.shared));
        let mut known = false;
        loop {
            match self.open() {
                Ok(stream) => {
                    let format = stream.format();
                    known = true;
                    self.shared.update(|state| {
                        state.first.get_or_insert(Ok(format));
                        state.trouble = None;
                        Shared::event(state, CameraEvent::Opened(format));
                    });
                    let Some(reason) = self.stream(stream) else { return };
                    self.shared.update(|state| {
                        state.trouble = Some(format!("{reason}; it is taken up again when it is back"));
                        Shared::event(state, CameraEvent::Lost(reason));
                    });
                }
                Err(reason) if known => {
                    self.shared.update(|state| {
                        state.trouble = Some(format!("{reason}; it is taken up again when it is back"));
                    });
                }
                Err(reason) => {
                    self.shared.update(|state| state.first = Some(Err(reason)));
                    return;
                }
            }
            if self.shared.quit_within(LOOK_AGAIN) {
                return;
            }
        }
    }

    /// Opens the camera in the format closest to the wish. One that comes back may have another number.
    fn open(&mut self) -> Result<Box<dyn Stream>, String> {
        let list = self.driver.list()?;
        let same = list.iter().find(|info| **info == self.info);
        let info = same.or_else(|| list.iter().find(|info| info.name == self.info.name));
        let info = info.ok_or("it is not there (unplugged?)")?;
        let id = find(&list, &info.id)?.id.clone();
        let formats = self.driver.formats(&id)?;
        let format = self.wish.closest(&formats).ok_or("it offers no format that can be read")?;
        self.driver.open(&id, format)
    }

    /// Takes pictures until the camera is gone (and why), or until it is time to go.
    fn stream(&self, mut stream: Box<dyn Stream>) -> Option<String> {
        let format = stream.format();
        let mut corrupt_in_a_row = 0;
        loop {
            let read = stream.read();
            if self.shared.lock().quit {
                return None;
            }
            let raw = match read {
                Ok(raw) => raw,
                Err(reason) => return Some(reason),
            };
            let frame = pixels::unpack(&raw.bytes, format);
            let taken = raw.taken.saturating_duration_since(self.began);
            let mut state = self.shared.lock();
            state.counts.captured += 1;
            match frame {
                Ok(frame) => {
                    corrupt_in_a_row = 0;
                    state.trouble = None;
                    if state.newest.replace(frame.at(taken)).is_some() {
                        state.counts.dropped += 1;
                    }
                }
                Err(reason) => {
                    state.counts.corrupt += 1;
                    corrupt_in_a_row += 1;
                    if corrupt_in_a_row >= CORRUPT_IN_A_ROW {
                        state.trouble = Some(format!("its pictures cannot be read: {reason}"));
                    }
                }
            }
            drop(state);
            self.shared.changed.notify_all();
        }
    }
}
