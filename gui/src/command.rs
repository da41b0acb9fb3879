//! Everything the viewer can be told to do, once: button, tooltip, shortcut and help all read it here.

use egui::{Key, KeyboardShortcut, Modifiers};

/// One thing the user can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Go on or hold; from the start once the source has ended.
    TogglePlay,
    /// Play the source from its first frame.
    Restart,
    /// Begin again by itself at the end.
    ToggleLoop,
    /// Open the clip that comes with the program.
    OpenDemo,
    /// The next backbone in the menu.
    NextBackbone,
    /// The one before it.
    PreviousBackbone,
    /// Show fewer, surer objects.
    RaiseScore,
    /// Show more, less sure objects.
    LowerScore,
    /// Draw boxes and labels, or the bare picture.
    ToggleBoxes,
    /// System, light, dark.
    CycleTheme,
    /// The list of shortcuts.
    ToggleHelp,
}

impl Command {
    /// All of them, in the order of the help window.
    pub const ALL: [Self; 11] = [
        Self::TogglePlay,
        Self::Restart,
        Self::ToggleLoop,
        Self::OpenDemo,
        Self::NextBackbone,
        Self::PreviousBackbone,
        Self::RaiseScore,
        Self::LowerScore,
        Self::ToggleBoxes,
        Self::CycleTheme,
        Self::ToggleHelp,
    ];

    /// What it is called in lists.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TogglePlay => "Play or pause",
            Self::Restart => "Restart",
            Self::ToggleLoop => "Loop",
            Self::OpenDemo => "Open the demo",
            Self::NextBackbone => "Next backbone",
            Self::PreviousBackbone => "Previous backbone",
            Self::RaiseScore => "Raise the score threshold",
            Self::LowerScore => "Lower the score threshold",
            Self::ToggleBoxes => "Boxes and labels",
            Self::CycleTheme => "Theme: system, light, dark",
            Self::ToggleHelp => "Keyboard shortcuts",
        }
    }

    /// One sentence for whoever hovers over its control.
    #[must_use]
    pub fn tooltip(self) -> &'static str {
        match self {
            Self::TogglePlay => "Go on, or hold the picture",
            Self::Restart => "Play from the first frame",
            Self::ToggleLoop => "Begin again at the end",
            Self::OpenDemo => "Open the clip that comes with the program",
            Self::NextBackbone => "Switch to the next network; the video goes on meanwhile",
            Self::PreviousBackbone => "Switch to the network before; the video goes on meanwhile",
            Self::RaiseScore => "Show fewer, surer objects",
            Self::LowerScore => "Show more, less sure objects",
            Self::ToggleBoxes => "Draw boxes and labels over the picture",
            Self::CycleTheme => "Colours: as the system, light or dark",
            Self::ToggleHelp => "Show the keyboard shortcuts",
        }
    }

    /// The keys that give it.
    #[must_use]
    pub fn shortcut(self) -> KeyboardShortcut {
        let (modifiers, key) = match self {
            Self::TogglePlay => (Modifiers::NONE, Key::Space),
            Self::Restart => (Modifiers::NONE, Key::R),
            Self::ToggleLoop => (Modifiers::NONE, Key::L),
            Self::OpenDemo => (Modifiers::NONE, Key::D),
            Self::NextBackbone => (Modifiers::NONE, Key::B),
            Self::PreviousBackbone => (Modifiers::SHIFT, Key::B),
            Self::RaiseScore => (Modifiers::NONE, Key::CloseBracket),
            Self::LowerScore => (Modifiers::NONE, Key::OpenBracket),
            Self::ToggleBoxes => (Modifiers::NONE, Key::V),
            Self::CycleTheme => (Modifiers::NONE, Key::T),
            Self::ToggleHelp => (Modifiers::NONE, Key::Questionmark),
        };
        KeyboardShortcut::new(modifiers, key)
    }

    /// The keys in words, such as `Shift B`.
    #[must_use]
    pub fn keys(self) -> String {
        let KeyboardShortcut { modifiers, logical_key } = self.shortcut();
        let shift = if modifiers.shift { "Shift " } else { "" };
        let key = match logical_key {
            Key::OpenBracket => "[",
            Key::CloseBracket => "]",
            other => other.symbol_or_name(),
        };
        format!("{shift}{key}")
    }

    /// Tooltip and keys in one line.
    #[must_use]
    pub fn hint(self) -> String {
        format!("{} ({})", self.tooltip(), self.keys())
    }

    /// The commands whose keys were pressed since the last pass; their key events are used up.
    #[must_use]
    pub fn pressed(ctx: &egui::Context) -> Vec<Self> {
        // A letter typed into a field is text. Space on a control reached by Tab presses that control.
        if ctx.text_edit_focused() {
            return Vec::new();
        }
        let space_is_taken = ctx.memory(|memory| memory.focused().is_some());
        let mut commands = Self::ALL.to_vec();
        // A shortcut without Shift also matches with Shift held, so the longer ones are asked first.
        commands.sort_by_key(|command| !command.shortcut().modifiers.shift);
        commands.retain(|command| {
            !(*command == Self::TogglePlay && space_is_taken)
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
