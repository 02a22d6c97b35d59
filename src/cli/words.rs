//! The words of this process's command, and how they are shown again: never with a secret among them.

use super::signals::resuming;

/// Returns the words of this process's command.
pub fn given() -> impl Iterator<Item = String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned())
}

/// Returns a command that a journal has kept, fit to be shown: older versions kept secrets.
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
