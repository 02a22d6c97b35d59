//! `--report FILE.html`: collects what a command does, and writes the page when the command ends, whether or
//! not it succeeds.

use super::output::Output;
use super::signals;
use crate::engine::Context;
use crate::error::{Error, Kind, Result};
use crate::event::{Observer, Summary};
use crate::meters::Meters;
use crate::provider::catalogue::secret::Redactor;
use crate::record::{MOST_CELLS, Record, State};
use crate::report::{Ending, Part, Report};
use serde_json::Value;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::task::AbortHandle;

/// The interval at which the counters are sampled.
const SAMPLE: Duration = Duration::from_millis(100);

/// Collects a report, if one is wanted. Clones share the same report.
#[derive(Clone, Default)]
pub struct Reporting(Arc<Mutex<Option<Collected>>>);

/// Returns the sum of all counters of the command.
type Sum = Arc<dyn Fn() -> Meters + Send + Sync>;

struct Collected {
    path: PathBuf,
    began: SystemTime,
    /// The rate of the whole command. For a single transfer, everything else as well.
    record: Arc<Record>,
    sum: Sum,
    sampling: Option<AbortHandle>,
    summary: Option<Value>,
    parts: Vec<Part>,
    is_set: bool,
}

impl Reporting {
    /// Begins a report that will be written to `path`, and returns a context that is recorded.
    ///
    /// # Errors
    /// Fails if the report cannot be written.
    pub fn begin(&self, path: &Path, context: Context) -> Result<Context> {
        check(path)?;
        let (record, meters) = (Arc::new(Record::default()), Arc::clone(&context.meters));
        let sum: Sum = Arc::new(move || Meters::sum([&*meters]));
        let collected = Collected {
            path: path.to_owned(),
            began: SystemTime::now(),
            record: Arc::clone(&record),
            sum: Arc::clone(&sum),
            sampling: None,
            summary: None,
            parts: Vec::new(),
            is_set: false,
        };
        *self.lock() = Some(collected);
        self.sample(&record, sum);
        let told = observed(&context.observer, &record);
        let retry = crate::transport::retry::Retry { observer: Arc::clone(&told), ..context.retry.clone() };
        Ok(Context { observer: told, retry, ..context }.recorded(record))
    }

    /// Turns the report into one of a set, whose counters `sum` adds up.
    pub fn begin_set(&self, sum: impl Fn() -> Meters + Send + Sync + 'static) {
        let sum: Sum = Arc::new(sum);
        let record = match &mut *self.lock() {
            None => return,
            Some(collected) => {
                collected.is_set = true;
                collected.sum = Arc::clone(&sum);
                Arc::clone(&collected.record)
            }
        };
        self.sample(&record, sum);
    }

    /// Returns a member's context with a record of its own. `members` is the number of members in the set.
    pub fn begin_member(&self, context: Context, members: usize) -> Context {
        if self.lock().is_none() {
            return context;
        }
        // The more members there are, the fewer cells each gets, so that all records together take about as
        // much memory as one.
        let record = Arc::new(Record::new(MOST_CELLS / members.max(1) as u64));
        let told = observed(&context.observer, &record);
        let retry = crate::transport::retry::Retry { observer: Arc::clone(&told), ..context.retry.clone() };
        Context { observer: told, retry, ..context }.recorded(record)
    }

    /// Adds the result of a member that has ended.
    pub fn end_member(&self, name: String, context: &Context, ended: &Result<Option<Summary>>) {
        let mut collected = self.lock();
        let (Some(collected), Some(record)) = (&mut *collected, &context.record) else { return };
        collected.parts.push(Part {
            name,
            state: record.snapshot(),
            summary: ended.as_ref().ok().cloned().flatten(),
            error: ended.as_ref().err().map(ToString::to_string),
            flushes: context.meters.flushes.load(Relaxed),
        });
    }

    /// Sets the summary of the whole command, in the form that `--json` prints. `summary` is that of a single
    /// transfer.
    pub fn summary(&self, object: &Value, summary: Option<&Summary>) {
        if let Some(collected) = &mut *self.lock() {
            collected.summary = Some(object.clone());
            if let Some(summary) = summary {
                collected.parts = vec![collected.part(Some(summary.clone()))];
            }
        }
    }

    /// Writes the page, if one is wanted. `error` is the error that ended the command.
    pub fn write(&self, error: Option<&Error>, redactor: &Redactor) -> Result<()> {
        let Some(mut collected) = self.lock().take() else { return Ok(()) };
        if let Some(sampling) = &collected.sampling {
            sampling.abort();
        }
        collected.record.sample_last(&(collected.sum)());
        if !collected.is_set && collected.parts.is_empty() {
            collected.parts = vec![collected.part(None)];
        }
        collected.write(error, redactor)
    }

