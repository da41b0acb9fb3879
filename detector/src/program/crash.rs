//! What is left where a program ends by a mistake of ours: a note for a bug report, without anything private, beside the
//! settings. Nothing is ever sent.
//!
//! The hook only writes; unwinding then drops what is open, so that recordings are closed as always.

use std::backtrace::Backtrace;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use etcetera::base_strategy::{BaseStrategy as _, choose_native_strategy};

use crate::foreign;
use crate::words::without_paths;

/// The note's name in its folder.
const NAME: &str = "crash.txt";
/// The name of a note that was offered already.
const OFFERED: &str = "crash-offered.txt";
/// What a note has of the message and of the calls, at most.
const MOST_LINES: usize = 120;
const MOST_LINE: usize = 300;

static HAPPENED: AtomicBool = AtomicBool::new(false);

/// The folder for the settings and notes of all our programs, where this system has one.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    choose_native_strategy().ok().map(|folders| folders.data_dir().join("sandglass"))
}

/// From here on a panic of any thread, but for what other people's code is known to do, leaves a note in `folder`, and says so on standard error.
pub fn install(program: &'static str, version: &'static str, folder: PathBuf) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Whoever calls it knows, and tells what it means.
        if foreign::is_inside() {
            return;
        }
        usual(panic);
        // Of several panics the first is the cause.
        if HAPPENED.swap(true, Ordering::SeqCst) {
            return;
        }
        let note = describe(program, version, panic);
        let path = folder.join(NAME);
        let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, note));
        match written {
            Ok(()) => crate::complain!(
                "error: a mistake in {program}, please report it. A note without private data is in {}; nothing was sent.",
                path.display()
            ),
            Err(error) => crate::complain!(
                "error: a mistake in {program}, please report it. No note: {}: {error}",
                path.display()
            ),
        }
    }));
}

/// [`install`] in [`folder`], for a program on a terminal; tells of an earlier note there, whichever program left it.
pub fn watch(program: &'static str, version: &'static str) {
    let Some(folder) = folder() else { return };
    // What a script throws away is told to nobody: then the note waits.
    if std::io::stderr().is_terminal()
        && !super::is_quiet()
        && let Some(earlier) = take(&folder)
    {
        super::note(format_args!(
            "note: an earlier run ended by a mistake of ours. What is in {} helps to mend it, and has no private data; \
             nothing was sent.",
            earlier.display()
        ));
    }
    install(program, version, folder);
}

/// Whether a thread of this process panicked since [`install`].
#[must_use]
pub fn happened() -> bool {
    HAPPENED.load(Ordering::SeqCst)
}

/// Where the note of this process is, or will be.
#[must_use]
pub fn note_in(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// The note of an earlier crash that nobody was told of yet. It is told once: the file gets another name.
#[must_use]
pub fn take(folder: &Path) -> Option<PathBuf> {
    let offered = folder.join(OFFERED);
    std::fs::rename(folder.join(NAME), &offered).ok().map(|()| offered)
}

fn describe(program: &str, version: &str, panic: &PanicHookInfo<'_>) -> String {
    let message = panic.payload_as_str().unwrap_or("without words");
    let place = panic.location().map(|place| format!("{}:{}", source_file(place.file()), place.line()));
    let thread = std::thread::current().name().unwrap_or("without a name").to_owned();
    let mut note = format!(
        "{program} {version}, {}, {}\nthread: {thread}\nat: {}\nwords: {}\n\ncalls:\n",
        std::env::consts::OS,
        std::env::consts::ARCH,
        place.as_deref().unwrap_or("unknown"),
        without_paths(message).chars().take(MOST_LINE * 4).collect::<String>(),
    );
    let calls = Backtrace::force_capture().to_string();
    // Lines that begin with "at" name files of the machine that it was built on; names of functions say enough.
    for call in calls.lines().filter(|line| !line.trim_start().starts_with("at ")).take(MOST_LINES) {
        let _ = writeln!(note, "{}", call.chars().take(MOST_LINE).collect::<String>());
    }
    note
}

/// A source file as it is called in its crate: what is before that belongs to the machine it was built on.
fn source_file(path: &str) -> &str {
    let is_separator = |c: char| c == '/' || c == '\\';
    let behind = |folder: &str| path.rfind(folder).and_then(|at| path.get(at + folder.len()..));
    let crates = ["/registry/src/", "\\registry\\src\\"].into_iter().find_map(behind);
    let crates = crates.and_then(|inside| inside.split_once(is_separator)).map(|(_, file)| file);
    crates.or_else(|| path.rfind("/library/").and_then(|at| path.get(at + 1..))).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_files_are_those_of_their_crate() {
        let file = source_file("/home/jo/.cargo/registry/src/index.crates.io-1949/egui-0.33/src/ui.rs");
        assert_eq!(file, "egui-0.33/src/ui.rs");
        assert_eq!(source_file("/rustc/59807616e/library/core/src/option.rs"), "library/core/src/option.rs");
        assert_eq!(source_file("gui/src/app.rs"), "gui/src/app.rs");
    }
}
