//! The words of this process's command: read, refused, and shown again, never with a secret among them.

use super::Cli;
use super::signals::resuming;
use crate::escape;
use crate::provider::catalogue::secret::Redactor;
use clap::Parser;

/// The words of this process's command.
pub fn given() -> impl Iterator<Item = String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned())
}

impl Cli {
    /// Reads the command line. What is wrong with it is said, without the secrets in it, and ends the process; so does what
    /// asks for help.
    pub fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            if !error.use_stderr() {
                error.exit();
            }
            let words: Vec<String> = given().collect();
            let rendered = error.render();
            let redactor = Redactor::of_command(&words);
            let plain = rendered.to_string();
            if redactor.redact(&plain) == plain && escape::lines(&plain) == plain {
                error.exit();
            }
            // Without colours: they stand between what was typed and what is searched for.
            eprint!("{}", escape::lines(&redactor.redact(&plain)));
            std::process::exit(error.exit_code())
        })
    }
}

/// A command that a journal has kept, as it is shown: those of older versions have their secrets in them.
pub fn recorded(command: &str) -> String {
    if command.is_empty() {
        return String::new();
    }
    let mut words = Vec::new();
    let (mut word, mut quoted) = (String::new(), false);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => quoted = !quoted,
            '\\' if !quoted => word.extend(chars.next()),
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    resuming(words)
}

#[cfg(test)]
mod tests {
    use super::recorded;

    #[test]
    fn a_recorded_command_is_shown_as_it_was_but_for_its_secrets() {
        for same in ["diskferry upload 'a b.img' oh:", r"diskferry upload 'it'\''s' ''", ""] {
            assert_eq!(recorded(same), same);
        }
        let old = "diskferry boot a.img --set vnc:password=hunter22 --set 'vnc:password=a b'";
        let shown = recorded(old);
        assert_eq!(
            shown,
            "diskferry boot a.img --set 'vnc:password=(hidden: give it again)' --set 'vnc:password=(hidden: give it again)'"
        );
        assert_eq!(recorded(&shown), shown);
    }
}
