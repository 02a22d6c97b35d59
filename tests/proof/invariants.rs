//! The invariants that are checked after every step.

use crate::model::{part_file, target_file};
use crate::play::{Player, Sprung};
use crate::process::{Ended, own_peak, patience};
use crate::schedule::{DELTA, Run, Stop, Which};
use crate::world::SECRET;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// An invariant that was violated.
#[derive(Debug)]
pub struct Violation {
    /// The kind of violation, for counting.
    pub cause: &'static str,
    pub detail: String,
}

impl Violation {
    pub fn new(cause: &'static str, detail: impl Into<String>) -> Self {
        Violation { cause, detail: detail.into() }
    }
}

pub type Held = Result<(), Violation>;

/// The memory limit of a run, in KiB.
const MEMORY: u64 = 128 << 10;

/// The time within which a run has to end after Ctrl-C.
const AFTER_INTERRUPT: Duration = Duration::from_secs(5);

/// The expected state of FILE and FILE.part.
#[derive(Debug, Default)]
pub struct Files {
    /// The bytes that FILE should hold, if known.
    pub file: Option<Vec<u8>>,
    /// The inode and the bytes of a FILE.part that belongs to somebody else.
    pub part: Option<(u64, Vec<u8>)>,
}

/// The drives that runs have created.
#[derive(Debug, Default)]
pub struct Made {
    /// Drives whose UUID was printed.
    pub reported: Vec<String>,
    /// Whether the last run of A, and of B, ended without printing a drive.
    pub open: [bool; 2],
    /// The number of runs that were told to create another drive.
    pub restarts: usize,
}

/// Checks what the run alone shows: exit status, peak memory, delay after Ctrl-C, and no secret in its
/// output.
pub fn ended_well(ended: &Ended, run: Run, sprung: &Sprung) -> Held {
    let brief = ended.brief();
    match (ended.code, ended.signal) {
        (Some(0 | 1 | 3 | 5 | 6), _) => {}
        (Some(130), _) if matches!(run.stop, Stop::Interrupt(_)) || sprung.interrupts => {}
        (None, Some(libc::SIGKILL)) if sprung.kills => {}
        (Some(2 | 4), _) => return Err(Violation::new("refused what is right", brief)),
        _ => return Err(Violation::new("crashed", format!("{brief}\n{}", ended.stderr))),
    }
    if ended.peak > MEMORY && ended.peak > own_peak() {
        return Err(Violation::new("took too much memory", format!("{} KiB, {brief}", ended.peak)));
    }
    let late = sprung.at.and_then(|at| (SystemTime::now() - ended.at.elapsed()).duration_since(at).ok());
    if sprung.interrupts && late.is_some_and(|late| late > AFTER_INTERRUPT * patience()) {
        return Err(Violation::new("slow to stop", format!("{late:?} after Ctrl-C, {brief}")));
    }
    if ended.stdout.contains(SECRET) || ended.stderr.contains(SECRET) {
        return Err(Violation::new("told a secret", brief));
    }
    Ok(())
}

