//! Where values come from: flag over environment over configuration file over default.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{ArgAction, ArgMatches, Command};
use etcetera::base_strategy::{BaseStrategy as _, choose_native_strategy};

use super::was_given;

/// A setting that can be made once and for all.
#[derive(Debug)]
struct Key {
    /// The long flag, which is also the key in the configuration file.
    name: &'static str,
    /// Whether subcommands take it, too; what names a detector is for detecting alone.
    everywhere: bool,
    /// Another setting that only makes sense with it: who gives one of them by flag means a different pair.
    partner: Option<&'static str>,
}

const fn key(name: &'static str) -> Key {
    Key { name, everywhere: false, partner: None }
}

static KEYS: [Key; 11] = [
    Key { partner: Some("weights"), ..key("backbone") },
    Key { partner: Some("backbone"), ..key("weights") },
    Key { everywhere: true, ..key("device") },
    Key { everywhere: true, ..key("threads") },
    key("score-threshold"),
    key("iou-threshold"),
    key("max-detections"),
    key("classes"),
    key("camera-format"),
    key("keep-free-mb"),
    key("quiet"),
];

/// The command with what the environment and the configuration file can set of its flags at the end of `--help`.
#[must_use]
pub(super) fn with_environment(command: Command) -> Command {
    let variables = KEYS.iter().filter(|key| argument(&command, key).is_some()).map(Key::variable);
    let lines = variables.fold(vec![String::new()], |mut lines, variable| {
        let line = lines.last_mut().filter(|line| line.len() + variable.len() < 76);
        match line {
            Some(line) => *line += &format!("{}{variable}", if line.is_empty() { "" } else { ", " }),
            None => lines.push(variable),
        }
        lines
    });
    let before = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let help = format!(
        "{}\n\nEnvironment and configuration file (what no flag gives comes from there, in this order):
  {}
                     as the flags of these names; a command takes those that it has
  sandglass/config.toml in the folder for configuration (on Linux ~/.config):
                     lines such as  quiet = true  under the flags' names
  SANDGLASS_CONFIG   another configuration file
  NO_COLOR           no colours",
        before.unwrap_or_default(),
        lines.join(",\n  ")
    );
    command.after_long_help(help)
}

/// What stands in the environment and in the configuration file.
#[derive(Debug)]
pub(super) struct Layers {
    environment: BTreeMap<&'static str, OsString>,
    file: Option<PathBuf>,
    /// The file's settings as flags would have them, or what is wrong with it.
    from_file: Result<BTreeMap<&'static str, OsString>, String>,
}

impl Layers {
    /// What this process was given. Nothing is an error yet, so that a broken file stands in nobody's way who asks for help.
    pub(super) fn of_this_machine() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let environment = KEYS.iter().filter_map(|key| Some((key.name, set(&key.variable())?))).collect();
        match set("SANDGLASS_CONFIG") {
            Some(file) => Self::new(environment, Some(PathBuf::from(file)), true),
            None => {
                let folders = choose_native_strategy().ok();
                let usual = folders.map(|folders| folders.config_dir().join("sandglass/config.toml"));
                Self::new(environment, usual, false)
            }
        }
    }

    /// A file that was named has to be there.
    fn new(environment: BTreeMap<&'static str, OsString>, file: Option<PathBuf>, named: bool) -> Self {
        let from_file = match &file {
            Some(file) if named || file.exists() => {
                read(file).map_err(|reason| format!("{}: {reason}", file.display()))
            }
            _ => Ok(BTreeMap::new()),
        };
        Self { environment, file, from_file }
    }

    /// The settings that count where these flags were given.
    pub(super) fn settings(&self, command: &Command, flags: &ArgMatches) -> Result<Vec<Setting>, String> {
        let from_file = self.from_file.as_ref().map_err(Clone::clone)?;
        let flags = super::innermost(flags);
        let mut settings = Vec::new();
        for key in &KEYS {
            let environment = self.environment.get(key.name);
            // Who gives one of a pair means that one: what is further down belongs to another.
            let dropped = key.partner.is_some_and(|partner| {
                let above = self.environment.contains_key(partner);
                was_given(flags, &id(partner)) || (environment.is_none() && above)
            });
            let (value, origin) = match (environment, from_file.get(key.name)) {
                _ if dropped => continue,
                (Some(value), _) => (value, key.variable()),
                (None, Some(value)) => (value, self.file_name()),
                (None, None) => continue,
            };
            let is_switch =
                argument(command, key).is_some_and(|a| matches!(a.get_action(), ArgAction::SetTrue));
            let value = if is_switch { switch(value, &origin)? } else { value.clone() };
            settings.push(Setting { key, value, origin });
        }
        Ok(settings)
    }

    fn file_name(&self) -> String {
        self.file.as_deref().map_or_else(String::new, |file| file.display().to_string())
    }

    /// The settings in force, as a configuration file, with the origin of each.
    pub(super) fn describe(&self, command: &Command, matches: &ArgMatches) -> String {
        let settings = self.settings(command, matches).unwrap_or_default();
        let there = if self.file.as_deref().is_some_and(Path::exists) { "" } else { " (not there)" };
        let mut text = format!("# flag over environment over {}{there} over default\n", self.file_name());
        for key in KEYS.iter().filter(|key| argument(command, key).is_some()) {
            let id = id(key.name);
            let values = matches
                .get_raw(&id)
                .map(|values| values.map(|v| v.to_string_lossy()).collect::<Vec<_>>().join(","));
            let origin =
                match (was_given(matches, &id), settings.iter().find(|setting| setting.key.name == key.name))
                {
                    (true, _) => format!("--{}", key.name),
                    (false, Some(setting)) => setting.origin.clone(),
                    (false, None) if self.environment.contains_key(key.name) => {
                        format!("default; {} does not go with what was given", key.variable())
                    }
                    (false, None)
                        if self.from_file.as_ref().is_ok_and(|file| file.contains_key(key.name)) =>
                    {
                        "default; that of the file does not go with what was given".to_owned()
                    }
                    (false, None) => "default".to_owned(),
                };
            let line = match values {
                Some(value) => format!("{} = {}", key.name, as_toml(&value)),
                None => format!("# {} is not set", key.name),
            };
            // Writing to a string does not fail.
            let _ = writeln!(text, "{line:36}  # {origin}");
        }
        text
    }
}

