//! Everything the viewer can be told to do, once: button, menu, tooltip, shortcut and help all read it here.

use egui::{Key, KeyboardShortcut, Modifiers};

/// One thing the user can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Choose a video or picture.
    OpenFile,
    /// Choose a folder of pictures.
    OpenFolder,
    /// Type a path.
    OpenPath,
    /// Watch the first camera.
    OpenCamera,
    /// Open the clip that comes with the program.
    OpenDemo,
    /// Go on or hold; from the start once the source has ended.
    TogglePlay,
    /// Hold, and show the frame before.
    StepBack,
    /// Hold, and show the next frame.
    StepForward,
    /// Five seconds back.
    JumpBack,
    /// Five seconds forward.
    JumpForward,
    /// Half the speed.
    Slower,
    /// Twice the speed.
    Faster,
    /// Play the source from its first frame.
    Restart,
    /// Begin again by itself at the end.
    ToggleLoop,
    /// The next backbone in the menu.
    NextBackbone,
    /// The one before it.
    PreviousBackbone,
    /// Look at frames with a second backbone too.
    ToggleCompare,
    /// Show fewer, surer objects.
    RaiseScore,
    /// Show more, less sure objects.
    LowerScore,
    /// Measure every backbone on this machine, or stop measuring.
    Benchmark,
    /// Begin a recording, or end it.
    ToggleRecord,
    /// Write the frame to a PNG.
    Snapshot,
    /// Open the folder of the recordings.
    OpenRecordings,
    /// Draw boxes and labels, or the bare picture.
    ToggleBoxes,
    /// Show the picture as in a mirror.
    ToggleMirror,
    /// Steady the boxes.
    ToggleSmooth,
    /// Only show frames that were looked at.
    ToggleInStep,
    /// Show or hide the side panel.
    ToggleSide,
    /// The next part of the side panel.
    NextTab,
    /// All of the screen, or the window.
    Fullscreen,
    /// System, light, dark.
    CycleTheme,
    /// The list of shortcuts.
    ToggleHelp,
}

/// The menus of the menu bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    /// What is watched.
    Source,
    /// How it plays.
    Playback,
    /// Which network looks at it.
    Detection,
    /// What is kept.
    Recording,
    /// How it looks.
    View,
    /// How it is used.
    Help,
}

impl Menu {
    /// All of them, from left to right.
    pub const ALL: [Self; 6] =
        [Self::Source, Self::Playback, Self::Detection, Self::Recording, Self::View, Self::Help];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "Source",
            Self::Playback => "Playback",
            Self::Detection => "Detection",
            Self::Recording => "Recording",
            Self::View => "View",
            Self::Help => "Help",
        }
    }
}

/// What there is to know about a command.
struct Facts {
    name: &'static str,
    tooltip: &'static str,
    keys: (Modifiers, Key),
    menu: Menu,
}

impl Command {
    /// All of them, in the order of the menus.
    pub const ALL: [Self; 32] = [
        Self::OpenFile,
        Self::OpenFolder,
        Self::OpenPath,
        Self::OpenCamera,
        Self::OpenDemo,
        Self::TogglePlay,
        Self::StepBack,
        Self::StepForward,
        Self::JumpBack,
        Self::JumpForward,
        Self::Slower,
        Self::Faster,
        Self::Restart,
        Self::ToggleLoop,
        Self::NextBackbone,
        Self::PreviousBackbone,
        Self::ToggleCompare,
        Self::RaiseScore,
        Self::LowerScore,
        Self::Benchmark,
        Self::ToggleRecord,
        Self::Snapshot,
        Self::OpenRecordings,
        Self::ToggleBoxes,
        Self::ToggleMirror,
        Self::ToggleSmooth,
        Self::ToggleInStep,
        Self::ToggleSide,
        Self::NextTab,
        Self::Fullscreen,
        Self::CycleTheme,
        Self::ToggleHelp,
    ];