impl Player<'_> {
    /// Checks, after a run that exited with 0, that the destination holds the source's bytes.
    pub fn proven(&mut self, which: Which, source: &[u8], changed: bool, ended: &Ended) -> Held {
        if changed {
            let text = "the source changed while the run read it, and the run said 0";
            return Err(Violation::new("0 over a source that changed", text));
        }
        let target = self.target_bytes(ended, source.len())?;
        let Some(target) = target.get(..source.len()) else {
            return Err(Violation::new("0 over wrong bytes", format!("only {} bytes", target.len())));
        };
        if target == source {
            return Ok(());
        }
        let chunk = usize::try_from(self.schedule.setup.chunk).unwrap();
        let pairs = || target.chunks(chunk).zip(source.chunks(chunk)).enumerate();
        let wrong: Vec<usize> =
            pairs().filter(|(_, (is, should))| is != should).map(|(index, _)| index).collect();
        let zeros =
            pairs().filter(|(_, (is, should))| is != should && is.iter().all(|byte| *byte == 0)).count();
        Err(Violation::new(
            "0 over wrong bytes",
            format!(
                "run {which:?} said 0 with {} of {} chunks wrong ({zeros} of them zeros): {wrong:?}",
                wrong.len(),
                source.len().div_ceil(chunk)
            ),
        ))
    }

    fn replaces(&self) -> bool {
        self.schedule.setup.options.iter().any(|option| option == DELTA)
    }

    /// Checks that other people's objects are unchanged, and that FILE is complete or absent.
    pub fn untouched(&mut self, source: &[u8], run: Run, ended: &Ended) -> Held {
        let (drive, bytes) = &self.objects.beside;
        if let Some(end) = self.schedule.setup.direction.target_end()
            && std::fs::read(self.world.drive_file(end, drive)).ok().as_ref() != Some(bytes)
        {
            return Err(Violation::new("touched another drive", drive.clone()));
        }
        if !self.schedule.setup.direction.to_file() {
            return Ok(());
        }
        if let Some((inode, bytes)) = &self.files.part {
            let part = part_file(&self.world);
            let same = part.metadata().is_ok_and(|meta| meta.ino() == *inode)
                && std::fs::read(&part).is_ok_and(|now| now == *bytes);
            if !same {
                return Err(Violation::new("touched a foreign FILE.part", ended.brief()));
            }
        }
        let now = std::fs::read(target_file(&self.world)).ok();
        if now == self.files.file {
            return Ok(());
        }
        let brief = ended.brief();
        match &now {
            None => Err(Violation::new("removed FILE", brief)),
            Some(_) if self.files.file.is_some() && !run.force && !self.replaces() => {
                Err(Violation::new("replaced a FILE without --force", brief))
            }
            Some(bytes) if bytes == source => {
                self.files.file = now;
                Ok(())
            }
            Some(_) => Err(Violation::new("left a FILE that is not whole", brief)),
        }
    }

    /// Checks that no transfer has created two drives.
    pub fn one_drive(&mut self, run: Run, ended: &Ended) -> Held {
        let Some(end) =
            self.schedule.setup.direction.target_end().filter(|_| self.schedule.setup.direction.makes())
        else {
            return Ok(());
        };
        self.made.restarts += usize::from(run.restart);
        let printed = ended.stdout.lines().next_back().unwrap_or("").trim();
        let open = printed.len() != 36;
        self.made.open[usize::from(run.which == Which::B)] = open;
        if !open && !self.made.reported.iter().any(|drive| drive == printed) {
            self.made.reported.push(printed.to_owned());
        }
        let there =
            self.world.drives(end).into_iter().filter(|drive| *drive != self.objects.beside.0).count();
        let allowed = self.made.reported.len()
            + self.made.open.iter().filter(|open| **open).count()
            + self.made.restarts;
        if there > allowed {
            let text = format!("{there} drives where {allowed} are accounted for; {}", ended.brief());
            return Err(Violation::new("made a second drive", text));
        }
        Ok(())
    }

    /// Returns the bytes at the destination, of which the first `size` count.
    fn target_bytes(&self, ended: &Ended, size: usize) -> Result<Vec<u8>, Violation> {
        let setup = &self.schedule.setup;
        if setup.direction.to_file() {
            return std::fs::read(target_file(&self.world))
                .map_err(|error| Violation::new("0 without a FILE", error.to_string()));
        }
        let drive = match setup.direction {
            direction if direction.makes() => ended.stdout.trim_end(),
            _ => &self.objects.target,
        };
        let file = self.world.drive_file("oh", drive);
        if setup.faults.contains("dirty") && file.exists() {
            return Ok(self.world.foreign("oh").read(drive, size as u64));
        }
        std::fs::read(file)
            .map_err(|_| Violation::new("0 without a drive", format!("stdout is {:?}", ended.stdout)))
    }
}
