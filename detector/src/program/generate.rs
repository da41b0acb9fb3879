//! What comes of a program's command line beside its help: manual pages and completions, for
//! `sandglass-detect generate` and `sandglass-eval generate`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;

/// What can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Manual pages (roff), for man
    Man,
    /// Completions for Bash
    Bash,
    /// Completions for Zsh
    Zsh,
    /// Completions for fish
    Fish,
    /// Completions for PowerShell
    Powershell,
}

/// What `generate` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct GenerateArgs {
    /// What to generate
    #[arg(value_enum)]
    pub kind: Kind,
    /// Write into this folder under the usual names, manual pages of all subcommands too; otherwise to standard output
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

impl GenerateArgs {
    /// Generates it for a program's command line.
    ///
    /// # Errors
    /// Where standard output or the folder cannot be written to.
    pub fn run(&self, mut command: Command) -> io::Result<()> {
        let name = command.get_name().to_owned();
        match (&self.to, self.kind.shell()) {
            (None, Some(shell)) => {
                // The generator stops the program where it cannot write: a closed pipe is no reason for that.
                let mut text = Vec::new();
                clap_complete::generate(shell, &mut command, name, &mut text);
                io::stdout().write_all(&text)
            }
            (None, None) => clap_mangen::Man::new(command).render(&mut io::stdout()),
            (Some(folder), kind) => {
                create(folder)?;
                match kind {
                    Some(shell) => clap_complete::generate_to(shell, &mut command, name, folder).map(drop),
                    None => clap_mangen::generate_to(command, folder),
                }
            }
        }
    }
}

fn create(folder: &Path) -> io::Result<()> {
    let said = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(said)
}

impl Kind {
    fn shell(self) -> Option<Shell> {
        match self {
            Self::Man => None,
            Self::Bash => Some(Shell::Bash),
            Self::Zsh => Some(Shell::Zsh),
            Self::Fish => Some(Shell::Fish),
            Self::Powershell => Some(Shell::PowerShell),
        }
    }
}
