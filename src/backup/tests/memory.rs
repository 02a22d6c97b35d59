//! A place in memory whose clock and faults a test controls.

use super::super::place::{Directory, Entry, Meta, OWN, Page, Place, Top};
use crate::disk::Attempt;
use crate::error::{Error, Kind, Result};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Objects in memory, shared by all clones.
#[derive(Clone, Default)]
pub(super) struct MemoryPlace(Arc<Mutex<Objects>>);

#[derive(Default)]
struct Objects {
    all: BTreeMap<String, (Bytes, Duration)>,
    now: Duration,
    /// Calls that fail, and whether they take effect all the same.
    faults: Vec<(String, Kind, bool)>,
    calls: Vec<String>,
    /// In which call the machine sleeps, for how long, and the key suffix of the objects that are deleted
    /// meanwhile.
    sleep: Option<(String, Duration, String)>,
}

impl MemoryPlace {
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Advances the clock.
    pub(super) fn pass(&self, time: Duration) {
        self.lock().now += time;
    }

    /// Makes the next call fail whose description contains `call`. With `done` it takes effect all the same.
    pub(super) fn fail(&self, call: &str, kind: Kind, done: bool) {
        self.lock().faults.push((call.to_owned(), kind, done));
    }

    /// Makes the next call take `time` whose description contains `call`, during which keys with the suffix
    /// `deleted` are deleted.
    pub(super) fn sleep_at(&self, call: &str, time: Duration, deleted: &str) {
        self.lock().sleep = Some((call.to_owned(), time, deleted.to_owned()));
    }

    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        self.lock().all.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.lock().all.contains_key(key)
    }

    pub(super) fn bytes(&self, key: &str) -> Bytes {
        self.lock().all[key].0.clone()
    }

    /// Returns the calls since the last time.
    pub(super) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().calls)
    }

    fn call<T: Send + 'static>(
        &self,
        call: String,
        work: impl FnOnce(&mut Objects) -> Result<T> + Send + 'static,
    ) -> Attempt<T> {
        let this = self.clone();
        Box::pin(async move {
            // Yields to other tasks, as a request does.
            tokio::task::yield_now().await;
            let mut objects = this.lock();
            if let Some((_, time, deleted)) = objects.sleep.take_if(|(at, ..)| call.contains(at.as_str())) {
                objects.now += time;
                objects.all.retain(|key, _| !key.ends_with(&deleted));
            }
            let fault = objects.faults.iter().position(|(what, ..)| call.contains(what.as_str()));
            objects.calls.push(call);
            match fault.map(|at| objects.faults.remove(at)) {
                Some((what, kind, done)) => {
                    if done {
                        work(&mut objects)?;
                    }
                    Err(Error::new(kind, format!("{what} failed as it was told to")))
                }
                None => work(&mut objects),
            }
        })
    }
}

fn time(since: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) + since
}

impl Place for MemoryPlace {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn requests(&self) -> usize {
        4
    }

    fn get(&self, key: &str, limit: u64) -> Attempt<Bytes> {
        let named = key.to_owned();
        self.call(format!("get {key}"), move |objects| {
            let (bytes, _) =
                objects.all.get(&named).ok_or_else(|| Error::new(Kind::NotFound, format!("no {named}")))?;
            if bytes.len() as u64 > limit {
                return Err(Error::new(
                    Kind::Source,
                    format!("{named} is larger than the limit of {limit} bytes"),
                ));
            }
            Ok(bytes.clone())
        })
    }

    fn put(&self, key: &str, bytes: Bytes) -> Attempt<()> {
        let named = key.to_owned();
        self.call(format!("put {key}"), move |objects| {
            let now = objects.now;
            objects.all.insert(named, (bytes, now));
            Ok(())
        })
    }

    fn create(&self, key: &str, bytes: Bytes) -> Attempt<bool> {
        let named = key.to_owned();
        self.call(format!("create {key}"), move |objects| {
            let now = objects.now;
            if objects.all.contains_key(&named) {
                return Ok(false);
            }
            objects.all.insert(named, (bytes, now));
            Ok(true)
        })
    }

    fn head(&self, key: &str) -> Attempt<Option<Meta>> {
        let named = key.to_owned();
        self.call(format!("head {key}"), move |objects| {
            let found = objects.all.get(&named);
            Ok(found.map(|(bytes, at)| Meta { size: bytes.len() as u64, modified: time(*at) }))
        })
    }

    fn top(&self) -> Attempt<Top> {
        self.call("top".to_owned(), |objects| {
            let mut top = Top::default();
            for (key, (bytes, at)) in &objects.all {
                let meta = Meta { size: bytes.len() as u64, modified: time(*at) };
                match key.split_once('/') {
                    None => top.entries.push(Entry { key: key.clone(), meta }),
                    Some((name, _)) if format!("{name}/") != OWN => top.directories.push(name.to_owned()),
                    Some(_) => {}
                }
            }
            top.directories.dedup();
            Ok(top)
        })
    }

    /// Pages of three objects.
    fn list(&self, prefix: &str, from: Option<String>) -> Attempt<Page> {
        let prefix = prefix.to_owned();
        self.call(format!("list {prefix}"), move |objects| {
            let listed = objects.all.iter().filter(|(key, _)| {
                key.starts_with(&prefix)
                    && !(prefix.is_empty() && key.starts_with(OWN))
                    && from.as_ref().is_none_or(|from| *key > from)
            });
            let entry = |(key, (bytes, at)): (&String, &(Bytes, Duration))| Entry {
                key: key.clone(),
                meta: Meta { size: bytes.len() as u64, modified: time(*at) },
            };
            let entries: Vec<Entry> = listed.take(3).map(entry).collect();
            let next = entries.last().filter(|_| entries.len() == 3).map(|entry| entry.key.clone());
            Ok(Page { entries, next })
        })
    }

    fn delete(&self, key: &str) -> Attempt<()> {
        let named = key.to_owned();
        self.call(format!("delete {key}"), move |objects| {
            objects.all.remove(&named);
            Ok(())
        })
    }

    fn sync(&self) -> Attempt<()> {
        Box::pin(async { Ok(()) })
    }

    fn directory(&self) -> Option<&Directory> {
        None
    }
}
