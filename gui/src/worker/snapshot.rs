//! Writes the frame being shown to a PNG.

use std::path::{Path, PathBuf};

use sandglass_detector::record::{Overlay, draw_with};
use sandglass_detector::{Detections, Frame};

use super::Reporter;
use super::files;
use super::inference::Captured;
use crate::filter;
use crate::message::{Event, Found, Look};
use crate::settings::Hidden;

/// What is wanted.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) folder: PathBuf,
    pub(super) annotated: bool,
}

/// Writes the last frame on a thread of its own: neither window nor detection waits for a disk.
pub(super) fn write(
    last: Option<&(Captured, Found)>,
    snapshot: Snapshot,
    hidden: &Hidden,
    reporter: &Reporter,
) {
    let Some((captured, found)) = last else {
        return reporter.event(Event::Snapshot(Err("there is no picture yet".into())));
    };
    let frame = captured.frame.clone();
    let seen = match &found.main {
        Some(Look { backbone, outcome: Ok(found) }) if snapshot.annotated => {
            Some((filter::kept(found, hidden), backbone.clone()))
        }
        _ => None,
    };
    let reporter = reporter.clone();
    let again = reporter.clone();
    let work = move || {
        let drawn = seen.map(|(found, backbone)| annotated(&frame, &found, &backbone));
        let path = save(drawn.as_ref().unwrap_or(&frame), &snapshot.folder);
        reporter.event(Event::Snapshot(path));
    };
    if let Err(error) = super::spawn("snapshot", work) {
        again.event(Event::Snapshot(Err(error.to_string())));
    }
}

fn annotated(frame: &Frame, found: &Detections, backbone: &str) -> Frame {
    draw_with(frame, found, backbone, &Overlay::default())
}

fn save(frame: &Frame, folder: &Path) -> Result<PathBuf, String> {
    let path = files::new_name(folder, "png")?;
    let (width, height) = (frame.width(), frame.height());
    let kind = image::ExtendedColorType::Rgb8;
    image::save_buffer(&path, &frame.packed(), width, height, kind)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}
