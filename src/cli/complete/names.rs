//! What is on a remote, by name: asked of the remote with a deadline, and kept for a minute.

use crate::config::value::parse_duration;
use crate::config::{Dirs, Environment, write_private};
use crate::escape;
use serde_json::Value;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a remote may take to answer: a person waits for it between two keys. [`WITHIN`] may set another deadline.
const DEADLINE: Duration = Duration::from_millis(900);

/// The variable of the environment that sets the deadline, for slow lines and machines.
const WITHIN: &str = "DISKFERRY_COMPLETE_WITHIN";

/// How long an answer is used again.
const FRESH: Duration = Duration::from_mins(1);

/// The most bytes of an answer that are read.
const MOST_BYTES: u64 = 4 << 20;

/// The most names that are offered.
const MOST_NAMES: usize = 500;

/// What is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Drive,
    Server,
    Machine,
    Appliance,
}

impl Kind {
    /// Returns what the value of an argument names, such as `REMOTE:DRIVE`, in a command below `group`.
    pub(super) fn of(value: &str, group: &str) -> Option<Self> {
        let words = [("DRIVE", Kind::Drive), ("SERVER", Kind::Server), ("MACHINE", Kind::Machine)];
        match words.iter().find(|(word, _)| value.contains(word)) {
            Some((_, kind)) => Some(*kind),
            None if group == "appliance" => Some(Kind::Appliance),
            None => None,
        }
    }

    /// The command that lists them.
    fn noun(self) -> &'static str {
        match self {
            Kind::Drive => "drive",
            Kind::Server => "server",
            Kind::Machine => "machine",
            Kind::Appliance => "appliance",
        }
    }

    /// The key that names one.
    fn id_key(self) -> &'static str {
        match self {
            Kind::Drive => "drive",
            Kind::Server => "server",
            Kind::Machine => "id",
            Kind::Appliance => "key",
        }
    }
}

/// What completes a word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The name, or the id where the name is taken twice or needs quotes.
    pub(super) word: String,
    /// The other of both, to be shown beside it.
    pub(super) other: String,
}

/// Returns what is on a remote, by name or by id. Nothing is said of what goes wrong.
pub(super) fn on(remote: &str, kind: Kind, by_name: bool, config: Option<&Path>) -> Vec<Name> {
    if !crate::config::is_remote_name(remote) {
        return Vec::new();
    }
    let cache = cache(remote, kind, config);
    let kept = cache.as_deref().and_then(fresh);
    let listed = kept.or_else(|| {
        let listed = ask(remote, kind, config)?;
        if let Some(path) = &cache {
            // Without it, it is asked for again.
            let _ = path.parent().map(std::fs::create_dir_all);
            let _ = write_private(path, &listed);
        }
        Some(listed)
    });
    listed.map(|listed| names(&listed, kind, by_name)).unwrap_or_default()
}

/// The file that keeps an answer.
fn cache(remote: &str, kind: Kind, config: Option<&Path>) -> Option<PathBuf> {
    let env = Environment::process();
    let dirs = Dirs::from_environment(&env).ok()?;
    // One remote in two configuration files is two remotes.
    let config = config.map(Path::to_owned).or_else(|| env.path("DISKFERRY_CONFIG")).unwrap_or_default();
    let config = blake3::hash(config.as_os_str().as_encoded_bytes()).to_hex();
    Some(dirs.state.join("completion").join(format!("{remote}-{}-{}", kind.noun(), &config[..16])))
}

fn fresh(path: &Path) -> Option<String> {
    let age = path.metadata().ok()?.modified().ok()?.elapsed().ok()?;
    if age < FRESH { std::fs::read_to_string(path).ok() } else { None }
}

/// Has this program list them, as a person would, apart from the terminal: it cannot ask for a secret there.
fn ask(remote: &str, kind: Kind, config: Option<&Path>) -> Option<String> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command.args([kind.noun(), "list", &format!("{remote}:"), "--json", "--retries", "0"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().ok()?;
    let mut stdout = child.stdout.take()?;
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut listed = String::new();
        let read = stdout.by_ref().take(MOST_BYTES).read_to_string(&mut listed);
        let _ = tell.send(read.map(|_| listed));
    });
    let listed = told.recv_timeout(deadline()).ok().and_then(Result::ok);
    if listed.is_none() {
        end(&child);
    }
    let ended = child.wait().ok()?;
    listed.filter(|_| ended.success())
}

fn deadline() -> Duration {
    std::env::var(WITHIN).ok().and_then(|text| parse_duration(&text).ok()).unwrap_or(DEADLINE)
}

/// Ends the child and what it has started.
fn end(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

/// The names in a list of objects, one a line.
fn names(listed: &str, kind: Kind, by_name: bool) -> Vec<Name> {
    let objects = listed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let text = |object: &Value, key: &str| object.get(key)?.as_str().map(str::to_owned);
    let all: Vec<(String, String)> = objects
        .filter_map(|object| Some((text(&object, kind.id_key())?, text(&object, "name").unwrap_or_default())))
        .filter(|(id, _)| is_plain(id))
        .take(MOST_NAMES)
        .collect();
    let prefix = if kind == Kind::Appliance { "appliance/" } else { "" };
    all.iter()
        .map(|(id, name)| {
            let times = all.iter().filter(|(_, other)| other == name).count();
            // An appliance is known by its key alone.
            let by_name = by_name && kind != Kind::Appliance && times == 1 && is_plain(name);
            let (word, other) = if by_name { (name, id) } else { (id, name) };
            Name { word: format!("{prefix}{word}"), other: escape::line(other).into_owned() }
        })
        .collect()
}

/// Whether a word stands in a command line as it is.
fn is_plain(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(['-', '.'])
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_completes_if_one_drive_has_it() {
        let listed = r#"{"event":"drive","drive":"1","name":"web"}
{"event":"drive","drive":"2","name":"db"}
{"event":"drive","drive":"3","name":"db"}
{"event":"drive","drive":"4","name":"two words"}
{"event":"warning","message":"x"}
{"event":"drive","drive":"$(x)","name":"y"}
not json"#;
        let words: Vec<String> = names(listed, Kind::Drive, true).into_iter().map(|name| name.word).collect();
        assert_eq!(words, ["web", "2", "3", "4"]);
        assert_eq!(names(listed, Kind::Drive, false)[0], Name { word: "1".into(), other: "web".into() });
        let listed = r#"{"key":"K1","name":"ubuntu"}"#;
        assert_eq!(
            names(listed, Kind::Appliance, true),
            [Name { word: "appliance/K1".into(), other: "ubuntu".into() }]
        );
    }

    #[test]
    fn the_argument_says_what_is_completed() {
        assert_eq!(Kind::of("REMOTE:[DRIVE]", "upload"), Some(Kind::Drive));
        assert_eq!(Kind::of("REMOTE:SERVER", "server"), Some(Kind::Server));
        assert_eq!(Kind::of("REMOTE:appliance/KEY", "appliance"), Some(Kind::Appliance));
        assert_eq!(Kind::of("REMOTE:KEY", "key"), None);
    }
}
