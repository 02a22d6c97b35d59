//! Drives that an interrupted run made and that starting over leaves unused: they cost money, so the user is told of each,
//! and asked whether to destroy it. That is done once the new transfer is over and has succeeded.

use super::output::Output;
use super::prompt;
use super::session::OpenRemote;
use super::signals::quoted;
use crate::config::Dirs;
use crate::disk::store::Store;
use crate::error::{Error, Kind, Result};
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
    /// Those that are to be destroyed.
    agreed: Vec<Leftover>,
}

/// A drive that starting over leaves unused.
pub struct Leftover {
    /// The name of its remote.
    pub remote: String,
    /// Its id.
    pub drive: String,
    /// The id of the transfer that made it.
    pub transfer: String,
    /// Its generation as a destination, in which that transfer wrote.
    pub generation: Option<String>,
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

    /// Tells of a drive, and asks about it if that is wanted, if `may_ask`, and if the run `may_succeed`: only then it is
    /// destroyed.
    pub fn tell(&self, left: Leftover, may_succeed: bool, may_ask: bool, output: &Output) {
        let mut state = self.lock();
        let target = format!("{}:{}", left.remote, left.drive);
        if may_succeed && state.consent == Consent::Yes {
            output.note(&format!(
                "{target}, which the interrupted run made, is destroyed once this transfer is done"
            ));
            state.agreed.push(left);
            return;
        }
        output.warn(&format!(
            "{target}, which the interrupted run made, is left unused; destroy it with `{}`",
            command(self.config.as_deref(), &["drive", "destroy", &target])
        ));
        let asks = may_ask
            && may_succeed
            && state.consent == Consent::Ask
            && output.draws_bars()
            && std::io::stdin().is_terminal();
        if asks && agrees(&format!("destroy {target} once this transfer is done? [y/N]")) {
            state.agreed.push(left);
        }
    }

    /// Destroys those of a remote that the user agreed to. What fails is a warning: the transfer is done.
    pub async fn destroy(&self, end: &OpenRemote, dirs: &Dirs, output: &Output) {
        let all = std::mem::take(&mut self.lock().agreed);
        let (mine, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|left| left.remote == end.remote);
        self.lock().agreed = others;
        for left in mine {
            let target = format!("{}:{}", left.remote, left.drive);
            match destroy(end, &left, dirs).await {
                Ok(()) => output.note(&format!("destroyed drive {target}")),
                Err(error) => output.warn(&format!("drive {target} was not destroyed: {error}")),
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Destroys a drive, unless somebody has put it to use since the interrupted run.
async fn destroy(end: &OpenRemote, left: &Leftover, dirs: &Dirs) -> Result<()> {
    let Leftover { drive, transfer, generation, .. } = left;
    let client = end.client()?.clone();
    let arguments = Arguments { path: vec![drive.clone()], ..Arguments::default() };
    let request = Call::find(client.provider(), "drives.destroy")?.request(&arguments)?;
    // No other run writes there meanwhile, nor builds on what was there.
    let destinations = Destinations::new(dirs.destinations());
    let mut claim = destinations.claim(&Destination::disk(&end.account, drive, "drive"))?;
    let refused = |why: String| Err(Error::new(Kind::InUse, why));
    if claim.generation() != generation.as_deref() {
        return refused("another run on this machine has written to it since".to_owned());
    }
    let facts = end.drives()?.facts(drive).await?;
    if let Some(users) = facts.in_use {
        return refused(format!("it is in use by {users}"));
    }
    if facts.mark.is_some_and(|mark| mark != *transfer) {
        return refused("it carries the mark of another transfer".to_owned());
    }
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
