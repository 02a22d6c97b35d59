//! The pages of `-h` and `--help`, made of the definition of the command line.
//!
//! Clap's own pages take three lines an option in `--help` and know no groups of commands. Here both pages have one
//! layout: `-h` has short texts and leaves rare options out, `--help` has all of it.

mod examples;
mod groups;
mod layout;

use super::output::{Output, Painter};
use super::parse::definition;
use super::words;
use crate::error::Result;
use clap::{Arg, ArgAction, Command};
use examples::Example;
use groups::{GROUPS, RARE, RARE_COMMANDS};
use layout::{Row, wrap};
use std::fmt::Write;

/// The heading of the options that hold for every command.
pub(super) const GLOBAL: &str = "Global options";

/// How wide a page is where no terminal says it, and the bounds of what a terminal may say.
const WIDTH: usize = 80;
const NARROWEST: usize = 60;
const WIDEST: usize = 100;

/// Prints the page that `words` ask for.
pub(super) fn page(words: &[String], output: &Output) -> Result<()> {
    let width =
        rustix::termios::tcgetwinsize(std::io::stdout()).map_or(WIDTH, |size| usize::from(size.ws_col));
    let long = !words.iter().take_while(|word| *word != "--").any(|word| is_short(word));
    let path = path(words.strip_prefix(&["help".to_owned()]).unwrap_or(words));
    let page = Page { width: width.clamp(NARROWEST, WIDEST), long, paint: output.painter() };
    output.raw(page.of(&path).as_bytes())
}

/// Returns the hint that leads to the help of this process's command.
pub(super) fn hint() -> String {
    hint_for(&words::given().skip(1).collect::<Vec<_>>())
}

/// Returns the hint that leads to the help of the command in `words`.
pub(super) fn hint_for(words: &[String]) -> String {
    let command = [vec!["diskferry".to_owned()], path(words)].concat().join(" ");
    format!("`{command} --help` shows its arguments")
}

/// Returns what is shown in place of a command that was left out.
pub(super) fn missing(words: &[String], paint: Painter) -> String {
    let page = Page { width: WIDTH, long: false, paint };
    match &*path(words) {
        [] => start(),
        path => page.of(path),
    }
}

/// Returns a command with its examples, for its manual page.
pub(super) fn with_examples(command: Command, path: &[String]) -> Command {
    let examples = examples::of(path);
    if examples.is_empty() {
        return command;
    }
    let mut text = command.get_after_help().map(|notes| format!("{notes}\n\n")).unwrap_or_default();
    text.push_str("Examples:");
    for example in examples {
        let _ = write!(text, "\n\n    {}", example.command);
    }
    command.after_help(text)
}

/// Whether a word asks for the short page, as `-h` and `-vh` do.
fn is_short(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|short| !short.starts_with('-') && short.ends_with('h'))
}

/// Returns the names of the command that is in `words`, from the outermost to the innermost.
pub(super) fn path(words: &[String]) -> Vec<String> {
    let definition = definition();
    let mut command = &definition;
    let mut path = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(below) = command.find_subcommand(word) {
            path.push(below.get_name().to_owned());
            command = below;
        } else if word.starts_with("--") && !word.contains('=') {
            let takes_value = definition
                .get_arguments()
                .any(|arg| arg.get_long() == word.get(2..) && arg.get_action().takes_values());
            if takes_value {
                words.next();
            }
        } else if !word.starts_with('-') {
            break;
        }
    }
    path
}

/// How a page is drawn.
struct Page {
    width: usize,
    long: bool,
    paint: Painter,
}

impl Page {
    fn of(&self, path: &[String]) -> String {
        let mut root = definition();
        root.build();
        let mut command = path.iter().fold(root, |command, name| {
            let below = command.find_subcommand(name).cloned();
            below.unwrap_or(command)
        });
        let usage = command.render_usage().to_string();
        let command = &command;
        let mut page = self.head(command, &usage);
        if path.is_empty() {
            self.groups(command, &mut page);
        } else if command.has_subcommands() {
            let below = command.get_subcommands().filter(|below| is_shown(below));
            let rows = below.map(|below| Row::new(names(below), about(below))).collect();
            self.section("Commands", rows, &mut page);
        }
        self.arguments(command, path.is_empty(), &mut page);
        if self.long
            && let Some(notes) = command.get_after_help()
        {
            for paragraph in notes.to_string().split("\n\n") {
                let _ = write!(page, "\n{}", wrap(paragraph, self.width, 0));
            }
        }
        if self.long || !path.is_empty() {
            self.examples(path, &mut page);
        }
        if !self.long {
            let more = if path.is_empty() {
                "`diskferry COMMAND -h` explains a command, `diskferry --help` shows them all.".to_owned()
            } else {
                format!("`diskferry {} --help` shows all of its options.", path.join(" "))
            };
            let _ = writeln!(page, "\n{more}");
        }
        page
    }

    /// What the command does, and its form.
    fn head(&self, command: &Command, usage: &str) -> String {
        let long = command.get_long_about().filter(|_| self.long);
        let about = long.or(command.get_about()).map(ToString::to_string).unwrap_or_default();
        let mut page = String::new();
        for paragraph in about.split("\n\n") {
            page.push_str(&wrap(paragraph, self.width, 0));
            page.push('\n');
        }
        let usage = usage.strip_prefix("Usage:").unwrap_or(usage).lines();
        for (line, usage) in usage.enumerate() {
            // What does not fit goes on below the command.
            let usage = wrap(usage, self.width, 9);
            let label = if line == 0 { self.paint.heading("Usage:") } else { " ".repeat(6) };
            let _ = write!(page, "{label} {}", usage.trim_start());
        }
        page
    }

