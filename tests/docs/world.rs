//! What the commands of a page find: remotes with emulators behind them, drives, and files.

use crate::pages::{Block, Mark, root};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// The remotes, and the providers behind them.
const REMOTES: [(&str, &str); 5] = [
    ("oh", "openhosting"),
    ("cp", "crosspeer"),
    ("cs", "cloudsigma"),
    ("spot", "spotcloud"),
    ("sdc", "joyent"),
];
const USER: &str = "22222222-2222-4222-8222-222222222222";
const SECRET: &str = "the-secret-of-this-test";

/// The longest that a block may take.
const LIMIT: &str = "300";

/// The drives that are there in any case.
const ALWAYS: [(&str, &str); 2] = [("oh", "web-1"), ("oh", "db-1")];

/// A home directory with everything that a section's commands need. The emulators end with it.
pub struct World {
    dir: TempDir,
    server: Child,
    /// The ports that stand for 8700 to 8705, where the documentation has its emulators.
    ports: Vec<u16>,
}

impl World {
    /// A world for the blocks of a section that run.
    pub fn new(blocks: &[Block]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = root().join("testdata/small.ext4");
        std::fs::create_dir(dir.path().join("testdata")).unwrap();
        std::fs::create_dir_all(dir.path().join("srv/reports")).unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_diskferry"), dir.path().join("bin/diskferry"))
            .unwrap();
        std::fs::copy(&image, dir.path().join("testdata/small.ext4")).unwrap();
        let bytes = std::fs::read(&image).unwrap();
        // 8 MiB: two chunks, so that there is something to be parallel about.
        std::fs::write(dir.path().join("server.img"), &bytes[..8 << 20]).unwrap();
        // The size of the image in Open Hosting's manual.
        std::fs::write(dir.path().join("image.raw"), &bytes[..10_000_000]).unwrap();
        std::fs::copy(&image, dir.path().join("disk.img")).unwrap();
        let server = serve(dir.path());
        let mut world = Self { dir, server, ports: free_ports() };
        for (remote, name) in drives_of(blocks) {
            world.make_drive(&remote, &name);
        }
        world.packed_images();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a drive with a name that the section uses.
    fn make_drive(&mut self, remote: &str, name: &str) {
        let to = format!("{remote}:");
        let tags = if remote == "cs" { vec![] } else { vec!["--set", "tags=web nightly"] };
        let args = [&["upload", "--quiet", "server.img", &to, "--name", name][..], &tags].concat();
        let made = self.diskferry(&args);
        assert!(made.status.success(), "{made:?}");
    }

    /// The image as a qcow2, and packed by gzip.
    fn packed_images(&self) {
        let drive = self.diskferry(&["upload", "--quiet", "server.img", "local:"]);
        let drive = format!("local:{}", String::from_utf8(drive.stdout).unwrap().trim());
        let made = self.diskferry(&["download", "--quiet", &drive, "server.qcow2", "--format", "qcow2"]);
        assert!(made.status.success(), "{made:?}");
        let packed = self.script("gzip --keep server.img");
        assert!(packed.status.success(), "{packed:?}");
    }

    fn diskferry(&self, args: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_diskferry")).args(args).output().unwrap()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
            .env("DISKFERRY_CONFIG", self.path("config.toml"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Whether a program is installed where blocks look for it.
    pub fn has(&self, program: &str) -> bool {
        self.script(&format!("command -v {program}")).status.success()
    }

    /// Runs a block without a configuration file.
    pub fn run_unconfigured(&self, script: &str) -> Output {
        self.run(&format!("export DISKFERRY_CONFIG=\"$HOME/new.toml\"\n{script}"))
    }

    /// Runs a block. An emulator that it starts stays for the blocks after it.
    pub fn run(&self, script: &str) -> Output {
        let script = script.replace("/srv/", &format!("{}/srv/", self.dir.path().display()));
        let lines: Vec<_> = script.lines().map(|line| self.line(line)).collect();
        self.script(&lines.join("\n"))
    }

    /// A line of a block with the ports and the emulators of this world.
    fn line(&self, line: &str) -> String {
        let line =
            match line.strip_prefix("diskferry serve ").and_then(|line| line.trim_end().strip_suffix('&')) {
                Some(args) => format!("serve {args}"),
                None => line.to_owned(),
            };
        (8700..)
            .zip(&self.ports)
            .fold(line, |line, (shown, port)| line.replace(&format!(":{shown}"), &format!(":{port}")))
    }

    /// Checks the options and values of a block's `diskferry` commands without doing what they say: behind them stands
    /// `--help`, which comes into effect once everything before it was understood.
    pub fn check_options(&self, script: &str) -> Output {
        let commands: Vec<_> = script
            .replace("\\\n", " ")
            .lines()
            .filter(|line| line.starts_with("diskferry "))
            .map(|line| {
                [" | ", " && ", " > ", " #"]
                    .iter()
                    .fold(line, |line, end| line.split(end).next().unwrap())
                    .to_owned()
            })
            .collect();
        self.script(&format!(
            "diskferry() {{ command diskferry \"$@\" --help >/dev/null; }}\n{}",
            commands.join("\n")
        ))
    }

    fn script(&self, script: &str) -> Output {
        let emulated =
            REMOTES.iter().zip(&self.ports[1..]).map(|((_, of), port)| format!("{of}=127.0.0.1:{port}"));
        let emulated = emulated.collect::<Vec<_>>().join(" ");
        let preamble = include_str!("preamble.sh");
        let path = self.path("block.sh");
        std::fs::write(&path, format!("{preamble}\nEMULATED=({emulated})\n{script}\n")).unwrap();
        self.command("timeout").args([LIMIT, "bash"]).arg(path).output().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.script("if [ -e serve.pid ]; then kill \"$(cat serve.pid)\"; fi");
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Ports that nobody listens on.
fn free_ports() -> Vec<u16> {
    let held: Vec<_> = (0..=REMOTES.len()).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// Starts the emulators and writes the configuration of the remotes.
fn serve(dir: &Path) -> Child {
    let listeners = REMOTES.map(|(_, provider)| format!("{provider}=127.0.0.1:0"));
    let appliance = format!("web={}", dir.join("server.img").display());
    let mut server = Command::new(env!("CARGO_BIN_EXE_diskferry"))
        .arg("serve")
        .args(listeners)
        .args(["--user", USER, "--appliance", &appliance, "--data"])
        .arg(dir.join("emulated"))
        .env_clear()
        .env("HOME", dir)
        .env("DISKFERRY_SERVE_SECRET", SECRET)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut config = String::from("default_remote = \"oh\"\n");
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    for _ in REMOTES {
        let line = lines.next().expect("a listener a line").unwrap();
        let (provider, url) = line.split_once(' ').unwrap();
        let (name, _) = REMOTES.iter().find(|(_, of)| *of == provider).unwrap();
        let credentials = if provider == "spotcloud" {
            format!(
                "consumer_key = \"{USER}\"\nconsumer_secret = \"{SECRET}\"\ntoken = \"{USER}\"\ntoken_secret = \"{SECRET}\""
            )
        } else {
            format!("user = \"{USER}\"\nsecret = \"{SECRET}\"")
        };
        writeln!(config, "[remotes.{name}]\nprovider = \"{provider}\"\nurl = \"{url}\"\n{credentials}")
            .unwrap();
    }
    let path = dir.join("config.toml");
    std::fs::write(&path, config).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    server
}

/// The drives that blocks name and do not make themselves, and those that are always there.
fn drives_of(blocks: &[Block]) -> BTreeSet<(String, String)> {
    let scripts: Vec<_> = blocks
        .iter()
        .filter(|block| !matches!(block.mark, Mark::NoRun(_)))
        .map(|block| &*block.script)
        .collect();
    let text = scripts.join("\n");
    let words = || text.split(|c: char| c.is_whitespace() || "\"'();`".contains(c));
    let made: BTreeSet<_> =
        words().zip(words().skip(1)).filter(|(a, _)| *a == "--name").map(|(_, name)| name).collect();
    words()
        .filter_map(|word| word.split_once(':'))
        .filter(|(remote, _)| ["oh", "cp", "cs"].contains(remote))
        .filter(|(_, name)| !name.is_empty() && !name.starts_with('$') && !made.contains(name))
        .chain(ALWAYS)
        .map(|(remote, name)| (remote.to_owned(), name.to_owned()))
        .collect()
}

#[test]
fn drives_are_those_that_are_named_and_not_made() {
    let block = |script: &str, mark| Block { line: 1, section: 0, mark, script: script.into() };
    let blocks = [
        block(
            "diskferry upload a oh:web && diskferry verify a \"oh:$drive\"\ndiskferry upload a oh: --name new",
            Mark::Run(0),
        ),
        block("diskferry drive info oh:new", Mark::Run(0)),
        block("diskferry download kvm:x oh:elsewhere", Mark::NoRun("r".into())),
    ];
    let drives = drives_of(&blocks);
    let names: Vec<_> = drives.iter().map(|(_, name)| &**name).collect();
    assert_eq!(names, ["db-1", "web", "web-1"]);
}
