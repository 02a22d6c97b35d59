//! Obtains a remote's secret: from the configuration, a file, a command, or a variable.
//!
//! It is obtained only when it is needed, so `remote list` does not query a password store. A failure is an
//! authentication error that says what to set. The secret is the first line of a file or of a command's
//! output, because password stores print notes below it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};

use super::Environment;
use super::remote::Remote;
use crate::provider::catalogue::secret::Redactor;
use crate::{Error, Kind, Result};

/// The most bytes read from a `secret_file` or a command.
const LONGEST: u64 = 64 << 10;

/// How long a `secret_command` may take: somebody may have to type the passphrase of a password store.
const DEADLINE: Duration = Duration::from_mins(2);

/// The way to a secret.
#[derive(Clone, Debug, Default)]
pub(super) enum SecretSource {
    /// Nowhere: the remote has none.
    #[default]
    None,
    /// In the configuration.
    Value(SecretString),
    /// The first line of a file.
    File(PathBuf),
    /// The first line of a command's output.
    Command(SecretString),
    /// The part after the colon in a variable, `USER:SECRET`.
    Variable(&'static str),
}

impl Remote {
    /// Returns the secret that belongs to the user: an API key or a password. Every call obtains it again,
    /// which may run a command.
    pub fn secret(&self, env: &Environment) -> Result<SecretString> {
        let secret = match &self.secret {
            SecretSource::None => {
                return Err(Error::new(Kind::Auth, "no secret is configured")
                    .hint(format!("add secret_command, secret_file or secret to [remotes.{}]", self.name))
                    .context(format_args!("remote {} ({})", self.name, self.origin)));
            }
            SecretSource::Value(secret) => Ok(secret.clone()),
            SecretSource::File(path) => from_file(path),
            SecretSource::Command(command) => from_command(command, env, DEADLINE),
            SecretSource::Variable(name) => from_variable(name, env),
        };
        secret
            .and_then(|secret| {
                if secret.expose_secret().is_empty() {
                    return Err(Error::new(Kind::Auth, "the secret is empty")
                        .hint("the secret is the first line of the file or of the command's output"));
                }
                Ok(secret)
            })
            .map_err(|e| e.context(format_args!("remote {} ({})", self.name, self.origin)))
    }

    /// Returns whether a secret is configured.
    pub fn has_secret(&self) -> bool {
        !matches!(self.secret, SecretSource::None)
    }

    /// Returns where the secret comes from, for display.
    pub fn secret_source(&self) -> String {
        match &self.secret {
            SecretSource::None => "none".into(),
            SecretSource::Value(_) => "secret (hidden)".into(),
            SecretSource::File(path) => format!("secret_file {}", path.display()),
            SecretSource::Command(_) => "secret_command (hidden)".into(),
            SecretSource::Variable(name) => format!("{name} (hidden)"),
        }
    }
}

fn from_file(path: &Path) -> Result<SecretString> {
    let failed = |why: &str| {
        Error::new(Kind::Auth, format!("cannot read the secret from secret_file {}{why}", path.display()))
            .hint("the secret is the first line of the file")
    };
    let file = File::open(path).map_err(|e| failed("").source(e))?;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|e| failed("").source(e))?;
    if bytes.len() as u64 > LONGEST {
        return Err(failed(": it is larger than the 64 KiB limit"));
    }
    first_line(&bytes).ok_or_else(|| failed(": it is not UTF-8 text"))
}

/// Runs the command with an empty standard input, since ours may be the image, until `deadline`. What it says on standard
/// error is shown once it has failed: until then it may be asking something, and asks at the terminal itself.
fn from_command(command: &SecretString, env: &Environment, deadline: Duration) -> Result<SecretString> {
    let failed = |why: String| {
        Error::new(Kind::Auth, format!("secret_command {why}"))
            .hint("run the command in a shell: the first line of its output must be the secret")
    };
    let spawned = Command::new("sh")
        .arg("-c")
        .arg(command.expose_secret())
        .env_clear()
        .envs(env.all())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let ended = spawned.and_then(|child| Running::new(child).end(Instant::now() + deadline));
    let Ended { status, stdout, stderr } = ended.map_err(|e| failed("could not be run".into()).source(e))?;
    let complaint = complaint(command, status, &stdout, &stderr);
    if stdout.len() as u64 > LONGEST {
        return Err(failed("printed more than 64 KiB, which is no secret".into()));
    }
    match status {
        None => Err(failed(format!("did not end within {}{complaint}", crate::units::time(deadline)))),
        Some(status) if !status.success() => Err(failed(format!("failed ({status}){complaint}"))),
        Some(_) => first_line(&stdout)
            .ok_or_else(|| failed(format!("printed something that is not UTF-8 text{complaint}"))),
    }
}

