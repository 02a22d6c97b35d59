//! A user's world for one test: a home, a configuration, what the remotes lead to, and the binary.

use diskferry::emulator::{Config, Emulator, Faults};
use diskferry::provider::Provider;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

pub const USER: &str = "22222222-2222-4222-8222-222222222222";
pub const SECRET: &str = "the-secret-of-this-test";

/// Everything goes away with it.
pub struct World {
    dir: TempDir,
}

impl World {
    /// A world without a configuration.
    pub fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A world whose remote `r:` is of this provider and at this address.
    pub fn at(provider: Provider, url: &str) -> Self {
        let world = Self::empty();
        world.configure(provider, url);
        world
    }

    /// Writes the configuration: `r:` is of this provider and at this address.
    pub fn configure(&self, provider: Provider, url: &str) {
        let credentials = if provider == Provider::SpotCloud {
            format!(
                "consumer_key = \"{USER}\"\nconsumer_secret = \"{SECRET}\"\ntoken = \"{USER}\"\ntoken_secret = \"{SECRET}\"\n"
            )
        } else {
            format!("user = \"{USER}\"\nsecret = \"{SECRET}\"\n")
        };
        let text = format!("[remotes.r]\nprovider = \"{provider}\"\nurl = \"{url}\"\n{credentials}");
        let path = self.path("config.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// An emulator of a provider, and a world whose remote `r:` it is.
    pub fn emulated(provider: Provider, faults: &str) -> (Self, Emulator) {
        let world = Self::empty();
        let appliance = world.path("appliance");
        std::fs::write(&appliance, b"appliance").unwrap();
        let appliances = ["own", "spare", "spare2"].map(|key| (key.to_owned(), appliance.clone()));
        let emulator = Emulator::start_logged(Config {
            appliances: if provider == Provider::SpotCloud { appliances.into() } else { Vec::new() },
            faults: Faults::parse(faults).unwrap(),
            ..Config::new(provider, world.path("emulator"), USER, SECRET)
        })
        .unwrap();
        world.configure(provider, &emulator.url());
        (world, emulator)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The binary with arguments, in this world and no other.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("diskferry"));
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
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Ended {
        Ended::new(self.command(args).output().unwrap())
    }

    /// Runs with this on standard input.
    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Ended {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that refuses its input before it reads any closes the pipe.
        let _ = stdin.write_all(input);
        drop(stdin);
        Ended::new(child.wait_with_output().unwrap())
    }

    /// Runs what has to succeed; gives stdout without its last newline.
    pub fn done<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(&self, args: &[S]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{args:?}: {}{}", ended.stdout, ended.stderr);
        ended.stdout.trim_end_matches('\n').to_owned()
    }

    /// A new drive.
    pub fn drive(&self, size: &str) -> String {
        let size = format!("size={size}");
        uuid(&self.done(&["drive", "create", "r:", "name=made", &size]))
    }

    /// A file.
    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }
}

/// stdout has the UUID and nothing else.
pub fn uuid(stdout: &str) -> String {
    assert!(uuid::Uuid::parse_str(stdout).is_ok(), "{stdout:?} is not a UUID and nothing else");
    stdout.to_owned()
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub bytes: Vec<u8>,
}

impl Ended {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    }

    /// The objects of a run with `--json`.
    pub fn objects(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// Checks that it failed with this status and said all of these words.
    pub fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {:?}", self.stderr);
        }
    }
}
