//! Standard output, or any other stream that takes bytes in order.

use super::{Attempt, Body, DiskInfo, Evidence, LocalWrite, Receipt, WriteAt, no_evidence};
use crate::error::{Error, Kind, Result};
use std::io::Write;
use std::ops::Range;
use std::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;

/// A stream, written by a thread of its own. The thread is not joined, because it may wait for a reader
/// forever.
pub struct StreamWriter {
    info: DiskInfo,
    requests: Sender<Request>,
}

struct Request {
    /// `None` flushes.
    write: Option<(u64, bytes::Bytes)>,
    answer: oneshot::Sender<Result<()>>,
}

impl StreamWriter {
    /// Starts the thread that writes an image of `size` bytes to `out`; 0 if the size is unknown.
    pub fn start(mut out: Box<dyn Write + Send>, size: u64) -> Result<Self> {
        let (requests, asked) = channel::<Request>();
        let failed = Error::stdout;
        let work = move || {
            for Request { write, answer } in asked {
                let done = match write {
                    Some((offset, bytes)) => out.write_all(&bytes).map_err(|e| failed(e).offset(offset)),
                    None => out.flush().map_err(failed),
                };
                // Nobody waits any more, so later requests have lost their place in the stream.
                if answer.send(done).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("output".to_owned()).spawn(work);
        thread.map_err(|e| Error::io("cannot start a thread", e))?;
        let info = DiskInfo { writers: 1, in_order: true, ..DiskInfo::new("standard output", size) };
        Ok(Self { info, requests })
    }

    fn ask(&self, write: Option<(u64, bytes::Bytes)>) -> Attempt<()> {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send(Request { write, answer });
        Box::pin(async move {
            let died = || Error::new(Kind::Io, "the writer thread panicked; this is a bug in diskferry");
            sent.map_err(|_| died())?;
            answered.await.unwrap_or_else(|_| Err(died()))
        })
    }
}

impl WriteAt for StreamWriter {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn write_at(&self, offset: u64, body: Body) -> Attempt<Receipt> {
        let Body::Raw(bytes) = body else {
            return Box::pin(async { Err(Error::usage("a stream does not take gzip")) });
        };
        let written = self.ask(Some((offset, bytes)));
        Box::pin(async { written.await.map(|()| Receipt::acknowledged()) })
    }

    fn zero_at(&self, _range: Range<u64>) -> Attempt<Option<Receipt>> {
        Box::pin(async { Ok(None) })
    }

    fn evidence(&self) -> Attempt<Evidence> {
        no_evidence()
    }

    fn flush(&self) -> Attempt<()> {
        self.ask(None)
    }

    fn local(&self) -> Option<&dyn LocalWrite> {
        None
    }
}
