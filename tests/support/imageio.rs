//! The oVirt image server (ovirt-imageio) and qemu-nbd as its storage, for tests: real ones on loopback and in directories of
//! their own, ended with the test. Nothing of the crate is needed here.
#![allow(dead_code, reason = "each suite uses a part")]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to start, on a busy machine.
const START: Duration = Duration::from_mins(1);

/// Runs the server as its program does, and has it log where writes begin and end, which it does not by itself. Each takes
/// `WRITE_TAKES` seconds at least, so that two that may overlap do. It ends with this process, whose end closes its standard
/// input.
const RUN: &str = r"
import logging, os, sys, threading, time
from ovirt_imageio._internal import ops, server

log = logging.getLogger('test')
takes = float(os.environ.get('WRITE_TAKES', '0'))

def watched(run, name):
    def watched_run(self):
        log.info('BEGIN %s offset=%d size=%d', name, self.offset, self.size)
        try:
            time.sleep(takes)
            return run(self)
        finally:
            log.info('END %s offset=%d', name, self.offset)
    return watched_run

ops.Write._run = watched(ops.Write._run, 'WRITE')
ops.Zero._run = watched(ops.Zero._run, 'ZERO')

def end_with_the_test():
    sys.stdin.buffer.read()
    os._exit(0)

threading.Thread(target=end_with_the_test, daemon=True).start()
server.main()
";

/// Where a program is that a variable names, or PATH has, or that tests/clients/pypi has installed below target/.
fn find(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file());
    let installed = || {
        let test = std::env::current_exe().ok()?;
        let below = |dir: &Path| dir.join("clients-ovirt/bin").join(name);
        test.ancestors().map(below).find(|path| path.is_file())
    };
    in_path.or_else(installed)
}

/// Skips the test, for want of a server.
fn missing(name: &str) {
    crate::skipped::skipped(&format!("{name} is not installed"));
}

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("diskferry-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that is killed with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a server is to be.
#[derive(Default)]
pub struct Setup<'a> {
    /// A certificate and its key in PEM, for https.
    pub tls: Option<(&'a str, &'a str)>,
    /// Whether it listens on a unix socket too.
    pub local: bool,
    /// How long each write takes at least.
    pub write_takes: Duration,
}

/// A running image server.
pub struct ImageServer {
    process: Process,
    dir: Dir,
    port: u16,
    tls: bool,
}

impl ImageServer {
    /// Starts one; `None` where it is not installed.
    pub fn start(setup: &Setup<'_>) -> Option<Self> {
        let Some(program) = find("DISKFERRY_OVIRT_IMAGEIO", "ovirt-imageio") else {
            missing("ovirt-imageio");
            return None;
        };
        let dir = Dir::new();
        let at = |name: &str| dir.0.join(name).display().to_string();
        fs::create_dir_all(dir.0.join("conf.d")).unwrap();
        let mut config = format!(
            "[daemon]\nsystemd_enable = false\ndrop_privileges = false\npoll_interval = 0.05\nrun_dir = {}\n\
             [remote]\nhost = 127.0.0.1\nport = 0\n[control]\ntransport = unix\nsocket = {}\n\
             [local]\nenable = {}\nsocket = {}\n[logger_root]\nlevel = DEBUG\n[handler_logfile]\n\
             keyword__class = logging.FileHandler\nargs = (\"{}\",)\nkwargs = {{}}\n",
            at(""),
            at("control"),
            setup.local,
            at("local"),
            at("log"),
        );
        match setup.tls {
            Some((certificate, key)) => {
                fs::write(dir.0.join("cert.pem"), certificate).unwrap();
                fs::write(dir.0.join("key.pem"), key).unwrap();
                let (certificate, key) = (at("cert.pem"), at("key.pem"));
                write!(config, "[tls]\nenable = true\ncert_file = {certificate}\nkey_file = {key}\n")
                    .unwrap();
            }
            None => config.push_str("[tls]\nenable = false\n"),
        }
        fs::write(dir.0.join("conf.d/50-test.conf"), config).unwrap();
        let errors = fs::File::create(dir.0.join("stderr")).unwrap();
        let child = Command::new(program.with_file_name("python3"))
            .args(["-c", RUN, "-c"])
            .arg(&dir.0)
            .env("WRITE_TAKES", setup.write_takes.as_secs_f64().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut process = Process(child);
        let until = Instant::now() + START;
        let port = loop {
            let log = fs::read_to_string(dir.0.join("log")).unwrap_or_default();
            if log.contains("Ready for requests") {
                break port_in(&log);
            }
            let ended = process.0.try_wait().unwrap();
            let errors = || fs::read_to_string(dir.0.join("stderr")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < until, "no start: {log}{}", errors());
            std::thread::sleep(Duration::from_millis(20));
        };
        Some(Self { process, dir, port, tls: setup.tls.is_some() })
    }

    /// The URL of its images.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/images/", if self.tls { "https" } else { "http" }, self.port)
    }

