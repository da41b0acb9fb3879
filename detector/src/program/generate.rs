//! What comes of a program's command line beside its help: manual pages and completions, for
//! the subcommand `generate` of all our programs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Command;
use clap::builder::Resettable;
use clap_complete::{Generator as _, Shell};

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
#[command(
    after_help = "Examples:\n  … generate bash > ~/.local/share/bash-completion/completions/PROGRAM\n  … generate man --to man/"
)]
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
    /// Where standard output or the folder cannot be written to; that nobody reads is none.
    pub fn run(&self, command: Command) -> io::Result<()> {
        let mut command = super::with_environment(command);
        let name = command.get_name().to_owned();
        let pages = match self.kind.shell() {
            Some(shell) => vec![(shell.file_name(&name), completions(shell, &mut command, &name))],
            None => manual(command)?,
        };
        let Some(folder) = &self.to else {
            // The program's own page comes first; those of subcommands need a folder.
            let page = pages.first().map(|(_, page)| page.as_slice()).unwrap_or_default();
            return super::to_stdout(page);
        };
        create(folder)?;
        pages.iter().try_for_each(|(name, page)| {
            let path = folder.join(name);
            std::fs::write(&path, page).map_err(|error| named(&path, &error))
        })
    }
}

fn completions(shell: Shell, command: &mut Command, name: &str) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    // For Bash the generator calls a program with a hyphen by one name where it sets it, and by another where it asks for it.
    match (shell, String::from_utf8(script)) {
        (Shell::Bash, Ok(script)) => {
            script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__")).into_bytes()
        }
        (_, Ok(script)) => script.into_bytes(),
        (_, Err(error)) => error.into_bytes(),
    }
}

/// The pages by file name: the program's first, then those of its subcommands.
fn manual(command: Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = vec![page(&command)?];
    for subcommand in command.get_subcommands() {
        pages.push(page(subcommand)?);
    }
    Ok(pages)
}

fn page(command: &Command) -> io::Result<(String, Vec<u8>)> {
    let extra = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    // What the short help leaves out would have no words here; examples would be run together as a paragraph.
    let command = command.clone().mut_args(|argument| argument.hide_short_help(false));
    let command = command.after_help(Resettable::Reset).after_long_help(Resettable::Reset);
    let manual = clap_mangen::Man::new(command);
    let mut page = Vec::new();
    manual.render(&mut page)?;
    if let Some(extra) = extra {
        let text = extra.replace('\\', "\\\\").replace('-', "\\-");
        let lines = text
            .lines()
            .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() });
        let lines: Vec<_> = lines.collect();
        writeln!(page, ".SH EXAMPLES\n.nf\n{}\n.fi", lines.join("\n"))?;
    }
    Ok((manual.get_filename(), page))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn create(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| named(folder, &error))
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
