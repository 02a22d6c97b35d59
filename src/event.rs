//! Events that the library reports. It prints nothing: a program passes an [`Observer`] and presents the
//! events itself.

use crate::error::Error;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Receives events, on any thread. It must return quickly.
pub type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// An event.
#[derive(Debug)]
pub enum Event {
    /// What a transfer is about to do.
    Plan(Box<Plan>),
    /// A request failed and will be retried.
    Retry {
        /// The operation.
        what: String,
        /// The byte offset, if the operation was about a chunk.
        offset: Option<u64>,
        /// The number of attempts so far.
        attempt: u32,
        /// The backoff before the next attempt.
        wait: Duration,
        /// The error.
        error: String,
    },
    /// A problem that does not stop the transfer.
    Warning(String),
    /// A disk that is moved is in use, so the result may be half old. Shown even where warnings are not.
    InUse(String),
    /// An interrupted run made a disk that this run does not use.
    Leftover {
        /// The remote's name.
        remote: String,
        /// What the disk is asked for by.
        disk: String,
        /// The id of the transfer that made it.
        transfer: String,
        /// The generation of the disk as a destination in which that transfer wrote.
        generation: Option<String>,
        /// Whether the run that reports it can still succeed.
        may_succeed: bool,
    },
    /// Information for the user.
    Note(String),
    /// A new stage of the transfer.
    Stage(Stage),
}

/// The stages of a transfer that a user can distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Chunks are transferred.
    Transfer,
    /// Chunks are read back and compared.
    Verify,
    /// The last bytes are synced, or the digest of the whole image is completed.
    Finish,
}

/// The plan of a transfer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// `upload`, `download` or `verify`.
    pub action: &'static str,
    /// The source.
    pub from: String,
    /// The format in which the image is read, such as `raw` or `qcow2 in xz`. Empty for plain bytes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// The destination.
    pub to: String,
    /// The format in which the image is written, `vhd` or `qcow2`. Empty if it is not converted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target_format: String,
    /// The drive's UUID, if known.
    pub drive: Option<String>,
    /// The size of the image in bytes.
    pub size: u64,
    /// The size of a chunk in bytes.
    pub chunk_size: u64,
    /// The number of chunks in the image.
    pub chunks_total: u64,
    /// The chunks that an earlier run transferred.
    pub chunks_resumed: u64,
    /// The most requests in flight.
    pub concurrency: usize,
    /// The compression of chunks; `none` if there is none.
    pub compress: String,
    /// The treatment of chunks of zeros: `skip`, `write`, or `probe` if it is not known yet.
    pub zeros: String,
    /// The verification: `none`, `sample` or `full`.
    pub verify: String,
    /// How the work of an earlier run is checked: `trust` (not at all), `sample` or `full`.
    pub resume: String,
    /// The reason for that; empty if there is none.
    pub resume_why: String,
    /// How the contents of the destination are known if only differences are transferred: `trusted` (from the
    /// last transfer) or `read back`. Empty if everything is transferred.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub delta: String,
    /// The reason for that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub delta_why: String,
    /// Whether only the plan was requested.
    pub dry_run: bool,
}

/// The result of a transfer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// The drive's UUID.
    pub drive: String,
    /// The size of the image in bytes.
    pub size: u64,
    /// The size of a chunk in bytes.
    pub chunk_size: u64,
    /// The number of chunks in the image.
    pub chunks_total: u64,
    /// Chunks that were written to the drive (upload) or read from it (download, verify).
    pub chunks_sent: u64,
    /// Chunks of zeros that needed no transfer (upload) or no space (download).
    pub chunks_zero: u64,
    /// Chunks that the destination was known to hold.
    pub chunks_unchanged: u64,
    /// Chunks that an earlier run transferred.
    pub chunks_resumed: u64,
    /// Chunks that were read back and are equal.
    pub chunks_verified: u64,
    /// Bytes of bodies on the wire in both directions, including retries.
    pub bytes_wire: u64,
    /// The number of retries.
    pub retries: u64,
    /// The duration in seconds.
    pub elapsed_s: f64,
    /// The SHA-256 of the whole image if it was requested, otherwise the digest over the chunk digests, in
    /// hexadecimal.
    pub digest: String,
    /// The kind of `digest`: `sha256` (of the image), `blake3-chunks` or `sha256-chunks` (over the chunk
    /// digests).
    pub digest_kind: String,
    /// The new backup as `NAME@WHEN`, which `restore` takes; empty if there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub backup: String,
    /// The bottleneck of the transfer: `source`, `cpu`, `network`, `server`, `destination` or `bwlimit`.
    /// `None` if the transfer took less than a second.
    pub limited_by: Option<&'static str>,
}

/// Returns an observer that ignores all events.
pub fn no_observer() -> Observer {
    Arc::new(|_| ())
}

/// Returns the event for a failed attempt.
pub(crate) fn retry(what: &str, offset: Option<u64>, attempt: u32, wait: Duration, error: &Error) -> Event {
    Event::Retry { what: what.to_owned(), offset, attempt, wait, error: error.to_string() }
}