/// A number or a switch as it is, everything else in quotes.
fn as_toml(value: &str) -> String {
    match value.parse::<f64>().is_ok_and(f64::is_finite) || ["true", "false"].contains(&value) {
        true => value.to_owned(),
        // A string of JSON is one of TOML, too.
        false => serde_json::Value::from(value).to_string(),
    }
}

/// A value that takes the place of a default.
#[derive(Debug)]
pub(super) struct Setting {
    key: &'static Key,
    value: OsString,
    /// Where it is from, for people.
    pub(super) origin: String,
}

impl Setting {
    /// The command, and where the setting is for them its subcommands, with this value as default.
    pub(super) fn apply(&self, mut command: Command) -> Command {
        if argument(&command, self.key).is_some() {
            command =
                command.mut_arg(id(self.key.name), |argument| argument.default_value(self.value.clone()));
        }
        if self.key.everywhere {
            let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
            for name in names {
                command = command.mut_subcommand(name, |sub| self.apply(sub));
            }
        }
        command
    }

    /// Whether it is what clap calls so, and no flag took its place.
    pub(super) fn is_in(&self, argument: &str, flags: &ArgMatches) -> bool {
        let flag = argument.split(' ').next().and_then(|flag| flag.strip_prefix("--"));
        flag == Some(self.key.name) && !was_given(super::innermost(flags), &id(self.key.name))
    }
}

impl Key {
    fn variable(&self) -> String {
        format!("SANDGLASS_{}", self.name.to_uppercase().replace('-', "_"))
    }
}

/// The name under which clap keeps a flag.
fn id(name: &str) -> String {
    name.replace('-', "_")
}

fn argument<'a>(command: &'a Command, key: &Key) -> Option<&'a clap::Arg> {
    command.get_arguments().find(|argument| argument.get_long() == Some(key.name))
}

/// What a flag without a value is set to.
fn switch(value: &OsStr, origin: &str) -> Result<OsString, String> {
    match value.to_string_lossy().to_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok("true".into()),
        "0" | "false" | "no" | "off" => Ok("false".into()),
        other => Err(format!("{origin} is {other:?}, it must be true or false")),
    }
}

/// More than any configuration needs.
const MOST_BYTES: u64 = 1 << 20;

/// The settings of a file, as flags would have them.
fn read(file: &Path) -> Result<BTreeMap<&'static str, OsString>, String> {
    let mut text = String::new();
    let opened = File::open(file).and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text));
    opened.map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("it has more than {MOST_BYTES} bytes"));
    }
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    let mut settings = BTreeMap::new();
    for (name, value) in table {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            let known: Vec<_> = KEYS.iter().map(|key| key.name).collect();
            return Err(format!("nothing is called {name:?}; there are: {}", known.join(", ")));
        };
        let value = as_flag(&value).ok_or_else(|| format!("{name} must be one value or a list of them"))?;
        // An empty list, or nothing between the quotes, sets nothing.
        if !value.is_empty() {
            settings.insert(key.name, value.into());
        }
    }
    Ok(settings)
}

