//! Draws a schedule from a seed.

use crate::preload::{Action, Call, Class, Rule};
use crate::random::Random;
use crate::schedule::{Change, DELTA, Direction, Meanwhile, Place, Run, Schedule, Setup, Step, Stop, Which};
use crate::trap::Moment;
use diskferry::emulator::{Operation, Stage};
use diskferry::provider::Provider;

/// Returns the schedule of a seed.
pub fn draw(seed: u64) -> Schedule {
    let mut draw = Draw { random: Random::new(seed), snapshot: None };
    let setup = draw.setup();
    let mut steps = vec![Step::Run(draw.stopped(&setup, Which::A))];
    for _ in 0..draw.random.between(1, 6) {
        steps.push(draw.step(&setup));
    }
    steps.push(Step::Finish(if draw.random.percent(90) { Which::A } else { Which::B }));
    Schedule { name: format!("seed {seed}"), setup, steps }
}

struct Draw {
    random: Random,
    snapshot: Option<Place>,
}

impl Draw {
    fn setup(&mut self) -> Setup {
        use Direction::{
            Appliance, Download, Migrate, MigrateNew, Named, New, Ranges, Stdin, StdinNew, Unpack,
        };
        let random = &mut self.random;
        let direction = random.pick(&[
            Named, Named, Named, New, New, New, Stdin, StdinNew, Download, Download, Download, Migrate,
            MigrateNew, Ranges, Unpack, Appliance,
        ]);
        let providers = [
            Provider::OpenHosting,
            Provider::OpenHosting,
            Provider::Crosspeer,
            Provider::CloudSigma,
            Provider::CloudSigma,
        ];
        let chunk = (64 << 10) << random.pick(&[0, 0, 0, 0, 0, 0, 1, 1, 2, 4]);
        let chunks = if chunk > 256 << 10 { 20 } else { random.between(20, 60) };
        // Drives consist of sectors, files do not.
        let tail = if direction == Direction::Ranges {
            1 + random.below(chunk)
        } else {
            512 * random.between(1, chunk / 512)
        };
        let (faults, wrong) =
            self.faults(direction.target_end().is_some() || direction == Download, direction.makes());
        let (source_faults, wrong_source) = match direction {
            Migrate | MigrateNew => self.faults(true, false),
            Ranges | Unpack | Appliance => self.faults(false, false),
            _ => (String::new(), false),
        };
        let random = &mut self.random;
        let mut options = ["--timeout", "1s", "--retries", "3"].map(str::to_owned).to_vec();
        let verify =
            if wrong || wrong_source { "full" } else { random.pick(&["none", "none", "sample", "full"]) };
        let mut option = |name: &str, value: String| options.extend([name.to_owned(), value]);
        option("--concurrency", (1 << random.below(5)).to_string());
        if direction.target_end().is_some() {
            option("--compress", random.pick(&["auto", "none", "1"]).to_owned());
            option("--zeros", random.pick(&["auto", "auto", "auto", "write"]).to_owned());
        }
        if random.percent(10) {
            options.push("--sha256".to_owned());
        }
        let (provider, from) = (random.pick(&providers), random.pick(&providers));
        let content = random.below(1 << 40);
        // Not drawn from the stream, so that existing seeds keep their schedules.
        if matches!(direction, Named | Stdin | Download) && content.is_multiple_of(2) {
            options.push(DELTA.to_owned());
        }
        Setup {
            direction,
            provider,
            from,
            chunk,
            size: chunk * (chunks - 1) + tail,
            content,
            options,
            verify,
            faults,
            source_faults,
            full: random.percent(20),
        }
    }

    /// Draws the faults of a remote. Also returns whether only `--verify full` can find some of them.
    fn faults(&mut self, drives: bool, makes: bool) -> (String, bool) {
        let random = &mut self.random;
        let (kind, wrong) = match random.below(12) {
            0 => (random.pick(FAILING), false),
            1 => (random.pick(ODD), false),
            2 if drives => (random.pick(LYING), true),
            3 if makes => (random.pick(CREATES), false),
            4 if makes => ("dirty=1", false),
            _ => return (String::new(), false),
        };
        (format!("{kind},seed={}", random.below(1000)), wrong)
    }

