//! Everything that a schedule plays in: a home directory, far ends, and the binary.

use crate::foreign::Foreign;
use crate::preload;
use crate::process::{Running, Target};
use crate::trap::Trap;
use diskferry::emulator::{Config, Emulator, Faults};
use diskferry::provider::Provider;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const USER: &str = "22222222-2222-4222-8222-222222222222";
pub const SECRET: &str = "the-secret-that-nobody-prints";

/// A far end. It keeps its address when it is stopped and started.
struct End {
    name: &'static str,
    provider: Provider,
    faults: String,
    appliances: Vec<(String, PathBuf)>,
    emulator: Option<Emulator>,
    address: SocketAddr,
}

/// Everything goes away with it.
pub struct World {
    dir: TempDir,
    ends: Vec<End>,
    pub trap: Trap,
    runs: usize,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("diskferry-proof-").tempdir().unwrap();
        World { dir, ends: Vec::new(), trap: Trap::default(), runs: 0 }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds a far end, which is the remote NAME; its drives are in a directory of that name.
    pub fn add(&mut self, name: &'static str, provider: Provider, appliances: Vec<(String, PathBuf)>) {
        let address = ([127, 0, 0, 1], 0).into();
        let faults = String::new();
        self.ends.push(End { name, provider, faults, appliances, emulator: None, address });
        self.start(name, "");
        let remotes = self.ends.iter().map(|End { name, provider, address, .. }| {
            let credentials = if *provider == Provider::SpotCloud {
                format!(
                    "consumer_key = \"{USER}\"\nconsumer_secret = \"{SECRET}\"\ntoken = \"{USER}\"\ntoken_secret = \"{SECRET}\"\n"
                )
            } else {
                format!("user = \"{USER}\"\nsecret = \"{SECRET}\"\n")
            };
            format!("[remotes.{name}]\nprovider = \"{provider}\"\nurl = \"http://{address}/\"\n{credentials}")
        });
        let text: String = remotes.collect();
        std::fs::write(self.path("config.toml"), text).unwrap();
        std::fs::set_permissions(self.path("config.toml"), PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn end(&self, name: &str) -> &End {
        self.ends.iter().find(|end| end.name == name).expect("a far end of this name")
    }

    /// Starts a far end, or starts it again with other faults. What is in flight is lost, the drives stay.
    pub fn start(&mut self, name: &str, faults: &str) {
        let data = self.path(name);
        let trap = self.trap.clone();
        let end = self.ends.iter_mut().find(|end| end.name == name).expect("a far end of this name");
        end.emulator = None;
        let config = Config {
            listen: end.address,
            faults: Faults::parse(faults).unwrap_or_else(|wrong| panic!("{faults}: {wrong}")),
            appliances: end.appliances.clone(),
            ..Config::new(end.provider, data, USER, SECRET)
        };
        let emulator = start(&config);
        emulator.set_hook(move |seen| trap.hook(seen));
        end.address = emulator.address();
        faults.clone_into(&mut end.faults);
        end.emulator = Some(emulator);
    }

    pub fn stop(&mut self, name: &str) {
        self.ends.iter_mut().filter(|end| end.name == name).for_each(|end| end.emulator = None);
    }

    /// Starts every far end again, without faults.
    pub fn calm(&mut self) {
        let faulty = self.ends.iter().filter(|end| end.emulator.is_none() || !end.faults.is_empty());
        for name in faulty.map(|end| end.name).collect::<Vec<_>>() {
            self.start(name, "");
        }
    }

    /// Stops a far end and starts it again as it was.
    pub fn restart(&mut self, name: &str) {
        let faults = self.end(name).faults.clone();
        self.start(name, &faults);
    }

    /// Waits until the far ends have carried out what a process that is gone has sent.
    pub fn settle(&self) {
        for emulator in self.ends.iter().filter_map(|end| end.emulator.as_ref()) {
            assert!(emulator.settle(Duration::from_secs(30)), "a far end does not come to rest");
        }
    }

    /// Whether there is a far end of this name.
    pub fn has(&self, name: &str) -> bool {
        self.ends.iter().any(|end| end.name == name)
    }

    pub fn foreign(&self, name: &str) -> Foreign {
        Foreign(self.end(name).address)
    }

    /// The file that a drive's bytes are in.
    pub fn drive_file(&self, end: &str, drive: &str) -> PathBuf {
        self.path(end).join("drives").join(format!("{drive}.raw"))
    }

    /// The drives of a far end.
    pub fn drives(&self, end: &str) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.path(end).join("drives")) else { return Vec::new() };
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| name.strip_suffix(".raw").map(str::to_owned)).collect()
    }

    /// Keeps a copy of everything that a far end has.
    pub fn snapshot(&mut self, end: &str) {
        self.stop(end);
        let (from, to) = (self.path(end), self.path(&format!("{end}.older")));
        let _ = std::fs::remove_dir_all(&to);
        copy(&from, &to);
        self.restart(end);
    }

    /// Puts a far end back to that copy; false if there is none.
    pub fn restore(&mut self, end: &str) -> bool {
        let older = self.path(&format!("{end}.older"));
        if !older.exists() {
            return false;
        }
        self.stop(end);
        std::fs::remove_dir_all(self.path(end)).unwrap();
        copy(&older, &self.path(end));
        self.restart(end);
        true
    }

    /// The journals that are there.
    pub fn journals(&self) -> Vec<PathBuf> {
        let Ok(files) = std::fs::read_dir(self.path(".local/state/diskferry/transfers")) else {
            return Vec::new();
        };
        let mut all: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        all.retain(|path| path.extension().is_some_and(|end| end == "journal"));
        all.sort();
        all
    }

    /// Where the preloaded library notes that a rule has acted, for the run that was started last.
    pub fn mark(&self) -> PathBuf {
        self.path(&format!("run-{}.mark", self.runs))
    }

    /// The binary, in this world and no other.
    fn binary(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diskferry"));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .env("DISKFERRY_CONFIG", self.path("config.toml"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command that asks no server, and that has to do what it is told.
    pub fn command(&self, args: &[&str]) {
        let mut command = self.binary();
        let ended = command.args(args).output().unwrap();
        assert!(ended.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }

    /// Starts the binary with these rules for its disk; standard input comes from a file, if one is given.
    pub fn run(&mut self, args: &[String], rules: &str, stdin: Option<&Path>, target: &Target) -> Running {
        self.runs += 1;
        let stem = self.path(&format!("run-{}", self.runs));
        let mut command = self.binary();
        command
            .args(args)
            .stdin(stdin.map_or_else(Stdio::null, |path| std::fs::File::open(path).unwrap().into()));
        if !rules.is_empty() {
            command
                .env("LD_PRELOAD", preload::library())
                .env("PROOF_RULES", rules)
                .env("PROOF_MARK", self.mark());
        }
        Running::start(command, &stem, target)
    }
}

/// Starts an emulator; its port may have been lent to a connection for a moment since it stopped.
fn start(config: &Config) -> Emulator {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        match Emulator::start(config.clone()) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            started => return started.expect("the far end starts"),
        }
    }
}

/// Copies a directory tree, with its holes.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
