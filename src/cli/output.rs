//! What goes to stdout and what to stderr.
//!
//! stdout carries data only. Text for people goes to stderr; with `--json` everything that happens is one object a line
//! on stdout, and stderr is left to what cannot be said there.
//!
//! Nothing gets past two rules here, so that no caller can forget them: text that a person reads is escaped ([`escape`]), and
//! secrets are hidden, by their keys in what providers answer and by their value in messages ([`secret`]).

use super::progress::{Bar, per_second};
use super::report::Reporting;
use super::{Color, Global};
use crate::error::{Error, Kind, Result};
use crate::escape;
use crate::event::{Event, Plan, Summary};
use crate::provider::catalogue::secret::{self, Redactor};
pub use crate::units::bytes;
use crate::wire::elastic::Properties;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a member of a set is called.
struct Named {
    /// By its remote, which scripts read.
    id: String,
    /// By people.
    shown: String,
}

/// Where everything is said.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
#[derive(Clone)]
pub struct Output {
    json: bool,
    quiet: bool,
    verbose: u8,
    color: bool,
    bars: bool,
    bar: Arc<Mutex<Option<Bar>>>,
    /// The bar of the set that this is of a member of.
    outer: Arc<Mutex<Option<Bar>>>,
    /// Which member of a set it is about.
    member: Option<Arc<Named>>,
    redactor: Redactor,
    reveals: bool,
    reporting: Reporting,
}