    fn facts(self) -> Facts {
        let facts = |name, tooltip, keys, menu| Facts { name, tooltip, keys, menu };
        match self {
            Self::OpenFile => facts(
                "Open a video or picture…",
                "Choose what to watch",
                (Modifiers::COMMAND, Key::O),
                Menu::Source,
            ),
            Self::OpenFolder => facts(
                "Open a folder of pictures…",
                "Watch the pictures of a folder one after the other",
                (Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::O),
                Menu::Source,
            ),
            Self::OpenPath => facts(
                "Open a path…",
                "Type a path, a pattern such as photos/*.jpg, or camera:1",
                (Modifiers::COMMAND, Key::L),
                Menu::Source,
            ),
            Self::OpenCamera => {
                facts("Open the camera", "Watch the first camera", (Modifiers::NONE, Key::C), Menu::Source)
            }
            Self::OpenDemo => facts(
                "Open the demo",
                "Watch the clip that comes with the program",
                (Modifiers::NONE, Key::D),
                Menu::Source,
            ),
            Self::TogglePlay => facts(
                "Play or pause",
                "Go on, or hold the picture",
                (Modifiers::NONE, Key::Space),
                Menu::Playback,
            ),
            Self::StepBack => facts(
                "One frame back",
                "Hold, and show the frame before",
                (Modifiers::NONE, Key::Comma),
                Menu::Playback,
            ),
            Self::StepForward => facts(
                "One frame forward",
                "Hold, and show the next frame",
                (Modifiers::NONE, Key::Period),
                Menu::Playback,
            ),
            Self::JumpBack => facts(
                "5 seconds back",
                "Go back by five seconds",
                (Modifiers::NONE, Key::ArrowLeft),
                Menu::Playback,
            ),
            Self::JumpForward => facts(
                "5 seconds forward",
                "Go forward by five seconds",
                (Modifiers::NONE, Key::ArrowRight),
                Menu::Playback,
            ),
            Self::Slower => {
                facts("Slower", "Play at half the speed", (Modifiers::NONE, Key::Minus), Menu::Playback)
            }
            Self::Faster => {
                facts("Faster", "Play at twice the speed", (Modifiers::NONE, Key::Equals), Menu::Playback)
            }
            Self::Restart => {
                facts("Restart", "Play from the first frame", (Modifiers::NONE, Key::R), Menu::Playback)
            }
            Self::ToggleLoop => {
                facts("Loop", "Begin again at the end", (Modifiers::NONE, Key::L), Menu::Playback)
            }
            Self::NextBackbone => facts(
                "Next backbone",
                "Switch to the next network; the video goes on meanwhile",
                (Modifiers::NONE, Key::B),
                Menu::Detection,
            ),
            Self::PreviousBackbone => facts(
                "Previous backbone",
                "Switch to the network before; the video goes on meanwhile",
                (Modifiers::SHIFT, Key::B),
                Menu::Detection,
            ),
            Self::ToggleCompare => facts(
                "Compare two backbones",
                "Let a second network look at the same frames",
                (Modifiers::NONE, Key::X),
                Menu::Detection,
            ),
            Self::RaiseScore => facts(
                "Raise the score threshold",
                "Show fewer, surer objects",
                (Modifiers::NONE, Key::CloseBracket),
                Menu::Detection,
            ),
            Self::LowerScore => facts(
                "Lower the score threshold",
                "Show more, less sure objects",
                (Modifiers::NONE, Key::OpenBracket),
                Menu::Detection,
            ),
            Self::Benchmark => facts(
                "Measure all backbones",
                "Time every network on this machine, one after the other",
                (Modifiers::COMMAND, Key::B),
                Menu::Detection,
            ),
            Self::ToggleRecord => facts(
                "Record",
                "Record what is shown to a video file, or end the recording",
                (Modifiers::COMMAND, Key::R),
                Menu::Recording,
            ),
            Self::Snapshot => facts(
                "Save a snapshot",
                "Write the picture being shown to a PNG file",
                (Modifiers::NONE, Key::S),
                Menu::Recording,
            ),
            Self::OpenRecordings => facts(
                "Show the recordings",
                "Open the folder with recordings and snapshots",
                (Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::R),
                Menu::Recording,
            ),
            Self::ToggleBoxes => facts(
                "Boxes and labels",
                "Draw boxes and labels over the picture",
                (Modifiers::NONE, Key::V),
                Menu::View,
            ),
            Self::ToggleMirror => {
                facts("Mirror", "Show the picture as in a mirror", (Modifiers::NONE, Key::M), Menu::View)
            }
            Self::ToggleSmooth => facts(
                "Steady boxes",
                "Let boxes glide and labels stay between frames; the table shows the raw output",
                (Modifiers::NONE, Key::G),
                Menu::View,
            ),
            Self::ToggleInStep => facts(
                "Boxes in step",
                "Show only frames that were looked at, each with its own boxes: exact, but less smooth",
                (Modifiers::NONE, Key::I),
                Menu::View,
            ),
            Self::ToggleSide => facts(
                "Side panel",
                "Show or hide the panel on the right",
                (Modifiers::NONE, Key::P),
                Menu::View,
            ),
            Self::NextTab => facts(
                "Next part of the side panel",
                "Detection, options, speed, log",
                (Modifiers::NONE, Key::N),
                Menu::View,
            ),
            Self::Fullscreen => facts(
                "Full screen",
                "Use all of the screen, or go back to a window",
                (Modifiers::NONE, Key::F11),
                Menu::View,
            ),
            Self::CycleTheme => facts(
                "Theme: system, light, dark",
                "Colours: as the system, light or dark",
                (Modifiers::NONE, Key::T),
                Menu::View,
            ),
            Self::ToggleHelp => facts(
                "Keyboard shortcuts",
                "Show the keyboard shortcuts",
                (Modifiers::NONE, Key::Questionmark),
                Menu::Help,
            ),
        }
    }

