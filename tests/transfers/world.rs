//! A user's world for one test: a home, a configuration, an emulator, and the binary.

use crate::support::copy::copy_tree;
use crate::support::moment;
use diskferry::emulator::{Config, Emulator, Faults, Gate, Logged, Operation, Stage};
use diskferry::provider::Provider;
use serde_json::Value;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

const USER: &str = "22222222-2222-4222-8222-222222222222";
const SECRET: &str = "the-secret-of-this-test";

/// Everything goes away with it.
pub struct World {
    dir: TempDir,
    provider: Provider,
    emulator: Option<Emulator>,
    address: Option<SocketAddr>,
    others: Vec<Emulator>,
}

impl World {
    /// An emulator of Open Hosting that deals these faults; the remote is `oh:`.
    pub fn new(faults: &str) -> Self {
        Self::of(Provider::OpenHosting, faults)
    }

    /// The same with another provider behind `oh:`.
    pub fn of(provider: Provider, faults: &str) -> Self {
        let mut world = Self {
            dir: tempfile::tempdir().unwrap(),
            provider,
            emulator: None,
            address: None,
            others: Vec::new(),
        };
        world.restart(faults);
        world
    }

    /// Another emulator over the same drives and at the same address, as after an outage.
    pub fn restart(&mut self, faults: &str) {
        self.stop();
        let listen = self.address.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        let emulator = Emulator::start_logged(Config {
            listen,
            faults: Faults::parse(faults).unwrap(),
            ..Config::new(self.provider, self.path("drives"), USER, SECRET)
        })
        .unwrap();
        self.write_config(&emulator.url(), SECRET);
        self.address = Some(emulator.address());
        self.emulator = Some(emulator);
    }

    /// Another emulator over the same drives, wherever there is room: an address that was given back may be taken.
    #[allow(dead_code, reason = "for the tests of signals")]
    pub fn replace(&mut self, faults: &str) {
        self.address = None;
        self.restart(faults);
    }

    /// Another provider beside it, as the remote NAME; its drives are in a directory of that name.
    pub fn add(&mut self, name: &str, provider: Provider, faults: &str) -> &Emulator {
        self.add_with(name, provider, faults, Vec::new())
    }

    /// `SpotCloud` beside it, as `spot:`, with these appliances.
    pub fn add_spotcloud(&mut self, faults: &str, appliances: &[(&str, &Path)]) -> &Emulator {
        let appliances =
            appliances.iter().map(|(key, path)| ((*key).to_owned(), path.to_path_buf())).collect();
        self.add_with("spot", Provider::SpotCloud, faults, appliances)
    }

