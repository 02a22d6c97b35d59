//! Plays a schedule, and checks everything after every step.

use crate::invariants::{Files, Held, Made, Violation, ended_well};
use crate::model::{self, Objects, arguments, file_name, packed_name, part_file, target_file};
use crate::preload::Action;
use crate::process::{Ended, Event, Target, patience};
use crate::random::Random;
use crate::schedule::{Change, Direction, Meanwhile, Place, Run, Schedule, Step, Stop, Which};
use crate::world::World;
use diskferry::provider::Provider;
use rustix::process::Signal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// The longest that a run may take before it is killed. It is multiplied by the machine's load.
const HANG: Duration = Duration::from_secs(20);

/// How often the last run is repeated until it exits with 0.
const TRIES: usize = 10;

/// What a trap or a rule did to a run.
#[derive(Debug, Default)]
pub struct Sprung {
    pub kills: bool,
    pub interrupts: bool,
    pub at: Option<SystemTime>,
}

pub struct Player<'a> {
    pub schedule: &'a Schedule,
    pub world: World,
    pub objects: Objects,
    pub files: Files,
    pub made: Made,
    random: Random,
    /// The events so far, in words.
    pub told: Vec<String>,
}

/// Plays a schedule. Returns what happened, and the violation if there was one.
pub fn play(schedule: &Schedule) -> (Vec<String>, Held) {
    let mut player = Player {
        schedule,
        world: World::new(),
        objects: Objects::default(),
        files: Files::default(),
        made: Made::default(),
        random: Random::new(schedule.setup.content ^ 0xF00D),
        told: Vec::new(),
    };
    player.begin();
    for (number, step) in schedule.steps.iter().enumerate() {
        let line = format!("{}. {step}", number + 1);
        player.told.push(line);
        if let Err(violation) = player.step(*step) {
            return (player.told, Err(violation));
        }
    }
    (player.told, Ok(()))
}