    /// What it is called in menus and lists.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// One sentence for whoever hovers over its control.
    #[must_use]
    pub fn tooltip(self) -> &'static str {
        self.facts().tooltip
    }

    /// The menu it is in.
    #[must_use]
    pub fn menu(self) -> Menu {
        self.facts().menu
    }

    /// The keys that give it.
    #[must_use]
    pub fn shortcut(self) -> KeyboardShortcut {
        let (modifiers, key) = self.facts().keys;
        KeyboardShortcut::new(modifiers, key)
    }

    /// The keys in words, such as `Ctrl Shift B`.
    #[must_use]
    pub fn keys(self) -> String {
        let KeyboardShortcut { modifiers, logical_key } = self.shortcut();
        let command = if modifiers.command { "Ctrl " } else { "" };
        let shift = if modifiers.shift { "Shift " } else { "" };
        let key = match logical_key {
            Key::OpenBracket => "[",
            Key::CloseBracket => "]",
            // The usual fonts have no signs for these.
            Key::ArrowLeft => "Left",
            Key::ArrowRight => "Right",
            Key::Comma => ",",
            Key::Period => ".",
            Key::Minus => "-",
            Key::Equals => "=",
            other => other.symbol_or_name(),
        };
        format!("{command}{shift}{key}")
    }

    /// Tooltip and keys in one line.
    #[must_use]
    pub fn hint(self) -> String {
        format!("{} ({})", self.tooltip(), self.keys())
    }

    /// The commands whose keys were pressed since the last pass; their key events are used up.
    #[must_use]
    pub fn pressed(ctx: &egui::Context) -> Vec<Self> {
        // A letter typed into a field is text. Space on a control reached by Tab presses that control, and
        // arrows move its slider.
        if ctx.text_edit_focused() {
            return Vec::new();
        }
        let focused = ctx.memory(|memory| memory.focused().is_some());
        let of_controls = [Key::Space, Key::ArrowLeft, Key::ArrowRight];
        let mut commands = Self::ALL.to_vec();
        // A shortcut without Shift also matches with Shift held, so the longer ones are asked first.
        commands.sort_by_key(|command| !command.shortcut().modifiers.shift);
        commands.retain(|command| {
            !(focused && of_controls.contains(&command.shortcut().logical_key))
                && ctx.input_mut(|input| input.consume_shortcut(&command.shortcut()))
        });
        commands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_own_keys_and_name() {
        for (i, a) in Command::ALL.iter().enumerate() {
            for b in &Command::ALL[i + 1..] {
                assert_ne!(a.shortcut(), b.shortcut());
                assert_ne!(a.name(), b.name());
            }
        }
    }

    #[test]
    fn keys_are_readable() {
        assert_eq!(Command::PreviousBackbone.keys(), "Shift B");
        assert_eq!(Command::RaiseScore.keys(), "]");
        assert_eq!(Command::ToggleHelp.keys(), "?");
    }
}
