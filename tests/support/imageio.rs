//! The oVirt image server (ovirt-imageio) and qemu-nbd as its storage, for tests.
//!
//! They are the real programs, run on loopback and in directories of their own, and they end with the test.
//! Nothing of the crate is needed here.
#![allow(dead_code, reason = "each suite uses a part")]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to start on a busy machine.
const START: Duration = Duration::from_mins(1);

/// Runs the server as its own program does. In addition it logs where writes begin and end. Each write takes
/// at least `WRITE_TAKES` seconds, so that writes that may overlap do. The server ends with this process,
/// whose end closes its standard input.
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

/// Finds a program: named by a variable, on `PATH`, or installed below `target/` by tests/clients/pypi.
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

/// Skips the test because a server is not installed.
fn missing(name: &str) {
    crate::skipped::skipped(&format!("{name} is not installed"));
}

/// A directory that is removed with the test.
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

/// The configuration of a server.
#[derive(Default)]
pub struct Setup<'a> {
    /// A certificate and its key in PEM, for https.
    pub tls: Option<(&'a str, &'a str)>,
    /// Whether it also listens on a unix socket.
    pub local: bool,
    /// The least time that each write takes.
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
    /// Starts a server, or returns `None` if it is not installed.
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

    /// Returns the URL of its images.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/images/", if self.tls { "https" } else { "http" }, self.port)
    }

    /// Returns the path of its unix socket, if it has one.
    pub fn local_socket(&self) -> PathBuf {
        self.dir.0.join("local")
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Returns a path in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.0.join(name)
    }

    /// Returns its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.0.join("log")).unwrap()
    }

    /// Creates a ticket: its id, the image's size, the image's URL, and the allowed operations (`"read"`,
    /// `"write"`).
    pub fn ticket(&self, id: &str, size: u64, url: &str, ops: &[&str]) {
        self.ticket_for(id, size, url, ops, 300);
    }

    /// Creates a ticket that is valid for this many seconds after its last use.
    pub fn ticket_for(&self, id: &str, size: u64, url: &str, ops: &[&str], timeout: u32) {
        let ops = ops.iter().map(|op| format!("\"{op}\"")).collect::<Vec<_>>().join(",");
        let json = format!(
            r#"{{"uuid":"{id}","size":{size},"url":"{url}","timeout":{timeout},"sparse":true,"ops":[{ops}]}}"#
        );
        self.control("PUT", id, &json, 200);
    }

    /// Creates a ticket of an incremental backup: the server reports what was written since the checkpoint's
    /// bitmap began.
    #[allow(dead_code, reason = "not every test crate has incremental backups")]
    pub fn incremental_ticket(&self, id: &str, size: u64, url: &str) {
        let json = format!(
            r#"{{"uuid":"{id}","size":{size},"url":"{url}","timeout":300,"sparse":true,"dirty":true,"ops":["read"]}}"#
        );
        self.control("PUT", id, &json, 200);
    }

    /// Revokes a ticket.
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
    /// Exports a new image of `size` bytes in `format` (`raw`, `qcow2`). `options` are those of `qemu-img
    /// create -o`. Returns `None` if QEMU is not installed.
    pub fn start(format: &str, size: u64, options: &str) -> Option<Self> {
        Self::start_with(format, size, options, None)
    }

    /// Exports a new qcow2 image with a dirty bitmap of that name, which begins now.
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

    /// Returns the image's URL, for a ticket.
    pub fn url(&self) -> String {
        format!("nbd:unix:{}", self.dir.0.join("socket").display())
    }
}

/// Returns the most writes that were in flight at a time, by the server's log, and the number of writes.
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
