//! What goes to stdout and what to stderr.
//!
//! stdout carries data only. Text for people goes to stderr; with `--json` everything that happens is one object a line
//! on stdout, and stderr is left to what cannot be said there.
//!
//! Nothing gets past two rules here, so that no caller can forget them: text that a person reads is escaped ([`escape`]), and
//! secrets are hidden, by their keys in what providers answer and by their value in messages ([`secret`]).

mod log;
mod transfer;

use super::progress::Bar;
use super::report::Reporting;
use super::{Color, Global};
use crate::error::{Error, Kind, Result};
use crate::escape;
use crate::event::Event;
use crate::provider::catalogue::secret::{self, Redactor};
pub use crate::units::bytes;
use crate::wire::elastic::Properties;
use log::Log;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// A member of a set.
struct Named {
    /// Its id on its remote, for scripts.
    id: String,
    /// Its name for people.
    shown: String,
}

/// The one way to standard output and standard error.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
#[derive(Clone)]
pub struct Output {
    json: bool,
    quiet: bool,
    verbose: u8,
    /// Whether standard output is coloured, and standard error.
    color: (bool, bool),
    bars: bool,
    bar: Arc<Mutex<Option<Bar>>>,
    /// The bar of the whole set.
    outer: Arc<Mutex<Option<Bar>>>,
    /// The member of a set that messages are about.
    member: Option<Arc<Named>>,
    redactor: Redactor,
    reveals: bool,
    reporting: Reporting,
}

