//! A schedule: how a world is set up, and what happens in it step by step. It can be printed in words.

use crate::preload::{Action, Rule};
use crate::trap::Moment;
use diskferry::provider::Provider;
use std::fmt;

/// The kind of transfer in a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A file to a given drive.
    Named,
    /// A file to a new drive.
    New,
    /// Standard input to a given drive.
    Stdin,
    /// Standard input to a new drive.
    StdinNew,
    /// A drive to a file.
    Download,
    /// A drive to a given drive on another remote.
    Migrate,
    /// A drive to a new drive on another remote.
    MigrateNew,
    /// An appliance to a file, in ranges.
    Ranges,
    /// A packed appliance to a file, as a stream.
    Unpack,
    /// A packed appliance to a new drive.
    Appliance,
}

impl Direction {
    /// Returns whether the destination is FILE.
    pub fn to_file(self) -> bool {
        matches!(self, Direction::Download | Direction::Ranges | Direction::Unpack)
    }

    /// Returns whether the source is a local file.
    pub fn reads_file(self) -> bool {
        matches!(self, Direction::Named | Direction::New) || self.reads_stdin()
    }

    /// Returns whether the source is standard input.
    pub fn reads_stdin(self) -> bool {
        matches!(self, Direction::Stdin | Direction::StdinNew)
    }

    /// Returns whether the source is a packed appliance.
    pub fn packed(self) -> bool {
        matches!(self, Direction::Unpack | Direction::Appliance)
    }

    /// Returns whether the transfer creates a drive.
    pub fn makes(self) -> bool {
        matches!(self, Direction::New | Direction::StdinNew | Direction::MigrateNew | Direction::Appliance)
    }

    /// Returns the remote of the source, if it has one.
    pub fn source_end(self) -> Option<&'static str> {
        match self {
            Direction::Named | Direction::New | Direction::Stdin | Direction::StdinNew => None,
            Direction::Download => Some("oh"),
            Direction::Migrate | Direction::MigrateNew => Some("src"),
            Direction::Ranges | Direction::Unpack | Direction::Appliance => Some("spot"),
        }
    }

    /// Returns the remote of the destination, if it has one.
    pub fn target_end(self) -> Option<&'static str> {
        (!self.to_file()).then_some("oh")
    }
}

/// One of two transfers to the same destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    A,
    B,
}

/// The option of runs that move only what differs. A download with it replaces the existing file.
pub const DELTA: &str = "--delta";

/// How a world is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    pub direction: Direction,
    /// The provider of the destination, or of the drive to download.
    pub provider: Provider,
    /// The provider of a migration's source.
    pub from: Provider,
    pub chunk: u64,
    /// The size of the image in bytes.
    pub size: u64,
    /// The seed of the images' contents.
    pub content: u64,
    pub options: Vec<String>,
    /// The value of `--verify`.
    pub verify: &'static str,
    /// The faults of the destination's remote, and of the source's.
    pub faults: String,
    pub source_faults: String,
    /// Whether every run has `--resume full`.
    pub full: bool,
}

/// A change to the file of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Bytes at this offset change, and the file's mtime is restored.
    InPlace(u64),
    Truncate,
    /// Another file of the same size under the same name.
    Replace,
    Append,
    /// Everything from this offset on becomes zeros.
    Zeros(u64),
}

/// What happens while a run is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meanwhile {
    /// Another run, until it ends.
    Second(Which),
    /// The source changes.
    Change(Change),
    /// Another client writes to the destination: offset and length.
    Write(u64, u64),
    /// The remote stops and starts again.
    Outage,
}

/// How a run is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Never,
    Kill(Moment),
    Interrupt(Moment),
    Pause(Moment, Meanwhile),
    /// By a failure of its own disk.
    Disk(Rule),
}

/// A run of the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub which: Which,
    pub stop: Stop,
    pub restart: bool,
    pub force: bool,
    /// Whether it has `--verify none`, whatever the other runs have.
    pub unverified: bool,
}

/// One of the two remotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Source,
    Target,
}

/// One step of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Run(Run),
    /// Another client writes to the destination, or to A's source: offset and length.
    Write(Place, u64, u64),
    Change(Which, Change),
    /// Somebody else creates a FILE.part, in place of ours if there is one.
    Part,
    /// Somebody else creates FILE, if it does not exist.
    File,
    Restart(Place),
    /// All faults end.
    Calm,
    Snapshot(Place),
    /// Restores the snapshot.
    Restore(Place),
    /// The journal is cut at this many thousandths of its length.
    Cut(u64),
    /// One bit of the journal is flipped at this many thousandths of its length.
    Bend(u64),
    /// The same run is repeated until it exits with 0.
    Finish(Which),
    /// A run has nothing left to do and says so.
    Succeed(Which),
}

