//! Obtains a remote's secret: from the configuration, a file, a command, or a variable.
//!
//! It is obtained only when it is needed, so `remote list` does not query a password store. A failure is an
//! authentication error that says what to set. The secret is the first line of a file or of a command's
//! output, because password stores print notes below it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use secrecy::{ExposeSecret, SecretString};

use super::Environment;
use super::remote::Remote;
use crate::provider::catalogue::secret::Redactor;
use crate::{Error, Kind, Result};

/// The most bytes read from a `secret_file` or a command.
const LONGEST: u64 = 64 << 10;

/// Where to get a secret.
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
            SecretSource::Command(command) => from_command(command, env),
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

/// The command's standard input is empty, because ours may be the image.
fn from_command(command: &SecretString, env: &Environment) -> Result<SecretString> {
    let failed = |why: String| {
        Error::new(Kind::Auth, format!("secret_command {why}"))
            .hint("run the command by hand: its first line of output must be the secret")
    };
    let output = Command::new("sh")
        .arg("-c")
        .arg(command.expose_secret())
        .env_clear()
        .envs(env.all())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .and_then(ended)
        .map_err(|e| failed("could not be run".into()).source(e))?;
    if output.stdout.len() as u64 > LONGEST {
        return Err(failed("printed more than the limit of 64 KiB".into()));
    }
    if !output.status.success() {
        return Err(failed(format!("failed ({}){}", output.status, complaint(command, &output))));
    }
    first_line(&output.stdout).ok_or_else(|| failed("printed something that is not UTF-8 text".into()))
}

/// Collects the output of a command until it ends. A command that prints more than the limit is killed.
fn ended(mut child: Child) -> io::Result<Output> {
    fn some(from: Option<impl Read>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(from) = from {
            from.take(LONGEST + 1).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let errors = std::thread::spawn(move || some(stderr));
    let stdout = some(stdout)?;
    if stdout.len() as u64 > LONGEST {
        // It may have ended by itself.
        let _ = child.kill();
    }
    let status = child.wait()?;
    let stderr =
        if stdout.len() as u64 > LONGEST { Vec::new() } else { errors.join().unwrap_or(Ok(Vec::new()))? };
    Ok(Output { status, stdout, stderr })
}

/// Returns the message of a failed command without what may be the secret: its standard output, the words of
/// the command, into which some users write the secret, and messages of the shell, which repeat them.
fn complaint(command: &SecretString, output: &Output) -> String {
    const LONGEST: usize = 500;
    let redactor = Redactor::default();
    redactor.hide(command.expose_secret());
    String::from_utf8_lossy(&output.stdout).lines().take(1).for_each(|line| redactor.hide(line));
    let said = String::from_utf8_lossy(&output.stderr);
    let own = said.lines().filter(|line| !line.starts_with("sh:") && !line.starts_with("/bin/sh:"));
    let said = own.collect::<Vec<_>>().join(" ");
    let said: String = redactor.redact(said.trim()).chars().take(LONGEST).collect();
    match (said.is_empty(), output.status.code()) {
        (false, _) => format!(": {said}"),
        (true, Some(127)) => ": no such command".to_owned(),
        (true, Some(126)) => ": it cannot be executed".to_owned(),
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
        Ok(())
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