impl Output {
    /// Makes the output that the options ask for.
    pub fn new(global: &Global) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let colored = |is_terminal: bool| match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            color: (colored(std::io::stdout().is_terminal()), colored(terminal)),
            bars: terminal && !global.quiet && !global.no_progress && !global.json,
            bar: Arc::default(),
            outer: Arc::default(),
            member: None,
            redactor: Redactor::of_command(super::words::given()),
            reveals: false,
            reporting: Reporting::default(),
        }
    }

    /// Returns an output that shows the secrets in what providers answer, for who asked for just these.
    #[must_use]
    pub fn revealing(&self, reveals: bool) -> Self {
        Self { reveals, ..self.clone() }
    }

    /// Returns an output for a member of a set: every message names it.
    #[must_use]
    pub fn of_member(&self, id: &str, shown: &str) -> Self {
        Self {
            bar: Arc::default(),
            outer: Arc::clone(&self.bar),
            member: Some(Arc::new(Named { id: id.to_owned(), shown: shown.to_owned() })),
            ..self.clone()
        }
    }

    /// Returns the name of the member of a set that messages are about.
    pub fn member(&self) -> Option<&str> {
        self.member.as_ref().map(|member| &*member.shown)
    }

    /// Returns what hides secrets by their value. A secret that it is told of is in no later message.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Returns the collector of the command's report.
    pub fn reporting(&self) -> &Reporting {
        &self.reporting
    }

    /// Whether `-v` asked for more.
    pub fn is_verbose(&self) -> bool {
        self.verbose > 0 && !self.quiet
    }

    /// Whether nothing but data and errors is printed.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether standard output has JSON objects alone.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a bar may be drawn.
    pub fn draws_bars(&self) -> bool {
        self.bars
    }

    /// Sets the bar that messages have to make room for.
    pub(super) fn set_bar(&self, bar: Option<Bar>) {
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    /// Prints a line of data. It stays one line, whatever is in it.
    #[expect(clippy::unused_self, reason = "whoever prints does it through the output")]
    pub fn data(&self, line: &str) -> Result<()> {
        print_line(&escape::line(line))
    }

    /// Prints a line that has colours in it.
    #[expect(clippy::unused_self, reason = "whoever prints does it through the output")]
    pub fn painted(&self, line: &str) -> Result<()> {
        print_line(line)
    }

    /// Prints bytes of data as they are.
    #[expect(clippy::unused_self, reason = "whoever prints does it through the output")]
    pub fn raw(&self, bytes: &[u8]) -> Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(Error::stdout)
    }

    /// Prints a provider's reply: byte for byte into a file or pipe, and escaped on a terminal. It is the provider's own
    /// text, secrets and all, for who asked the provider for it.
    pub fn reply(&self, bytes: &[u8]) -> Result<()> {
        if !std::io::stdout().is_terminal() {
            return self.raw(bytes);
        }
        self.raw(escape::lines(&String::from_utf8_lossy(bytes)).as_bytes())
    }

    /// Returns an object of a provider, fit to be shown.
    pub fn shown<'o>(&self, object: &'o Properties) -> Cow<'o, Properties> {
        if self.reveals { Cow::Borrowed(object) } else { Cow::Owned(secret::without_secrets(object)) }
    }

    /// Returns a value of a provider, fit to be shown.
    pub fn shown_value<'v>(&self, value: &'v Value) -> Cow<'v, Value> {
        if self.reveals { Cow::Borrowed(value) } else { Cow::Owned(secret::json_without_secrets(value)) }
    }

    /// Prints an object of a provider on a line, with `event` before its own keys, which keep their order.
    pub fn object(&self, event: &str, object: &Properties) -> Result<()> {
        let object = self.shown(object);
        let named = [("event", event)].into_iter().chain(object.iter().filter(|(key, _)| *key != "event"));
        print_line(&crate::wire::elastic::json::print(&named.collect()))
    }

    /// Prints a value of a provider on a line, `event` being its first key; what has no keys stands under `value`.
    pub fn value(&self, event: &str, value: &Value) -> Result<()> {
        let fields = match self.shown_value(value).into_owned() {
            Value::Object(fields) => fields,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        self.print_event(event, fields)
    }

    /// Prints an object if standard output has JSON, `event` being its first key.
    pub fn event(&self, name: &str, object: Value) {
        if !self.json {
            return;
        }
        let mut object = object;
        // These hold words of a server or of the command line.
        if matches!(name, "error" | "warning" | "retry") {
            self.redactor.redact_json(&mut object);
        }
        if let Value::Object(fields) = object {
            // A reader that has gone away does not stop a transfer.
            let _ = self.print_event(name, fields);
        }
    }

    fn print_event(&self, event: &str, mut fields: Map<String, Value>) -> Result<()> {
        /// The order of the keys.
        #[derive(Serialize)]
        struct Line<'a> {
            event: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            member: Option<&'a str>,
            #[serde(flatten)]
            fields: &'a Map<String, Value>,
        }
        fields.remove("event");
        let member = self.member.as_ref().map(|member| &*member.id);
        if member.is_some() {
            fields.remove("member");
        }
        let line = serde_json::to_string(&Line { event, member, fields: &fields })
            .map_err(|e| Error::new(Kind::Io, format!("printing the event {event}")).source(e))?;
        print_line(&line)
    }

    /// Prints a message on standard error, unless `--quiet` is given.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.stderr(text);
        }
    }

    /// Prints a warning even with `--quiet`, where a result is not what the user takes it for.
    pub fn insist(&self, text: &str) {
        Self { quiet: false, ..self.clone() }.warn(text);
    }

    /// Prints a warning.
    pub fn warn(&self, text: &str) {
        self.event("warning", json!({ "message": text }));
        if !self.quiet && !self.json {
            self.labelled("warning:", "33;1", text);
        }
    }

    /// Reports an error and returns the exit status that goes with it.
    pub fn fail(&self, error: &Error) -> ExitCode {
        self.set_bar(None);
        let code = ExitCode::from(error.kind().exit_code());
        if error.kind() == Kind::ReaderGone {
            return code;
        }
        // What has no hint of its own still has a way on.
        let way_on = match error.kind() {
            Kind::Interrupted => Some(format!("resume with `{}`", super::signals::command_line())),
            Kind::Usage => Some(super::help::hint()),
            _ => None,
        };
        let hint = error.hint_text().or(way_on.as_deref());
        self.tell_error(error, hint);
        self.labelled("error:", "31;1", &error.to_string());
        if let Some(hint) = hint {
            self.labelled("hint:", "36", hint);
        }
        code
    }

    /// Prints an error as an object, for who reads JSON.
    pub fn error_event(&self, error: &Error) {
        self.tell_error(error, error.hint_text());
    }

    fn tell_error(&self, error: &Error, hint: Option<&str>) {
        self.event(
            "error",
            json!({
                "message": error.to_string(),
                "kind": format!("{:?}", error.kind()),
                "exit_code": error.kind().exit_code(),
                "offset": error.at_offset(),
                "attempts": error.after_attempts(),
                "server": error.server_message(),
                "hint": hint,
            }),
        );
    }

    /// Reports an error of a part of a command, which goes on.
    pub fn failed(&self, error: &Error) {
        self.labelled("failed:", "31;1", &error.to_string());
        if let Some(hint) = error.hint_text() {
            Self { member: None, ..self.clone() }.labelled("hint:", "36", hint);
        }
    }

    /// Prints an event of the library.
    pub fn observe(&self, event: &Event) {
        match event {
            Event::Plan(plan) => self.plan(plan),
            Event::Retry { what, offset, attempt, wait, error } => {
                self.event(
                    "retry",
                    json!({
                        "what": what, "offset": offset, "attempt": attempt,
                        "wait_s": wait.as_secs_f64(), "error": error,
                    }),
                );
                if !self.json {
                    let place = offset.map(|o| format!(" at offset {o}")).unwrap_or_default();
                    let wait = crate::units::time(*wait);
                    tracing::info!(
                        "{what}{place}: attempt {attempt} failed, trying again in {wait}: {error}"
                    );
                }
            }
            Event::Warning(text) => self.warn(text),
            Event::InUse(text) => self.insist(text),
            // Whoever may destroy it tells of it.
            Event::Leftover { .. } => {}
            Event::Note(text) => self.note(text),
            Event::Stage(stage) => {
                if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
                    bar.stage(*stage);
                }
            }
        }
    }

    /// Returns a writer for lines of the log: to standard error, escaped and without secrets.
    pub fn log(&self) -> impl Fn() -> Log + Send + Sync + 'static {
        let output = self.clone();
        move || Log(output.clone())
    }

    /// Whether standard output is coloured.
    pub fn colours(&self) -> bool {
        self.color.0
    }

    /// Returns what paints text for standard output.
    pub fn painter(&self) -> Painter {
        Painter(self.color.0)
    }

    /// Prints help in place of a command that was left out, on standard error.
    pub fn help_on_stderr(&self, help: impl FnOnce(Painter) -> String) {
        let _ = write!(std::io::stderr().lock(), "{}", help(Painter(self.color.1)));
    }

    fn stderr(&self, text: &str) {
        self.print_message("", text);
    }

    /// Prints a message on standard error behind a word in colour.
    fn labelled(&self, label: &str, code: &str, text: &str) {
        self.print_message(&(Painter(self.color.1).paint(label, code) + " "), text);
    }

    fn print_message(&self, label: &str, text: &str) {
        let text = self.redactor.redact(text);
        let text = match &self.member {
            Some(member) => Cow::Owned(format!("{}: {text}", member.shown)),
            None => text,
        };
        let text = escape::message(&text);
        let print = || {
            // Nobody can be told that nobody listens.
            let _ = writeln!(std::io::stderr().lock(), "{label}{text}");
        };
        let bar = |bar: &Mutex<Option<Bar>>| bar.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match bar(&self.bar).or_else(|| bar(&self.outer)) {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

fn print_line(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Error::stdout)
}

/// Paints text where its stream is coloured.
#[derive(Clone, Copy)]
pub struct Painter(bool);

impl Painter {
    /// Paints nothing.
    #[cfg(test)]
    pub const PLAIN: Self = Self(false);

    /// Paints a heading.
    pub fn heading(self, text: &str) -> String {
        self.paint(text, "1")
    }

    fn paint(self, text: &str, code: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
