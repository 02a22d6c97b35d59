//! The emulators of one process, one for each listener, steered together: fault rules, clock, log and reset.

use super::clock::SECOND;
use super::log::{Log, Logged};
use super::{Config, Emulator, Faults, RuleInfo, RuleLimits};
use crate::emulator::Dialect;
use chrono::{DateTime, SecondsFormat};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most undocumented forms that are counted separately. A client uses a few; a fuzzer could use any
/// number.
const FORMS: usize = 1000;

/// How often each undocumented form was used, by provider and form.
type Forms = BTreeMap<(&'static str, String), u64>;

/// Called for each finished request, with the undocumented forms in it that were not used before.
pub type Observer = Arc<dyn Fn(Dialect, &Logged, &[&str]) + Send + Sync>;

/// The emulators of one process. They stop when this is dropped.
pub struct Fleet {
    members: Vec<Member>,
    forms: Arc<Mutex<Forms>>,
    observer: Observer,
}

/// One emulator and what is needed to restart it.
pub struct Member {
    config: Config,
    /// The emulator's socket. It stays open during a restart, so that clients wait and are not refused.
    listener: TcpListener,
    url: String,
    running: Mutex<Option<Emulator>>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| &member.url)).finish()
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Member {{ {} }}", self.url)
    }
}

impl Member {
    /// Returns the provider that is emulated.
    pub fn provider(&self) -> Dialect {
        self.config.provider
    }

    /// Returns the base URL, with a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn running(&self) -> MutexGuard<'_, Option<Emulator>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `ask` with the emulator, which is missing only after a reset that failed.
    fn with<T>(&self, ask: impl FnOnce(&Emulator) -> T) -> Option<T> {
        self.running().as_ref().map(ask)
    }

    /// Returns the numbers of faults dealt, of reads and writes refused for their offset, and of silent
    /// faults.
    pub fn counts(&self) -> (u64, u64, u64) {
        self.with(|e| (e.faults_dealt(), e.refusals(), e.silent_faults())).unwrap_or_default()
    }
}

impl Fleet {
    /// Starts an emulator for each configuration. `observer` is called for every finished request.
    ///
    /// # Errors
    /// Returns the index of the configuration whose emulator cannot be started, and the error.
    pub fn start(configs: Vec<Config>, observer: Observer) -> Result<Fleet, (usize, io::Error)> {
        let mut fleet = Fleet { members: Vec::new(), forms: Arc::default(), observer };
        for (at, config) in configs.into_iter().enumerate() {
            let member = fleet.member(config).map_err(|error| (at, error))?;
            fleet.members.push(member);
        }
        Ok(fleet)
    }

    fn member(&self, config: Config) -> io::Result<Member> {
        let listener = TcpListener::bind(config.listen)?;
        let emulator = self.emulator(&listener, &config)?;
        Ok(Member { url: emulator.url(), config, listener, running: Mutex::new(Some(emulator)) })
    }

    fn emulator(&self, listener: &TcpListener, config: &Config) -> io::Result<Emulator> {
        let (provider, observer, forms) =
            (config.provider, Arc::clone(&self.observer), Arc::clone(&self.forms));
        let log = Log::told(Arc::new(move |logged| {
            let new = note_forms(&forms, provider.name(), &logged.undocumented);
            observer(provider, logged, &new);
        }));
        Emulator::start_on(listener.try_clone()?, config.clone(), log)
    }

    /// Returns the emulators.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns the emulators of a provider, or all.
    fn of(&self, provider: Option<Dialect>) -> impl Iterator<Item = &Member> {
        self.members
            .iter()
            .filter(move |member| provider.is_none_or(|provider| provider == member.provider()))
    }

    /// Returns whether a provider is emulated.
    pub fn has(&self, provider: Dialect) -> bool {
        self.of(Some(provider)).next().is_some()
    }

    /// Adds a fault rule to the emulators of a provider, or to all.
    ///
    /// # Errors
    /// Says in one sentence which part of the rule is invalid.
    pub fn add_rule(
        &self,
        provider: Option<Dialect>,
        faults: &Faults,
        limits: &RuleLimits,
    ) -> Result<Vec<(Dialect, u64)>, String> {
        if faults.balance.is_some() {
            return Err("fault `balance` is fixed when the emulator starts: give it to `--faults`".to_owned());
        }
        let mut added = Vec::new();
        for member in self.of(provider) {
            if let Some(id) = member.with(|e| e.dealer.add(faults.clone(), limits.clone())) {
                added.push((member.provider(), id?));
            }
        }
        Ok(added)
    }

