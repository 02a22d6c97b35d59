//! The commands that are signalled, each with a world around it.

use crate::hung::Hung;
use crate::process::{Ended, Running, Signal};
use crate::world::{World, write_image};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The image and what is in the appliance, in bytes.
const SIZE: u64 = 8 << 20;

/// What comes on standard input.
#[derive(Clone, Copy, PartialEq)]
pub enum Input {
    Nothing,
    /// So many bytes and then silence, without an end.
    Silent(usize),
    /// As many bytes as anybody wants.
    Flowing,
}

/// What the far end does.
#[derive(Clone, Copy, PartialEq)]
pub enum FarEnd {
    /// The emulator of Open Hosting, with these faults.
    Emulator(&'static str),
    /// The same, and `SpotCloud` with other faults.
    SpotCloud(&'static str, &'static str),
    /// A server that never answers.
    Hung,
    /// Nothing is asked: the remote's credentials never come.
    Secretive,
}

/// When the signal comes.
#[derive(Clone, Copy, PartialEq)]
pub enum Moment {
    /// As soon as signals are heard.
    Start,
    /// After the n-th request.
    Requests,
    /// The same, of the first so many: more do not come.
    UpTo(usize),
    /// After the first request, whatever n.
    FirstRequest,
    /// After the first line on standard output.
    Line,
    /// Once this file is there.
    File(&'static str),
}

pub struct Command {
    pub name: &'static str,
    args: &'static [&'static str],
    input: Input,
    far: FarEnd,
    moment: Moment,
    /// The exit status of a command that was signalled once.
    pub status: i32,
}

const fn command(name: &'static str, args: &'static [&'static str], far: FarEnd) -> Command {
    Command { name, args, input: Input::Nothing, far, moment: Moment::Requests, status: 130 }
}

const SLOW: FarEnd = FarEnd::Emulator("latency=20ms");
const STALLING: FarEnd = FarEnd::Emulator("stall=0.3,seed=3");
/// A slow stream: 600 KB a second.
const STREAM: FarEnd = FarEnd::SpotCloud("latency=5ms", "ranges=no,rate=600k");

/// `DRIVE` stands for a drive that holds the image.
pub const COMMANDS: &[Command] = &[
    command("upload", &["upload", "a.img", "oh:", "--chunk-size", "64k", "--restart"], SLOW),
    command(
        "upload whose requests stall",
        &["upload", "a.img", "oh:", "--chunk-size", "64k", "--restart", "--timeout", "1s"],
        STALLING,
    ),
    Command {
        input: Input::Silent(0),
        // Its first bytes are looked at before anything is asked for.
        moment: Moment::Start,
        ..command(
            "upload of a silent stream",
            &["upload", "-", "oh:", "--size", "64M", "--restart"],
            FarEnd::Emulator(""),
        )
    },
    Command {
        input: Input::Silent(9 << 20),
        moment: Moment::FirstRequest,
        ..command(
            "upload of a stream that falls silent",
            &["upload", "-", "oh:", "--size", "64M", "--restart"],
            FarEnd::Emulator(""),
        )
    },
    Command {
        input: Input::Flowing,
        ..command(
            "upload of a stream",
            &["upload", "-", "oh:", "--size", "16G", "--restart", "--sha256"],
            FarEnd::Emulator(""),
        )
    },
    // The drive is made, and then nothing is asked for until all zeros are digested.
    Command {
        moment: Moment::UpTo(1),
        ..command(
            "upload of a sparse image with its digest",
            &["upload", "sparse.img", "oh:", "--sha256", "--restart"],
            FarEnd::Emulator(""),
        )
    },
    command("download", &["download", "oh:DRIVE", "out", "--chunk-size", "64k", "--restart"], SLOW),
    command(
        "download whose requests stall",
        &["download", "oh:DRIVE", "out", "--chunk-size", "64k", "--restart", "--timeout", "1s"],
        STALLING,
    ),
    // Nobody reads the pipe, and so no more is asked for.
    Command {
        moment: Moment::UpTo(8),
        ..command("download to a full pipe", &["download", "oh:DRIVE", "-", "--chunk-size", "64k"], SLOW)
    },
    command("migrate", &["migrate", "oh:DRIVE", "oh:", "--chunk-size", "64k", "--restart"], SLOW),
    command(
        "migrate an appliance",
        &["migrate", "spot:appliance/gz", "oh:", "--chunk-size", "64k", "--size", "8M", "--restart"],
        STREAM,
    ),
    command(
        "migrate an appliance of unknown size",
        &["migrate", "spot:appliance/gz", "oh:", "--chunk-size", "64k", "--restart"],
        STREAM,
    ),
    command(
        "download an appliance",
        &["download", "spot:appliance/gz", "out", "--unpack", "--restart"],
        STREAM,
    ),
    command("verify", &["verify", "a.img", "oh:DRIVE", "--chunk-size", "64k", "--sha256"], SLOW),
    command("boot", &["boot", "a.img", "oh:"], FarEnd::Hung),
    command("upload to a hung server", &["upload", "a.img", "oh:"], FarEnd::Hung),
    command("download from a hung server", &["download", "oh:DRIVE", "out"], FarEnd::Hung),
    command("drive list", &["drive", "list", "oh:"], FarEnd::Hung),
    command("call", &["call", "oh:", "drives.list"], FarEnd::Hung),
    command("remote test", &["remote", "test", "oh"], FarEnd::Hung),
    command("server start", &["server", "start", "oh:DRIVE", "--wait"], FarEnd::Hung),
    Command {
        moment: Moment::File("asked"),
        ..command("drive list before it has its secret", &["drive", "list", "oh:"], FarEnd::Secretive)
    },
    Command {
        moment: Moment::File("asked"),
        ..command("upload before it has its secret", &["upload", "a.img", "oh:"], FarEnd::Secretive)
    },
    Command {
        moment: Moment::Line,
        status: 0,
        ..command("serve", &["serve", "openhosting=127.0.0.1:0", "--secret", "x"], FarEnd::Emulator(""))
    },
];

/// The first eight writes fail for good, which ends a transfer; the appliance's stream has ten seconds to go.
pub const DEAD_TARGET: Command = command(
    "migrate to a dead target",
    &[
        "migrate",
        "spot:appliance/gz",
        "oh:",
        "--chunk-size",
        "64k",
        "--size",
        "8M",
        "--retries",
        "0",
        "--zeros",
        "write",
    ],
    FarEnd::SpotCloud(
        "refuse=0,refuse=64k,refuse=128k,refuse=192k,refuse=256k,refuse=320k,refuse=384k,refuse=448k",
        "ranges=no,rate=600k",
    ),
);

/// A command in its world. What one try leaves behind does not matter to the next.
pub struct Case {
    command: &'static Command,
    world: World,
    hung: Option<Hung>,
    drive: String,
}

impl Case {
    pub fn new(command: &'static Command) -> Self {
        let mut world = World::new("");
        let image = world.path("a.img");
        write_image(&image, SIZE);
        let drive = world.upload(&["a.img", "oh:"]);
        if command.args.contains(&"sparse.img") {
            std::fs::File::create(world.path("sparse.img")).unwrap().set_len(64 << 30).unwrap();
        }
        let mut hung = None;
        match command.far {
            FarEnd::Emulator(faults) => world.replace(faults),
            FarEnd::SpotCloud(faults, others) => {
                world.replace(faults);
                let packed = gzip(&world);
                world.add_spotcloud(others, &[("gz", &packed)]);
            }
            FarEnd::Hung => {
                let server = Hung::start();
                world.write_config(&server.url(), "secret");
                hung = Some(server);
            }
            FarEnd::Secretive => {
                let path = world.path("config.toml");
                let text = std::fs::read_to_string(&path).unwrap();
                let (before, _) = text.split_once("secret =").unwrap();
                std::fs::write(&path, format!("{before}secret_command = \"touch asked; sleep 100\"\n"))
                    .unwrap();
            }
        }
        Self { command, world, hung, drive }
    }

    /// Requests that have been seen at all far ends.
    fn seen(&self) -> usize {
        match (&self.hung, self.command.far) {
            (Some(hung), _) => hung.seen(),
            (None, FarEnd::SpotCloud(..)) => {
                self.world.added().log().len() + self.world.emulator().log().len()
            }
            (None, _) => self.world.emulator().log().len(),
        }
    }

    fn start(&self) -> Running {
        let args: Vec<String> =
            self.command.args.iter().map(|arg| arg.replace("DRIVE", &self.drive)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = self.world.command(&args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.command.input != Input::Nothing {
            command.stdin(Stdio::piped());
        }
        if let Moment::File(name) = self.command.moment {
            let _ = std::fs::remove_file(self.world.path(name));
        }
        let mut child = command.spawn().unwrap();
        self.feed(&mut child);
        Running::new(self.command.name, child)
    }

    /// The threads end with the child, when their pipe breaks.
    fn feed(&self, child: &mut Child) {
        let Some(mut stdin) = child.stdin.take() else { return };
        let input = self.command.input;
        let bytes = b"a line of a stream that flows\n".repeat(1000);
        std::thread::spawn(move || {
            let mut left = match input {
                Input::Nothing => 0,
                Input::Silent(bytes) => bytes,
                Input::Flowing => usize::MAX,
            };
            while left > 0 {
                let step = left.min(bytes.len());
                if stdin.write_all(&bytes[..step]).is_err() {
                    return;
                }
                left -= step;
            }
            // Silent, but open as long as the test runs.
            std::mem::forget(stdin);
        });
    }

    /// Runs until the moment; whether it still runs then.
    fn at_moment(&self, running: &mut Running, before: usize, requests: usize) -> bool {
        match self.command.moment {
            Moment::Requests => {
                // Who is never answered sends but one.
                let wanted = if self.hung.is_some() { 1 } else { requests };
                running.wait_until(|_| self.seen() >= before + wanted)
            }
            Moment::UpTo(most) => running.wait_until(|_| self.seen() >= before + requests.min(most)),
            Moment::Start => running.wait_until(|_| true),
            Moment::FirstRequest => running.wait_until(|_| self.seen() > before),
            Moment::File(name) => running.wait_until(|_| self.world.path(name).exists()),
            Moment::Line => {
                let mut line = None;
                running.wait_until(|child| {
                    let stdout = child.stdout.take().unwrap();
                    let mut reader = std::io::BufReader::new(stdout);
                    let mut text = String::new();
                    std::io::BufRead::read_line(&mut reader, &mut text).unwrap();
                    line = Some(reader);
                    true
                })
            }
        }
    }

    /// One signal at the moment, then nothing but waiting.
    pub fn signalled(&self, requests: usize, signal: Signal, bound: Duration) -> Ended {
        let before = self.seen();
        let mut running = self.start();
        let runs = self.at_moment(&mut running, before, requests);
        let start = Instant::now();
        if runs {
            running.signal(signal);
        }
        running.end(start, bound, !runs, |_| ())
    }

    /// Signals from the moment on, again and again. Two that come at once count as one, so that the second that counts may
    /// be a later one.
    pub fn signalled_until_it_ends(&self, requests: usize, bound: Duration) -> Ended {
        let before = self.seen();
        let mut running = self.start();
        let runs = self.at_moment(&mut running, before, requests);
        let start = Instant::now();
        running.end(start, bound, !runs, |running| running.signal(Signal::Int))
    }

    /// No signal at all: it has to end by itself.
    pub fn unsignalled(&self, bound: Duration) -> Ended {
        let running = self.start();
        running.end(Instant::now(), bound, false, |_| ())
    }
}

/// Noise, so that the packed image is long and its stream slow.
fn gzip(world: &World) -> PathBuf {
    let path = world.path("packed.gz");
    let file = std::fs::File::create(&path).unwrap();
    let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    out.write_all(&crate::world::noise(3, usize::try_from(SIZE).unwrap())).unwrap();
    out.finish().unwrap();
    path
}
