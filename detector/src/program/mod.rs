//! What our programs share around their work: values that come from the environment or a configuration file where no flag
//! gives them, `--quiet`, `--print-config`, manual pages and completions, and notes about crashes.
//!
//! A program declares its arguments with clap, flattens [`Shared`] into them, and calls [`parse`] in place of
//! `Parser::parse`.

mod configuration;
pub mod crash;
mod generate;
pub mod renderer;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Parser};

use configuration::{Layers, with_environment};
pub use generate::{GenerateArgs, Kind};

/// The flags that every program of ours has.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Shared {
    /// Print no notes and no progress; warnings and errors still
    #[arg(short, long, global = true, help_heading = "General")]
    pub quiet: bool,
    /// Print the settings in force and where each is from, as a configuration file, and exit
    #[arg(long, global = true, help_heading = "General")]
    pub print_config: bool,
}

static QUIET: AtomicBool = AtomicBool::new(false);

/// Whether `--quiet` was given: nobody wants notes or progress.
#[must_use]
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Tells people something on standard error, unless they want quiet.
pub fn note(words: impl Display) {
    if !is_quiet() {
        // Nobody reads: that is no reason to stop.
        let _ = writeln!(std::io::stderr(), "{words}");
    }
}

/// Tells people on standard error what is wrong, whatever they want to be spared. Not `eprintln!`: that panics where nobody
/// reads any more.
pub fn complain(words: impl Display) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// An error with its causes, each said once: our own messages hold their causes already.
#[must_use]
pub fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// [`complain`](crate::program::complain()) with the arguments of `format!`.
#[macro_export]
macro_rules! complain {
    ($($words:tt)*) => { $crate::program::complain(format_args!($($words)*)) };
}

/// Reads the program's command line; what no flag gives comes from the environment, then from the configuration file. For
/// `--help` and the like, and for what makes no sense, it prints and ends the program (status 2 for the latter).
#[must_use]
pub fn parse<P: Parser>() -> P {
    let layers = Layers::of_this_machine();
    let outcome = read(with_environment(P::command()), &layers, std::env::args_os().collect());
    let outcome = outcome.and_then(|matches| {
        let inner = innermost(&matches);
        if matches!(inner.try_get_one::<bool>("print_config"), Ok(Some(true))) {
            let mut command = P::command();
            command.build();
            let asked = matches.subcommand_name().and_then(|name| command.find_subcommand(name));
            let text = layers.describe(asked.unwrap_or(&command), inner);
            match to_stdout(text.as_bytes()) {
                Ok(()) => std::process::exit(0),
                Err(error) => return Err(command.error(ErrorKind::Io, format!("cannot write: {error}"))),
            }
        }
        P::from_arg_matches(&matches).map_err(|error| error.format(&mut P::command()))
    });
    outcome.unwrap_or_else(|error| error.exit())
}

/// Writes to standard output; that nobody reads is no error.
fn to_stdout(bytes: &[u8]) -> std::io::Result<()> {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// What stands before a subcommand and is not for every command would be left out without a word.
fn check_place(command: &mut Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some(name) = matches.subcommand_name() else { return Ok(()) };
    let lost =
        command.get_arguments().find(|a| !a.is_global_set() && was_given(matches, a.get_id().as_str()));
    let Some(argument) = lost.map(ToString::to_string) else { return Ok(()) };
    let reason = format!(
        "{argument} stands before `{name}`: options of `{name}` go behind it, and a file of that name is ./{name}"
    );
    Err(command.error(ErrorKind::ArgumentConflict, reason))
}

/// The command line over its layers.
fn read(command: Command, layers: &Layers, args: Vec<OsString>) -> Result<ArgMatches, clap::Error> {
    // Help and version need no configuration, be it broken; and the flags decide which of the settings count.
    let flags = match command.clone().try_get_matches_from(&args) {
        Err(error) if !error.use_stderr() => return Err(error),
        Err(_) => command.clone().ignore_errors(true).try_get_matches_from(&args).unwrap_or_default(),
        Ok(matches) => matches,
    };
    let settings = layers
        .settings(&command, &flags)
        // Not the command line is at fault: how it is used does not help.
        .map_err(|reason| clap::Error::raw(ErrorKind::InvalidValue, format_args!("{reason}\n")))?;
    let mut command = settings.iter().fold(command, |command, setting| setting.apply(command));
    let matches = command.try_get_matches_from_mut(args).map_err(|mut error| {
        // The flag that clap names may not be what the user wrote.
        if let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
            && let Some(setting) = settings.iter().find(|setting| setting.is_in(argument, &flags))
        {
            let hint = format!("the value is from {}", setting.origin).into();
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint]));
        }
        error
    })?;
    check_place(&mut command, &matches)?;
    QUIET
        .store(matches!(innermost(&matches).try_get_one::<bool>("quiet"), Ok(Some(true))), Ordering::Relaxed);
    Ok(matches)
}

/// The matches of the subcommand that was called; a global flag is there, wherever it stood.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| innermost(inner))
}

/// Whether a flag was written on the command line itself.
fn was_given(matches: &ArgMatches, id: &str) -> bool {
    // Asking for an argument that the command does not have is an error in clap.
    let known = matches.try_contains_id(id).is_ok();
    known && matches.value_source(id) == Some(ValueSource::CommandLine)
}
