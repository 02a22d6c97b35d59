//! Several drives in one command: selecting them, and transferring them concurrently.

mod members;

pub use members::SetOptions;

use super::leftover::Leftovers;
use super::options::TransferOptions;
use super::output::{Output, bytes};
use super::progress::{Group, Progress, per_second};
use super::session::{OpenRemote, Session, observer};
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

/// A selected member of a set, with its object on the remote.
#[derive(Clone)]
pub struct Picked {
    /// The member.
    pub member: Member,
    /// The object on the remote.
    pub object: Object,
    /// A short label: the member's name if no other member has the same one, otherwise its disk.
    short: String,
    /// The size in bytes from a list of the drives; 0 if there was no list.
    size: u64,
    /// The index of its remote: 0 for the session's, otherwise one more than the index in `others`.
    end: usize,
}

/// The members of a set, as selected for this command.
pub struct Set {
    /// The selected members, in the order of the command line or of the remote's list.
    pub picked: Vec<Picked>,
    /// All members, before the shard was selected.
    pub whole: Vec<Member>,
    /// The remotes other than the session's.
    others: Vec<OpenRemote>,
    /// Words that distinguish this set from every other one.
    words: Vec<String>,
}

/// What the transfer of one member needs.
pub struct Running {
    /// The member's remote.
    pub end: OpenRemote,
    /// The context of the transfer, with meters of its own.
    pub context: Context,
    /// The settings of the job.
    pub settings: Settings,
    /// Whether an earlier run of the set has recorded the member as done.
    pub was_done: bool,
}

/// The result of a member that is done.
pub struct MemberDone {
    /// The message, such as `downloaded to F`.
    pub words: String,
    /// The summary of the transfer.
    pub summary: Summary,
    /// The text for standard output, if there is any.
    pub data: Option<String>,
    /// The path of the journal, which is kept until the whole set is done.
    pub journal: Option<PathBuf>,
}

/// How messages describe what a command does with its set.
#[derive(Clone, Copy)]
pub struct Verb {
    /// The infinitive, such as `download`.
    pub action: &'static str,
    /// The past participle, such as `downloaded`.
    pub done: &'static str,
    /// The route that the members' chunks take.
    pub route: Route,
}

impl Set {
    fn take(&mut self, shard: Option<Shard>, output: &Output) {
        let Some(shard) = shard else { return };
        self.words.push(format!("--shard {shard}"));
        self.picked.retain(|picked| shard.has(&picked.member.key()));
        output.note(&format!("shard {shard}: {} of {} drives", self.picked.len(), self.whole.len()));
    }

    /// Returns the index of a remote, and opens the remote if it is not open yet.
    async fn remote(&mut self, remote: &str, session: &Session, output: &Output) -> Result<usize> {
        let mut reached = std::iter::once(&session.end).chain(&self.others);
        if let Some(place) = reached.position(|end| end.remote == remote) {
            return Ok(place);
        }
        self.others.push(session.another(remote, output).await?);
        Ok(self.others.len())
    }

    fn end<'e>(&'e self, place: usize, session: &'e Session) -> &'e OpenRemote {
        place.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&session.end)
    }

    /// Runs all members and reports the result.
    ///
    /// `begin` starts the transfer of one member. It returns `None` if only the plan was wanted.
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

    /// Reports what was done and what failed.
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
    /// Returns the member's name and what identifies it, for messages.
    fn called(&self) -> String {
        match &*self.member.name {
            "" => self.member.shown(),
            name => format!("{name} ({})", self.member.shown()),
        }
    }
}

/// The run of one member.
struct MemberRun<'p, 'a> {
    picked: &'p Picked,
    group: &'a Group,
    notes: &'a Mutex<Option<SetNotes>>,
    /// The number of members in the set.
    members: usize,
    settings: &'a Settings,
    leftovers: &'a Leftovers,
    output: &'a Output,
}

impl<'p, 'a> MemberRun<'p, 'a> {
    async fn run(
        self,
        end: &'a OpenRemote,
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

    /// Reports what was done with the member, and records it as done.
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

/// Returns the first error. Plans have no results to sum up.
fn first_error(ended: Vec<Result<Option<Summary>>>) -> Result<()> {
    ended.into_iter().find_map(Result::err).map_or(Ok(()), Err)
}