    /// Starts to sample the counters, in place of those that were sampled before.
    fn sample(&self, record: &Arc<Record>, sum: Sum) {
        let record = Arc::clone(record);
        let sampling = tokio::spawn(async move {
            let mut tick = tokio::time::interval(SAMPLE);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                record.sample(&sum());
            }
        });
        if let Some(collected) = &mut *self.lock()
            && let Some(before) = collected.sampling.replace(sampling.abort_handle())
        {
            before.abort();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Collected>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collected {
    /// Returns the part of the report for a single transfer.
    fn part(&self, summary: Option<Summary>) -> Part {
        let state = self.record.snapshot();
        let name = state.plan.as_ref().map_or_else(String::new, |plan| plan.from.clone());
        let flushes = (self.sum)().flushes.load(Relaxed);
        Part { name, state, summary, error: None, flushes }
    }

    fn write(self, error: Option<&Error>, redactor: &Redactor) -> Result<()> {
        let hide = |text: &str| redactor.redact(text).into_owned();
        let command = signals::command_line();
        let status = error.map_or(0, |error| error.kind().exit_code());
        let goes_on = error.is_some_and(|e| matches!(e.kind(), Kind::Incomplete | Kind::Interrupted));
        let began_well = self.parts.iter().any(|part| part.state.plan.is_some());
        let mut summary = self.summary;
        if let (None, false, [part]) = (&summary, self.is_set, &self.parts[..])
            && began_well
        {
            let sum = (self.sum)();
            let (wire, retries) = (sum.wire.load(Relaxed), sum.retries.load(Relaxed));
            summary = Some(part.so_far(wire, retries, self.record.elapsed()));
        }
        if let Some(summary) = &mut summary {
            redactor.redact_json(summary);
        }
        let report = Report {
            action: action().unwrap_or_default(),
            took: self.record.elapsed(),
            began: self.began,
            ending: Ending {
                status,
                error: error.map(|error| hide(&error.to_string())),
                hint: error.and_then(Error::hint_text).map(hide),
                resume: (goes_on && began_well).then(|| hide(&command)),
            },
            command: hide(&command),
            summary,
            rate: self.record.snapshot().rate,
            parts: self.parts.into_iter().map(|part| hidden(part, &hide)).collect(),
            is_set: self.is_set,
        };
        save(&self.path, report.html().as_bytes())
    }
}

/// Returns the command's name, which is the first word that names a subcommand.
fn action() -> Option<String> {
    use clap::CommandFactory;
    let command = super::Cli::command();
    super::words::given().skip(1).find(|word| command.find_subcommand(word).is_some())
}

/// Returns a part with its secrets hidden.
fn hidden(part: Part, hide: &impl Fn(&str) -> String) -> Part {
    let mut state: State = part.state;
    for note in &mut state.notes {
        note.text = hide(&note.text);
    }
    if let Some(plan) = &mut state.plan {
        (plan.from, plan.to) = (hide(&plan.from), hide(&plan.to));
    }
    Part { name: hide(&part.name), error: part.error.as_deref().map(hide), state, ..part }
}

/// Returns an observer that also passes events to the record.
fn observed(observer: &Observer, record: &Arc<Record>) -> Observer {
    let (observer, record) = (Arc::clone(observer), Arc::clone(record));
    Arc::new(move |event| {
        record.observe(event);
        observer(event);
    })
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::io(format!("cannot write the report {}", path.display()), error)
}

/// Checks that a report can be written to `path`, by creating a temporary file beside it.
fn check(path: &Path) -> Result<()> {
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return Err(Error::new(
            Kind::Io,
            format!("cannot write the report {}: it is not a file", path.display()),
        )
        .hint("name a file, as in `--report transfer.html`"));
    }
    beside(path).map(drop)
}

/// Creates a temporary file beside `path`. It is removed unless it is renamed to `path`.
fn beside(path: &Path) -> Result<tempfile::NamedTempFile> {
    let directory = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The permissions of a new file, from which the umask is subtracted.
    let permissions = std::fs::Permissions::from_mode(0o666);
    let made = tempfile::Builder::new().prefix(".report-").permissions(permissions).tempfile_in(directory);
    made.map_err(|e| failed(path, e))
}

/// Writes the file atomically.
fn save(path: &Path, page: &[u8]) -> Result<()> {
    let mut file = beside(path)?;
    file.write_all(page).and_then(|()| file.as_file().sync_all()).map_err(|e| failed(path, e))?;
    file.persist(path).map(drop).map_err(|e| failed(path, e.error))
}

/// Writes the report at the end of a command. An error in writing it fails a command that has otherwise
/// succeeded.
pub fn end(ended: Result<()>, output: &Output) -> Result<()> {
    match (output.reporting().write(ended.as_ref().err(), output.redactor()), ended) {
        (Ok(()), ended) => ended,
        (Err(error), Ok(())) => Err(error.hint("the transfer itself has succeeded")),
        (Err(error), Err(first)) => {
            output.warn(&error.to_string());
            Err(first)
        }
    }
}
