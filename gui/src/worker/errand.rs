//! Slow things on threads of their own: dialogs, cameras, the file manager.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Reporter;
use crate::engine::Backend;
use crate::message::{Errand, Event};

/// Runs an errand; its outcome comes as an event.
pub(super) fn start(errand: Errand, backend: Arc<dyn Backend>, reporter: &Reporter) {
    let (reporter, again) = (reporter.clone(), reporter.clone());
    let work = move || {
        if let Some(event) = run(errand, backend.as_ref()) {
            reporter.event(event);
        }
    };
    if let Err(error) = super::spawn("errand", work) {
        again.event(Event::ErrandFailed(error.to_string()));
    }
}

fn run(errand: Errand, backend: &dyn Backend) -> Option<Event> {
    Some(match errand {
        Errand::Cameras => Event::Cameras(backend.cameras().map_err(|error| error.to_string())),
        Errand::Formats(camera) => {
            let formats = backend.formats(&camera).map_err(|error| error.to_string());
            Event::Formats { camera, formats }
        }
        Errand::PickFile => Event::Picked(pictures_and_videos().pick_file()),
        Errand::PickFolder => Event::Picked(dialog("Open a folder of pictures").pick_folder()),
        Errand::PickRecordings(folder) => {
            let dialog = dialog("Where recordings go").set_directory(folder);
            Event::PickedRecordings(dialog.pick_folder())
        }
        Errand::Reveal(path) => {
            let folder = folder_of(&path);
            let failed = |reason: String| Event::ErrandFailed(format!("{}: {reason}", folder.display()));
            if !folder.is_dir() {
                return Some(failed("nothing was recorded there yet".into()));
            }
            return open::that_detached(&folder).err().map(|error| failed(error.to_string()));
        }
    })
}

fn dialog(title: &str) -> rfd::FileDialog {
    rfd::FileDialog::new().set_title(title)
}

fn pictures_and_videos() -> rfd::FileDialog {
    let videos = ["avi", "flv", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "webm", "wmv"];
    let pictures = ["bmp", "gif", "jpeg", "jpg", "png", "pnm", "ppm", "tif", "tiff", "webp"];
    dialog("Open a video or picture")
        .add_filter("Videos and pictures", &[&videos[..], &pictures[..]].concat())
        .add_filter("All files", &["*"])
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if path.is_file() => parent.to_owned(),
        _ => path.to_owned(),
    }
}