    fn step(&mut self, setup: &Setup) -> Step {
        let direction = setup.direction;
        loop {
            let random = &mut self.random;
            return match random.below(20) {
                0..=5 => Step::Run(self.stopped(setup, Which::A)),
                6 => Step::Run(self.stopped(setup, Which::B)),
                7 => Step::Run(self.flags(setup, Run::whole(Which::A))),
                8 | 9 => Step::Run(self.flags(setup, Run::whole(Which::B))),
                10 | 11 => {
                    let meanwhile = match random.below(3) {
                        0 => Meanwhile::Second(random.pick(&[Which::A, Which::B])),
                        1 if matches!(direction, Direction::Named | Direction::New) => {
                            Meanwhile::Change(self.changed(setup))
                        }
                        _ => Meanwhile::Outage,
                    };
                    let moment = Moment { stage: Stage::Received, ..self.moment(setup) };
                    Step::Run(self.flags(setup, Run::stopped(Which::A, Stop::Pause(moment, meanwhile))))
                }
                12 | 13 => {
                    let place = match (direction.source_end(), direction.target_end()) {
                        (Some("spot"), None) => continue,
                        (Some("spot") | None, _) => Place::Target,
                        (Some(_), None) => Place::Source,
                        (Some(_), Some(_)) => random.pick(&[Place::Source, Place::Target]),
                    };
                    self.write(setup, place)
                }
                14 if direction.reads_file() || direction.source_end() == Some("spot") => {
                    Step::Change(random.pick(&[Which::A, Which::A, Which::B]), self.changed(setup))
                }
                15 if direction.to_file() => random.pick(&[Step::Part, Step::Part, Step::File]),
                16 => Step::Restart(self.some_place(direction)),
                17 | 18 if direction.source_end() != Some("spot") => {
                    if let Some(place) = self.snapshot.take() {
                        Step::Restore(place)
                    } else {
                        let place = self.some_place(direction);
                        self.snapshot = Some(place);
                        Step::Snapshot(place)
                    }
                }
                19 => {
                    let at = random.below(1000);
                    random.pick(&[Step::Cut(at), Step::Cut(at), Step::Bend(at)])
                }
                _ => continue,
            };
        }
    }

    fn some_place(&mut self, direction: Direction) -> Place {
        match (direction.source_end(), direction.target_end()) {
            (Some(_), Some(_)) => self.random.pick(&[Place::Source, Place::Target]),
            (Some(_), None) => Place::Source,
            _ => Place::Target,
        }
    }

    /// Draws a write by another client. It covers a whole chunk if the remote has no counters that reveal a
    /// write, since a sample of each chunk finds nothing smaller.
    fn write(&mut self, setup: &Setup, place: Place) -> Step {
        let provider = if place == Place::Source && setup.direction != Direction::Download {
            setup.from
        } else {
            setup.provider
        };
        let random = &mut self.random;
        let small = (provider == Provider::CloudSigma || setup.full) && random.percent(50);
        if small {
            let len = random.between(1, 5000);
            return Step::Write(place, random.below(setup.size - len), len);
        }
        let offset = random.below(setup.size.div_ceil(setup.chunk)) * setup.chunk;
        Step::Write(place, offset, setup.chunk.min(setup.size - offset))
    }

    fn changed(&mut self, setup: &Setup) -> Change {
        let random = &mut self.random;
        let in_place = Change::InPlace(random.below(setup.size));
        let zeros = Change::Zeros(random.below(setup.size));
        match setup.direction {
            Direction::Named | Direction::New => {
                random.pick(&[in_place, in_place, Change::Truncate, Change::Replace, Change::Append])
            }
            Direction::Stdin | Direction::StdinNew => random.pick(&[in_place, Change::Replace, zeros]),
            // A server of files identifies their versions by their times.
            _ => Change::Replace,
        }
    }

