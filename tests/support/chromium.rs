//! Debian's Chromium without a window: the DOM and the rendering of a page.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The longest that a page may take to render.
const LONGEST: Duration = Duration::from_mins(2);

/// A browser with a profile of its own.
pub struct Chromium {
    program: &'static str,
    profile: PathBuf,
}

/// The user's preferred colour scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Light,
    Dark,
}

impl Chromium {
    /// Finds the browser, with its profile in `directory`; returns `None` if it is not installed.
    pub fn find(directory: &Path) -> Option<Self> {
        let there = |program: &&str| {
            Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success())
        };
        let Some(program) = ["chromium", "chromium-browser"].into_iter().find(there) else {
            crate::skipped::skipped("chromium is not installed (Debian: chromium)");
            return None;
        };
        Some(Self { program, profile: directory.join("chromium") })
    }

    /// Returns the page's DOM after the browser has loaded it.
    pub fn dom(&self, page: &Path) -> String {
        let output = self.run(Scheme::Light, 1280, &["--dump-dom"], page);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Saves a PNG screenshot of the page to `to`, `width` pixels wide.
    pub fn screenshot(&self, page: &Path, width: u32, scheme: Scheme, to: &Path) {
        self.run(scheme, width, &[&format!("--screenshot={}", to.display())], page);
        assert!(to.exists(), "there is no picture of {}", page.display());
    }

    fn run(&self, scheme: Scheme, width: u32, what: &[&str], page: &Path) -> Output {
        let mut command = Command::new(self.program);
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--force-device-scale-factor=1",
            ])
            .arg(format!("--user-data-dir={}", self.profile.display()))
            .arg(format!("--window-size={width},2000"));
        if scheme == Scheme::Dark {
            command.args(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"]);
        }
        command.args(what).arg(format!("file://{}", page.display()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let (pid, start) = (child.id(), Instant::now());
        let waiting = std::thread::spawn(move || child.wait_with_output());
        while !waiting.is_finished() {
            if start.elapsed() > LONGEST {
                let _ = Command::new("kill").arg("-9").arg(pid.to_string()).status();
                panic!("chromium did not end in {LONGEST:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = waiting.join().unwrap().unwrap();
        assert!(output.status.success(), "chromium failed: {}", output.status);
        output
    }
}