/// A command that runs, and what it prints.
struct Running {
    child: Child,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
}

/// How a command has ended, and what it has printed.
struct Ended {
    /// `None` if it was killed at its deadline.
    status: Option<ExitStatus>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// How often it is looked whether a command has ended.
const LOOK: Duration = Duration::from_millis(10);

/// How long what a command has printed is waited for once it has ended: a program that it left behind may hold the pipe open.
const DRAIN: Duration = Duration::from_secs(5);

impl Running {
    fn new(mut child: Child) -> Self {
        let (stdout, stderr) = (read_aside(child.stdout.take()), read_aside(child.stderr.take()));
        Self { child, stdout, stderr }
    }

    /// Waits for the end; a command that prints on and on, or that runs past `deadline`, is killed.
    fn end(mut self, deadline: Instant) -> io::Result<Ended> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let status = loop {
            take(&self.stdout, &mut stdout);
            take(&self.stderr, &mut stderr);
            if let Some(status) = self.child.try_wait()? {
                break Some(status);
            }
            if Instant::now() >= deadline || stdout.len() as u64 > LONGEST {
                // It may have ended by itself.
                let _ = self.child.kill();
                self.child.wait()?;
                break None;
            }
            std::thread::sleep(LOOK);
        };
        let until = Instant::now() + DRAIN;
        for (from, to) in [(&self.stdout, &mut stdout), (&self.stderr, &mut stderr)] {
            while let Ok(piece) = from.recv_timeout(until.saturating_duration_since(Instant::now())) {
                to.extend(piece);
            }
        }
        Ok(Ended { status, stdout, stderr })
    }
}

fn take(from: &Receiver<Vec<u8>>, to: &mut Vec<u8>) {
    to.extend(from.try_iter().flatten());
}

