//! Imaging fills one drive from another source, in the background, one at a time (Open Hosting API, "Image a
//! Drive from Another Drive"). Both drives are busy until it ends, and the target shows the progress.

use super::contents::{Contents, PIECE};
use super::drive::{Drive, Progress};
use super::payload::fill;
use crate::emulator::answer::Refusal;
use flate2::Compression;
use flate2::bufread::{GzEncoder, MultiGzDecoder};
use std::io::{self, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The least time for which `queued`, and then a first percentage, are visible. Real imaging takes minutes; a
/// poller that never sees it begin is not tested.
const VISIBLE: Duration = Duration::from_millis(50);

/// The conversion of the source's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// The bytes are copied unchanged.
    None,
    /// The target gets the bytes compressed with gzip.
    Gzip,
    /// The source holds gzip data, and the target gets the data unpacked.
    Gunzip,
}

/// A source and its conversion.
pub(crate) struct Job {
    pub(crate) source: Contents,
    /// The drive of the source, if the account has it: it is busy too.
    pub(crate) drive: Option<Arc<Drive>>,
    pub(crate) conversion: Conversion,
}

impl Job {
    fn release(&self) {
        if let Some(source) = &self.drive {
            source.busy().fed();
        }
    }
}

/// Fills drives, one after the other, on a thread of its own.
#[derive(Debug, Default)]
pub(super) struct Imager {
    queue: Mutex<Option<(Sender<Task>, JoinHandle<()>)>>,
    /// Held while two drives are marked, so that two tasks cannot wait for each other's drive.
    marking: Mutex<()>,
    stopping: Arc<AtomicBool>,
}

struct Task {
    target: Arc<Drive>,
    job: Job,
    progress: Arc<Progress>,
}

impl Imager {
    /// Marks both drives busy and queues the task.
    pub(super) fn begin(&self, target: &Arc<Drive>, job: Job) -> Result<(), Refusal> {
        let progress = Arc::new(Progress::queued());
        {
            let _marking = self.marking.lock().unwrap_or_else(PoisonError::into_inner);
            if job.drive.as_ref().is_some_and(|source| Arc::ptr_eq(source, target)) {
                return Err(Refusal::usage("A drive cannot be imaged from itself"));
            }
            let mut busy = target.alone()?;
            if job.drive.as_ref().is_some_and(|source| !source.busy().feed()) {
                return Err(Refusal::busy("The source is being imaged itself"));
            }
            // Whether converted data fits is known only at its end.
            if job.conversion == Conversion::None && job.source.size() > target.record().size {
                job.release();
                return Err(Refusal::full("The drive is smaller than the source"));
            }
            busy.set_imaging(Some(Arc::clone(&progress)));
        }
        let task = Task { target: Arc::clone(target), job, progress };
        self.send(task).map_err(|task| {
            task.release();
            Refusal::new(crate::emulator::answer::RefusalKind::System, "Imaging cannot be started")
        })
    }

    fn send(&self, task: Task) -> Result<(), Task> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.is_none() {
            let (sender, tasks) = channel();
            let stopping = Arc::clone(&self.stopping);
            let thread = std::thread::Builder::new().name("imaging".to_owned());
            match thread.spawn(move || work(&tasks, &stopping)) {
                Ok(thread) => *queue = Some((sender, thread)),
                Err(_) => return Err(task),
            }
        }
        match &*queue {
            Some((sender, _)) => sender.send(task).map_err(|unsent| unsent.0),
            None => Err(task),
        }
    }

    /// Waits until all queued tasks are done, since they were acknowledged.
    pub(super) fn finish(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = queue {
            drop(sender);
            if thread.join().is_err() {
                tracing::warn!("the imaging thread panicked");
            }
        }
    }
}

fn work(tasks: &Receiver<Task>, stopping: &AtomicBool) {
    let show = || {
        // At shutdown nobody polls any more.
        if !stopping.load(Ordering::Relaxed) {
            std::thread::sleep(VISIBLE);
        }
    };
    for task in tasks {
        show();
        task.progress.set(0);
        if let Err(error) = task.run() {
            // The API cannot report this: imaging ends, and the drive holds what was written so far.
            tracing::warn!("imaging ended early: {error}");
        }
        show();
        task.release();
    }
}

impl Task {
    fn release(&self) {
        self.target.busy().set_imaging(None);
        self.job.release();
    }

    fn run(&self) -> io::Result<()> {
        let target = self.target.open().map_err(|refusal| io::Error::other(format!("{refusal:?}")))?;
        let source = &self.job.source;
        match self.job.conversion {
            Conversion::None => self.copy(source, &target),
            Conversion::Gzip => {
                let reader = BufReader::with_capacity(PIECE, Reader { source: source.clone(), at: 0 });
                self.pour(GzEncoder::new(reader, Compression::fast()), &target)
            }
            Conversion::Gunzip => {
                // After the packed data the drive is empty. Zeros are not a gzip member, and not an error.
                let reader = BufReader::with_capacity(PIECE, Reader { source: source.clone(), at: 0 });
                match self.pour(MultiGzDecoder::new(reader), &target) {
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
                    outcome => outcome,
                }
            }
        }
    }

    /// Copies the bytes unchanged, and keeps holes.
    fn copy(&self, source: &Contents, target: &Contents) -> io::Result<()> {
        let end = source.size().min(target.size());
        for (range, data) in source.extents(0..end) {
            if !data && !source.has_noise() {
                target.zero(range.clone())?;
                self.show(range.end, end);
                continue;
            }
            let mut at = range.start;
            while at < range.end {
                let len = usize::try_from(range.end - at).map_or(PIECE, |left| left.min(PIECE));
                target.write_bytes(at, source.read(at, len)?)?;
                at += len as u64;
                self.show(at, end);
            }
        }
        Ok(())
    }

    /// Copies as much of a stream of unknown length as fits.
    fn pour(&self, mut stream: impl Read, target: &Contents) -> io::Result<()> {
        let mut at = 0;
        while at < target.size() {
            let mut piece = vec![0; PIECE];
            // The bytes before an error count, for example when zeros follow gzip data.
            let (len, outcome) = fill(&mut stream, &mut piece);
            piece.truncate(usize::try_from(target.size() - at).map_or(len, |room| room.min(len)));
            let len = piece.len() as u64;
            target.write_bytes(at, piece.into())?;
            at += len;
            self.show(at, target.size());
            outcome?;
            if len == 0 {
                break;
            }
        }
        Ok(())
    }

    fn show(&self, done: u64, all: u64) {
        let percent = u128::from(done) * 100 / u128::from(all.max(1));
        self.progress.set(u8::try_from(percent).unwrap_or(100));
    }
}

/// Reads contents from the start.
struct Reader {
    source: Contents,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.source.size() - self.at).unwrap_or(usize::MAX);
        let bytes = self.source.read(self.at, left.min(buffer.len()))?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}