    fn flags(&mut self, setup: &Setup, run: Run) -> Run {
        let force = setup.direction.to_file() && self.random.percent(70);
        Run { force, restart: self.random.percent(8), ..run }
    }

    /// Draws a moment of the transfer that a remote sees.
    fn moment(&mut self, setup: &Setup) -> Moment {
        let random = &mut self.random;
        let mut nth = random.between(1, setup.size.div_ceil(setup.chunk));
        let operation = match setup.direction {
            Direction::Download => Operation::Read,
            Direction::Ranges => Operation::Download,
            Direction::Unpack | Direction::Appliance if random.percent(50) => {
                nth = random.between(1, 3);
                Operation::Download
            }
            direction if direction.makes() && random.percent(15) => {
                nth = 1;
                Operation::Create
            }
            Direction::Migrate | Direction::MigrateNew if random.percent(30) => Operation::Read,
            _ => Operation::Write,
        };
        let stage = random.pick(&[Stage::Received, Stage::Applied, Stage::Answered]);
        Moment { operation, stage, nth }
    }

    /// Draws a run that is stopped before its end.
    fn stopped(&mut self, setup: &Setup, which: Which) -> Run {
        let moment = self.moment(setup);
        let stop = match self.random.below(10) {
            0..=3 => Stop::Kill(moment),
            4 | 5 => Stop::Interrupt(moment),
            _ => Stop::Disk(self.rule(setup)),
        };
        self.flags(setup, Run::stopped(which, stop))
    }

    fn rule(&mut self, setup: &Setup) -> Rule {
        let random = &mut self.random;
        let chunks = setup.size.div_ceil(setup.chunk);
        let class = if setup.direction.to_file() {
            random.pick(&[Class::Part, Class::Journal])
        } else {
            Class::Journal
        };
        if setup.direction.makes() && random.percent(10) {
            return Rule::new(Class::Out, Call::Write, 1, random.pick(&[Action::Kill, Action::Enospc]));
        }
        match random.below(10) {
            0 => {
                let bytes =
                    if class == Class::Part { random.below(setup.size) } else { random.below(40 * chunks) };
                Rule::new(class, Call::Bytes, bytes, Action::Enospc)
            }
            1..=3 => {
                let action = random.pick(&[Action::Eio, Action::Enospc, Action::Kill, Action::Crash]);
                Rule::new(class, Call::Sync, random.between(1, 4), action)
            }
            4 => Rule::new(
                class,
                Call::Name,
                random.between(1, 2),
                random.pick(&[Action::Kill, Action::Crash]),
            ),
            _ => {
                let actions = [Action::Kill, Action::Tear, Action::Crash, Action::Interrupt, Action::Eio];
                Rule::new(class, Call::Write, random.between(1, chunks + 4), random.pick(&actions))
            }
        }
    }
}

/// Faults that a client sees as failures.
const FAILING: &[&str] = &["error=0.03", "busy=0.04", "reset=0.05", "short=0.05", "stall=0.008"];

/// Answers that a client can recognize as wrong.
const ODD: &[&str] = &[
    "page=0.03",
    "page=0.03",
    "redirect-writes=0.03",
    "long=0.03",
    "bomb=0.02",
    "headers=0.01",
    "interim=0.01",
    "drip=0.01",
    "late=0.02,late-for=1500ms",
];

/// Answers that look like success.
const LYING: &[&str] = &["drop=0.03", "misplace=0.03", "bend=0.03"];

/// Odd answers to the creation of a drive.
const CREATES: &[&str] = &[
    "create=page",
    "create=nameless",
    "create=failed",
    "create=lost",
    "create=page+refused",
    "create=failed+refused",
    "create=lost+refused",
];
