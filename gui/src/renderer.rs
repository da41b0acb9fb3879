//! What draws the window, for bug reports. Asking OpenGL is unsafe code, and egui has asked already: it tells its log.

use log::{LevelFilter, Log, Metadata, Record};
use sandglass_detector::program::{crash, renderer};

/// Whose words are listened to.
const TARGET: &str = "egui_glow";

/// Listens until egui has told what draws the window, and leaves that beside the settings.
pub(crate) fn listen() {
    // Who embeds the viewer may have a logger, which stays.
    if log::set_logger(&Listener).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

struct Listener;

impl Log for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(TARGET)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let Some(found) = described(&record.args().to_string()) else { return };
        log::set_max_level(LevelFilter::Off);
        // Without a folder for it there is just no note.
        let _ = crash::folder().map(|folder| renderer::keep(&folder, &found));
    }

    fn flush(&self) {}
}

/// What egui's words say of the renderer, in one line.
fn described(words: &str) -> Option<String> {
    let value = |name: &str| words.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Some(format!("{}, OpenGL {}", value("opengl renderer")?, value("opengl version")?))
}

#[cfg(test)]
mod tests {
    use super::described;

    #[test]
    fn the_renderer_is_found_in_the_words_of_egui() {
        let words =
            "\nopengl version: 4.5 Mesa 22.3.6\nopengl renderer: llvmpipe (LLVM 15)\nopengl vendor: Mesa";
        assert_eq!(described(words).as_deref(), Some("llvmpipe (LLVM 15), OpenGL 4.5 Mesa 22.3.6"));
        assert_eq!(described("Shader header: \"#version 140\""), None);
    }
}
