//! A person's world: five clouds, a few images, and a shell in which the binary is on the path.

use diskferry::emulator::{Config, Emulator, Faults};
use diskferry::provider::Provider;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const USER: &str = "22222222-2222-4222-8222-222222222222";
const SECRET: &str = "the-secret-of-this-test";

/// The remotes, as the examples of the help have them.
const REMOTES: [(&str, Provider); 5] = [
    ("oh", Provider::OpenHosting),
    ("cp", Provider::Crosspeer),
    ("cs", Provider::CloudSigma),
    ("spot", Provider::SpotCloud),
    ("sdc", Provider::Joyent),
];

/// Everything goes away with it.
pub struct World {
    directory: TempDir,
    emulators: Vec<Emulator>,
}

impl World {
    /// A world with the five remotes, the image `disk.img` and an empty `empty.img`.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("disk.img"), vec![7; 2 << 20]).unwrap();
        std::fs::write(path("empty.img"), "").unwrap();
        std::fs::write(path("appliance"), "appliance").unwrap();
        let key = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/keys/test-rsa.pub");
        std::fs::copy(key, path("id_rsa.pub")).unwrap();
        let mut world = Self { directory, emulators: Vec::new() };
        let mut text = String::new();
        for (name, provider) in REMOTES {
            let url = world.emulate(name, provider, "");
            text += &remote(name, provider, &url);
        }
        world.write_config(&text);
        world
    }

    /// Starts an emulator that deals these faults; returns its address.
    fn emulate(&mut self, name: &str, provider: Provider, faults: &str) -> String {
        let appliances = [("own".to_owned(), self.path("appliance"))];
        let emulator = Emulator::start(Config {
            appliances: if provider == Provider::SpotCloud { appliances.into() } else { Vec::new() },
            faults: Faults::parse(faults).unwrap(),
            ..Config::new(provider, self.path(".clouds").join(name), USER, SECRET)
        })
        .unwrap();
        let url = emulator.url();
        self.emulators.push(emulator);
        url
    }

    /// Adds the remote `bad:`, on which the first chunk always fails.
    pub fn add_bad(&mut self) {
        let url = self.emulate("bad", Provider::OpenHosting, "refuse=0");
        let text = std::fs::read_to_string(self.config()).unwrap();
        self.write_config(&(text + &remote("bad", Provider::OpenHosting, &url)));
    }

    /// Adds a remote whose server accepts connections and never answers.
    pub fn add_silent(&self, name: &str, address: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        self.write_config(&(text + &remote(name, Provider::OpenHosting, &format!("http://{address}/"))));
    }

    fn write_config(&self, text: &str) {
        std::fs::create_dir_all(self.config().parent().unwrap()).unwrap();
        std::fs::write(self.config(), text).unwrap();
        std::fs::set_permissions(self.config(), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.path(".config/diskferry/config.toml")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A command in this world and no other.
    pub fn command(&self, program: &str) -> Command {
        let binary = Path::new(assert_cmd::cargo::cargo_bin!("diskferry")).parent().unwrap();
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.directory.path())
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", binary.display()))
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a line in a shell.
    pub fn run(&self, line: &str) -> Output {
        self.command("sh").args(["-c", line]).output().unwrap()
    }

    /// Runs a line that has to succeed; returns the last line on standard output.
    pub fn done(&self, line: &str) -> String {
        let output = self.run(line);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {stdout}{}", String::from_utf8_lossy(&output.stderr));
        stdout.lines().last().unwrap_or_default().to_owned()
    }

    /// A text of this world as it is in every other: without its directory and ports.
    pub fn comparable(&self, text: &str) -> String {
        let mut text = text.replace(self.directory.path().to_str().unwrap(), "DIR");
        for (n, emulator) in self.emulators.iter().enumerate() {
            text = text.replace(&emulator.address().to_string(), &format!("127.0.0.1:870{}", n + 1));
        }
        text
    }
}

fn remote(name: &str, provider: Provider, url: &str) -> String {
    let mut text = format!("[remotes.{name}]\nprovider = \"{provider}\"\nurl = \"{url}\"\n");
    let _ = if provider == Provider::SpotCloud {
        write!(
            text,
            "consumer_key = \"{USER}\"\nconsumer_secret = \"{SECRET}\"\ntoken = \"{USER}\"\ntoken_secret = \"{SECRET}\"\n"
        )
    } else {
        write!(text, "user = \"{USER}\"\nsecret = \"{SECRET}\"\n")
    };
    text
}