impl Player<'_> {
    /// Creates everything that exists before the first step.
    fn begin(&mut self) {
        let setup = self.schedule.setup.clone();
        let images = [model::image(&setup, 1), model::image(&setup, 2)];
        for (which, bytes) in [Which::A, Which::B].into_iter().zip(&images) {
            model::write_image(&self.world.path(file_name(which)), bytes, &setup);
            model::pack(bytes, &self.world.path(packed_name(which)));
        }
        let appliances = [("raw-a", "a.img"), ("raw-b", "b.img"), ("gz-a", "a.gz"), ("gz-b", "b.gz")];
        let appliances = appliances.map(|(key, file)| (key.to_owned(), self.world.path(file))).to_vec();
        match setup.direction {
            Direction::Ranges | Direction::Unpack => self.world.add("spot", Provider::SpotCloud, appliances),
            Direction::Appliance => {
                self.world.add("spot", Provider::SpotCloud, appliances);
                self.world.add("oh", setup.provider, Vec::new());
            }
            Direction::Migrate | Direction::MigrateNew => {
                self.world.add("src", setup.from, Vec::new());
                self.world.add("oh", setup.provider, Vec::new());
            }
            _ => self.world.add("oh", setup.provider, Vec::new()),
        }
        if let Some(end) = setup.direction.source_end().filter(|end| *end != "spot") {
            for (slot, bytes) in images.iter().enumerate() {
                let drive = self.world.foreign(end).create(&format!("source-{slot}"), setup.size);
                for (index, piece) in bytes.chunks(1 << 20).enumerate() {
                    self.world.foreign(end).write(&drive, (index << 20) as u64, piece);
                }
                self.objects.sources[slot] = drive;
            }
        }
        if let Some(end) = setup.direction.target_end() {
            let foreign = self.world.foreign(end);
            let bytes = self.random.bytes(64 << 10);
            let beside = foreign.create("beside", bytes.len() as u64);
            foreign.write(&beside, 0, &bytes);
            self.objects.beside = (beside, bytes);
            if !setup.direction.makes() {
                self.objects.target = foreign.create("target", setup.size + setup.chunk);
            }
        }
        self.world.settle();
        for (end, faults) in
            [(Some("oh"), &setup.faults), (setup.direction.source_end(), &setup.source_faults)]
        {
            if let Some(end) = end.filter(|end| !faults.is_empty() && self.world.has(end)) {
                self.world.start(end, faults);
            }
        }
    }

    fn place(&self, place: Place) -> Option<&'static str> {
        match place {
            Place::Source => self.schedule.setup.direction.source_end(),
            Place::Target => self.schedule.setup.direction.target_end(),
        }
    }

    fn step(&mut self, step: Step) -> Held {
        match step {
            Step::Run(run) => return self.run(run).map(drop),
            Step::Finish(which) => return self.finish(which),
            Step::Succeed(which) => {
                self.world.calm();
                let ended = self.run(Run::whole(which))?;
                if ended.code != Some(0) {
                    return Err(Violation::new("did not say 0", ended.brief()));
                }
            }
            Step::Write(place, offset, len) => self.write(place, offset, len),
            Step::Change(which, change) => self.change(which, change),
            Step::Part => {
                let part = part_file(&self.world);
                let _ = std::fs::remove_file(&part);
                let bytes = self.random.bytes(usize::try_from(self.schedule.setup.size).unwrap());
                std::fs::write(&part, &bytes).unwrap();
                self.files.part = Some((part.metadata().unwrap().ino(), bytes));
            }
            Step::File => {
                let file = target_file(&self.world);
                if !file.exists() {
                    let bytes = self.random.bytes(5000);
                    std::fs::write(&file, &bytes).unwrap();
                    self.files.file = Some(bytes);
                }
            }
            Step::Calm => self.world.calm(),
            Step::Restart(place) => self.world.restart(self.place(place).unwrap()),
            Step::Snapshot(place) => self.world.snapshot(self.place(place).unwrap()),
            Step::Restore(place) => drop(self.world.restore(self.place(place).unwrap())),
            Step::Cut(at) => self.damage(at, Vec::truncate),
            Step::Bend(at) => self.damage(at, |bytes, at| {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (at % 8);
                }
            }),
        }
        Ok(())
    }

    /// Writes to a drive as another client.
    fn write(&mut self, place: Place, offset: u64, len: u64) {
        let end = self.place(place).unwrap();
        let drive = match place {
            Place::Source => Some(self.objects.source(Which::A).to_owned()),
            Place::Target if self.schedule.setup.direction.makes() => {
                self.world.drives(end).into_iter().find(|drive| *drive != self.objects.beside.0)
            }
            Place::Target => Some(self.objects.target.clone()),
        };
        if let Some(drive) = drive {
            let bytes = self.random.bytes(usize::try_from(len).unwrap());
            self.world.foreign(end).write(&drive, offset, &bytes);
        }
    }

    fn damage(&self, at: u64, how: impl Fn(&mut Vec<u8>, usize)) {
        for path in self.world.journals() {
            let mut bytes = std::fs::read(&path).unwrap();
            let at = bytes.len() * usize::try_from(at).unwrap() / 1000;
            how(&mut bytes, at);
            // In place, as a disk would.
            std::fs::write(&path, &bytes).unwrap();
        }
    }

    fn change(&mut self, which: Which, change: Change) {
        let setup = &self.schedule.setup;
        let path = self.world.path(file_name(which));
        model::change(&path, change, setup, &mut self.random);
        if setup.direction.packed() {
            let packed = self.world.path(packed_name(which));
            model::pack(&std::fs::read(path).unwrap(), &packed.with_extension("new"));
            std::fs::rename(packed.with_extension("new"), packed).unwrap();
        }
    }

    /// Returns the current bytes of a transfer's source.
    fn source(&self, which: Which) -> Vec<u8> {
        let path: PathBuf = match self.schedule.setup.direction.source_end() {
            Some(end) if end != "spot" => self.world.drive_file(end, self.objects.source(which)),
            _ => self.world.path(file_name(which)),
        };
        std::fs::read(path).unwrap()
    }

    /// Performs one run with its interruptions, and checks the invariants after it.
    fn run(&mut self, run: Run) -> Result<Ended, Violation> {
        self.run_at(run, 0)
    }

    /// `depth` is 1 while another run is paused with its connections open.
    fn run_at(&mut self, run: Run, depth: u32) -> Result<Ended, Violation> {
        let setup = &self.schedule.setup;
        let source = self.source(run.which);
        let args = arguments(setup, &self.objects, run);
        let stdin = setup.direction.reads_stdin().then(|| self.world.path(file_name(run.which)));
        let target = Target::default();
        let rules = match run.stop {
            Stop::Disk(rule) => rule.to_string(),
            _ => String::new(),
        };
        match run.stop {
            Stop::Kill(moment) => self.world.trap.arm(moment, Signal::KILL, &target),
            Stop::Interrupt(moment) => self.world.trap.arm(moment, Signal::INT, &target),
            Stop::Pause(moment, _) => self.world.trap.arm(moment, Signal::STOP, &target),
            Stop::Never | Stop::Disk(_) => {}
        }
        let running = self.world.run(&args, &rules, stdin.as_deref(), &target);
        let mark = self.world.mark();
        let mut changed = false;
        let ended = loop {
            match running.next(HANG * patience()) {
                Event::Paused => {
                    self.world.trap.disarm();
                    if let Stop::Pause(_, meanwhile) = run.stop {
                        // It may have created its drive without printing it yet.
                        self.made.open[usize::from(run.which == Which::B)] = true;
                        self.made.restarts += usize::from(run.restart);
                        changed |= self.meanwhile(meanwhile, run.which)?;
                        // It is counted for good when it ends.
                        self.made.restarts -= usize::from(run.restart);
                    }
                    running.resume();
                }
                Event::Ended(ended) => break ended,
                Event::Hung => return Err(Violation::new("hung", format!("{} {run}", args.join(" ")))),
            }
        };
        let sprung = self.sprung(run, &mark);
        if depth == 0 {
            self.world.settle();
        }
        self.told.push(format!("   {}", ended.brief()));
        ended_well(&ended, run, &sprung)?;
        if ended.code == Some(0) {
            self.proven(run.which, &source, changed, &ended)?;
        }
        self.untouched(&source, run, &ended)?;
        self.one_drive(run, &ended)?;
        Ok(ended)
    }

    /// Performs what happens while a run is paused. Returns whether its source changed.
    fn meanwhile(&mut self, meanwhile: Meanwhile, which: Which) -> Result<bool, Violation> {
        match meanwhile {
            Meanwhile::Second(other) => {
                self.told.push(format!("   meanwhile run {other:?}"));
                self.run_at(Run::whole(other).forced(), 1)?;
            }
            Meanwhile::Change(change) => {
                self.change(which, change);
                // A file that was opened before another took its name is unchanged.
                return Ok(change != Change::Replace);
            }
            Meanwhile::Write(offset, len) => self.write(Place::Target, offset, len),
            Meanwhile::Outage => {
                let end = self.place(Place::Target).or(self.place(Place::Source)).unwrap();
                self.world.restart(end);
            }
        }
        Ok(false)
    }

    fn sprung(&self, run: Run, mark: &Path) -> Sprung {
        let at = match self.world.trap.disarm() {
            Some(at) => Some(SystemTime::now() - Instant::now().duration_since(at)),
            None => mark.metadata().and_then(|meta| meta.modified()).ok(),
        };
        let (kills, interrupts) = match run.stop {
            Stop::Kill(_) => (true, false),
            Stop::Interrupt(_) => (false, true),
            Stop::Disk(rule) => (
                matches!(rule.action, Action::Kill | Action::Tear | Action::Crash),
                rule.action == Action::Interrupt,
            ),
            Stop::Never | Stop::Pause(..) => (false, false),
        };
        Sprung { kills: kills && at.is_some(), interrupts: interrupts && at.is_some(), at }
    }

    /// Does what a user would: repeats the same command, and follows its hints, until it exits with 0.
    fn finish(&mut self, which: Which) -> Held {
        self.world.calm();
        let mut run = Run { force: self.files.file.is_some(), ..Run::whole(which) };
        let mut last = String::new();
        for _ in 0..TRIES {
            let ended = self.run(run)?;
            run.restart = false;
            let said = &ended.stderr;
            match ended.code {
                Some(0) => return Ok(()),
                // If drives carry no mark, only the user knows which one it is.
                Some(3) if said.contains("that this transfer may have created") => return Ok(()),
                Some(1 | 5) if said.contains(".part is in the way") => self.clear_part(said),
                Some(1 | 5) => {
                    run.restart = said.contains("--restart");
                    run.force |= said.contains("--force");
                }
                _ => {}
            }
            last = ended.brief();
        }
        Err(Violation::new("no way out", format!("the last of {TRIES} tries: {last}")))
    }

    /// Discards the transfer that a FILE.part belongs to, if the hint names one; otherwise checks the file
    /// and removes it.
    fn clear_part(&mut self, said: &str) {
        let named = said.split_once("transfers discard --part ").map(|(_, rest)| rest);
        if let Some(id) = named.and_then(|rest| rest.split('`').next()) {
            self.world.command(&["transfers", "discard", "--part", id]);
        } else {
            self.files.part = None;
            let _ = std::fs::remove_file(part_file(&self.world));
        }
    }
}

/// Uploads an image that begins with these bytes, and returns how the run ended.
pub fn container(schedule: &Schedule, magic: &[u8]) -> Ended {
    use std::os::unix::fs::FileExt;
    let mut world = World::new();
    let setup = &schedule.setup;
    let image = world.path(file_name(Which::A));
    model::write_image(&image, &model::image(setup, 1), setup);
    std::fs::File::options().write(true).open(&image).unwrap().write_all_at(magic, 0).unwrap();
    world.add("oh", setup.provider, Vec::new());
    let args = arguments(setup, &Objects::default(), Run::whole(Which::A));
    match world.run(&args, "", None, &Target::default()).next(HANG * patience()) {
        Event::Ended(ended) => ended,
        other => panic!("the run did not end: {other:?}"),
    }
}
