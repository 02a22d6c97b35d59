//! Several drives in one command: which they are, and how they run beside each other.

mod members;

pub use members::SetOptions;

use super::leftover::Leftovers;
use super::options::TransferOptions;
use super::output::{Output, bytes};
use super::progress::{Group, Progress, per_second};
use super::session::{End, Session, observer};
use super::writing::ResumeOptions;
use crate::config::Object;
use crate::engine::{Context, Route};
use crate::error::{Error, Result};
use crate::event::Summary;
use crate::job::set::{self, AtOnce, Member, SetNotes, Shard};
use crate::job::{Settings, once_free};
use crate::meters::Meters;
use crate::units::time;
use futures_util::future::LocalBoxFuture;
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

/// A member of a set, with what is named on its remote.
#[derive(Clone)]
pub struct Picked {
    /// What it is.
    pub member: Member,
    /// What is named on the remote.
    pub object: Object,
    /// What it is called where room is short: its name, if no other member has the same.
    short: String,
    /// The size in bytes, as a list of the drives has it; 0 if there was no list.
    size: u64,
    /// Which of the remotes it is on.
    end: usize,
}

/// The members of a set that this command is for.
pub struct Set {
    /// In the order of the command, or of the remote's list.
    pub picked: Vec<Picked>,
    /// The same before the shard was taken.
    pub whole: Vec<Member>,
    /// The remotes beside that of the session.
    others: Vec<End>,
    /// What tells the set from every other.
    words: Vec<String>,
}

/// What a member's transfer has, as one of several.
pub struct Running {
    /// Its remote.
    pub end: End,
    /// What transfers need, with counters of its own.
    pub context: Context,
    /// What its job is told.
    pub settings: Settings,
    /// Whether an earlier run of the set has noted it as done.
    pub was_done: bool,
}

/// A member that is done.
pub struct MemberDone {
    /// What is said of it, as in `downloaded to F`.
    pub words: String,
    /// What was done.
    pub summary: Summary,
    /// What goes to standard output, if anything does.
    pub data: Option<String>,
    /// The journal, which stays until the whole set is done.
    pub journal: Option<PathBuf>,
}

/// How a command speaks of its set.
#[derive(Clone, Copy)]
pub struct Verb {
    /// As in `download`.
    pub action: &'static str,
    /// As in `downloaded`.
    pub done: &'static str,
    /// What its members do with their chunks.
    pub route: Route,
}

impl Set {
    fn take(&mut self, shard: Option<Shard>, output: &Output) {
        let Some(shard) = shard else { return };
        self.words.push(format!("--shard {shard}"));
        self.picked.retain(|picked| shard.has(&picked.member.key()));
        output.note(&format!("shard {shard}: {} of {} drives", self.picked.len(), self.whole.len()));
    }

    /// The place of a remote, which is reached if it is the first time.
    async fn remote(&mut self, remote: &str, session: &Session, output: &Output) -> Result<usize> {
        let mut reached = std::iter::once(&session.end).chain(&self.others);
        if let Some(place) = reached.position(|end| end.remote == remote) {
            return Ok(place);
        }
        self.others.push(session.another(remote, output).await?);
        Ok(self.others.len())
    }