/// Reads a pipe on a thread of its own, as far as that is a secret or an error. The thread ends with the pipe, which nobody
/// waits for.
fn read_aside(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (pieces, received) = channel();
    if let Some(pipe) = pipe {
        std::thread::spawn(move || {
            let (mut pipe, mut piece) = (pipe.take(LONGEST + 1), [0; 4096]);
            while let Ok(read @ 1..) = pipe.read(&mut piece) {
                if pieces.send(piece[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
    }
    received
}

/// What a command that failed has said, without what may be the secret: what it has printed, the words that some people write
/// the secret into, and what the shell says, which repeats them.
fn complaint(command: &SecretString, status: Option<ExitStatus>, stdout: &[u8], stderr: &[u8]) -> String {
    const LONGEST: usize = 500;
    let redactor = Redactor::default();
    redactor.hide(command.expose_secret());
    String::from_utf8_lossy(stdout).lines().take(1).for_each(|line| redactor.hide(line));
    let said = String::from_utf8_lossy(stderr);
    let own = said.lines().filter(|line| !line.starts_with("sh:") && !line.starts_with("/bin/sh:"));
    let said = own.collect::<Vec<_>>().join(" ");
    let said: String = redactor.redact(said.trim()).chars().take(LONGEST).collect();
    match (said.is_empty(), status.and_then(|status| status.code())) {
        (false, _) => format!(", and said: {said}"),
        (true, Some(127)) => ": command not found".to_owned(),
        (true, Some(126)) => ": permission denied".to_owned(),
        (true, _) => String::new(),
    }
}

fn from_variable(name: &str, env: &Environment) -> Result<SecretString> {
    let wrong = |why: &str| {
        Error::new(Kind::Auth, format!("{name} {why}"))
            .hint(format!("set {name}=USER:SECRET, your user UUID and your secret API key"))
    };
    let value = env.get(name).ok_or_else(|| wrong("is not set"))?;
    let (_, secret) = value.split_once(':').ok_or_else(|| wrong("has no colon between user and secret"))?;
    Ok(secret.into())
}

fn first_line(bytes: &[u8]) -> Option<SecretString> {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Some(std::str::from_utf8(line).ok()?.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::Endpoint;
    use crate::provider::Provider;

    fn remote(secret: SecretSource) -> Remote {
        let mut remote = Remote::new("oh", Provider::OpenHosting, Endpoint::Local);
        remote.secret = secret;
        remote
    }

    fn env() -> Environment {
        Environment::from_pairs([("OHAUTH", "me:hun:ter2"), ("WHAT", "from the environment")])
    }

    fn ask(secret: SecretSource) -> Result<String> {
        remote(secret).secret(&env()).map(|s| s.expose_secret().to_owned())
    }

    fn command(text: &str) -> SecretSource {
        SecretSource::Command(text.into())
    }

    #[test]
    fn a_command_gives_its_first_line() -> Result<()> {
        assert_eq!(ask(command("printf 'hunter2\\r\\nnote: x\\n'"))?, "hunter2");
        assert_eq!(ask(command("printf ' a b '"))?, " a b ", "blanks belong to the secret");
        assert_eq!(ask(command("echo \"$WHAT\""))?, "from the environment");
        let cargo = "echo \"${CARGO_MANIFEST_DIR-unset}\"";
        assert_eq!(ask(command(cargo))?, "unset", "the command sees the environment it is given");
        assert_eq!(ask(command("cat; echo x"))?, "x", "standard input is empty");
        // What a command leaves behind holds up nobody.
        let start = Instant::now();
        assert_eq!(ask(command("sleep 60 & echo x"))?, "x");
        assert!(start.elapsed() < Duration::from_secs(30));
        Ok(())
    }

    #[test]
    fn a_command_that_does_not_end_is_ended() {
        let text = "echo hunter2; echo 'waiting for the card' >&2; exec sleep 60".into();
        let start = Instant::now();
        let error = from_command(&text, &env(), Duration::from_millis(300)).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!(error.kind(), Kind::Auth);
        assert_eq!(
            error.to_string(),
            "secret_command did not end within 300 ms, and said: waiting for the card"
        );
    }

    #[test]
    fn a_failing_command_says_why_and_hides_itself() {
        let e = ask(command("echo hunter2; echo 'store is locked' >&2; exit 3")).unwrap_err();
        assert_eq!(e.kind(), Kind::Auth);
        assert!(e.to_string().contains("store is locked") && e.to_string().contains('3'), "{e}");
        assert!(!format!("{e:?}").contains("hunter2"), "{e:?}");
        for (text, says) in [
            ("true", "empty"),
            ("echo", "empty"),
            ("printf '\\377'", "UTF-8"),
            ("cat /dev/zero", "64 KiB"),
            ("yes >&2 | head -n 1; exit 1", "failed"),
        ] {
            let e = ask(command(text)).unwrap_err();
            assert_eq!(e.kind(), Kind::Auth);
            assert!(e.to_string().contains(says), "{e}");
        }
    }

    #[test]
    fn a_file_gives_its_first_line() -> Result<(), Box<dyn std::error::Error>> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(b"hunter2\nmore\n")?;
        assert_eq!(ask(SecretSource::File(file.path().into()))?, "hunter2");
        let e = ask(SecretSource::File("/no/such/file".into())).unwrap_err();
        assert_eq!(e.kind(), Kind::Auth);
        assert!(e.to_string().contains("/no/such/file"), "{e}");
        let e = ask(SecretSource::File("/dev/zero".into())).unwrap_err();
        assert!(e.to_string().contains("64 KiB"), "{e}");
        Ok(())
    }

    #[test]
    fn a_variable_gives_what_follows_its_first_colon() -> Result<()> {
        assert_eq!(ask(SecretSource::Variable("OHAUTH"))?, "hun:ter2");
        for (value, says) in [("", "not set"), ("hunter2", "no colon"), ("me:", "empty")] {
            let env = Environment::from_pairs([("OHAUTH", value)]);
            let e = remote(SecretSource::Variable("OHAUTH")).secret(&env).unwrap_err();
            assert_eq!(e.kind(), Kind::Auth, "{value}");
            assert!(e.to_string().contains(says), "{e}");
            assert!(!format!("{e:?}").contains("hunter2"), "{e:?}");
            assert!(e.hint_text().is_some());
        }
        Ok(())
    }

    #[test]
    fn without_a_way_to_the_secret_the_error_says_what_to_set() {
        let e = ask(SecretSource::None).unwrap_err();
        assert_eq!(e.kind().exit_code(), 4);
        assert!(e.hint_text().unwrap_or_default().contains("secret_command"), "{:?}", e.hint_text());
    }

    #[test]
    fn debug_shows_no_secret() {
        for secret in [SecretSource::Value("hunter2".into()), command("echo hunter2")] {
            let remote = remote(secret);
            let shown = format!("{remote:?} {remote:#?} {}", remote.secret_source());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