/// A complete schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// How to play it again.
    pub name: String,
    pub setup: Setup,
    pub steps: Vec<Step>,
}

impl Run {
    pub fn whole(which: Which) -> Self {
        Run { which, stop: Stop::Never, restart: false, force: false, unverified: false }
    }

    pub fn stopped(which: Which, stop: Stop) -> Self {
        Run { stop, ..Run::whole(which) }
    }

    pub fn forced(self) -> Self {
        Run { force: true, ..self }
    }

    pub fn unverified(self) -> Self {
        Run { unverified: true, ..self }
    }

    pub fn restarted(self) -> Self {
        Run { restart: true, ..self }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = format!("{:?} no. {} is {:?}", self.operation, self.nth, self.stage);
        write!(f, "when {}", words.to_lowercase())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {:?}", self.which)?;
        if self.restart {
            write!(f, " with --restart")?;
        }
        if self.force {
            write!(f, " with --force")?;
        }
        if self.unverified {
            write!(f, " with --verify none")?;
        }
        match self.stop {
            Stop::Never => write!(f, " to its end"),
            Stop::Kill(moment) => write!(f, ", killed {moment}"),
            Stop::Interrupt(moment) => write!(f, ", Ctrl-C {moment}"),
            Stop::Pause(moment, Meanwhile::Second(which)) => {
                write!(f, ", paused {moment}; meanwhile run {which:?} to its end")
            }
            Stop::Pause(moment, Meanwhile::Change(change)) => {
                write!(f, ", paused {moment}; meanwhile its source changes ({change:?})")
            }
            Stop::Pause(moment, Meanwhile::Write(offset, len)) => {
                write!(f, ", paused {moment}; meanwhile somebody else writes {len} bytes at {offset}")
            }
            Stop::Pause(moment, Meanwhile::Outage) => {
                write!(f, ", paused {moment}; meanwhile the far end restarts")
            }
            Stop::Disk(Rule { class, call, nth, action }) => {
                let what = match action {
                    Action::Kill => "killed before",
                    Action::Tear => "killed within",
                    Action::Crash => "the machine loses power before",
                    Action::Interrupt => "Ctrl-C before",
                    Action::Eio => "EIO from",
                    Action::Enospc => "ENOSPC from",
                };
                write!(f, ", {what} {class:?} {call:?} no. {nth}")
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Run(run) => run.fmt(f),
            Step::Write(place, offset, len) => {
                write!(f, "somebody else writes {len} bytes at {offset} of the drive of the {place:?}")
            }
            Step::Change(which, change) => write!(f, "the source of {which:?} changes: {change:?}"),
            Step::Part => write!(f, "somebody else puts a FILE.part there"),
            Step::File => write!(f, "somebody else puts a FILE there"),
            Step::Restart(place) => write!(f, "the far end of the {place:?} restarts"),
            Step::Calm => write!(f, "the far ends have no faults any more"),
            Step::Snapshot(place) => write!(f, "a snapshot of the far end of the {place:?} is taken"),
            Step::Restore(place) => write!(f, "the far end of the {place:?} is put back to the snapshot"),
            Step::Cut(at) => write!(f, "the journals are cut at {at}/1000 of their length"),
            Step::Bend(at) => write!(f, "one bit of the journals is bent at {at}/1000 of their length"),
            Step::Finish(which) => write!(f, "run {which:?} until it says 0"),
            Step::Succeed(which) => write!(f, "run {which:?}, which says 0"),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup {
            direction,
            provider,
            from,
            chunk,
            size,
            content,
            options,
            verify,
            faults,
            source_faults,
            full,
        } = &self.setup;
        writeln!(
            f,
            "{}: {direction:?}, {provider} (from {from}), {size} bytes in chunks of {chunk}, content {content}",
            self.name
        )?;
        writeln!(
            f,
            "  options {}, verify {verify}, resume full: {full}, faults {faults:?}, of the source {source_faults:?}",
            options.join(" ")
        )?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {}. {step}", number + 1)?;
        }
        Ok(())
    }
}