    fn add_with(
        &mut self,
        name: &str,
        provider: Provider,
        faults: &str,
        appliances: Vec<(String, PathBuf)>,
    ) -> &Emulator {
        let emulator = Emulator::start_logged(Config {
            faults: Faults::parse(faults).unwrap(),
            appliances,
            ..Config::new(provider, self.path(name), USER, SECRET)
        })
        .unwrap();
        let credentials = if provider == Provider::SpotCloud {
            format!(
                "consumer_key = \"{USER}\"\nconsumer_secret = \"{SECRET}\"\ntoken = \"{USER}\"\ntoken_secret = \"{SECRET}\"\n"
            )
        } else {
            format!("user = \"{USER}\"\nsecret = \"{SECRET}\"\n")
        };
        let url = emulator.url();
        let text = format!("[remotes.{name}]\nprovider = \"{provider}\"\nurl = \"{url}\"\n{credentials}");
        let path = self.path("config.toml");
        let before = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, before + &text).unwrap();
        self.others.push(emulator);
        self.others.last().unwrap()
    }

    /// Another emulator over the drives of the last that was added, at the same address, with other faults.
    pub fn restart_added(&mut self, name: &str, provider: Provider, faults: &str) {
        let listen = self.others.pop().unwrap().address();
        let emulator = Emulator::start_logged(Config {
            listen,
            faults: Faults::parse(faults).unwrap(),
            ..Config::new(provider, self.path(name), USER, SECRET)
        });
        self.others.push(emulator.unwrap());
    }

    /// The last that was added.
    pub fn added(&self) -> &Emulator {
        self.others.last().unwrap()
    }

    /// The file of a drive on a remote that was added.
    pub fn file_on(&self, name: &str, drive: &str) -> PathBuf {
        self.path(name).join("drives").join(format!("{drive}.raw"))
    }

    /// The emulator goes away.
    pub fn stop(&mut self) {
        self.emulator = None;
    }

    pub fn write_config(&self, url: &str, secret: &str) {
        let text = format!(
            "[remotes.oh]\nprovider = \"{}\"\nurl = \"{url}\"\nuser = \"{USER}\"\nsecret = \"{secret}\"\n",
            self.provider
        );
        let path = self.path("config.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    pub fn emulator(&self) -> &Emulator {
        self.emulator.as_ref().unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The binary with arguments, in this world and no other.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diskferry"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.dir.path())
            .env("DISKFERRY_CONFIG", self.path("config.toml"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub fn run(&self, args: &[&str]) -> Ended {
        Ended::new(self.command(args).output().unwrap())
    }

    /// Starts and goes on.
    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs until the n-th request of an operation comes to a stage at an emulator, and kills; then waits until all that was
    /// sent has been carried out or dropped.
    pub fn kill_at(&self, emulator: &Emulator, args: &[&str], moment: (Stage, Operation, u64)) {
        self.kill_command_at(emulator, &mut self.command(args), moment);
    }

    /// The same with a command that was prepared otherwise.
    pub fn kill_command_at(
        &self,
        emulator: &Emulator,
        command: &mut Command,
        moment: (Stage, Operation, u64),
    ) {
        let (output, killed) = moment::run_until(emulator, command, moment);
        assert!(killed, "it ended before {moment:?}: {:?}", Ended::new(output));
        for emulator in self.emulator.iter().chain(&self.others) {
            assert!(emulator.settle(moment::LONG));
        }
    }

    /// Starts, and has the requests of an operation held at a stage by an emulator once `free` of them have passed.
    pub fn spawn_held(
        &self,
        emulator: &Emulator,
        args: &[&str],
        (stage, operation, free): (Stage, Operation, u64),
    ) -> (Child, Gate) {
        let gate = moment::hold(emulator, stage, operation, free);
        (self.spawn(args), gate)
    }

    /// The far end's data as it is, under a name, for [`World::restore`].
    pub fn snapshot(&self, name: &str) {
        let emulator = self.emulator();
        assert!(emulator.settle(moment::LONG));
        emulator.save_counters().unwrap();
        copy_tree(&self.path("drives"), &self.path(name)).unwrap();
    }

    /// Puts the far end back to what it was, as an operator does from a backup, at the same address.
    pub fn restore(&mut self, name: &str, faults: &str) {
        self.stop();
        copy_tree(&self.path(name), &self.path("drives")).unwrap();
        self.restart(faults);
    }

    /// Runs an upload that has to succeed; the drive.
    pub fn upload(&self, args: &[&str]) -> String {
        let ended = self.run(&[&["upload"], args].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let drive = ended.stdout.trim_end().to_owned();
        assert_eq!(drive.len(), 36, "stdout has the UUID and nothing else: {:?}", ended.stdout);
        drive
    }

    /// The bytes of a drive, from the emulator's own files.
    pub fn drive_bytes(&self, drive: &str) -> Vec<u8> {
        std::fs::read(self.drive_file(drive)).unwrap()
    }

    pub fn drive_file(&self, drive: &str) -> PathBuf {
        self.path("drives").join("drives").join(format!("{drive}.raw"))
    }

    /// How many drives there are.
    pub fn drives(&self) -> usize {
        let files = std::fs::read_dir(self.path("drives").join("drives")).unwrap();
        files.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "raw")).count()
    }

    /// The journals that are there.
    pub fn journals(&self) -> Vec<PathBuf> {
        let Ok(files) = std::fs::read_dir(self.path(".local/state/diskferry/transfers")) else {
            return Vec::new();
        };
        files.map(|f| f.unwrap().path()).collect()
    }

    /// An image of `size` bytes with text, noise, zeros that are there and, at the end, holes.
    pub fn image(&self, name: &str, size: u64) -> PathBuf {
        let path = self.path(name);
        write_image(&path, size);
        path
    }
}

pub fn write_image(path: &Path, size: u64) {
    let file = std::fs::File::create(path).unwrap();
    file.set_len(size).unwrap();
    let step = 64 << 10;
    let mut at = 0;
    while at < size * 7 / 8 {
        let seed = at / step;
        let piece: Vec<u8> = match seed % 4 {
            0 | 1 => format!("line {seed} of a text that compresses well\n").repeat(2000).into_bytes(),
            2 => noise(seed, 64 << 10),
            _ => vec![0; 64 << 10],
        };
        let len = usize::try_from((size - at).min(step)).unwrap().min(piece.len());
        file.write_all_at(&piece[..len], at).unwrap();
        at += step;
    }
}

pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out.extend_from_slice(&x.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    out.truncate(len);
    out
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn new(Output { status, stdout, stderr }: Output) -> Self {
        Self {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// The events of a run with `--json`.
    pub fn events(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn event(&self, name: &str) -> Value {
        self.events()
            .into_iter()
            .find(|e| e["event"] == name)
            .unwrap_or_else(|| panic!("no event {name} in {}\n{}", self.stdout, self.stderr))
    }
}

/// The offsets of the writes that the emulator has carried out and acknowledged, in order.
pub fn acknowledged_writes(log: &[Logged]) -> Vec<u64> {
    log.iter()
        .filter(|request| request.status == Some(204) && request.fault.is_none())
        .filter_map(|request| request.path.rsplit_once("/write/")?.1.parse().ok())
        .collect()
}

/// The requests of the log that read or write a drive's bytes.
pub fn data_requests<'a>(log: &'a [Logged], verb: &str) -> Vec<&'a Logged> {
    log.iter().filter(|request| request.path.contains(&format!("/{verb}/"))).collect()
}
