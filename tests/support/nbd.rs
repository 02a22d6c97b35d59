//! Third-party NBD servers for tests. Each listens on a unix socket in the test's directory and ends with the
//! test.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);

/// A server. It is killed when this is dropped.
pub struct NbdServer {
    child: Child,
    socket: PathBuf,
}

impl NbdServer {
    /// Starts qemu-nbd over an image of a format, with more arguments; returns `None` if it is not installed.
    pub fn qemu_nbd(dir: &Path, image: &Path, format: &str, more: &[&str]) -> Option<Self> {
        installed("qemu-nbd")?;
        let socket = dir.join("qemu-nbd.sock");
        let mut command = Command::new("qemu-nbd");
        command.args(["--persistent", "--shared=0", "--discard=unmap", "--format", format, "--socket"]);
        command.arg(&socket).args(more).arg(image);
        Some(Self::start(command, socket))
    }

    /// Starts nbdkit with the arguments that choose its filters and plugin; returns `None` if it is not
    /// installed.
    pub fn nbdkit(dir: &Path, arguments: &[&str]) -> Option<Self> {
        installed("nbdkit")?;
        let socket = dir.join("nbdkit.sock");
        let mut command = Command::new("nbdkit");
        command.args(["--foreground", "--exit-with-parent", "--unix"]).arg(&socket).args(arguments);
        Some(Self::start(command, socket))
    }

    fn start(mut command: Command, socket: PathBuf) -> Self {
        // Its output is shown only if it does not start.
        let log = socket.with_extension("log");
        let errors = std::fs::File::create(&log).expect("the test's directory can be written");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn();
        let mut server = Self { child: child.expect("a server that is installed starts"), socket };
        let start = Instant::now();
        while UnixStream::connect(&server.socket).is_err() {
            let ended = server.child.try_wait().expect("a child can be waited for");
            if ended.is_some() || start.elapsed() > START {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("{command:?} did not start ({ended:?}): {said}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Terminates the server gracefully, so that it writes what it keeps in memory, such as a bitmap.
    #[allow(dead_code, reason = "not every test crate has bitmaps")]
    pub fn end(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()), "kill");
        assert!(self.child.wait().expect("a child can be waited for").success(), "the server ends well");
    }

    /// Returns the path of its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns the URI of an export.
    pub fn address(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.socket.display())
    }
}

impl Drop for NbdServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Creates an image with qemu-img; returns `None` if it is not installed.
pub fn qemu_img(arguments: &[&str]) -> Option<()> {
    installed("qemu-img")?;
    let output = Command::new("qemu-img").args(arguments).output().expect("qemu-img runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

/// Returns `Some` if a program is installed. If it is not, the test is skipped.
fn installed(program: &str) -> Option<()> {
    match Command::new(program).arg("--version").stdin(Stdio::null()).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            crate::skipped::skipped(&format!("{program} is not installed"));
            None
        }
        _ => Some(()),
    }
}
