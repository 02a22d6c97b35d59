//! Drives that an interrupted run made and that starting over leaves unused: they cost money, so the user is told of each,
//! and asked whether to destroy it. That is done once the new transfer is over and has succeeded.

use super::output::Output;
use super::prompt;
use super::session::OpenRemote;
use super::signals::quoted;
use crate::config::Dirs;
use crate::error::Result;
use crate::journal::{Destination, Destinations};
use crate::provider::catalogue::{Arguments, Call};
use crate::transport::calls::Calls;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The drives that starting over leaves unused. Clones are the same.
#[derive(Clone)]
pub struct Leftovers {
    /// The configuration file, if one was named.
    config: Option<PathBuf>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    consent: Consent,
    /// Those that are to be destroyed: the remote and the drive.
    agreed: Vec<(String, String)>,
}

/// Whether the user wants them destroyed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consent {
    /// Only told.
    #[default]
    No,
    /// Asked for at the terminal, if there is one.
    Ask,
    /// Given, by `--yes`.
    Yes,
}

impl Leftovers {
    /// None so far. `config`: the configuration file, if one was named.
    pub fn new(config: Option<PathBuf>) -> Self {
        Self { config, state: Arc::default() }
    }

    /// Sets whether they may be destroyed.
    pub fn allow(&self, consent: Consent) {
        self.lock().consent = consent;
    }

    /// Tells of a drive, and asks about it if that is wanted and `may_ask`.
    pub fn tell(&self, remote: &str, drive: &str, may_ask: bool, output: &Output) {
        let mut state = self.lock();
        let target = format!("{remote}:{drive}");
        if state.consent == Consent::Yes {
            output.note(&format!(
                "{target}, which the interrupted run made, is destroyed once this transfer is done"
            ));
            state.agreed.push((remote.to_owned(), drive.to_owned()));
            return;
        }
        output.warn(&format!(
            "{target}, which the interrupted run made, is left unused; destroy it with `{}`",
            command(self.config.as_deref(), &["drive", "destroy", &target])
        ));
        let asks =
            may_ask && state.consent == Consent::Ask && output.draws_bars() && std::io::stdin().is_terminal();
        if asks && agrees(&format!("destroy {target} once this transfer is done? [y/N]")) {
            state.agreed.push((remote.to_owned(), drive.to_owned()));
        }
    }

    /// Destroys those of a remote that the user agreed to. What fails is a warning: the transfer is done.
    pub async fn destroy(&self, end: &OpenRemote, dirs: &Dirs, output: &Output) {
        let all = std::mem::take(&mut self.lock().agreed);
        let (mine, others) = all.into_iter().partition(|(remote, _)| *remote == end.remote);
        self.lock().agreed = others;
        let mine: Vec<(String, String)> = mine;
        for (remote, drive) in mine {
            match destroy(end, &drive, dirs).await {
                Ok(()) => output.note(&format!("destroyed drive {remote}:{drive}")),
                Err(error) => output.warn(&format!("drive {remote}:{drive} was not destroyed: {error}")),
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn destroy(end: &OpenRemote, drive: &str, dirs: &Dirs) -> Result<()> {
    let client = end.client()?.clone();
    let arguments = Arguments { path: vec![drive.to_owned()], ..Arguments::default() };
    let request = Call::find(client.provider(), "drives.destroy")?.request(&arguments)?;
    // No other run writes there meanwhile, nor builds on what was there.
    let destinations = Destinations::new(dirs.destinations());
    let mut claim = destinations.claim(&Destination::disk(&end.account, drive, "drive"))?;
    claim.raise()?;
    Calls::new(client, end.retry.clone()).send(&request).await.map(drop)
}

/// Asks at the terminal; anything but `y` or `yes` is a no.
fn agrees(question: &str) -> bool {
    let answer = prompt::line(question).ok().flatten().unwrap_or_default();
    matches!(&*answer.to_lowercase(), "y" | "yes")
}

/// A command of this program, as a shell takes it, with the same configuration.
pub fn command(config: Option<&Path>, words: &[&str]) -> String {
    let mut all = vec!["diskferry".to_owned()];
    if let Some(config) = config {
        all.extend(["--config".to_owned(), quoted(&config.display().to_string())]);
    }
    all.extend(words.iter().map(|word| quoted(word)));
    all.join(" ")
}