    /// The commands, in their groups.
    fn groups(&self, root: &Command, page: &mut String) {
        for group in GROUPS {
            let shown = group.commands.iter().filter(|name| self.long || !RARE_COMMANDS.contains(name));
            let rows = shown.filter_map(|name| {
                let command = root.find_subcommand(name)?;
                Some(Row::new(names(command), about(command)))
            });
            // One column for all groups.
            let rows = layout::table(&rows.collect::<Vec<_>>(), self.width, 11);
            let gap = if self.long || group.heading == GROUPS[0].heading { "\n" } else { "" };
            let _ = write!(page, "{gap}{}\n{rows}", self.paint.heading(group.heading));
        }
    }

    /// The arguments and options: the command's own first, then by heading.
    fn arguments(&self, command: &Command, is_root: bool, page: &mut String) {
        let shown = |arg: &&Arg| {
            let is_rare = arg.get_long().is_some_and(|long| RARE.contains(&long));
            !arg.is_hide_set() && (self.long || !is_rare)
        };
        let positionals = command.get_positionals().filter(shown).map(|arg| self.row(arg)).collect();
        self.section("Arguments", positionals, page);
        let mut headings: Vec<&str> = Vec::new();
        for arg in command.get_opts().chain(command.get_arguments()) {
            let heading = heading(arg);
            if !arg.is_positional() && !headings.contains(&heading) {
                headings.push(heading);
            }
        }
        headings.sort_by_key(|heading| match *heading {
            "Options" => 0,
            GLOBAL => 2,
            _ => 1,
        });
        for name in headings {
            let options = command.get_arguments().filter(|arg| !arg.is_positional() && heading(arg) == name);
            let options: Vec<&Arg> = options.filter(shown).collect();
            if name == GLOBAL && !(self.long && is_root) {
                let name = |arg: &&Arg| match (arg.get_short(), arg.get_long()) {
                    (Some(short), Some(long)) => Some(format!("-{short}/--{long}")),
                    (_, long) => long.map(|long| format!("--{long}")),
                };
                let line = options.iter().filter_map(name).collect::<Vec<_>>().join(", ");
                let line = wrap(&format!("{GLOBAL}: {line}"), self.width, 2);
                let line = line.trim_start().strip_prefix(GLOBAL).unwrap_or_default();
                let _ = write!(page, "\n{}{line}", self.paint.heading(GLOBAL));
                continue;
            }
            let has_short = options.iter().any(|arg| arg.get_short().is_some());
            let row = |arg: &Arg| {
                let row = self.row(arg);
                if has_short { row } else { row.without_indent() }
            };
            self.section(name, options.into_iter().map(row).collect(), page);
        }
    }

    fn section(&self, heading: &str, rows: Vec<Row>, page: &mut String) {
        if !rows.is_empty() {
            let rows: Vec<Row> =
                rows.into_iter().map(|row| if self.long { row } else { row.cut() }).collect();
            let rows = layout::table(&rows, self.width, 0);
            let _ = write!(page, "\n{}\n{rows}", self.paint.heading(&format!("{heading}:")));
        }
    }

    fn row(&self, arg: &Arg) -> Row {
        let long = arg.get_long_help().filter(|_| self.long);
        let mut text = long.or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let takes_value = arg.get_action().takes_values();
        if takes_value && defaults.iter().any(|value| !value.is_empty()) {
            let _ = write!(text, " [default: {}]", defaults.join(" "));
        }
        Row::new(signature(arg), text)
    }

    fn examples(&self, path: &[String], page: &mut String) {
        let examples = examples::of(path);
        if !examples.is_empty() {
            let _ = write!(page, "\n{}\n{}", self.paint.heading("Examples:"), layout::examples(&examples));
        }
    }
}

/// What `diskferry` alone shows.
fn start() -> String {
    let title = "diskferry moves whole drive images into, out of and between clouds.";
    format!(
        "{title}\n\n{}\nThe remote `local:` needs no account: it is an emulator inside this program.\n\
             `diskferry --help` lists the commands, `diskferry COMMAND -h` explains one.\n",
        layout::examples(&examples::START.iter().collect::<Vec<&Example>>()),
    )
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

/// The name of a command with its aliases.
fn names(command: &Command) -> String {
    [command.get_name()].into_iter().chain(command.get_visible_aliases()).collect::<Vec<_>>().join(", ")
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn heading(arg: &Arg) -> &str {
    match arg.get_id().as_str() {
        "help" | "version" => GLOBAL,
        _ => arg.get_help_heading().unwrap_or("Options"),
    }
}

/// An argument as it is typed: `-v, --verbose`, `    --size SIZE`, `[REMOTE:[DRIVE]]`.
fn signature(arg: &Arg) -> String {
    let value = match arg.get_value_names() {
        Some(names) => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        None => arg.get_id().to_string().replace('_', "-").to_uppercase(),
    };
    if arg.is_positional() {
        let many = if matches!(arg.get_action(), ArgAction::Append) { "..." } else { "" };
        return if arg.is_required_set() { format!("{value}{many}") } else { format!("[{value}]{many}") };
    }
    let long = arg.get_long().map(|long| format!("--{long}")).unwrap_or_default();
    let short = arg.get_short().map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
    let value = match (arg.get_action().takes_values(), arg.is_require_equals_set()) {
        (false, _) => String::new(),
        (true, false) => format!(" {value}"),
        (true, true) => format!("[={value}]"),
    };
    format!("{short}{long}{value}")
}

#[cfg(test)]
mod tests;