    /// Returns all fault rules, in the order in which each emulator applies them.
    pub fn rules(&self) -> Vec<(Dialect, RuleInfo)> {
        let of = |member: &Member| member.with(|e| e.dealer.list()).unwrap_or_default();
        self.members
            .iter()
            .flat_map(|member| of(member).into_iter().map(|rule| (member.provider(), rule)))
            .collect()
    }

    /// Removes a rule; returns false if there is none with this number.
    pub fn remove_rule(&self, provider: Dialect, id: u64) -> bool {
        self.of(Some(provider)).filter(|member| member.with(|e| e.dealer.remove(id)) == Some(true)).count()
            > 0
    }

    /// Removes all rules of a provider, or all rules.
    pub fn clear_rules(&self, provider: Option<Dialect>) {
        for member in self.of(provider) {
            member.with(|e| e.dealer.clear());
        }
    }

    /// Sets the seed of all rules that have no `seed=` of their own.
    pub fn set_seed(&self, seed: u64) {
        for member in &self.members {
            member.with(|e| e.dealer.set_seed(seed));
        }
    }

    /// Advances all clocks.
    pub fn advance(&self, by: Duration) {
        for member in &self.members {
            member.with(|e| e.clock.advance(by));
        }
    }

    /// Makes all clocks run this many times as fast as the machine's.
    pub fn set_time_scale(&self, scale: f64) {
        for member in &self.members {
            member.with(|e| e.clock.set_scale(scale));
        }
    }

    /// Returns what the clocks show, in RFC 3339, and how fast they run.
    pub fn time(&self) -> (String, f64) {
        let read = |member: &Member| member.with(|e| (e.clock.now(), e.clock.scale()));
        let (now, scale) = self.members.iter().find_map(read).unwrap_or((0, 1.0));
        let time = DateTime::from_timestamp(i64::try_from(now / SECOND).unwrap_or(i64::MAX), 0);
        (time.unwrap_or(DateTime::<chrono::Utc>::MAX_UTC).to_rfc3339_opts(SecondsFormat::Secs, true), scale)
    }

    /// Returns the logged requests, oldest first.
    pub fn log(&self, provider: Option<Dialect>) -> Vec<(Dialect, Logged)> {
        let mut all: Vec<(Dialect, Logged)> = self
            .of(provider)
            .flat_map(|member| {
                let log = member.with(Emulator::log).unwrap_or_default();
                log.into_iter().map(|logged| (member.provider(), logged))
            })
            .collect();
        all.sort_by_key(|(_, logged)| logged.time);
        all
    }

    /// Removes the logged requests.
    pub fn clear_log(&self) {
        for member in &self.members {
            member.with(|e| e.log.clear());
        }
    }

    /// Returns how often each undocumented form was used: provider, form and count.
    pub fn undocumented(&self) -> Vec<(&'static str, String, u64)> {
        let forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        forms.iter().map(|((provider, form), count)| (*provider, form.clone(), *count)).collect()
    }

    /// Restarts all emulators in their first state: without drives, servers and log, with the faults, clock
    /// and seed that they were started with. Requests under way are cut off; clients that connect meanwhile
    /// wait.
    ///
    /// # Errors
    /// Fails if the data cannot be removed or an emulator cannot be started.
    pub fn reset(&self) -> io::Result<()> {
        // Stop all before removing anything: two may share a directory.
        let mut stopped: Vec<_> = self.members.iter().map(|member| (member, member.running())).collect();
        for (_, running) in &mut stopped {
            running.take();
        }
        for member in &self.members {
            remove(&member.config.data)?;
        }
        self.forms.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for (member, running) in &mut stopped {
            **running = Some(self.emulator(&member.listener, &member.config)?);
        }
        Ok(())
    }
}

/// Removes a directory and its contents, if it exists.
fn remove(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Counts forms, and returns those that were not used before.
fn note_forms<'f>(forms: &Mutex<Forms>, provider: &'static str, used: &'f [String]) -> Vec<&'f str> {
    if used.is_empty() {
        return Vec::new();
    }
    let mut forms = forms.lock().unwrap_or_else(PoisonError::into_inner);
    let mut new = Vec::new();
    for form in used {
        let key = (provider, form.clone());
        if let Some(count) = forms.get_mut(&key) {
            *count += 1;
        } else if forms.len() < FORMS {
            forms.insert(key, 1);
            new.push(&**form);
        }
    }
    new
}
