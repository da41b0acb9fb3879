//! Several pictures at a time: each thread opens and detects in pictures of its own; a GPU detects in several at once.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Detector;
use crate::detections::Detections;
use crate::error::Error;
use crate::frame::{Frame, FrameView};
#[cfg(feature = "cuda")]
use crate::settings::Device;
use crate::work::Work;

/// A picture ready to be looked at, for [`Detector::detect_each`].
#[derive(Clone, Debug)]
pub enum Opened<'a> {
    /// One that was decoded for it.
    Frame(Frame),
    /// One that is there anyway.
    View(FrameView<'a>),
}

impl Opened<'_> {
    /// The picture, borrowed.
    #[must_use]
    pub fn view(&self) -> FrameView<'_> {
        match self {
            Self::Frame(frame) => frame.view(),
            Self::View(view) => *view,
        }
    }
}

impl Detector {
    /// Finds the objects of several frames, in their order; see [`Detector::detect_each`].
    ///
    /// # Errors
    /// As [`Detector::detect`], and [`Error::Backbone`] where the system refuses a thread.
    pub fn detect_batch(&self, frames: &[Frame]) -> Result<Vec<Detections>, Error> {
        self.detect_each(frames, |frame| Ok(Opened::View(frame.view())))?.into_iter().collect()
    }

    /// Opens pictures and finds their objects, in the order of the items; a picture that cannot be opened is an error in
    /// its place. Each thread opens and detects in whole pictures, which is faster than all threads at one picture
    /// after the other; a GPU detects in several at a time. What is found does not depend on the number of threads.
    ///
    /// # Errors
    /// As [`Detector::detect`], and [`Error::Backbone`] where the system refuses a thread.
    pub fn detect_each<'a, T: Sync>(
        &self,
        items: &'a [T],
        open: impl Fn(&'a T) -> Result<Opened<'a>, Error> + Sync,
    ) -> Result<Vec<Result<Detections, Error>>, Error> {
        self.settings.check()?;
        let lanes = self.lanes().min(items.len());
        #[cfg(feature = "cuda")]
        if let Device::Cuda(_) = self.network.device {
            return self.each_on_gpu(items, lanes, open);
        }
        if lanes < 2 {
            // Who else has a picture waits for one of these, not for all.
            return Ok(items
                .iter()
                .map(|item| open(item).and_then(|opened| self.detect_view(opened.view())))
                .collect());
        }
        let one = |work: &mut Work, item: &'a T| {
            let opened = open(item)?;
            let mut found = Detections::default();
            self.look(work, opened.view(), &mut found).map(|()| found)
        };
        let mut works = self.network.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        while works.len() < lanes {
            let work = self.network.work.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(twin) = work.twin(self.network.labels.len())? else { break };
            works.push(twin);
        }
        let mut works: Vec<&mut Work> = works.iter_mut().take(lanes).collect();
        Ok(in_lanes(&mut works, items, |work, item| one(work, item)))
    }

    #[cfg(feature = "cuda")]
    fn each_on_gpu<'a, T: Sync>(
        &self,
        items: &'a [T],
        lanes: usize,
        open: impl Fn(&'a T) -> Result<Opened<'a>, Error> + Sync,
    ) -> Result<Vec<Result<Detections, Error>>, Error> {
        let mut work = self.network.work.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::with_capacity(items.len());
        // No more pictures are open at a time than the GPU takes.
        for items in items.chunks(crate::cuda::BATCH) {
            let opened = in_lanes(&mut vec![(); lanes], items, |(), item| open(item));
            let views: Vec<FrameView<'_>> = opened.iter().flatten().map(Opened::view).collect();
            let mut found = Vec::with_capacity(views.len());
            work.run_many(&views, lanes, &self.allowed, &self.settings, |frame, scored, timing| {
                let mut detections = Detections::default();
                self.tell(scored, frame, timing, &mut detections);
                found.push(detections);
            })?;
            let mut found = found.into_iter();
            let missing = || Error::Device("the GPU gave fewer results than it was given pictures".into());
            all.extend(
                opened.into_iter().map(|opened| opened.and_then(|_| found.next().ok_or_else(missing))),
            );
        }
        Ok(all)
    }

    /// How many pictures [`Detector::detect_each`] works on at a time on the CPU.
    #[must_use]
    pub fn lanes(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

/// Does something with every item, in threads that each have one of `states` and take whichever item is next; the first is
/// the thread that calls. The results are in the order of the items.
fn in_lanes<'a, S: Send, T: Sync, R: Send>(
    states: &mut [S],
    items: &'a [T],
    each: impl Fn(&mut S, &'a T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let take = |state: &mut S| {
        let mut taken = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return taken };
            taken.push((index, each(state, item)));
        }
    };
    let mut taken = std::thread::scope(|scope| {
        let mut states = states.iter_mut();
        let own = states.next();
        let others: Vec<_> = states.map(|state| scope.spawn(|| take(state))).collect();
        let mut taken = own.map(take).unwrap_or_default();
        for other in others {
            match other.join() {
                Ok(results) => taken.extend(results),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        taken
    });
    taken.sort_unstable_by_key(|(index, _)| *index);
    taken.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::noise;
    use super::*;

    #[test]
    fn a_batch_is_frame_after_frame() {
        let builder = Detector::builder().backbone("mobilenet-v1-0.25").threads(2).score_threshold(0.0);
        let detector = builder.build().unwrap();
        let frames = [noise(40, 30), noise(1, 1), noise(40, 30)];
        let batch = detector.detect_batch(&frames).unwrap();
        assert_eq!(batch[0].items, batch[2].items);
        assert_eq!(batch[1].items, detector.detect(&frames[1]).unwrap().items);
    }
}