/// A value as it would stand behind a flag.
fn as_flag(value: &toml::Value) -> Option<String> {
    Some(match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(yes) => yes.to_string(),
        toml::Value::Array(values) => values.iter().map(as_flag).collect::<Option<Vec<_>>>()?.join(","),
        toml::Value::Datetime(_) | toml::Value::Table(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

    use super::*;
    use crate::program::Shared;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(subcommand)]
        command: Option<Inner>,
        #[arg(long)]
        backbone: Option<String>,
        #[arg(long)]
        weights: Option<PathBuf>,
        #[arg(long, default_value_t = 0)]
        threads: usize,
        #[arg(long, value_delimiter = ',')]
        classes: Vec<String>,
        #[command(flatten)]
        shared: Shared,
    }

    #[derive(Debug, Subcommand)]
    enum Inner {
        Other {
            #[arg(long)]
            weights: Option<PathBuf>,
            #[arg(long, default_value_t = 0)]
            threads: usize,
        },
    }

    fn layers(environment: &[(&'static str, &str)], file: &str) -> (tempfile::TempDir, Layers) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(name, value)| (*name, OsString::from(value))).collect();
        (folder, Layers::new(environment, Some(path), true))
    }

    fn matches(layers: &Layers, line: &str) -> Result<ArgMatches, String> {
        let args = std::iter::once("program").chain(line.split_whitespace()).map(OsString::from).collect();
        crate::program::read(Program::command(), layers, args).map_err(|error| error.to_string())
    }

    fn program(layers: &Layers, line: &str) -> Program {
        Program::from_arg_matches(&matches(layers, line).unwrap()).unwrap()
    }

    #[test]
    fn flag_over_environment_over_file_over_default() {
        let (_folder, both) = layers(&[("threads", "3")], "threads = 2\nclasses = [\"person\", \"dog\"]");
        assert_eq!(program(&both, "--threads 4").threads, 4);
        let from_both = program(&both, "");
        assert_eq!((from_both.threads, from_both.classes), (3, vec!["person".to_owned(), "dog".to_owned()]));
        let (_folder, file) = layers(&[], "threads = 2");
        assert_eq!(program(&file, "").threads, 2);
        let (_folder, none) = layers(&[], "");
        assert_eq!((program(&none, "").threads, program(&none, "").backbone), (0, None));
    }

    #[test]
    fn subcommands_take_what_is_not_of_the_detector() {
        let (_folder, layers) = layers(&[("threads", "3"), ("weights", "w")], "");
        let Some(Inner::Other { weights, threads }) = program(&layers, "other").command else { panic!() };
        assert_eq!((weights, threads), (None, 3));
        assert!(program(&layers, "other --quiet").shared.quiet);
    }

    #[test]
    fn a_flag_for_one_of_a_pair_drops_the_other() {
        let (_folder, layers) = layers(&[], "backbone = \"b\"\nweights = \"w\"\nclasses = []");
        let both = program(&layers, "");
        assert_eq!((both.backbone.as_deref(), both.weights), (Some("b"), Some("w".into())));
        assert_eq!(program(&layers, "--backbone c").weights, None);
        assert_eq!(program(&layers, "--weights v").backbone, None);
        let (_folder, apart) = self::layers(&[("backbone", "b")], "weights = \"w\"");
        assert_eq!(program(&apart, "").weights, None, "they are of different layers");
        let text = apart.describe(&Program::command(), &matches(&apart, "").unwrap());
        assert!(text.lines().any(|l| l.starts_with("# weights") && l.contains("does not go with")), "{text}");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let told = |environment: &[(&'static str, &str)], file: &str| {
            let (_folder, layers) = layers(environment, file);
            let flagless = matches(&layers, "").unwrap_err();
            assert!(matches(&layers, "--help").unwrap_err().contains("Usage"), "help needs no configuration");
            flagless
        };
        let by_environment = told(&[("threads", "many")], "");
        assert!(
            by_environment.contains("many") && by_environment.contains("SANDGLASS_THREADS"),
            "{by_environment}"
        );
        assert!(told(&[], "threads = \"many\"").contains("config.toml"));
        assert!(told(&[("quiet", "perhaps")], "").contains("SANDGLASS_QUIET"));
        for (file, says) in
            [("thread = 2", "score-threshold"), ("threads = ", "config.toml"), ("[threads]\n", "one value")]
        {
            assert!(told(&[], file).contains(says), "{file}");
        }
        let missing = Layers::new(BTreeMap::new(), Some("/nowhere/config.toml".into()), true);
        assert!(matches(&missing, "").unwrap_err().contains("/nowhere/config.toml"));
        let absent = Layers::new(BTreeMap::new(), Some("/nowhere/config.toml".into()), false);
        assert!(matches(&absent, "").is_ok());
    }

    #[test]
    fn what_is_in_force_can_be_used_as_a_file() {
        let (_folder, first) = layers(&[("backbone", "mobile\"next")], "classes = [\"dog\"]\nquiet = true");
        let text = first.describe(&Program::command(), &matches(&first, "--threads 4").unwrap());
        let (_folder, again) = layers(&[], &text);
        let program = program(&again, "");
        assert_eq!((program.backbone.as_deref(), program.threads), (Some("mobile\"next"), 4));
        assert!(program.shared.quiet && program.classes == ["dog"]);
        for origin in ["# SANDGLASS_BACKBONE", "# --threads", "config.toml", "# weights is not set"] {
            assert!(text.contains(origin), "{text}");
        }
    }
}
