//! The world of a schedule: a home directory, remotes, and the binary.

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

/// A remote. It keeps its address when it is stopped and started.
struct End {
    name: &'static str,
    provider: Provider,
    faults: String,
    appliances: Vec<(String, PathBuf)>,
    emulator: Option<Emulator>,
    address: SocketAddr,
}

/// A temporary home directory with its remotes. All of it is removed on drop.
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

    /// Adds a remote with this name. Its drives are in a directory of the same name.
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

    /// Starts a remote, or restarts it with other faults. What is in flight is lost; the drives remain.
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

    /// Restarts every remote without faults.
    pub fn calm(&mut self) {
        let faulty = self.ends.iter().filter(|end| end.emulator.is_none() || !end.faults.is_empty());
        for name in faulty.map(|end| end.name).collect::<Vec<_>>() {
            self.start(name, "");
        }
    }

    /// Restarts a remote with the faults that it had.
    pub fn restart(&mut self, name: &str) {
        let faults = self.end(name).faults.clone();
        self.start(name, &faults);
    }

    /// Waits until the remotes have carried out what a process that is gone has sent.
    pub fn settle(&self) {
        for emulator in self.ends.iter().filter_map(|end| end.emulator.as_ref()) {
            assert!(emulator.settle(Duration::from_secs(30)), "a far end does not come to rest");
        }
    }

    /// Returns whether there is a remote of this name.
    pub fn has(&self, name: &str) -> bool {
        self.ends.iter().any(|end| end.name == name)
    }

    pub fn foreign(&self, name: &str) -> Foreign {
        Foreign(self.end(name).address)
    }

    /// Returns the file that holds a drive's bytes.
    pub fn drive_file(&self, end: &str, drive: &str) -> PathBuf {
        self.path(end).join("drives").join(format!("{drive}.raw"))
    }

    /// Returns the drives of a remote.
    pub fn drives(&self, end: &str) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.path(end).join("drives")) else { return Vec::new() };
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| name.strip_suffix(".raw").map(str::to_owned)).collect()
    }

    /// Copies all data of a remote.
    pub fn snapshot(&mut self, end: &str) {
        self.stop(end);
        let (from, to) = (self.path(end), self.path(&format!("{end}.older")));
        let _ = std::fs::remove_dir_all(&to);
        copy(&from, &to);
        self.restart(end);
    }

    /// Restores that copy of a remote; returns false if there is none.
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

    /// Returns the journals that exist.
    pub fn journals(&self) -> Vec<PathBuf> {
        let Ok(files) = std::fs::read_dir(self.path(".local/state/diskferry/transfers")) else {
            return Vec::new();
        };
        let mut all: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        all.retain(|path| path.extension().is_some_and(|end| end == "journal"));
        all.sort();
        all
    }

    /// Returns where the preloaded library notes that a rule has acted, for the run that was started last.
    pub fn mark(&self) -> PathBuf {
        self.path(&format!("run-{}.mark", self.runs))
    }

    /// Returns the binary, confined to this world.
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

    /// Runs a command that contacts no server, and asserts that it succeeds.
    pub fn command(&self, args: &[&str]) {
        let mut command = self.binary();
        let ended = command.args(args).output().unwrap();
        assert!(ended.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }

    /// Starts the binary with these rules for its disk, and with standard input from a file if one is given.
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

/// Starts an emulator. Retries, since a connection may have borrowed the port since it stopped.
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

/// Copies a directory tree, and keeps its holes.
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