impl Output {
    /// As the options say.
    pub fn new(global: &Global) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            color,
            bars: terminal && !global.quiet && !global.no_progress && !global.json,
            bar: Arc::default(),
            outer: Arc::default(),
            member: None,
            redactor: Redactor::of_command(super::words::given()),
            reveals: false,
            reporting: Reporting::default(),
        }
    }

    /// The same output, which shows what providers answer with its secrets: for who asked for just these.
    #[must_use]
    pub fn revealing(&self, reveals: bool) -> Self {
        Self { reveals, ..self.clone() }
    }

    /// The same output for a member of a set: all that is said names it.
    #[must_use]
    pub fn of_member(&self, id: &str, shown: &str) -> Self {
        Self {
            bar: Arc::default(),
            outer: Arc::clone(&self.bar),
            member: Some(Arc::new(Named { id: id.to_owned(), shown: shown.to_owned() })),
            ..self.clone()
        }
    }

    /// What people call the member of a set that it is about.
    pub fn member(&self) -> Option<&str> {
        self.member.as_ref().map(|member| &*member.shown)
    }

    /// What hides secrets by their value; what it is told here no message will have.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Where the command's report is collected.
    pub fn reporting(&self) -> &Reporting {
        &self.reporting
    }

    /// Whether output is JSON.
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

    /// Prints a line with colours of our own in it.
    #[expect(clippy::unused_self, reason = "whoever prints does it through the output")]
    pub fn painted(&self, line: &str) -> Result<()> {
        print_line(line)
    }

    /// Prints bytes of data as they are.
    #[expect(clippy::unused_self, reason = "whoever prints does it through the output")]
    pub fn raw(&self, bytes: &[u8]) -> Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(|e| Error::io("writing to standard output", e))
    }

    /// Prints a provider's reply: byte by byte as it came into a file or pipe, and escaped on a terminal. It is the provider's
    /// own text, secrets and all, for who asked the provider for it.
    pub fn reply(&self, bytes: &[u8]) -> Result<()> {
        if !std::io::stdout().is_terminal() {
            return self.raw(bytes);
        }
        self.raw(escape::lines(&String::from_utf8_lossy(bytes)).as_bytes())
    }

    /// An object of a provider, fit to be shown.
    pub fn shown<'o>(&self, object: &'o Properties) -> Cow<'o, Properties> {
        if self.reveals { Cow::Borrowed(object) } else { Cow::Owned(secret::without_secrets(object)) }
    }

    /// A value of a provider, fit to be shown.
    pub fn shown_value<'v>(&self, value: &'v Value) -> Cow<'v, Value> {
        if self.reveals { Cow::Borrowed(value) } else { Cow::Owned(secret::json_without_secrets(value)) }
    }

    /// Prints an object of a provider on a line, with `event` before its own keys, which keep their order.
    pub fn object(&self, event: &str, object: &Properties) -> Result<()> {
        let object = self.shown(object);
        let named = [("event", event)].into_iter().chain(object.iter().filter(|(key, _)| *key != "event"));
        print_line(&crate::wire::elastic::json::print(&named.collect()))
    }

    /// Prints a value of a provider on a line, with `event` before its own keys; what has no keys stands under `value`.
    pub fn value(&self, event: &str, value: &Value) -> Result<()> {
        let mut fields = self.named(event);
        match self.shown_value(value).into_owned() {
            Value::Object(own) => fields.extend(own.into_iter().filter(|(key, _)| key != "event")),
            other => {
                fields.insert("value".into(), other);
            }
        }
        print_line(&Value::Object(fields).to_string())
    }

    /// Prints an object, if output is JSON; its first key is `event`.
    pub fn event(&self, name: &str, mut object: Value) {
        if !self.json {
            return;
        }
        if let Value::Object(map) = &mut object {
            let mut with_event = self.named(name);
            with_event.append(map);
            object = Value::Object(with_event);
        }
        // What has words of a server or of the command line in it.
        if matches!(name, "error" | "warning" | "retry") {
            self.redactor.redact_json(&mut object);
        }
        // A reader that has gone away does not stop the transfer.
        let _ = print_line(&object.to_string());
    }

    /// The first keys of an object: `event`, and which member of a set it is about.
    fn named(&self, event: &str) -> serde_json::Map<String, Value> {
        let mut fields = serde_json::Map::new();
        fields.insert("event".into(), event.into());
        if let Some(member) = &self.member {
            fields.insert("member".into(), member.id.clone().into());
        }
        fields
    }

    /// Says something to the user, unless that is unwanted.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.stderr(text);
        }
    }

    /// Warns.
    pub fn warn(&self, text: &str) {
        self.event("warning", json!({ "message": text }));
        if !self.quiet && !self.json {
            self.labelled("warning:", "33;1", text);
        }
    }

    /// Reports an error and gives the exit status that goes with it.
    pub fn fail(&self, error: &Error) -> ExitCode {
        self.set_bar(None);
        self.error_event(error);
        let code = error.kind().exit_code();
        self.labelled("error:", "31;1", &error.to_string());
        if let Some(hint) = error.hint_text() {
            self.labelled("hint:", "36", hint);
        }
        if error.kind() == Kind::Interrupted && error.hint_text().is_none() {
            self.labelled("hint:", "36", &format!("to go on: {}", super::signals::command_line()));
        }
        ExitCode::from(code)
    }

    /// Tells an error to who reads JSON.
    pub fn error_event(&self, error: &Error) {
        self.event(
            "error",
            json!({
                "message": error.to_string(),
                "kind": format!("{:?}", error.kind()),
                "exit_code": error.kind().exit_code(),
                "offset": error.at_offset(),
                "attempts": error.after_attempts(),
                "server": error.server_message(),
                "hint": error.hint_text(),
            }),
        );
    }

    /// Says which part of a command failed, and why.
    pub fn failed(&self, error: &Error) {
        self.labelled("failed:", "31;1", &error.to_string());
        if let Some(hint) = error.hint_text() {
            Self { member: None, ..self.clone() }.labelled("hint:", "36", hint);
        }
    }

    /// Takes the library's events.
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
                if self.verbose > 0 && !self.json {
                    let place = offset.map(|o| format!(" at offset {o}")).unwrap_or_default();
                    self.stderr(&format!(
                        "{what}{place}: attempt {attempt} failed, again in {:.1} s: {error}",
                        wait.as_secs_f64()
                    ));
                }
            }
            Event::Warning(text) => self.warn(text),
            Event::Note(text) => self.note(text),
            Event::Stage(stage) => {
                if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
                    bar.stage(*stage);
                }
            }
        }
    }

    fn plan(&self, plan: &Plan) {
        self.event("plan", serde_json::to_value(plan).unwrap_or_default());
        // Nothing was written before this.
        super::signals::settles(!plan.dry_run);
        let wanted = plan.dry_run || self.verbose > 0;
        if !wanted || self.json || self.quiet {
            return;
        }
        let zeros = if plan.action == "upload" || plan.action == "migrate" {
            format!(", zeros: {}", plan.zeros)
        } else {
            String::new()
        };
        let resume = if plan.chunks_resumed > 0 {
            format!(
                ", {} of an earlier run (compared: {}; {})",
                plan.chunks_resumed, plan.resume, plan.resume_why
            )
        } else {
            String::new()
        };
        let delta = match &*plan.delta {
            "" => String::new(),
            how => format!(", only what differs ({how}; {})", plan.delta_why),
        };
        let format = if plan.format.is_empty() { String::new() } else { format!(" ({})", plan.format) };
        let target = match &*plan.target_format {
            "" => String::new(),
            format => format!(" as {format}"),
        };
        self.stderr(&format!(
            "{} {}{format} to {}{target}: {} in {} chunks of {}{resume}{delta}, {} at a time, compression: {}{zeros}, verify: {}",
            plan.action,
            plan.from,
            plan.to,
            bytes(plan.size),
            plan.chunks_total,
            bytes(plan.chunk_size),
            plan.concurrency,
            plan.compress,
            plan.verify,
        ));
    }

    /// Reports what a transfer has done; `done` is its first words.
    pub fn summary(&self, done: &str, summary: &Summary) -> Result<()> {
        self.summary_with(done, summary, &serde_json::to_value(summary).unwrap_or_default())
    }

    /// The same, with the object for `--json` given.
    pub fn summary_with(&self, done: &str, summary: &Summary, object: &Value) -> Result<()> {
        self.set_bar(None);
        if self.member.is_none() {
            self.reporting.summary(object, Some(summary));
        }
        if self.json {
            // The result itself: if it cannot be told, the transfer is not over.
            return self.value("summary", object);
        }
        if self.quiet {
            return Ok(());
        }
        let s = summary;
        let rate = per_second(s.size, Duration::from_secs_f64(s.elapsed_s));
        let resumed = match s.chunks_resumed {
            0 => String::new(),
            n => format!(", {n} from an earlier run"),
        };
        let unchanged = match s.chunks_unchanged {
            0 => String::new(),
            n => format!(", {n} unchanged"),
        };
        let verified = match s.chunks_verified {
            0 => String::new(),
            n => format!(", {n} verified"),
        };
        let retries = match s.retries {
            0 => String::new(),
            1 => ", 1 retry".to_owned(),
            n => format!(", {n} retries"),
        };
        let limit = s.limited_by.map(|limit| format!("; limited by {limit}")).unwrap_or_default();
        self.stderr(&format!(
            "{done}: {} in {:.1} s ({}/s), {} on the wire; {} chunks: {} moved, {} zero{unchanged}{resumed}{verified}{retries}{limit}",
            bytes(s.size),
            s.elapsed_s,
            bytes(rate),
            bytes(s.bytes_wire),
            s.chunks_total,
            s.chunks_sent,
            s.chunks_zero,
        ));
        if !s.digest.is_empty() {
            self.stderr(&format!("{} {}", s.digest_kind, s.digest));
        }
        Ok(())
    }

    /// Where the library's traces go, a line at a time: to stderr, escaped and without secrets.
    pub fn log(&self) -> impl Fn() -> Log + Send + Sync + 'static {
        let redactor = self.redactor.clone();
        move || Log(redactor.clone())
    }

    /// Whether output is coloured.
    pub fn colours(&self) -> bool {
        self.color
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Says something to the user.
    fn stderr(&self, text: &str) {
        self.print_message("", text);
    }

    /// The same, with a word in colour before it.
    fn labelled(&self, label: &str, code: &str, text: &str) {
        self.print_message(&(self.paint(label, code) + " "), text);
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
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| Error::io("writing to standard output", e))
}

/// Takes lines of the log.
#[derive(Debug)]
pub struct Log(Redactor);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = self.0.redact(text.trim_end_matches('\n'));
        writeln!(std::io::stderr().lock(), "{}", escape::message(&text))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