    /// Its socket on this machine, if it has one.
    pub fn local_socket(&self) -> PathBuf {
        self.dir.0.join("local")
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// A place for a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.0.join(name)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.0.join("log")).unwrap()
    }

    /// Makes a ticket: its id, the image's size, where the image is, and what it allows (`"read"`, `"write"`).
    pub fn ticket(&self, id: &str, size: u64, url: &str, ops: &[&str]) {
        self.ticket_for(id, size, url, ops, 300);
    }

    /// The same, for so many seconds after its last use.
    pub fn ticket_for(&self, id: &str, size: u64, url: &str, ops: &[&str], timeout: u32) {
        let ops = ops.iter().map(|op| format!("\"{op}\"")).collect::<Vec<_>>().join(",");
        let json = format!(
            r#"{{"uuid":"{id}","size":{size},"url":"{url}","timeout":{timeout},"sparse":true,"ops":[{ops}]}}"#
        );
        self.control("PUT", id, &json, 200);
    }

    /// One of an incremental backup: the server tells what was written since the checkpoint's bitmap began.
    #[allow(dead_code, reason = "not every test crate has incremental backups")]
    pub fn incremental_ticket(&self, id: &str, size: u64, url: &str) {
        let json = format!(
            r#"{{"uuid":"{id}","size":{size},"url":"{url}","timeout":300,"sparse":true,"dirty":true,"ops":["read"]}}"#
        );
        self.control("PUT", id, &json, 200);
    }

    /// Takes a ticket back.
    pub fn cancel(&self, id: &str) {
        self.control("DELETE", id, "", 204);
    }

    fn control(&self, method: &str, id: &str, body: &str, status: u16) {
        let mut control = UnixStream::connect(self.dir.0.join("control")).unwrap();
        let len = body.len();
        write!(
            control,
            "{method} /tickets/{id} HTTP/1.1\r\nHost: control\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        control.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {body}: {answer}");
    }
}

fn port_in(log: &str) -> u16 {
    let line = log.lines().find(|line| line.contains("remote.service listening on")).unwrap();
    let digits: Vec<&str> =
        line.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    digits.last().unwrap().parse().unwrap()
}

/// qemu-nbd with one export, as oVirt runs it for its image server.
pub struct QemuNbd {
    _process: Process,
    dir: Dir,
}

impl QemuNbd {
    /// Exports a new image of `size` bytes in `format` (`raw`, `qcow2`), `options` being those of `qemu-img create -o`;
    /// `None` where QEMU is not installed.
    pub fn start(format: &str, size: u64, options: &str) -> Option<Self> {
        Self::start_with(format, size, options, None)
    }

    /// The same with a dirty bitmap of that name, which begins now.
    #[allow(dead_code, reason = "not every test crate has bitmaps")]
    pub fn start_with_bitmap(size: u64, bitmap: &str) -> Option<Self> {
        Self::start_with("qcow2", size, "", Some(bitmap))
    }

    fn start_with(format: &str, size: u64, options: &str, bitmap: Option<&str>) -> Option<Self> {
        let (Some(nbd), Some(img)) =
            (find("DISKFERRY_QEMU_NBD", "qemu-nbd"), find("DISKFERRY_QEMU_IMG", "qemu-img"))
        else {
            missing("qemu-nbd");
            return None;
        };
        let dir = Dir::new();
        let mut create = Command::new(&img);
        create.args(["create", "-q", "-f", format]);
        if !options.is_empty() {
            create.args(["-o", options]);
        }
        let made = create.arg(dir.0.join("image")).arg(size.to_string()).status().unwrap();
        assert!(made.success());
        let mut serve = Command::new(nbd);
        if let Some(bitmap) = bitmap {
            let add =
                Command::new(img).args(["bitmap", "--add"]).arg(dir.0.join("image")).arg(bitmap).status();
            assert!(add.unwrap().success());
            serve.args(["--bitmap", bitmap]);
        }
        let child = serve
            .args(["--persistent", "--shared=16", "--discard=unmap", "-f", format, "--socket"])
            .arg(dir.0.join("socket"))
            .arg(dir.0.join("image"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = Process(child);
        let until = Instant::now() + START;
        while UnixStream::connect(dir.0.join("socket")).is_err() {
            assert!(
                process.0.try_wait().unwrap().is_none() && Instant::now() < until,
                "qemu-nbd does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { _process: process, dir })
    }

    /// Where the image is, for a ticket.
    pub fn url(&self) -> String {
        format!("nbd:unix:{}", self.dir.0.join("socket").display())
    }
}

/// The most writes that were under way at a time, by the log of the server, and how many there were.
pub fn overlapping(log: &str) -> (usize, usize) {
    let (mut now, mut most, mut all) = (0_usize, 0, 0);
    for line in log.lines() {
        if line.contains("BEGIN WRITE") || line.contains("BEGIN ZERO") {
            now += 1;
            all += 1;
            most = most.max(now);
        } else if line.contains("END WRITE") || line.contains("END ZERO") {
            now -= 1;
        }
    }
    (most, all)
}
