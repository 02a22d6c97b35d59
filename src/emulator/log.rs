//! The request log: which requests arrived and how they ended.
//!
//! It is kept only on request, and bounded: beyond [`CAPACITY`] the oldest requests are dropped. To see all
//! of them, install a [`Sink`], which is called for each finished request.

use super::faults::FaultKind;
use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// The number of requests kept. A transfer of 128 GiB in chunks of 4 MiB is 32,768 requests; at about 200
/// bytes each, the log takes 20 MB.
const CAPACITY: usize = 100_000;

/// One request as the emulator saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The number of the request at this emulator: the first is 1.
    pub number: u64,
    /// When its head had arrived, by the machine's clock.
    pub time: SystemTime,
    /// The HTTP method.
    pub method: String,
    /// The path as it was sent, without a query.
    pub path: String,
    /// The user whose account it is for; `None` if it was not admitted.
    pub account: Option<String>,
    /// Bytes of the request's body that arrived, as encoded on the wire.
    pub body_bytes: u64,
    /// The status of the reply; `None` as long as there is none, or if none was sent.
    pub status: Option<u16>,
    /// The fault that it met.
    pub fault: Option<FaultKind>,
    /// The forms that the provider's manual does not document; only with [`super::Config::strict`].
    pub undocumented: Vec<String>,
    /// How long the request took until its reply began to be sent.
    pub took: Duration,
}

impl Logged {
    /// Returns the request as a line of JSON, with a newline. `provider` is the emulator's provider.
    pub fn line(&self, provider: &str) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            time: String,
            provider: &'a str,
            number: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            account: Option<&'a str>,
            method: &'a str,
            path: &'a str,
            body_bytes: u64,
            status: Option<u16>,
            #[serde(skip_serializing_if = "Option::is_none")]
            fault: Option<FaultKind>,
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            undocumented: &'a [String],
            took_ms: f64,
        }
        let since = self.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time = DateTime::from_timestamp_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
        let line = Line {
            time: time.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Micros, true),
            provider,
            number: self.number,
            account: self.account.as_deref(),
            method: &self.method,
            path: &self.path,
            body_bytes: self.body_bytes,
            status: self.status,
            fault: self.fault,
            undocumented: &self.undocumented,
            took_ms: (self.took.as_secs_f64() * 1e6).round() / 1e3,
        };
        // Strings and numbers always serialize.
        serde_json::to_string(&line).unwrap_or_default() + "\n"
    }
}

/// Called for each finished request.
pub type Sink = Arc<dyn Fn(&Logged) + Send + Sync>;

/// The log, or nothing if none is kept.
#[derive(Default)]
pub(super) struct Log {
    requests: Option<Mutex<Requests>>,
    sink: Option<Sink>,
}

#[derive(Debug, Default)]
struct Requests {
    kept: VecDeque<Logged>,
    /// How many requests have arrived.
    came: u64,
}

impl Requests {
    fn get_mut(&mut self, number: u64) -> Option<&mut Logged> {
        let from_the_end = usize::try_from(self.came.checked_sub(number)?).ok()?;
        let at = self.kept.len().checked_sub(1 + from_the_end)?;
        self.kept.get_mut(at)
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("requests", &self.requests).finish_non_exhaustive()
    }
}

impl Log {
    pub(super) fn kept() -> Self {
        Log { requests: Some(Mutex::default()), sink: None }
    }

    /// Creates a log that calls `sink` for each finished request.
    pub(super) fn told(sink: Sink) -> Self {
        Log { sink: Some(sink), ..Log::kept() }
    }

    /// Records that a request arrived, and returns its number for [`Log::note`].
    pub(super) fn begin(&self, method: &str, path: &str, undocumented: Vec<String>) -> u64 {
        let Some(mut requests) = self.lock() else { return 0 };
        if requests.kept.len() == CAPACITY {
            requests.kept.pop_front();
        }
        requests.came += 1;
        let number = requests.came;
        requests.kept.push_back(Logged {
            number,
            time: SystemTime::now(),
            method: method.to_owned(),
            path: path.to_owned(),
            account: None,
            body_bytes: 0,
            status: None,
            fault: None,
            undocumented,
            took: Duration::ZERO,
        });
        number
    }

    /// Changes the entry of a request.
    pub(super) fn note(&self, number: u64, change: impl FnOnce(&mut Logged)) {
        let Some(mut requests) = self.lock() else { return };
        if let Some(request) = requests.get_mut(number) {
            change(request);
        }
    }

    /// Records that a request has ended, after a last change, and calls the sink.
    pub(super) fn end(&self, number: u64, change: impl FnOnce(&mut Logged)) {
        let Some(mut requests) = self.lock() else { return };
        let Some(request) = requests.get_mut(number) else { return };
        change(request);
        if let Some(sink) = &self.sink {
            let request = request.clone();
            drop(requests);
            sink(&request);
        }
    }

    pub(super) fn all(&self) -> Vec<Logged> {
        self.lock().map_or_else(Vec::new, |requests| requests.kept.iter().cloned().collect())
    }

    /// Removes the entries. Their numbers are not used again.
    pub(super) fn clear(&self) {
        if let Some(mut requests) = self.lock() {
            requests.kept.clear();
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Requests>> {
        // A panic elsewhere leaves the list intact: every change is a single step.
        self.requests.as_ref().map(|log| log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(log: &Log, path: &str) -> u64 {
        log.begin("GET", path, Vec::new())
    }

    #[test]
    fn the_log_is_bounded_and_numbers_stay_right() {
        let log = Log::kept();
        let first = begin(&log, "/0");
        for i in 1..=CAPACITY {
            let n = begin(&log, &format!("/{i}"));
            log.note(n, |r| r.status = Some(200));
        }
        log.note(first, |r| r.status = Some(500));
        let all = log.all();
        assert_eq!((all.len(), all[0].number), (CAPACITY, 2));
        assert_eq!(all[0].path, "/1");
        assert!(all.iter().all(|r| r.status == Some(200)));
        log.clear();
        let next = begin(&log, "/next");
        assert_eq!((next, log.all().len()), (2 + CAPACITY as u64, 1));
        log.note(next - 1, |r| r.status = Some(500));
        log.note(next, |r| r.status = Some(200));
        assert_eq!(log.all()[0].status, Some(200));
    }

    #[test]
    fn nothing_is_kept_unasked() {
        let log = Log::default();
        begin(&log, "/");
        assert!(log.all().is_empty());
    }

    #[test]
    fn a_sink_is_told_of_what_is_over_and_only_once() {
        let told: Arc<Mutex<Vec<Logged>>> = Arc::default();
        let sink = Arc::clone(&told);
        let log = Log::told(Arc::new(move |logged| sink.lock().unwrap().push(logged.clone())));
        let (one, other) = (begin(&log, "/one"), begin(&log, "/other"));
        log.note(one, |r| r.fault = Some(FaultKind::RedirectWrite));
        log.end(one, |r| r.status = Some(307));
        let told = told.lock().unwrap();
        assert_eq!(told.iter().map(|r| &*r.path).collect::<Vec<_>>(), ["/one"]);
        let line = told[0].line("openhosting");
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(line.starts_with("{\"time\":") && line.ends_with("}\n"), "{line}");
        assert_eq!((&json["status"], &json["fault"]), (&307.into(), &"redirect-write".into()));
        assert!(json["time"].as_str().unwrap().ends_with('Z') && json.get("undocumented").is_none());
        assert_eq!(other, 2);
    }
}