    fn end<'e>(&'e self, place: usize, session: &'e Session) -> &'e End {
        place.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&session.end)
    }

    /// Runs all members and sums up; `begin` starts one, and ends with nothing if only the plan was wanted.
    pub async fn run<'a>(
        &'a self,
        verb: Verb,
        options: &'a TransferOptions,
        resume: ResumeOptions,
        session: &'a Session,
        output: &'a Output,
        begin: impl Fn(&'a Picked, Running) -> LocalBoxFuture<'a, Result<Option<MemberDone>>> + 'a,
    ) -> Result<()> {
        let settings = Settings { keeps_journal: true, ..session.settings(options, resume) };
        settings.check()?;
        let before = settings.sets.peek(&self.words);
        if before > 0 && !resume.restart {
            output.note(&format!(
                "{before} of {} drives are done already, by an earlier run",
                self.picked.len()
            ));
        }
        let notes = if settings.dry_run {
            None
        } else {
            Some(once_free(&session.context, || settings.sets.open(&self.words)).await?)
        };
        let notes = Mutex::new(notes);
        let context = session.context.on(verb.route);
        let at_once = AtOnce::new(&context.window, settings.chunk_size);
        let group = Group::new(output, self.picked.len(), self.picked.iter().map(|picked| picked.size).sum());
        let counted = group.clone();
        output.reporting().begin_set(move || counted.sum());
        let whole = if settings.dry_run { Progress::default() } else { group.start(output) };
        let sharers = at_once.most().min(self.picked.len());
        let begin = &begin;
        let (group, notes, settings, context) = (&group, &notes, &settings, &context);
        let ended = set::run(&self.picked, &at_once, &context.stop, |picked| {
            let member = MemberRun {
                picked,
                group,
                notes,
                members: self.picked.len(),
                settings,
                leftovers: &session.leftovers,
                output,
            };
            Box::pin(member.run(self.end(picked.end, session), context, sharers, begin))
        })
        .await;
        drop(whole);
        output.set_bar(None);
        if settings.dry_run {
            return first_error(ended);
        }
        let verdict = set::verdict(&ended, &context.stop, verb.done, "drive");
        self.sum_up(verb, &ended, group, output)?;
        let notes = notes.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (verdict, notes) {
            (None, notes) => notes.map_or(Ok(()), SetNotes::remove),
            (Some(error), notes) => {
                notes.map(SetNotes::leave).unwrap_or_default();
                Err(error)
            }
        }
    }

    /// Tells what was done and what failed.
    fn sum_up(
        &self,
        verb: Verb,
        ended: &[Result<Option<Summary>>],
        group: &Group,
        output: &Output,
    ) -> Result<()> {
        let done: Vec<&Summary> = ended.iter().filter_map(|ended| ended.as_ref().ok()?.as_ref()).collect();
        let failed: Vec<(&Picked, &Error)> = self
            .picked
            .iter()
            .zip(ended)
            .filter_map(|(picked, ended)| Some((picked, ended.as_ref().err()?)))
            .collect();
        let (meters, elapsed) = (group.sum(), group.elapsed());
        let sum = |of: fn(&Summary) -> u64| done.iter().map(|summary| of(summary)).sum::<u64>();
        let size = sum(|s| s.size);
        let (wire, retries) = (meters.wire.load(Relaxed), meters.retries.load(Relaxed));
        let list: Vec<_> = failed
            .iter()
            .map(|(picked, error)| {
                json!({
                    "member": picked.member.disk, "remote": picked.member.remote,
                    "message": error.to_string(), "exit_code": error.kind().exit_code(),
                })
            })
            .collect();
        let mut object = json!({
            "set": true,
            "action": verb.action,
            "members_total": self.picked.len(),
            "members_done": done.len(),
            "members_failed": failed.len(),
            "size": size,
            "chunks_total": sum(|s| s.chunks_total),
            "chunks_sent": sum(|s| s.chunks_sent),
            "chunks_zero": sum(|s| s.chunks_zero),
            "chunks_unchanged": sum(|s| s.chunks_unchanged),
            "chunks_resumed": sum(|s| s.chunks_resumed),
            "chunks_verified": sum(|s| s.chunks_verified),
            "bytes_wire": wire,
            "retries": retries,
            "elapsed_s": (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            "limited_by": meters.limited_by(elapsed),
            "failed": list,
        });
        output.redactor().redact_json(&mut object);
        output.reporting().summary(&object, None);
        if output.is_json() {
            output.value("summary", &object)?;
        }
        let s = if self.picked.len() == 1 { "" } else { "s" };
        output.note(&format!(
            "{} of {} drive{s} {}: {} in {} ({}/s), {} on the wire",
            done.len(),
            self.picked.len(),
            verb.done,
            bytes(size),
            time(elapsed),
            bytes(per_second(size, elapsed)),
            bytes(wire),
        ));
        for (picked, error) in failed {
            output.of_member(&picked.member.disk, &picked.called()).failed(error);
        }
        Ok(())
    }
}

impl Picked {
    /// What people call it: its name, and what it is asked for by.
    fn called(&self) -> String {
        match &*self.member.name {
            "" => self.member.shown(),
            name => format!("{name} ({})", self.member.shown()),
        }
    }
}

/// One member as it runs.
struct MemberRun<'p, 'a> {
    picked: &'p Picked,
    group: &'a Group,
    notes: &'a Mutex<Option<SetNotes>>,
    /// How many there are.
    members: usize,
    settings: &'a Settings,
    leftovers: &'a Leftovers,
    output: &'a Output,
}

impl<'p, 'a> MemberRun<'p, 'a> {
    async fn run(
        self,
        end: &'a End,
        context: &'a Context,
        sharers: usize,
        begin: &impl Fn(&'p Picked, Running) -> LocalBoxFuture<'p, Result<Option<MemberDone>>>,
    ) -> Result<Option<Summary>> {
        let output = self.output.of_member(&self.picked.member.disk, &self.picked.short);
        let meters = Arc::new(Meters::default());
        self.group.add(&meters);
        let progress: Arc<Mutex<Option<Progress>>> = Arc::default();
        let observer = observer(&output, &meters, &progress, self.leftovers, Some(self.group.clone()));
        let context = context.member(meters, observer, sharers);
        let reporting = output.reporting();
        let context = reporting.begin_member(context, self.members);
        let running = Running {
            end: end.under(&context),
            context: context.clone(),
            settings: self.settings.clone(),
            was_done: self.noted(),
        };
        let ended = begin(self.picked, running).await;
        drop(progress.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.group.ended();
        let told = ended.and_then(|done| done.map(|done| self.tell(done, &output)).transpose());
        if let Err(error) = &told {
            output.error_event(error);
        }
        reporting.end_member(self.picked.called(), &context, &told);
        told
    }

    /// Tells what was done of it, and notes that it is.
    fn tell(&self, done: MemberDone, output: &Output) -> Result<Summary> {
        output.summary(&done.words, &done.summary)?;
        if let (Some(data), false) = (&done.data, output.is_json()) {
            output.data(data)?;
        }
        if let (Some(journal), Some(notes)) = (&done.journal, &mut *self.lock()) {
            notes.note(&self.picked.member.key(), journal)?;
        }
        Ok(done.summary)
    }

    fn noted(&self) -> bool {
        self.lock().as_ref().is_some_and(|notes| notes.has(&self.picked.member.key()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'a, Option<SetNotes>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of plans there is nothing to sum up.
fn first_error(ended: Vec<Result<Option<Summary>>>) -> Result<()> {
    ended.into_iter().find_map(Result::err).map_or(Ok(()), Err)
}
