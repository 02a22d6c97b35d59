//! A home with a configuration for one test, and the binary under watch: how long it takes and how much memory.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The drive that every server here has.
pub const DRIVE: &str = "11111111-1111-4111-8111-111111111111";

/// What a transfer may take, and whatever else there is no reason to hold.
pub const BUDGET_KIB: u64 = 64 << 10;

pub struct World {
    dir: TempDir,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// The most memory that was resident, in KiB.
    pub peak_kib: u64,
    pub took: Duration,
}

impl World {
    /// `oh:` is an Open Hosting at this address, `spot:` a `SpotCloud`.
    pub fn new(url: &str) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        let text = format!(
            "[remotes.oh]\nprovider = \"openhosting\"\nurl = \"{url}\"\nuser = \"u\"\nsecret = \"s\"\n\
             [remotes.spot]\nprovider = \"spotcloud\"\nurl = \"{url}\"\nconsumer_key = \"k\"\n\
             consumer_secret = \"s\"\ntoken = \"t\"\ntoken_secret = \"s\"\n"
        );
        let path = world.path("config.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        world
    }

    /// Has `oh:` trust this authority, in PEM.
    pub fn trust(&self, pem: &str) {
        std::fs::write(self.path("ca.pem"), pem).unwrap();
        let path = self.path("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let line = format!("[remotes.oh]\nca_file = \"{}\"", self.path("ca.pem").display());
        std::fs::write(&path, text.replace("[remotes.oh]", &line)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of this many bytes that are not zero.
    pub fn image(&self, size: usize) -> String {
        let path = self.path("image");
        std::fs::write(&path, vec![7; size]).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs to the end, which has to come within the limit.
    pub fn run(&self, limit: Duration, args: &[&str]) -> Ended {
        self.run_within(limit, BUDGET_KIB, args)
    }

    /// The same with another budget of memory.
    pub fn run_within(&self, limit: Duration, budget_kib: u64, args: &[&str]) -> Ended {
        let start = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_diskferry"))
            .args(args)
            .env_clear()
            .env("HOME", self.dir.path())
            .env("DISKFERRY_CONFIG", self.path("config.toml"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let read = |mut pipe: Box<dyn Read + Send>| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                pipe.read_to_end(&mut text).unwrap();
                String::from_utf8_lossy(&text).into_owned()
            })
        };
        let stdout = read(Box::new(child.stdout.take().unwrap()));
        let stderr = read(Box::new(child.stderr.take().unwrap()));
        let status = PathBuf::from(format!("/proc/{}/status", child.id()));
        let (mut peak_kib, mut over) = (0, false);
        let code = loop {
            // The high-water mark only grows: the last look before the end has it.
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            peak_kib =
                peak_kib.max(mark.and_then(|mark| mark.trim().split(' ').next()?.parse().ok()).unwrap_or(0));
            if let Some(status) = child.try_wait().unwrap() {
                break status.code().unwrap_or(-1);
            }
            // Far beyond its budget it is not let go on: the machine is others', too.
            if start.elapsed() > limit || peak_kib > 8 * budget_kib {
                over = true;
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        let ended = Ended { code, stdout, stderr, peak_kib, took: start.elapsed() };
        eprintln!("{args:?}: exit {code}, {} KiB, {:?}\n{}", ended.peak_kib, ended.took, ended.stderr);
        assert!(!over, "{args:?} was ended after {:?} with {peak_kib} KiB: {}", ended.took, ended.stderr);
        assert!(peak_kib < budget_kib, "{args:?} took {peak_kib} KiB");
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        ended
    }
}

impl Ended {
    /// It failed with this status, and says all of this.
    #[track_caller]
    pub fn failed(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, code, "{}", self.stderr);
        for text in says {
            assert!(self.stderr.contains(text), "{text:?} is not in {}", self.stderr);
        }
    }
}
