//! Questions at the terminal: for secrets, for lines, and for confirmation.
//!
//! Secrets may also come from standard input or a file, but never from an argument, which every user of the
//! machine could read.

use crate::error::{Error, Kind, Result};
use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use secrecy::SecretString;
use std::fs::File;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::Mutex;

/// The maximum length of a secret in bytes.
const LONGEST: u64 = 64 << 10;

/// Asks for a secret at the terminal, without showing what is typed.
pub fn secret(what: &str) -> Result<SecretString> {
    let no_terminal = |e| {
        Error::usage(format!("no terminal to ask for the {what}"))
            .source(e)
            .hint("give it in a file or on standard input")
    };
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    let failed = |e| Error::io(format!("asking for the {what}"), e);
    let quiet = Quiet::new(&terminal).map_err(failed)?;
    write!(terminal, "{what}: ").map_err(failed)?;
    let typed = typed(&mut terminal, what);
    drop(quiet);
    let _ = writeln!(terminal);
    let typed = typed?;
    if typed.is_empty() {
        return Err(Error::usage(format!("the {what} is empty")));
    }
    Ok(typed.into())
}

/// Prints text at the terminal between two questions.
pub fn say(text: &str) -> Result<()> {
    let failed = |e| Error::io("writing to the terminal", e);
    let mut terminal = File::options().write(true).open("/dev/tty").map_err(failed)?;
    writeln!(terminal, "{}", crate::escape::message(text)).map_err(failed)
}

/// Returns whether there is a person to ask: standard input and standard error are terminals.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a yes-or-no question. Any answer but `y` or `yes` means no.
pub fn confirm(question: &str) -> Result<bool> {
    let failed = |e| Error::io("asking for confirmation", e);
    write!(std::io::stderr(), "{question} [y/N] ").map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().take(LONGEST).read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a line at the terminal, with echo. Returns `None` if the line is empty.
pub fn line(what: &str) -> Result<Option<String>> {
    let failed = |e| Error::io(format!("asking for the {what}"), e);
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(failed)?;
    write!(terminal, "{what}: ").map_err(failed)?;
    let mut line = String::new();
    std::io::BufReader::new(terminal).read_line(&mut line).map_err(failed)?;
    Ok(Some(line.trim().to_owned()).filter(|line| !line.is_empty()))
}

fn typed(terminal: &mut File, what: &str) -> Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        let n = terminal.read(&mut byte).map_err(|e| Error::io(format!("asking for the {what}"), e))?;
        match byte[0] {
            _ if n == 0 => break,
            b'\r' | b'\n' | 4 => break,
            3 => {
                return Err(
                    Error::new(Kind::Interrupted, format!("no {what} was given")).hint("nothing was done")
                );
            }
            8 | 127 => {
                // Remove a whole UTF-8 character, which may have several bytes.
                while line.pop().is_some_and(|b: u8| b & 0xc0 == 0x80) {}
            }
            _ if line.len() as u64 >= LONGEST => break,
            other => line.push(other),
        }
    }
    String::from_utf8(line).map_err(|_| Error::usage(format!("the {what} is not UTF-8")))
}

/// The terminal's settings before the echo was turned off, for code that ends the process during a prompt.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Restores the terminal's echo if a prompt has turned it off.
pub(super) fn restore() {
    if let Ok(mut before) = BEFORE.try_lock()
        && let Some(before) = before.take()
        && let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty")
    {
        let _ = termios::tcsetattr(&terminal, OptionalActions::Flush, &before);
    }
}

fn remember(before: Option<Termios>) {
    *BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = before;
}

/// A terminal with echo and signals turned off until this is dropped. Ctrl-C arrives as a character, so it
/// cannot end the process and leave the terminal without echo.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn new(terminal: &File) -> std::io::Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = termios::tcgetattr(&terminal)?;
        remember(Some(before.clone()));
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        termios::tcsetattr(&terminal, OptionalActions::Flush, &modes)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
        remember(None);
    }
}

/// Reads the first line of a file, or of standard input for `-`.
pub fn first_line(file: &Path) -> Result<SecretString> {
    let dash = file.as_os_str() == "-";
    let name = if dash { "standard input".to_owned() } else { file.display().to_string() };
    let failed = |e| Error::io(format!("reading a secret from {name}"), e);
    let from: Box<dyn Read> =
        if dash { Box::new(std::io::stdin().lock()) } else { Box::new(File::open(file).map_err(failed)?) };
    let mut text = String::new();
    from.take(LONGEST).read_to_string(&mut text).map_err(failed)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned().into()),
        _ => Err(Error::usage(format!("the first line of {name} is empty, expected a secret"))),
    }
}
