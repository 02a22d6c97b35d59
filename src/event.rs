//! What the library reports while it works. It draws and prints nothing: whoever starts a transfer passes an
//! [`Observer`] and does with the events what it likes.

use crate::error::Error;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Takes events, from any thread; it must be quick.
pub type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// Something worth telling.
#[derive(Debug)]
pub enum Event {
    /// What is about to be done.
    Plan(Box<Plan>),
    /// A request failed and will be repeated.
    Retry {
        /// What failed.
        what: String,
        /// At which byte offset, if it was about a chunk.
        offset: Option<u64>,
        /// How many attempts were made so far.
        attempt: u32,
        /// How long until the next.
        wait: Duration,
        /// Why.
        error: String,
    },
    /// Something the user should know, though it goes on.
    Warning(String),
    /// A disk that is moved is in use, so the result may be half old. Shown even where warnings are not.
    InUse(String),
    /// An interrupted run made a disk that this run does not use.
    Leftover {
        /// The remote's name.
        remote: String,
        /// What the disk is asked for by.
        disk: String,
    },
    /// Something the user may want to know.
    Note(String),
    /// The transfer has come to its next stage.
    Stage(Stage),
}

/// The stages of a transfer, as far as a user can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Chunks are on their way.
    Transfer,
    /// Chunks are read back and compared.
    Verify,
    /// The last bytes go to the disk, or the whole image's digest is being finished.
    Finish,
}

/// What a transfer is about to do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// `upload`, `download` or `verify`.
    pub action: &'static str,
    /// Where the bytes come from.
    pub from: String,
    /// What an image is read as: `raw`, `qcow2 in xz`. Empty where nothing but bytes come.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// Where they go.
    pub to: String,
    /// What the image is written as, `vhd` or `qcow2`. Empty where its bytes stay what they are.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target_format: String,
    /// The drive's UUID, once known.
    pub drive: Option<String>,
    /// Image bytes.
    pub size: u64,
    /// Bytes.
    pub chunk_size: u64,
    /// How many chunks the image has.
    pub chunks_total: u64,
    /// Chunks that an earlier run has already moved.
    pub chunks_resumed: u64,
    /// Requests in flight at most.
    pub concurrency: usize,
    /// How chunks are compressed; `none` if they are not.
    pub compress: String,
    /// What happens to chunks of zeros: `skip`, `write`, or `probe` where that is still to be found out.
    pub zeros: String,
    /// `none`, `sample` or `full`.
    pub verify: String,
    /// How the work of an earlier run is proved again: `trust` (not at all), `sample` or `full`.
    pub resume: String,
    /// Why it is proved like that; empty if there is none.
    pub resume_why: String,
    /// How it is known what the destination holds, where only what differs is moved: `trusted` (from the last transfer) or
    /// `read back`. Empty where everything is moved.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub delta: String,
    /// Why it is known like that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub delta_why: String,
    /// Whether only the plan was asked for.
    pub dry_run: bool,
}

/// What a transfer has done.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// The drive's UUID.
    pub drive: String,
    /// Image bytes.
    pub size: u64,
    /// Bytes.
    pub chunk_size: u64,
    /// How many chunks the image has.
    pub chunks_total: u64,
    /// Chunks that were written to the drive (upload), or read from it (download, verify).
    pub chunks_sent: u64,
    /// Chunks of zeros that needed no transfer (upload) or no room (download).
    pub chunks_zero: u64,
    /// Chunks that the far end was known to have already.
    pub chunks_unchanged: u64,
    /// Chunks that an earlier run has moved.
    pub chunks_resumed: u64,
    /// Chunks read back and found equal.
    pub chunks_verified: u64,
    /// Bytes of bodies on the wire, both ways, repeated ones included.
    pub bytes_wire: u64,
    /// Requests that were repeated.
    pub retries: u64,
    /// Seconds.
    pub elapsed_s: f64,
    /// The whole image's SHA-256 if it was asked for, else the digest over the chunk digests; hexadecimal.
    pub digest: String,
    /// What `digest` is: `sha256` (of the image), or `blake3-chunks` or `sha256-chunks` (over the chunk digests).
    pub digest_kind: String,
    /// `NAME@WHEN` of the backup that was made, which `restore` takes; empty where none was.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub backup: String,
    /// What held the transfer up most: `source`, `cpu`, `network`, `server`, `destination` or `bwlimit`; nothing of a transfer
    /// that took less than a second.
    pub limited_by: Option<&'static str>,
}

/// An observer that takes no notice.
pub fn nobody() -> Observer {
    Arc::new(|_| ())
}

/// The event of a failed attempt.
pub(crate) fn retry(what: &str, offset: Option<u64>, attempt: u32, wait: Duration, error: &Error) -> Event {
    Event::Retry { what: what.to_owned(), offset, attempt, wait, error: error.to_string() }
}
